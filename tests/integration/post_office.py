"""A mail server of our own, as good or as bad as each test wants; and the relay's part, a step at a time.

Moments are given: nothing here waits for a clock.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

from contract.preferences import Channel
from relay import notifying
from relay.composing import Composer
from relay.mail import Mail
from relay.sending import Sender
from relay.ways import Way
from storage import commands, feed
from storage.pool import Pool
from tests.integration.house import PEOPLE, House

PAGES = "https://approvals.example.org"
SENDER = "Approvals <approvals@example.org>"
STAFF = tuple(replace(it, email=f"{it.id}@example.org") for it in PEOPLE)
SOON = timedelta(minutes=11)
"""Later than what happens now gathers for."""


@dataclass
class PostOffice:
    """`answers` to RCPT and DATA are used up in their order; then all is well. `drops`: it takes a mail and hangs
    up without a word; `hangs`: it takes the connection and says nothing. With `tls` and `login` it takes mail after
    STARTTLS from whoever says that name and password."""

    url: str = ""
    answers: list[str | bytes] = field(default_factory=list)
    drops: bool = False
    hangs: bool = False
    taken: list[EmailMessage] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    login: tuple[bytes, bytes] | None = None

    def protocol(self) -> asyncio.Protocol:
        self.connections += 1
        if self.hangs:
            return asyncio.Protocol()
        return SMTP(
            self,
            loop=asyncio.get_running_loop(),
            tls_context=self.tls,
            require_starttls=self.tls is not None,
            auth_required=self.login is not None,
            authenticator=self._judge,
        )

    def _judge(self, *asked: Any) -> AuthResult:
        said = asked[-1]
        return AuthResult(success=(said.login, said.password) == self.login, handled=False)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, _: SMTP, __: Any, envelope: Any, address: str, ___: list[str]
    ) -> str | bytes:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.taken.append(mail)
        if self.drops:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    @property
    def to(self) -> list[str]:
        """To whom mail came, sorted."""
        return sorted(mail["To"].addresses[0].addr_spec for mail in self.taken)


@asynccontextmanager
async def post_office(
    port: int = 0, tls: ssl.SSLContext | None = None, login: tuple[bytes, bytes] | None = None
) -> AsyncIterator[PostOffice]:
    office = PostOffice(tls=tls, login=login)
    server = await asyncio.get_running_loop().create_server(office.protocol, "127.0.0.1", port)
    office.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield office
    finally:
        server.close()


def texts(mail: EmailMessage) -> str:
    """All that a mail says, headers too."""
    bodies = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    return "\n".join([*(f"{name}: {value}" for name, value in mail.items()), *bodies])


@dataclass
class Relay:
    """One relay's part in messages."""

    pool: Pool
    way: Way
    on: frozenset[Channel]
    owner: str = "relay"
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        self.sender = Sender(self.pool, self.way)

    async def listen(self) -> None:
        """Take all that the feed has."""
        await feed.sequence(self.pool)
        while await notifying.listen(self.pool, self.owner, self.on):
            pass

    async def now(self) -> datetime:
        return await commands.now(self.pool)

    async def send(self, after: timedelta = SOON) -> datetime:
        """Send what is due so long after now: that moment."""
        at = await self.now() + after
        while await self.sender.send(at):
            pass
        return at

    async def refresh(self) -> None:
        """Bring up to date what Slack shows."""
        await self.listen()
        at = await self.now() + timedelta(hours=1)
        while await self.sender.refresh(at):
            pass

    async def deliver(self) -> None:
        await self.listen()
        await self.send()


def mailing(house: House, office: PostOffice, patience: float = 5.0) -> Relay:
    """A relay with mail alone. The feed begins now: what there was before is told to nobody."""
    way = Mail(office.url, SENDER, Composer(PAGES), patience)
    return Relay(house.pool, way, frozenset(["mail"]))
