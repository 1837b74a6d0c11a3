"""What an answer over HTTP, or that there is none, means; and one answer, read as far as we take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from pydantic_core import from_json

from activities.failures import Later, Refused
from recipes.jobs import SIZE_LIMIT
from recipes.model import Json

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What another try may heal."""
SAFE = ("GET", "HEAD")
"""Methods by which nothing is done."""
_REDIRECTS = 5
_LONGEST_WAIT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is what its JSON says, its text where it is none, None where it is empty."""

    status: int
    headers: Mapping[str, str]
    body: Json


async def received(client: httpx.AsyncClient, request: httpx.Request) -> Answer:
    """The answer. Later for one that another try may heal, Refused for one that cannot be taken; a
    redirect is followed at home alone, and only where nothing is done by it."""
    for _ in range(_REDIRECTS):
        response = await client.send(request, stream=True)
        try:
            if response.has_redirect_location:
                request = _followed(client, request, response)
                continue
            if response.status_code in TRY_AGAIN or response.status_code >= 500:
                after = retry_after(response)
                wait = None if after is None else min(after, _LONGEST_WAIT)
                raise Later(f"answers {response.status_code}", wait)
            return Answer(response.status_code, response.headers, await _body(response))
        finally:
            await response.aclose()
    raise Refused(f"redirects more than {_REDIRECTS} times")


def _followed(
    client: httpx.AsyncClient, request: httpx.Request, response: httpx.Response
) -> httpx.Request:
    home, target = client.base_url, response.next_request
    if (
        target is None
        or request.method not in SAFE
        or (target.url.scheme, target.url.host, target.url.port)
        != (home.scheme, home.host, home.port)
    ):
        raise Refused(f"answers {response.status_code} and sends us elsewhere: not followed")
    return target


async def _body(response: httpx.Response) -> Json:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > SIZE_LIMIT:
            raise Refused(f"answers more than {SIZE_LIMIT // 1024} KiB")
    if not body:
        return None
    try:
        return from_json(bytes(body))
    except ValueError:
        return body.decode(errors="replace").replace("\x00", "")


def retry_after(response: httpx.Response) -> float | None:
    """Seconds; the header has a number or a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def said(error: httpx.HTTPError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "could not be connected to in time"
        case httpx.TimeoutException():
            return "did not answer in time"
        case httpx.ConnectError():
            return "could not be connected to"
        case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.DecodingError():
            return "broke off in the middle of an answer"
        case _:
            return f"could not be asked ({type(error).__name__})"
