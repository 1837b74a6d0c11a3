"""What goes wrong, as exceptions: one for each kind of refusal, and one for no answer."""

from collections.abc import Mapping
from typing import Any


class Unreachable(Exception):
    """No answer, also not after trying again: nobody knows whether the call was carried out."""


class Problem(Exception):
    """The API refused (RFC 9457). `kind` tells refusals apart, such as `already_decided`; `errors` is all that
    is wrong with what was sent; `body` has whatever else was said."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.body = body
        self.kind = str(body.get("type", "")).rpartition(":")[2]
        self.detail = str(body.get("detail") or f"status {status}")
        self.errors: list[dict[str, Any]] = list(body.get("errors") or [])
        super().__init__(self.detail)


class NotSignedIn(Problem):
    """401: no token or key, or none that counts."""


class NotAllowed(Problem):
    """403: the detail says why."""


class NotFound(Problem):
    """404: not there, or not for the caller to see."""


class Conflict(Problem):
    """409: somebody was first, or it is too late."""


class Invalid(Problem):
    """400, 413, 415, 422: what was sent is not right; see `errors`."""


class TooManyCalls(Problem):
    """429, also after waiting as long as the API said."""


class Unavailable(Problem):
    """5xx, also after trying again."""


_BY_STATUS: dict[int, type[Problem]] = {
    400: Invalid,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooManyCalls,
}


def problem(status: int, body: object) -> Problem:
    """What a refusal is. Proxies on the way may answer other things than problems."""
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else Problem)
    return kind(status, body if isinstance(body, dict) else {})
