"""Another system that keeps records, and is as unreliable as such are: it answers 503, breaks off or falls
silent after it has done the work, answers twice, asks to come back later.

With `honours` it tells by the Idempotency-Key that it was asked before; without, it would do the work
again, and only its look-up says what it has.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Books:
    """`records` in the order of their making; `did` counts how it answered; `asked` has every head."""

    honours: bool
    trouble: float
    random: Random
    url: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    by_key: dict[str, dict[str, Any]] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)
    asked: list[dict[str, str]] = field(default_factory=list)
    silence: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {
                name.lower(): value
                for name, value in (line.split(": ", 1) for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append({"method": method, "target": target} | headers)
            if method == "GET":
                self.say(writer, 200, self.found(target))
            else:
                await self.record(writer, headers.get("idempotency-key", ""), json.loads(body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def found(self, target: str) -> list[dict[str, Any]]:
        wanted = parse_qs(urlsplit(target).query)["external_id"][0]
        return [record for record in self.records if record["external_id"] == wanted]

    async def record(self, writer: asyncio.StreamWriter, key: str, asked: dict[str, Any]) -> None:
        how = "well"
        if self.random.random() < self.trouble:
            how = self.random.choice(
                ("503", "429", "done and silent", "done and broken off", "twice")
            )
        self.did[how] += 1
        if how in ("503", "429"):
            self.say(writer, int(how), None, "Retry-After: 1\r\n" if how == "429" else "")
            return
        made = self.by_key.get(key) if self.honours else None
        if made is None:
            made = {**asked, "number": len(self.records) + 1}
            self.records.append(made)
            self.by_key[key] = made
        if how == "done and silent":
            await self.silence.wait()
        if how in ("well", "twice"):
            self.say(writer, 201, made)
        if how == "twice":
            self.say(writer, 201, made)

    def say(self, writer: asyncio.StreamWriter, status: int, body: Any, more: str = "") -> None:
        text = json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
            + text
        )


@asynccontextmanager
async def books_server(
    *, honours: bool = True, trouble: float = 0.0, seed: int = 1
) -> AsyncIterator[Books]:
    books = Books(honours, trouble, Random(seed))
    server = await asyncio.start_server(books.serve, "127.0.0.1", 0)
    books.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield books
    finally:
        books.silence.set()
        server.close()
        await server.wait_closed()
