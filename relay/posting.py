"""Posting to endpoints that others named: HTTP/1.1 to a checked address, whatever is at the other end.

The name is resolved once for a connection, every address it has is judged, and the connection goes to one of
those, with the name for TLS and `Host`. No proxies, no redirects; of an answer 64 KiB are read at most. What an
endpoint says that it was not asked for closes the connection, so that no answer is taken for another's.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast
from urllib.parse import SplitResult

import h11
from typing_extensions import override

from storage import addresses
from storage.addresses import Network, UrlRefused

TIMEOUT = 15.0
_LARGEST = 65_536
_HEAD = 16_384
_IDLE = 16
"""Connections kept to one endpoint, at most."""
_AGENT = "Countersign-Webhooks/1"

Resolve = Callable[[str, int], Awaitable[list[str]]]


class PostFailed(Exception):
    """There was no answer that counts; the text says why, without anything of the answer's."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Poster:
    """Posts bodies, and keeps connections for the next ones. `production` and `allowed` say where it may go."""

    def __init__(
        self,
        *,
        production: bool,
        allowed: Sequence[Network] = (),
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self.timeout = timeout
        self._production = production
        self._allowed = allowed
        self._tls = tls or ssl.create_default_context()
        self._resolve = resolve
        self._idle: dict[tuple[str, str], list[_Wire]] = {}

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str | None]:
        """The status of the answer, and its Retry-After. PostFailed."""
        try:
            parts = addresses.endpoint(url, production=self._production, allowed=self._allowed)
        except UrlRefused as error:
            raise PostFailed(str(error)) from None
        place = (parts.scheme, parts.netloc)
        sent = _request(parts, headers, body)
        deadline = asyncio.get_running_loop().time() + self.timeout
        for kept in (True, False):
            wire = self._kept(place) if kept else None
            fresh = wire is None
            wire = wire or await self._connected(parts, deadline)
            try:
                found = await wire.exchange(sent, body, deadline)
            except _Stale:
                if fresh:
                    raise PostFailed("it closed the connection before it answered") from None
                continue
            if wire.usable:
                idle = self._idle.setdefault(place, [])
                idle.append(wire)
                while len(idle) > _IDLE:
                    idle.pop(0).close()
            return found
        raise PostFailed("it closed the connection before it answered")

    def close(self) -> None:
        for wires in self._idle.values():
            for wire in wires:
                wire.close()
        self._idle.clear()

    def _kept(self, place: tuple[str, str]) -> "_Wire | None":
        wires = self._idle.get(place, [])
        while wires:
            wire = wires.pop()
            if wire.usable:
                return wire
        return None

    async def _connected(self, parts: SplitResult, deadline: float) -> "_Wire":
        """A connection to an address that was judged. PostFailed."""
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        why = "its name has no address"
        try:
            async with asyncio.timeout_at(deadline):
                for address in await self._judged(host, port, parts.scheme):
                    try:
                        _, wire = await loop.create_connection(
                            _Wire,
                            address,
                            port,
                            ssl=self._tls if parts.scheme == "https" else None,
                            server_hostname=host if parts.scheme == "https" else None,
                        )
                    except ssl.SSLError as error:
                        why = f"its certificate or TLS is no good: {error.reason or 'refused'}"
                    except OSError as error:
                        why = f"it cannot be connected to: {error.strerror or type(error).__name__}"
                    else:
                        return wire
        except TimeoutError:
            why = f"no connection within {self.timeout:g} s"
        raise PostFailed(why)

    async def _judged(self, host: str, port: int, scheme: str) -> list[str]:
        """The addresses of a name, if all of them may be connected to. PostFailed."""
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise PostFailed("its name cannot be resolved") from None
        for address in found:
            why = addresses.refusal(address, self._allowed)
            if why is None and scheme == "http" and not addresses.is_loopback(address):
                why = "http is for loopback alone"
            if why is not None:
                raise PostFailed(f"nobody connects to it: {why}")
        return found


class _Stale(Exception):
    """The connection ended before anything of an answer came."""


class _Wire(asyncio.Protocol):
    """One connection: one exchange at a time."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[None] | None = None
        self._status: tuple[int, str | None] | None = None
        self._read = 0
        self._began = False
        """Whether anything of an answer has come."""
        self.usable = True

    async def exchange(
        self, sent: h11.Request, body: bytes, deadline: float
    ) -> tuple[int, str | None]:
        """The status once the answer is there, or as much of it as is read. PostFailed; _Stale."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._status, self._read, self._began = None, 0, False
        for event in (sent, h11.Data(body), h11.EndOfMessage()):
            self._transport.write(self._h11.send(event) or b"")
        try:
            async with asyncio.timeout_at(deadline):
                await self._answer
        except TimeoutError:
            self.close()
            # What it decided it has said, if it only does not come to an end.
            if self._status is None:
                raise PostFailed("no answer in time") from None
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        assert self._status is not None
        return self._status

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked of uvloop's transports, which are none by their class.
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self._began = True
        self._h11.receive_data(data)
        self._go_on()

    @override
    def eof_received(self) -> bool:
        self._ended()
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    def _ended(self) -> None:
        self.usable = False
        if self._answer is None or self._answer.done():
            return
        if not self._began:
            self._finish(_Stale())
            return
        self._h11.receive_data(b"")
        self._go_on()

    def _go_on(self) -> None:
        """Take in what there is of an answer."""
        try:
            while True:
                event = self._h11.next_event()
                if isinstance(event, h11.Response):
                    self._status = (event.status_code, _header(event, b"retry-after"))
                elif isinstance(event, h11.Data):
                    self._read += len(event.data)
                    if self._read > _LARGEST:
                        self.close()
                        self._finish(None)
                        return
                elif isinstance(event, h11.EndOfMessage):
                    self._next()
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    return
        except h11.RemoteProtocolError:
            self.close()
            self._finish(PostFailed("its answer is not HTTP"))

    def _next(self) -> None:
        """The answer is whole. Another one that comes with it was not asked for."""
        more, _ = self._h11.trailing_data
        done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if done and not more and self.usable:
            self._h11.start_next_cycle()
        else:
            self.close()
        self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        assert self._answer is not None
        if self._answer.done():
            return
        if error is None or self._status is not None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)


def _request(parts: SplitResult, headers: Mapping[str, str], body: bytes) -> h11.Request:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = [
        ("host", parts.netloc),
        ("user-agent", _AGENT),
        ("accept", "*/*"),
        ("content-length", str(len(body))),
        *headers.items(),
    ]
    return h11.Request(method="POST", target=path, headers=named)


def _header(event: h11.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in event.headers if key == name), None)
