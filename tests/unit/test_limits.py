"""How often somebody may call, by a clock that stands still until it is moved."""

from api.auth import Caller
from api.limits import Limits
from settings import Settings

ALICE, BOB = Caller("alice"), Caller("bob")
ERP = Caller("svc.erp", scopes=frozenset({"requests:read"}))


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def _limits(person: int, service: int = 0) -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(Settings(rate_limit=person, service_rate_limit=service), clock), clock


def _lefts(limits: Limits, caller: Caller, times: int) -> list[tuple[int, float]]:
    taken = [limits.take(caller) for _ in range(times)]
    return [(rate.left, rate.wait) for rate in taken if rate is not None]


def test_a_minutes_calls_at_once_and_not_one_more() -> None:
    limits, _ = _limits(3)
    assert _lefts(limits, ALICE, 4) == [(2, 0), (1, 0), (0, 0), (0, 20)]


def test_everybody_is_counted_for_themselves() -> None:
    limits, _ = _limits(1)
    assert _lefts(limits, ALICE, 2) == [(0, 0), (0, 60)]
    assert _lefts(limits, BOB, 1) == [(0, 0)]


def test_calls_come_back_evenly() -> None:
    limits, clock = _limits(3)
    _lefts(limits, ALICE, 3)
    clock.at += 19
    assert _lefts(limits, ALICE, 1) == [(0, 1)]
    clock.at += 1
    assert _lefts(limits, ALICE, 2) == [(0, 0), (0, 20)]
    clock.at += 60
    assert _lefts(limits, ALICE, 1) == [(2, 0)]


def test_what_was_refused_uses_nothing_up() -> None:
    limits, clock = _limits(2)
    _lefts(limits, ALICE, 50)
    clock.at += 30
    assert _lefts(limits, ALICE, 1) == [(0, 0)]


def test_quotas_of_people_and_services() -> None:
    limits, _ = _limits(2, 5)
    person, service = limits.take(ALICE), limits.take(ERP)
    assert person is not None
    assert service is not None
    assert person.headers() == [
        (b"ratelimit-policy", b'"person";q=2;w=60'),
        (b"ratelimit", b'"person";r=1;t=30'),
    ]
    assert service.headers()[0][1] == b'"service";q=5;w=60'


def test_no_quota_counts_nothing() -> None:
    limits, _ = _limits(0, 0)
    assert limits.take(ALICE) is None
    assert limits.take(ERP) is None


def test_large_quotas_lose_nothing_to_rounding() -> None:
    limits, clock = _limits(7000)
    for _ in range(7000):
        rate = limits.take(ALICE)
        assert rate is not None
        assert rate.wait == 0
    assert rate.left == 0
    one_more = limits.take(ALICE)
    assert one_more is not None
    assert one_more.wait > 0
    clock.at += 60
    assert _lefts(limits, ALICE, 1) == [(6999, 0)]


def test_who_has_all_of_it_back_is_forgotten() -> None:
    limits, clock = _limits(1)
    for number in range(10_000):
        limits.take(Caller(f"p{number}"))
    clock.at += 60
    assert _lefts(limits, BOB, 1) == [(0, 0)]
    assert limits._full_at.keys() == {"bob"}
