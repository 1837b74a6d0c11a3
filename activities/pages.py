"""Reads a list of people from another system over HTTP, all of it or nothing.

Whatever can go wrong there ends as `SourceFailed`, whose text may be stored and shown: it has the
host and the path, never the token, a query or what was answered.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NoReturn

import httpx
from pydantic import SecretStr

from activities.mapping import Mapping, Pages, value_at
from activities.transport import TRY_AGAIN, retry_after, said
from recipes.model import Json

_REDIRECTS = 5
_TO_CHECK = {
    400: "it does not understand the request: check `parameters` of the mapping file",
    401: "it does not accept the token: check COUNTERSIGN_DIRECTORY_TOKEN and `auth`",
    403: "the token may not read this: give its account the right to",
    404: "there is nothing: check COUNTERSIGN_DIRECTORY_URL and `request.path`",
    406: "it has no JSON for us: check `headers` of the mapping file",
}


class SourceFailed(Exception):
    """The other system's list could not be had; the text says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long is waited, in seconds, and how much is taken, at most."""

    connect: float = 5.0
    page: float = 30.0
    whole: float = 600.0
    tries: int = 5
    first_pause: float = 1.0
    longest_pause: float = 60.0
    page_bytes: int = 64 * 2**20
    all_bytes: int = 512 * 2**20
    people: int = 500_000


@dataclass(frozen=True, slots=True)
class Validators:
    """What the other system gave to ask by whether anything has changed."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        known = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything there is. `items` None: nothing has changed since `Validators` were given."""

    items: list[Json] | None
    validators: Validators = Validators()


