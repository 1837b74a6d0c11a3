"""When somebody is told: gathering, the daily digest, quiet hours, whatever the clocks do."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.preferences import KINDS, Kind, Preferences, Quiet, next_time

MADRID = ZoneInfo("Europe/Madrid")
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Madrid", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata")
]
NIGHT = Quiet(time(19), time(8))

moments = st.integers(0, 3 * 366 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
clocks = st.builds(time, st.integers(0, 23), st.integers(0, 59))
zones = st.sampled_from(ZONES)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


def test_by_default_everything_goes_out_ten_minutes_later_by_mail() -> None:
    usual = Preferences()
    at = utc(2026, 7, 1, 12, 0)
    assert {usual.channels[kind] for kind in KINDS} == {("mail",)}
    assert {usual.due(kind, at, MADRID) for kind in KINDS} == {at + timedelta(minutes=10)}


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (utc(2026, 7, 1, 12, 0), utc(2026, 7, 1, 12, 10)),
        # 18:55 in Madrid: ten minutes later it is quiet, until 8 in the morning.
        (utc(2026, 7, 1, 16, 55), utc(2026, 7, 2, 6, 0)),
        (utc(2026, 7, 1, 23, 30), utc(2026, 7, 2, 6, 0)),
        (utc(2026, 7, 2, 5, 55), utc(2026, 7, 2, 6, 5)),
        # The night when the clocks are put back is an hour longer.
        (utc(2026, 10, 24, 20, 0), utc(2026, 10, 25, 7, 0)),
    ],
)
def test_quiet_hours_are_those_of_the_persons_clock(at: datetime, due: datetime) -> None:
    assert Preferences(quiet=NIGHT).due("task", at, MADRID) == due


def test_the_digest_takes_what_it_is_for_and_leaves_the_rest() -> None:
    some = Preferences(digest=frozenset(["outcome"]), digest_at=time(9))
    at = utc(2026, 7, 1, 12, 0)
    assert some.due("outcome", at, MADRID) == utc(2026, 7, 2, 7, 0)
    assert some.due("task", at, MADRID) == utc(2026, 7, 1, 12, 10)
    assert some.due("outcome", utc(2026, 7, 2, 7, 0), MADRID) == utc(2026, 7, 3, 7, 0)


def test_a_time_that_the_clocks_skip_is_there_all_the_same_and_one_they_repeat_comes_first_then_again() -> (
    None
):
    skipped = next_time(time(2, 30), utc(2026, 3, 28, 20), MADRID)
    assert skipped == utc(2026, 3, 29, 1, 30)  # 3:30, the clocks having been put forward
    first = next_time(time(2, 30), utc(2026, 10, 24, 20), MADRID)
    assert first == utc(2026, 10, 25, 0, 30)
    assert next_time(time(2, 30), first, MADRID) == utc(2026, 10, 25, 1, 30)


@settings(deadline=None)
@given(clocks, moments, zones)
def test_the_next_time_is_later_within_a_day_or_so_and_shows_the_clock(
    clock: time, after: datetime, zone: ZoneInfo
) -> None:
    found = next_time(clock, after, zone)
    assert after < found <= after + timedelta(hours=26)
    shown = found.astimezone(zone)
    skipped = datetime.combine(shown.date(), clock, zone).astimezone(UTC).astimezone(zone).time()
    assert shown.time() in (clock, skipped)


@settings(deadline=None)
@given(
    st.builds(Quiet, clocks, clocks),
    moments,
    zones,
    st.sampled_from(KINDS),
    st.frozensets(st.sampled_from(KINDS)),
)
def test_nothing_goes_out_before_it_happened_or_while_it_is_quiet(
    quiet: Quiet, at: datetime, zone: ZoneInfo, kind: Kind, digest: frozenset[Kind]
) -> None:
    mine = Preferences(quiet=quiet, digest=digest)
    due = mine.due(kind, at, zone)
    assert due > at
    assert mine.after_quiet(due, zone) == due
    assert due.astimezone(zone).time() not in quiet
