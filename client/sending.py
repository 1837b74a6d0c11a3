"""Clients: what sends calls, tries again where that is safe, and walks through lists.

A call is sent again when there was no answer, or one that says to come back, if it can do no harm: it reads,
its `Idempotency-Key` sees to it, or the API has said that it did nothing.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.calls import Call
from client.problems import Problem, Unreachable, problem
from client.shapes import Page

T = TypeVar("T")

TRIES = 5
LONGEST_WAIT = 30.0
"""Seconds between two tries, whatever the API asks for."""
_FIRST_WAIT = 0.25
_DID_NOTHING = frozenset({429, 503})
_ON_THE_WAY = frozenset({500, 502, 504})


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A call as it goes out, each time the same; `harmless` if it may go out twice."""

    method: str
    url: str
    query: dict[str, Any]
    body: dict[str, Any] | None
    headers: dict[str, str]
    harmless: bool

    def request(self, client: "httpx.Client | httpx.AsyncClient") -> httpx.Request:
        return client.build_request(
            self.method, self.url, params=self.query, json=self.body, headers=self.headers
        )


def _prepared(call: Call[Any], key: str | None) -> _Prepared:
    url = call.path
    for name, value in call.at.items():
        url = url.replace(f"{{{name}}}", quote(value, safe=""))
    headers = {"Idempotency-Key": key or str(uuid4())} if call.keyed else {}
    return _Prepared(
        call.method,
        url,
        _said(call.query),
        None if call.body is None else _said(call.body),
        headers,
        call.keyed or call.method in ("GET", "DELETE"),
    )


def _said(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _again(sent: _Prepared, number: int, response: httpx.Response) -> float | None:
    """Seconds to wait before a call goes out once more, after this answer to its `number`th try (from 1);
    None if it does not."""
    status = response.status_code
    in_flight = status == 409 and "idempotency_key_in_flight" in response.text
    may = status in _DID_NOTHING or (sent.harmless and (in_flight or status in _ON_THE_WAY))
    if number >= TRIES or not may:
        return None
    asked = response.headers.get("retry-after", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdigit() else _wait(number)


def _without_answer(sent: _Prepared, number: int, error: httpx.TransportError) -> float:
    """Seconds to wait before a call goes out once more that had no answer. Unreachable if it does not."""
    never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if number < TRIES and (sent.harmless or never_sent):
        return _wait(number)
    raise Unreachable(f"{sent.method} {sent.url}: {type(error).__name__}") from error


def _wait(number: int) -> float:
    """Twice as long each time, and never quite the same for all."""
    longest = min(_FIRST_WAIT * 2**number, LONGEST_WAIT)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads clients, hides nothing


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    raise _refusal(response)


def _refusal(response: httpx.Response) -> Problem:
    try:
        body = response.json()
    except ValueError:
        body = None
    return problem(response.status_code, body)


def _next(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """The call for the page after this one."""
    cursor = page["next_cursor"]
    return None if cursor is None else replace(call, query={**call.query, "cursor": cursor})


class Client:
    """Sends calls with a bearer token or API key, and waits for their answers. Every method raises what
    `client.problems` has."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )
        self._pause = pause

    def send(self, call: Call[T], *, key: str | None = None) -> T:
        """The answer of a call. `key` is the `Idempotency-Key` of one that changes something: give your own,
        kept beside what you call for, to be safe also after a crash of yours."""
        sent, number = _prepared(call, key), 0
        while True:
            number += 1
            try:
                response = self._http.send(sent.request(self._http))
            except httpx.TransportError as error:
                wait = _without_answer(sent, number, error)
            else:
                asked = _again(sent, number, response)
                if asked is None:
                    answered: T = _answer(response)
                    return answered
                wait = asked
            self._pause(wait)

    def each(self, call: Call[Page[T]]) -> Iterator[T]:
        """All items of a list, page by page as they are asked for."""
        asked: Call[Page[T]] | None = call
        while asked is not None:
            page = self.send(asked)
            yield from page["items"]
            asked = _next(asked, page)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )
        self._pause = pause

    async def send(self, call: Call[T], *, key: str | None = None) -> T:
        """As `Client.send`."""
        sent, number = _prepared(call, key), 0
        while True:
            number += 1
            try:
                response = await self._http.send(sent.request(self._http))
            except httpx.TransportError as error:
                wait = _without_answer(sent, number, error)
            else:
                asked = _again(sent, number, response)
                if asked is None:
                    answered: T = _answer(response)
                    return answered
                wait = asked
            await self._pause(wait)

    async def each(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """As `Client.each`."""
        asked: Call[Page[T]] | None = call
        while asked is not None:
            page = await self.send(asked)
            for item in page["items"]:
                yield item
            asked = _next(asked, page)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
