"""Mail: messages as they go to a mail server, over one connection for as many as are due.

`COUNTERSIGN_SMTP_URL` is smtp://host:port or smtps://host:port, with name:password@ before the host where the
server wants them: then the connection is encrypted (STARTTLS), unless the server is on this machine.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from contract.preferences import Channel
from relay.composing import Composer
from relay.ways import Away, Later, Parcel, Refused, Send, Update
from settings import is_loopback

PATIENCE = 20.0
"""Seconds for each answer of the server."""
_CLOSING = (421, 454, 530, 534, 535, 538)
"""What a server says that takes nothing from us now, whoever it is for."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, as a URL says it."""

    host: str
    port: int
    encrypted: bool
    user: str | None
    password: str | None

    @classmethod
    def of(cls, url: str) -> "Server":
        """The settings have looked at it."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        encrypted = parts.scheme == "smtps"
        return cls(
            parts.hostname,
            parts.port or (465 if encrypted else 587 if parts.username else 25),
            encrypted,
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
        )

    @property
    def must_encrypt(self) -> bool | None:
        """For STARTTLS: always, never, or where it is offered (None)."""
        if self.encrypted:
            return False
        return True if self.user is not None and not is_loopback(self.host) else None


class MailInvalid(Exception):
    """No mail can be sent with these settings; the text says why."""

    fix = "set COUNTERSIGN_SMTP_CA_FILE to certificates in PEM, or unset it: no relay starts like this"


class Mail:
    """The way by mail, from one address. `ca_file` is trusted besides what this machine trusts. MailInvalid."""

    channel: Channel = "mail"
    update: Update | None = None

    def __init__(
        self,
        url: str,
        sender: str,
        composer: Composer,
        patience: float = PATIENCE,
        ca_file: Path | None = None,
    ) -> None:
        self._server = Server.of(url)
        self._sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2]
        self._composer = composer
        self._patience = patience
        self._tls = trusting(ca_file)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Send]:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.encrypted,
            start_tls=server.must_encrypt,
            tls_context=self._tls,
            username=server.user,
            password=server.password,
            timeout=self._patience,
        )
        await _connect(client)

        async def send(parcel: Parcel) -> None:
            mail = self.composed(parcel)
            if not client.is_connected:  # some hang up after each
                await _connect(client)
            await _send(client, mail)

        try:
            yield send
        finally:
            with suppress(SMTPException, OSError):
                await client.quit()
            client.close()  # whatever it says to that

    def composed(self, parcel: Parcel) -> EmailMessage:
        """Refused if it cannot be sent to that address."""
        letter = self._composer.letter(parcel)
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = _address(parcel.to.name, parcel.to.email)
        mail["Subject"] = letter.subject
        mail["Date"] = format_datetime(parcel.message.tried_since)
        mail["Message-ID"] = f"<{parcel.message.id}@{self._domain}>"
        mail["List-Unsubscribe"] = f"<{self._composer.preferences_url}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        mail.set_content(letter.text)
        mail.add_alternative(letter.html, subtype="html")
        return mail


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """What servers' certificates are held against. MailInvalid."""
    found = ssl.create_default_context()
    if ca_file is not None:
        try:
            found.load_verify_locations(ca_file)
        except OSError as error:  # what is no certificate is one, too
            raise MailInvalid(
                f"{ca_file} holds no certificates that can be read: {error}"
            ) from None
    return found


async def _connect(client: SMTP) -> None:
    """Away if that cannot be done."""
    try:
        await client.connect()
    except (SMTPException, OSError, ValueError) as error:
        raise Away(f"the mail server cannot be reached: {_said(error)}", heard=False) from None


async def _send(client: SMTP, mail: EmailMessage) -> None:
    """Away, Later, Refused."""
    try:
        await client.send_message(mail)
    except SMTPRecipientsRefused as error:
        first = error.recipients[0]
        _hang_up_on_nonsense(client, first.code)
        raise _judged(first.code, _said(first)) from None
    except SMTPSenderRefused as error:
        raise Away(f"the mail server does not take mail from us: {_said(error)}") from None
    except SMTPResponseException as error:
        _hang_up_on_nonsense(client, error.code)
        raise _judged(error.code, _said(error)) from None
    except SMTPNotSupported as error:
        raise Refused(_said(error)) from None
    except (SMTPException, OSError) as error:
        # It may have been taken all the same: then it comes twice, under one Message-ID.
        raise Later(f"the mail server did not answer: {_said(error)}") from None


def _hang_up_on_nonsense(client: SMTP, code: int) -> None:
    """An answer that is none stays in the client's way: it would be taken for those to all that follows."""
    if code < 200:
        client.close()


def _address(name: str, email: str | None) -> Address:
    """The name is for people to read: what an address cannot hold is left out of it."""
    shown = "".join(it for it in name if it.isprintable())
    try:
        return Address(shown, addr_spec=email or "")
    except (ValueError, IndexError, MessageError):
        raise Refused("the directory's address is none that mail can be sent to") from None


def _judged(code: int, said: str) -> Exception:
    """What a server's refusal of one message means."""
    if code in _CLOSING:
        return Away(said)
    return Refused(said) if code >= 500 else Later(said)


def _said(error: Exception) -> str:
    if isinstance(error, SMTPResponseException | SMTPRecipientRefused):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
