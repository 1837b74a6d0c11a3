"""Slack's Web API as far as we use it, over real HTTP: it keeps what it was told, and answers well, slowly down, or
with what a test says; and Slack's side of interactivity, which signs what it sends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
from slack_sdk.signature import SignatureVerifier

from relay.composing import Composer
from relay.slack import SlackWay
from slack_client import Slack
from storage.pool import Pool
from tests.integration.house import House
from tests.integration.post_office import PAGES, Relay

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TOKEN = "xoxb-test"


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    said: dict[str, Any]


@dataclass
class SlackServer:
    """`users`: Slack's ids by mail address. `answers` (status, headers, body) are used up in their order; then all
    is well. While it `drips`, its answers do not end."""

    url: str = ""
    users: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    drips: bool = False

    def of(self, method: str) -> list[dict[str, Any]]:
        """What was said to a method."""
        return [call.said for call in self.calls if call.method == method]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
            assert headers["authorization"] == f"bearer {TOKEN}"
            said = json.loads(body) if "json" in headers["content-type"] else _form(body)
            method = head[0].split(" ")[1].rpartition("/")[2]
            self.calls.append(Call(method, said))
            status, more, text = (
                self.answers.pop(0)
                if self.answers
                else (200, {}, json.dumps(self._good(method, said)))
            )
            if self.drips:
                writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n")
            while self.drips:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
            lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json"]
            lines += [f"Content-Length: {len(text.encode())}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in more.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
            await writer.drain()
        finally:
            writer.close()

    def _good(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "users.lookupByEmail":
                user = self.users.get(said["email"])
                if user is None:
                    return {"ok": False, "error": "users_not_found"}
                return {"ok": True, "user": {"id": user}}
            case "chat.postMessage":
                ts = f"1700000000.{len(self.calls):06}"
                return {"ok": True, "channel": f"D{said['channel']}", "ts": ts}
            case _:
                return {"ok": True}


def _form(body: str) -> dict[str, Any]:
    return {name: values[0] for name, values in parse_qs(body).items()}


@asynccontextmanager
async def slack_server(port: int = 0) -> AsyncIterator[SlackServer]:
    slack = SlackServer()
    server = await asyncio.start_server(slack.serve, "127.0.0.1", port)
    slack.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/"
    try:
        yield slack
    finally:
        server.close()


def signed(
    payload: dict[str, Any], *, secret: str = SECRET, ago: int = 0, body: bytes | None = None
) -> tuple[bytes, dict[str, str]]:
    """A body and its headers, as Slack sends them; or for another body."""
    body = urlencode({"payload": json.dumps(payload)}).encode() if body is None else body
    at = str(int(time.time()) - ago)
    signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=body)
    assert signature is not None
    headers = {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return body, headers


async def sends(
    house: House, payload: dict[str, Any], *, secret: str = SECRET, ago: int = 0
) -> httpx.Response:
    body, headers = signed(payload, secret=secret, ago=ago)
    return await house.client.post("/slack/interactivity", content=body, headers=headers)


def slacking(pool: Pool, slack: SlackServer) -> Relay:
    """A relay with Slack alone."""
    way = SlackWay(Slack(TOKEN, slack.url), pool, Composer(PAGES), buttons=True)
    return Relay(pool, way, frozenset(["slack"]))


def buttons(message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The buttons of a message, by their labels."""
    return {
        element["text"]["text"]: element
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    }


def pressing(user: str, button: dict[str, Any]) -> dict[str, Any]:
    """That somebody pressed it."""
    return {
        "type": "block_actions",
        "user": {"id": user},
        "trigger_id": "123.456",
        "actions": [{"action_id": button["action_id"], "value": button["value"]}],
    }


def filling(user: str, window: dict[str, Any], **said: Any) -> dict[str, Any]:
    """That somebody filled in a window and sent it."""
    values: dict[str, Any] = {}
    for block in window["blocks"]:
        name = block["block_id"]
        chosen = block["element"]["type"] == "static_select"
        value = said.get(name)
        values[name] = {
            name: {"selected_option": None if value is None else {"value": value}}
            if chosen
            else {"value": value}
        }
    view = {"private_metadata": window["private_metadata"], "state": {"values": values}}
    return {"type": "view_submission", "user": {"id": user}, "view": view}
