"""What an answer over HTTP, or that there is none, means for trying again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What another try may heal."""


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
