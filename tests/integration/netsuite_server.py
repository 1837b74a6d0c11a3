"""What speaks like NetSuite about purchase orders, and is as unreliable as such are.

Of its answers a share `trouble` goes wrong, in one way of FAULTS after the other. Where it is `strict` it takes
an external id once, as NetSuite does, and fails in ways that only this saves, too. Otherwise nothing here
would refuse a second order: that there is none is the connector's doing alone.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote

import jwt

PATH = "/services/rest/record/v1/purchaseOrder"
TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"

FAULTS = (
    "5xx",
    "5xx though done",
    "429",
    "done and silent",
    "done and broken off",
    "done and not said which",
    "twice",
)
STRICT_FAULTS = (
    "done after it was given up",
    "done twice",
)
LOOK_UP_FAULTS = ("5xx", "429", "a page", "a 404 page", "twice")

Sent = tuple[int, dict[str, str], Any]
"""Status, headers, JSON or text of an answer."""


def problem(status: int, detail: str, code: str, path: str | None = None) -> Sent:
    where = {} if path is None else {"o:errorPath": path}
    details = [{"detail": detail, "o:errorCode": code, **where}]
    return status, {}, {"title": "Error", "status": status, "o:errorDetails": details}


def page(status: int) -> Sent:
    """What stands before NetSuite says something."""
    return status, {}, "<html>Back in a moment</html>"


@dataclass
class NetSuite:
    """`orders` in the order of their making; `did` counts what went wrong; `asked` has every request.

    With `secret`, the client's or the public half of its key, it serves nobody without its newest token,
    which counts for `uses` requests.
    """

    trouble: float
    strict: bool
    random: Random
    secret: Any
    uses: int
    items: tuple[str, ...] | None = None
    """Those it knows; None: any."""
    origin: str = ""
    orders: list[dict[str, Any]] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    used: int = 0
    """How often the newest token has been."""
    by_external_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    under_way: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was given up by who asked, and is done a little later."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.order_faults = cycle(FAULTS + (STRICT_FAULTS if self.strict else ()))
        self.look_up_faults = cycle(LOOK_UP_FAULTS)

    @property
    def url(self) -> str:
        return f"{self.origin}/services/rest"

    @property
    def token_url(self) -> str:
        return f"{self.origin}{TOKEN_PATH}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request, until somebody ends it."""
        try:
            while await self.one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value
            for name, value in (line.split(": ", 1) for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append({"method": method, "target": target} | headers)
        if target == TOKEN_PATH:
            say(writer, self.token(headers, parse_qs(body.decode())))
            return True
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self.secret is not None and not self.counts(bearer):
            say(writer, problem(401, "Invalid login attempt.", "INVALID_LOGIN"))
        elif method == "GET":
            self.look_up(writer, unquote(target).removeprefix(f"{PATH}/eid:"))
        else:
            return await self.order(writer, json.loads(body))
        return True

    def token(self, headers: dict[str, str], form: dict[str, list[str]]) -> Sent:
        """A new one, which is the only one that counts."""
        if form.get("grant_type") != ["client_credentials"] or not self.knows(headers, form):
            return 400, {}, {"error": "invalid_client", "error_description": "who is that?"}
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        self.used = 0
        return 200, {}, {"access_token": self.tokens[-1], "expires_in": "3600"}

    def counts(self, token: str) -> bool:
        self.used += 1
        return token in self.tokens[-1:] and self.used <= self.uses

    def knows(self, headers: dict[str, str], form: dict[str, list[str]]) -> bool:
        if isinstance(self.secret, str):
            wanted = base64.b64encode(f"countersign:{self.secret}".encode()).decode()
            return headers.get("authorization") == f"Basic {wanted}"
        signed = form["client_assertion"][0]
        said = jwt.decode(
            signed,
            self.secret,
            algorithms=["PS256", "ES256"],
            audience=self.token_url,
            issuer="countersign",
            options={"require": ["exp", "iat"]},
        )
        kid = jwt.get_unverified_header(signed)["kid"]
        return (kid, said["scope"]) == ("certificate-1", ["rest_webservices"])

    def goes_wrong(self, ways: Iterator[str]) -> str | None:
        if self.random.random() >= self.trouble:
            return None
        how = next(ways)
        self.did[how] += 1
        return how

    def common(self, how: str | None) -> Sent | None:
        """What may go wrong before anything is done."""
        match how:
            case "5xx":
                return page(self.random.choice((500, 502, 503)))
            case "429":
                return 429, {"Retry-After": "1"}, None
            case _:
                return None

    def look_up(self, writer: asyncio.StreamWriter, external_id: str) -> None:
        how = self.goes_wrong(self.look_up_faults)
        answer = self.common(how)
        if how in ("a page", "a 404 page"):
            answer = page(200 if how == "a page" else 404)
        if answer is None:
            answer = self.find(external_id)
        say(writer, answer)
        if how == "twice":
            say(writer, answer)

    def find(self, external_id: str) -> Sent:
        found = self.by_external_id.get(external_id)
        late = self.under_way.pop(external_id, None)
        if late is not None:
            self.make(late)  # just after the look-up was answered
        if found is None:
            return problem(404, "The record instance does not exist.", "NONEXISTENT_ID")
        return 200, {}, found

    async def order(self, writer: asyncio.StreamWriter, record: dict[str, Any]) -> bool:
        """Whether the connection goes on."""
        how = self.goes_wrong(self.order_faults)
        wrong = self.common(how)
        if wrong is not None:
            say(writer, wrong)
            return True
        if how == "done after it was given up":
            self.under_way[record["externalId"]] = record
            await self.closing.wait()
            return False
        answer = self.make(record)
        if how == "done and silent":
            await self.closing.wait()
        if how in ("done and silent", "done and broken off"):
            return False
        if how == "5xx though done":
            answer = page(504)
        if how == "done and not said which":
            answer = page(200)
        if how == "done twice":
            answer = self.make(record)
        say(writer, answer)
        if how == "twice":
            say(writer, answer)
        return True

    def make(self, record: dict[str, Any]) -> Sent:
        external_id = record["externalId"]
        lines = record.get("item", {"items": []})["items"]
        if self.items is not None and any(line["item"]["id"] not in self.items for line in lines):
            return problem(400, "Invalid item.", "INVALID_CONTENT", "item.items[0].item")
        if self.strict and external_id in self.by_external_id:
            return problem(400, "This record already exists.", "USER_ERROR")
        made = {**record, "id": str(len(self.orders) + 1001)}
        self.orders.append(made)
        self.by_external_id[external_id] = made
        return 204, {"Location": f"{self.origin}{PATH}/{made['id']}"}, None


def say(writer: asyncio.StreamWriter, sent: Sent) -> None:
    status, headers, body = sent
    text = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items())]
    if status != 204:
        lines.append(f"Content-Length: {len(text)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + text)


@asynccontextmanager
async def netsuite_server(
    *,
    trouble: float = 0.0,
    strict: bool = True,
    seed: int = 1,
    secret: Any = None,
    uses: int = 100,
) -> AsyncIterator[NetSuite]:
    netsuite = NetSuite(trouble, strict, Random(seed), secret, uses)
    server = await asyncio.start_server(netsuite.serve, "127.0.0.1", 0, backlog=1024)
    netsuite.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield netsuite
    finally:
        netsuite.closing.set()
        server.close()
        await server.wait_closed()
