"""How often an address may try what is no good, by a clock that stands still until it is moved."""

from typing import Any

import pytest
from starlette.requests import Request

from api import errors, limits
from api.auth import unauthenticated
from api.strangers import Strangers
from settings import Settings


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def _from(host: str | None) -> Request:
    client = None if host is None else (host, 4711)
    return Request({"type": "http", "client": client, "headers": []})


def _strangers(quota: int = 2) -> tuple[Strangers, Clock]:
    clock = Clock()
    return Strangers(Settings(refused_rate_limit=quota), clock), clock


def _try(strangers: Strangers, host: str | None, credential: str, *, good: bool = False) -> Any:
    """Status and headers of a call that brings a credential."""
    request = _from(host)
    try:
        with strangers.trying(request, credential):
            if not good:
                raise unauthenticated("no", "invalid_token")
    except errors.Problem as refusal:
        rate = request.scope.get(limits.COUNTED)
        return refusal.status, (refusal.headers or {}).get("Retry-After"), rate and rate.left
    return 200, None, None


def test_guesses_are_counted_by_address_and_come_back() -> None:
    strangers, clock = _strangers()
    tried = [_try(strangers, "10.0.0.1", f"guess-{n}") for n in range(3)]
    assert tried == [(401, None, 1), (401, None, 0), (429, "30", 0)]
    assert _try(strangers, "10.0.0.2", "guess") == (401, None, 1)
    assert _try(strangers, "10.0.0.1", "right", good=True)[0] == 429, "nobody may go on guessing"
    clock.at += 30
    assert _try(strangers, "10.0.0.1", "right", good=True)[0] == 200


def test_what_was_good_here_is_let_in_all_the_same() -> None:
    strangers, _ = _strangers()
    assert _try(strangers, "10.0.0.1", "mine", good=True)[0] == 200
    for number in range(9):
        _try(strangers, "10.0.0.1", f"guess-{number}")
    assert _try(strangers, "10.0.0.1", "mine", good=True)[0] == 200
    # Until it is not good any more.
    assert _try(strangers, "10.0.0.1", "mine")[0] == 401
    assert _try(strangers, "10.0.0.1", "mine")[0] == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("a.socket", "a.socket", True),
    ],
)
def test_whose_address_it_is(one: str, other: str, *, same: bool) -> None:
    strangers, _ = _strangers(1)
    assert _try(strangers, one, "x")[0] == 401
    assert _try(strangers, other, "x")[0] == (429 if same else 401)


def test_little_is_remembered() -> None:
    strangers, _ = _strangers(1)
    for number in range(10_001):
        _try(strangers, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "x")
    assert len(strangers._full_at) == 10_000
    assert _try(strangers, "10.0.0.0", "x")[0] == 401, "the first one is forgotten"


def test_none_is_counted_where_it_is_not_wanted() -> None:
    strangers, _ = _strangers(0)
    assert {_try(strangers, "10.0.0.1", "x")[0] for _ in range(99)} == {401}
    strangers, _ = _strangers(1)
    assert {_try(strangers, None, "x")[0] for _ in range(99)} == {401}, "from inside"
