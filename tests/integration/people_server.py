"""Another system's list of people over real HTTP: a server that answers as each test wants it to,
well, slowly, wrongly, or not at all. It keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `query` has the first value of each parameter; header names are small."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class PeopleServer:
    """`replies` are used up in order; the last one stays."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            target = urlsplit(head[0].split(" ")[1])
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            small = {name.lower(): value for name, value in headers.items()}
            asked = Asked(target.path, query, small)
            self.asked.append(asked)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            await reply(asked, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def people_server() -> AsyncIterator[PeopleServer]:
    served = PeopleServer("")
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()


def raw(
    body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> Reply:
    """An answer of these bytes. Headers are written with _ for -."""

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        await writer.drain()

    return reply


def answer(value: Any, **headers: str) -> Reply:
    return raw(json.dumps(value).encode(), **headers)


def status(line: str, **headers: str) -> Reply:
    return raw(b"{}", line, **headers)


def computed(value: Callable[[Asked], Any]) -> Reply:
    """An answer that depends on what was asked."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answer(value(asked))(asked, writer)

    return reply


async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Never an answer: until the other side goes."""
    while not writer.transport.is_closing():  # noqa: ASYNC110 - a test server waits for its client
        await asyncio.sleep(0.01)


async def dripping(_: Asked, writer: asyncio.StreamWriter) -> None:
    """A byte at a time, for ever: each one soon enough, all of them never."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    while not writer.transport.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def breaking_off(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n[{"
    )
    await writer.drain()
