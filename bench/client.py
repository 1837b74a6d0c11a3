"""A lean HTTP/1.1 client: the driver shares two cores with what it measures, so it must cost little.

One `Client` is one server and one person's token; it opens as many connections as are in use at
once and keeps them.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from recipes.model import Json

KEPT = 3.0
"""Seconds an idle connection is used again; servers close theirs after five."""


class UnexpectedAnswer(Exception):
    """The server answered something else than the benchmark relies on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the parsed JSON, None if there is none."""

    status: int
    body: Json

    def expect(self, status: int) -> Json:
        """The body of an answer of this status. UnexpectedAnswer otherwise."""
        if self.status != status:
            raise UnexpectedAnswer(f"{self.status}: {self.body}")
        return self.body


_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Calls `host:port` as the bearer of `token`."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host = host
        self._port = port
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._idle: deque[tuple[float, _Connection]] = deque()

    def bearing(self, token: str) -> "Client":
        """The same connections with somebody else's token."""
        other = Client(self._host, self._port, token)
        other._idle = self._idle
        return other

    async def get(self, path: str) -> Answer:
        return await self._call(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def post(self, path: str, body: Json, headers: str = "") -> Answer:
        """POST JSON, or text as it is. `headers` are further lines, each ended by CRLF."""
        content = body.encode() if isinstance(body, str) else to_json(body)
        head = (
            f"POST {path} HTTP/1.1\r\n{self._head}{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return await self._call(head.encode() + content)

    async def page(self, path: str, cookie: str) -> bytes:
        """A page as it travels (gzipped), asked for as a browser with that cookie does. UnexpectedAnswer."""
        asked = f"Host: {self._host}:{self._port}\r\nCookie: {cookie}\r\n"
        way = "Sec-Fetch-Site: same-origin\r\nAccept-Encoding: gzip\r\n"
        status, body = await self._exchange(f"GET {path} HTTP/1.1\r\n{asked}{way}\r\n".encode())
        if status != 200:
            raise UnexpectedAnswer(f"{status}: {body[:500]!r}")
        return body

    async def close(self) -> None:
        for _, (_, writer) in self._idle:
            writer.close()
        self._idle.clear()

    async def _call(self, message: bytes) -> Answer:
        status, body = await self._exchange(message)
        return Answer(status, from_json(body) if body else None)

    async def _exchange(self, message: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connection()
        try:
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
        except BaseException:
            writer.close()
            raise
        self._idle.append((time.monotonic(), (reader, writer)))
        return int(head[9:12]), body

    async def _connection(self) -> _Connection:
        while self._idle:
            since, (reader, writer) = self._idle.pop()
            if not reader.at_eof() and time.monotonic() - since < KEPT:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=2**22)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise UnexpectedAnswer(f"no content-length in {head!r}")
