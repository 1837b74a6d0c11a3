"""Mail servers that are slow or lie: what is due waits where it is, why is told, others go out, and when the server is
well again everybody has their mail, twice at most where nobody said whether it was taken.

Down, and back: test_mail.py.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes

import pytest

from relay.composing import Composer
from relay.mail import Mail
from relay.sending import closed
from tests.integration.house import House
from tests.integration.post_office import PAGES, SENDER, STAFF, Relay

BIT = 0.02
"""Seconds between the bytes of what drips."""
WELL = {
    "greet": b"220 here\r\n",
    "EHLO": b"250 here\r\n",
    "DATA": b"354 go on\r\n",
    "QUIT": b"221 bye\r\n",
}
OK = b"250 OK\r\n"
HANGS, DRIPS, DROPS = b"hangs", b"drips", b"drops"
NEVER_ENDS = b"never ends"


@dataclass
class Clerk:
    """A mail server that answers each command as a test says, once, and then well. `end` is the end of a mail: what it
    answers well there, it has taken, and what is in doubt too."""

    answers: dict[str, bytes]
    port: int = 0
    taken: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.left.clear()
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            self.open -= 1
            if not self.open:
                self.left.set()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say("greet", reader, writer)
        while True:
            command = (await reader.readuntil(b"\r\n")).split()[0].decode("latin-1").upper()
            well = await self._say(command, reader, writer)
            if command == "DATA" and well:
                text = await reader.readuntil(b"\r\n.\r\n")
                said = self.answers.get("end", OK)
                if said[:1] not in b"45":
                    self.taken.append(str(message_from_bytes(text)["Message-ID"]))
                await self._say("end", reader, writer)

    async def _say(
        self, when: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """True if it was what it should be. OSError where the connection is over."""
        said = self.answers.pop(when, None)
        if said == HANGS:
            await reader.read()
        while said in (DRIPS, NEVER_ENDS):
            writer.write(b"2" if said == DRIPS else b"250-and more\r\n" * 50)
            await writer.drain()
            await asyncio.sleep(BIT)
        writer.write(WELL.get(when, OK) if said is None else said.removesuffix(DROPS))
        await writer.drain()
        if said is not None and said.endswith(DROPS):
            raise ConnectionAbortedError
        return said is None


@asynccontextmanager
async def clerk(answers: dict[str, bytes]) -> AsyncIterator[Clerk]:
    found = Clerk(dict(answers))
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    async with asyncio.timeout(10):
        await found.left.wait()  # all connections are closed, by us


def mailing(house: House, server: Clerk) -> Relay:
    way = Mail(f"smtp://127.0.0.1:{server.port}", SENDER, Composer(PAGES), patience=0.3)
    return Relay(house.pool, way, frozenset(["mail"]))


async def told(house: House, server: Clerk) -> Relay:
    """Three people are to be told, by this server."""
    relay = mailing(house, server)
    await relay.listen()
    await house.begun("alice", "shared", {})
    await relay.listen()
    return relay


@pytest.fixture
async def staffed(house: House) -> House:
    await house.import_org(STAFF)
    return house


async def fared(house: House) -> dict[str, list[str]]:
    """What was last said of the messages in each state, of nothing where nothing was."""
    rows = await house.pool.fetch("SELECT state, last_error FROM messages")
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["state"], []).append(row["last_error"] or "")
    return found


TLS = b"250-here\r\n250 STARTTLS\r\n"
AWAY: dict[str, tuple[dict[str, bytes], str]] = {
    "greets with garbage": ({"greet": b"SSH-2.0-x\r\n"}, "cannot be reached"),
    "greets with a page": ({"greet": b"HTTP/1.1 400 X\r\n\r\n" + DROPS}, "cannot be reached"),
    "greets with bytes": ({"greet": b"\xff\x00\xfe\r\n"}, "cannot be reached"),
    "does not want us": ({"greet": b"554 no\r\n"}, "554 no"),
    "hangs up": ({"greet": DROPS}, "cannot be reached"),
    "greets bit by bit": ({"greet": DRIPS}, "Timed out"),
    "introduces itself for ever": ({"EHLO": NEVER_ENDS}, "cannot be reached"),
    "does not give the TLS it promised": ({"EHLO": TLS, "STARTTLS": b"454 no\r\n"}, "454 no"),
    "gives another TLS": ({"EHLO": TLS, "STARTTLS": b"220 go\r\nxxxx"}, "cannot be reached"),
    "hangs up for TLS": ({"EHLO": TLS, "STARTTLS": b"220 go\r\n" + DROPS}, "cannot be reached"),
    "says nothing for TLS": ({"EHLO": TLS, "STARTTLS": HANGS}, "cannot be reached"),
    "takes no mail from us": ({"MAIL": b"553 who?\r\n"}, "553 who?"),
    "closes": ({"RCPT": b"421 closing\r\n" + DROPS}, "421 closing"),
}
LATER: dict[str, tuple[dict[str, bytes], str, int]] = {
    "says bit by bit that it took it": ({"end": DRIPS}, "did not answer", 2),
    "takes it and says nothing": ({"end": HANGS}, "did not answer", 2),
    "takes it and hangs up": ({"end": DROPS}, "did not answer", 2),
    "says something else": ({"end": b"hello\r\n"}, "Malformed", 2),
    "says something else of them": ({"RCPT": b"hello\r\n"}, "Malformed", 1),
    "says something else of us": ({"MAIL": b"\xff\r\n"}, "Malformed", 1),
    "has no time for the mail": ({"end": b"451 later\r\n"}, "451 later", 1),
    "has no time for them": ({"RCPT": b"450 later\r\n"}, "450 later", 1),
    "does not want to go on": ({"DATA": b"250 OK\r\n"}, "250 OK", 1),
    "hangs up in the middle": ({"DATA": DROPS}, "did not answer", 1),
}


async def test_servers_that_take_nothing(staffed: House) -> None:
    """One after the other: nothing goes out by them, in clear least of all, none is asked again for each message, and
    the first that is well gets all."""
    async with clerk({}) as well:
        relay = await told(staffed, well)
        for number, (what, (answers, why)) in enumerate(AWAY.items(), 1):
            async with clerk(answers) as server:
                await mailing(staffed, server).send(timedelta(hours=7 * number))
                assert (server.connections, server.taken) == (1, []), what
            found = await fared(staffed)
            assert found.keys() == {"sending"}, what
            assert any(why in said for said in found["sending"]), (what, found)
            assert closed.labels("mail")._value.get() == 1
        await relay.send(timedelta(hours=7 * len(AWAY) + 7))
        assert list(Counter(well.taken).values()) == [1, 1, 1]
        assert closed.labels("mail")._value.get() == 0


async def test_servers_that_do_not_take_one(staffed: House) -> None:
    """The others go out at once, and that one later: twice where nobody said whether it was taken."""
    for what, (answers, why, most) in LATER.items():
        async with clerk(answers) as server:
            relay = await told(staffed, server)
            await relay.send()
            found = await fared(staffed)
            assert [len(found[it]) for it in ("sending", "sent")] == [1, 2], what
            assert why in found["sending"][0], what
            await relay.send(timedelta(hours=1))
            counts = Counter(server.taken)
            assert (len(counts), max(counts.values())) == (3, most), what
            assert (await fared(staffed)).keys() == {"sent"}, what
        await staffed.pool.execute("DELETE FROM messages")


async def test_a_server_that_wants_it_later_and_then_never(staffed: House) -> None:
    async with clerk({"end": b"451 later\r\n"}) as server:
        relay = await told(staffed, server)
        await relay.send()
        server.answers["end"] = b"550 never\r\n"
        await relay.send(timedelta(hours=1))
        assert (await fared(staffed))["dead"] == ["550 never"]
        assert len(server.taken) == 2
        [item] = (await staffed.get("/v1/messages", "oscar", "admin")).json()["items"]
        assert item["last_error"] == "550 never"
        again = await staffed.post(f"/v1/messages/{item['id']}/resend", "oscar", "admin")
        assert again.status_code == 200, again.text
        await relay.send(timedelta(hours=2))
        assert list(Counter(server.taken).values()) == [1, 1, 1]


async def test_servers_that_take_all_and_do_not_let_us_go(staffed: House) -> None:
    """Or hang up after each: none comes twice, and no connection is left."""
    for goes in (DROPS, b"500 stay\r\n", HANGS):
        end = {"end": OK + DROPS} if goes == DROPS else {}
        async with clerk({"QUIT": goes, **end}) as server:
            relay = await told(staffed, server)
            await relay.send()
            assert (await fared(staffed)).keys() == {"sent"}
            assert list(Counter(server.taken).values()) == [1, 1, 1]
        await staffed.pool.execute("DELETE FROM messages")
