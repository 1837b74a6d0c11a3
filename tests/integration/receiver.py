"""An endpoint of others, on a real socket: takes messages, or does whatever else endpoints do."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ANSWERS: dict[str, bytes] = {
    "200": OK,
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
    "410": b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Slow\r\nretry-after: 900\r\ncontent-length: 0\r\n\r\n",
    "500": b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
    "twice": OK + OK,
    "garbage": b"+OK POP3 ready\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it",
    "long head": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "no end": b"HTTP/1.1 200 OK\r\n\r\n",
}
_CLOSES = {"close", "garbage", "cut", "long head"}
_BIT = 0.02
"""Seconds between the bytes of what drips."""
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "drips a head": (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "drips a body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "wants patience": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}
"""What never ends: how it begins, and what comes again and again."""


@dataclass(frozen=True, slots=True)
class Message:
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """`answer` says what is done with a message: a name of `ANSWERS` or `DRIPS`, `close`, `hang`, `huge`, or bytes of
    its own."""

    answer: Callable[[Message], str | bytes] = lambda _: "200"
    seen: list[Message] = field(default_factory=list)
    taken: list[Message] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        message = Message(head[0].split()[1], headers, body)
        self.seen.append(message)
        what = self.answer(message)
        if isinstance(what, bytes):
            writer.write(what)
            return True
        if what in ("200", "204", "twice", "huge", "no end", "cut", "drips a body"):
            self.taken.append(message)
        if what == "hang":
            await reader.read()
        if what in DRIPS:
            await _drip(writer, *DRIPS[what])
        writer.write(ANSWERS["no end"] if what == "huge" else ANSWERS.get(what, b""))
        await writer.drain()
        while what == "huge":
            writer.write(b"x" * 65_536)
            await writer.drain()
        if what == "no end":
            await reader.read()
        return what not in _CLOSES

    def stop(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def ended(self) -> None:
        """All connections have."""
        while self._open:
            self.stop()
            await asyncio.sleep(_BIT)


async def _drip(writer: asyncio.StreamWriter, begins: bytes, goes_on: bytes) -> None:
    """Until the other end has enough. OSError then."""
    writer.write(begins)
    while True:
        writer.write(goes_on)
        await writer.drain()
        await asyncio.sleep(_BIT)


@asynccontextmanager
async def receiving(
    answer: Callable[[Message], str | bytes] = lambda _: "200", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver on a port of loopback."""
    found = Receiver(answer)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await found.ended()
