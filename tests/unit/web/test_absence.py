"""Spans and scopes of delegations in words."""

from zoneinfo import ZoneInfo

import pytest

from api.web.absence import what, when

TOKYO, MADRID = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize(
    ("begins", "ends", "zone", "said"),
    [
        ("2026-12-20T15:00:00Z", "2027-01-03T15:00:00Z", TOKYO, "from Mon 21 Dec 2026 to Sun 3 Jan 2027"),
        ("2026-12-20T15:00:00Z", None, TOKYO, "from Mon 21 Dec 2026 until it is ended"),
        # Set at once: not a whole day.
        ("2026-12-21T09:30:20Z", "2026-12-21T23:00:00Z", MADRID, "from Mon 21 Dec 2026, 10:30 to Mon 21 Dec 2026"),
        ("2026-12-21T09:30:20Z", "2026-12-21T11:00:00Z", MADRID, "from Mon 21 Dec 2026, 10:30 to Mon 21 Dec 2026, 12:00"),
        # Over the change of the clocks.
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", MADRID, "from Sun 29 Mar 2026 to Sun 29 Mar 2026"),
    ],
)  # fmt: skip
def test_whole_days_are_said_as_days(
    begins: str, ends: str | None, zone: ZoneInfo, said: str
) -> None:
    assert when({"from": begins, "to": ends}, zone) == said


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("all", "everything"),
        ("workflow:leave_request", "only requests of the kind Leave request"),
        ("role:hr", "only what is asked of hr"),
    ],
)
def test_scopes_are_said_in_words(scope: str, said: str) -> None:
    assert what(scope) == said