@dataclass(slots=True)
class Source:
    """One reading of a list. `token` None where the system wants none. `sleep` takes seconds."""

    base_url: str
    token: SecretStr | None
    mapping: Mapping
    bounds: Bounds = Bounds()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _bytes: int = field(default=0, init=False)

    async def read(self, known: Validators = Validators()) -> Listed:
        """The whole list. Raises SourceFailed."""
        try:
            async with asyncio.timeout(self.bounds.whole), self._client() as client:
                return await self._all(client, known)
        except TimeoutError:
            limit = f"{self.bounds.whole:g} s"
            raise self._failed(f"took longer than {limit} for the whole list") from None
        except httpx.InvalidURL:
            raise SourceFailed(
                "COUNTERSIGN_DIRECTORY_URL, or where it sends us, is no address"
            ) from None

    # --- pages ---

    async def _all(self, client: httpx.AsyncClient, known: Validators) -> Listed:
        url = self._url.copy_merge_params(self.mapping.parameters)
        pages = self.mapping.pages
        if pages is None:
            response = await self._get(client, url, known.headers())
            if response.not_modified:
                return Listed(None, known)
            return Listed(self._items(response.tree, "the answer"), response.validators)
        items: list[Json] = []
        async for page in self._pages(client, url, pages):
            items += page
            if len(items) > self.bounds.people:
                raise self._failed(
                    f"lists more than {self.bounds.people} people: does `pages` ever end?"
                )
        return Listed(items)

    async def _pages(
        self, client: httpx.AsyncClient, url: httpx.URL, pages: Pages
    ) -> AsyncIterator[list[Json]]:
        """Page after page. It ends where the system says so: no next, nobody left, an empty page."""
        if pages.size is not None and pages.size_parameter is not None:
            url = url.copy_set_param(pages.size_parameter, pages.size)
        numbered = pages.by in ("page", "offset")
        number, taken = 0, 0
        asked: set[httpx.URL] = set()
        last: list[Json] | None = None
        while True:
            if numbered:
                at = pages.first + number if pages.by == "page" else taken
                url = url.copy_set_param(pages.parameter, at)
            if url in asked:
                raise self._failed("gives the same next page again: its pages would never end")
            asked.add(url)
            tree = (await self._get(client, url)).tree
            page = self._items(tree, f"page {number + 1}")
            if page and page == last:
                turns = "parameter" if pages.parameter else "next"
                raise self._failed(f"gives the same people on every page: check `pages.{turns}`")
            yield page
            last, taken, number = page, taken + len(page), number + 1
            total = None if pages.total is None else value_at(tree, pages.total)
            following = page or None if numbered else value_at(tree, pages.next)
            if following in (None, "", False) or taken == total:
                if isinstance(total, int) and taken < total:
                    raise self._failed(f"says there are {total} people and lists {taken}")
                return
            if not numbered:
                url = self._next(url, pages, following)

    def _next(self, url: httpx.URL, pages: Pages, following: Json) -> httpx.URL:
        if not isinstance(following, str | int):
            raise self._failed("gives no text at `pages.next`")
        if pages.by == "cursor":
            return url.copy_set_param(pages.parameter, following)
        try:
            joined = url.join(str(following))
        except httpx.InvalidURL:
            raise self._failed("gives a next page that is no address") from None
        return self._ours(joined, "the next page is")

    def _items(self, tree: Json, where: str) -> list[Json]:
        found = value_at(tree, self.mapping.items) if self.mapping.items else tree
        if not isinstance(found, list):
            what = "nothing" if found is None else _kind(found)
            raise self._failed(
                f"has {what} at `items` in {where} where the list of people should be"
            )
        return found

    # --- one page ---

    async def _get(
        self, client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str] | None = None
    ) -> "_Response":
        """One page, tried again as long as that may help."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(self.bounds.page):
                    return await self._once(client, url, headers or {})
            except _TryAgain as again:
                why, asked = str(again), again.seconds
            except TimeoutError:
                why, asked = f"did not answer within {self.bounds.page:g} s", None
            except httpx.HTTPError as error:
                why, asked = said(error), None
            if asked is not None and asked > self.bounds.longest_pause:
                raise self._failed(f"{why} and asks to wait {asked:.0f} s")
            if attempt == self.bounds.tries:
                raise self._failed(f"{why}, {attempt} times")
            await self.sleep(self._pause(attempt) if asked is None else asked)

    def _pause(self, attempt: int) -> float:
        """Twice as long each time, and by chance shorter, so that not all come back together."""
        longest = min(self.bounds.longest_pause, self.bounds.first_pause * 2 ** (attempt - 1))
        return longest * (0.5 + random.random() / 2)  # noqa: S311 - no secret

    async def _once(
        self, client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str]
    ) -> "_Response":
        for _ in range(_REDIRECTS):
            async with client.stream("GET", url, headers=headers) as response:
                if response.has_redirect_location:
                    url = self._ours(url.join(response.headers["location"]), "it redirects")
                    continue
                if response.status_code == 304 and headers:
                    return _Response(None, Validators(), not_modified=True)
                self._check_status(response)
                body = await self._body(response)
                tree = await asyncio.to_thread(self._json, body)
                return _Response(
                    tree,
                    Validators(
                        _short(response.headers.get("etag")),
                        _short(response.headers.get("last-modified")),
                    ),
                )
        raise self._failed(f"redirects more than {_REDIRECTS} times")

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        said = f"answers {status} {httpx.codes.get_reason_phrase(status)}".strip()
        if status in TRY_AGAIN:
            raise _TryAgain(said, retry_after(response))
        hint = _TO_CHECK.get(status)
        raise self._failed(f"{said}: {hint}" if hint else said)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.bounds.page_bytes:
                raise self._failed(
                    f"answers more than {_mib(self.bounds.page_bytes)} at once: use `pages`"
                )
        self._bytes += len(body)
        if self._bytes > self.bounds.all_bytes:
            raise self._failed(f"answers more than {_mib(self.bounds.all_bytes)} in all")
        return bytes(body)

    def _json(self, body: bytes) -> Json:
        """The body as JSON; numbers with a point are exact Decimals."""
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        except ValueError:
            if body.lstrip()[:1] == b"<":
                what = "answers HTML or XML instead of JSON: a sign-in page? Check `auth`"
                raise self._failed(what) from None
            raise _TryAgain("answers what is no JSON, or breaks off", None) from None
        except RecursionError:
            raise self._failed("answers JSON that is nested too deep") from None

    # --- where ---

    @property
    def _url(self) -> httpx.URL:
        return httpx.URL(self.base_url.rstrip("/") + self.mapping.path)

    @property
    def _host(self) -> str:
        return self._url.host

    def _ours(self, url: httpx.URL, what: str) -> httpx.URL:
        """`url`, if it may be given the token: the same scheme, host and port."""
        ours = self._url
        if (url.scheme, url.host, url.port) != (ours.scheme, ours.host, ours.port) or url.userinfo:
            raise self._failed(
                f"sends us elsewhere ({what} at {url.scheme}://{url.host[:100]}): not followed"
            )
        return url

    def _client(self) -> httpx.AsyncClient:
        bounds = self.bounds
        return httpx.AsyncClient(
            headers={"Accept": "application/json", **self.mapping.headers, **self._authorized()},
            auth=self._basic(),
            timeout=httpx.Timeout(bounds.page, connect=min(bounds.connect, bounds.page)),
            follow_redirects=False,
            trust_env=self._host not in ("127.0.0.1", "localhost", "::1"),
        )

    def _authorized(self) -> dict[str, str]:
        if self.mapping.auth == "bearer":
            return {"Authorization": f"Bearer {self._secret()}"}
        return {self.mapping.header: self._secret()} if self.mapping.auth == "header" else {}

    def _basic(self) -> httpx.Auth | None:
        """The key is the user name; a password must not be empty, and is not looked at."""
        if self.mapping.auth == "key_as_user":
            return httpx.BasicAuth(self._secret(), "x")
        return None

    def _secret(self) -> str:
        secret = "" if self.token is None else self.token.get_secret_value().strip()
        if not secret:
            fix = "set COUNTERSIGN_DIRECTORY_TOKEN or COUNTERSIGN_DIRECTORY_TOKEN_FILE"
            raise SourceFailed(f"there is no token for {self._host}: {fix}")
        if not (secret.isascii() and secret.isprintable()):
            raise SourceFailed("COUNTERSIGN_DIRECTORY_TOKEN is not a token: it has odd characters")
        return secret

    def _failed(self, what: str) -> SourceFailed:
        return SourceFailed(f"{self._host}{self._url.path} {what}")


@dataclass(frozen=True, slots=True)
class _Response:
    tree: Json
    validators: Validators
    not_modified: bool = False


class _TryAgain(Exception):
    """This try failed, another may not; after `seconds`, if the system said so."""

    def __init__(self, why: str, seconds: float | None) -> None:
        super().__init__(why)
        self.seconds = seconds


def _short(header: str | None) -> str | None:
    return header if header is not None and len(header) <= 500 and header.isascii() else None


def _kind(value: Json) -> str:
    return {dict: "an object", str: "a text", bool: "a boolean"}.get(type(value), "a number")


def _mib(count: int) -> str:
    return f"{count / 2**20:g} MiB"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
