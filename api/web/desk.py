"""The pages' way to the API: its own routes, called in process as whoever has signed in.

What a page can do, a program can do: every check, every decision and every refusal is the API's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.types import Message

from api.auth import Caller
from api.services import INSIDE
from recipes.model import Json


class Refused(Exception):
    """The API refused: `problem` is its answer (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.status = status
        self.problem = problem

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail", ""))

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `digest_mismatch`."""
        return str(self.problem.get("type", "")).rpartition(":")[2]

    def at(self) -> dict[str, str]:
        """What is wrong where: messages by JSON pointer or parameter."""
        found = self.problem.get("errors") or []
        return {
            str(each.get("pointer") or each.get("parameter") or ""): str(each["message"])
            for each in found
        }


def refused_at(pointer: str, message: str) -> Refused:
    """What a page refuses by itself, as the API would."""
    return Refused(422, {"detail": message, "errors": [{"pointer": pointer, "message": message}]})


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API answered, as it stands."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return from_json(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Desk:
    """Calls the API as `caller`."""

    app: Starlette
    caller: Caller

    async def get(self, path: str, **query: Any) -> Any:
        """The answer of a GET; parameters that are None are left out. Refused."""
        return (await self._good("GET", path, query=query)).json()

    async def post(
        self, path: str, body: Json = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The answer of a POST with this JSON. Refused."""
        raw = b"" if body is None else to_json(body)
        given = {"content-type": "application/json", **(headers or {})}
        return (await self._good("POST", path, raw, given)).json()

    async def put(self, path: str, body: Json) -> Any:
        """The answer of a PUT with this JSON. Refused."""
        given = {"content-type": "application/json"}
        return (await self._good("PUT", path, to_json(body), given)).json()

    async def delete(self, path: str) -> Any:
        """The answer of a DELETE. Refused."""
        return (await self._good("DELETE", path)).json()

    async def _good(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Reply:
        reply = await self.call(method, path, body, headers, query)
        if reply.status >= 400:
            raise Refused(reply.status, reply.json() or {})
        return reply

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Whatever the API answers to this."""
        given = {name: _said(value) for name, value in (query or {}).items() if value is not None}
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "root_path": "",
            "query_string": urlencode(given).encode(),
            "headers": [
                (name.lower().encode(), value.encode("latin-1"))
                for name, value in (headers or {}).items()
            ],
            "client": None,
            "server": None,
            "state": {},
            INSIDE: self.caller,
        }
        status, answered, parts = 500, dict[str, str](), list[bytes]()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered.update(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in message["headers"]
                )
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self.app(scope, receive, send)
        return Reply(status, answered, b"".join(parts))


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
