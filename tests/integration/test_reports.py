"""Reports: what ended and how long it took, where it waits, and who let a time run out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from storage.pool import Pool
from tests.integration.house import House

NOW = datetime.now(UTC)


async def ended(
    admin_pool: Pool, request_id: str, state: str, took: timedelta, at: datetime
) -> None:
    """As if a request had ended at a moment, so long after its submission."""
    await admin_pool.execute(
        "UPDATE requests SET state = $2, created_at = $4::timestamptz - $3::interval, finalized_at = $4 WHERE id = $1",
        UUID(request_id),
        state,
        took,
        at,
    )


async def told(house: House, **query: Any) -> dict[str, Any]:
    answered = await house.get("/v1/reports", "tess", "auditor", params=query)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


async def test_cycle_times_by_outcome_and_week(house: House, admin_pool: Pool) -> None:
    last_week = NOW - timedelta(days=7)
    for hours in (1, 2, 3):
        made = await house.submit()
        await ended(admin_pool, made["id"], "approved", timedelta(hours=hours), NOW)
    late = await house.submit()
    await ended(admin_pool, late["id"], "rejected", timedelta(hours=10), last_week)
    before = await house.submit()
    await ended(admin_pool, before["id"], "approved", timedelta(hours=99), NOW - timedelta(days=91))
    await house.submit()

    found = await told(house, until=(NOW + timedelta(microseconds=1)).isoformat())
    assert found["cycles"] == [
        {"workflow": "leave", "state": "approved", "requests": 3, "p50": 7200.0, "p90": 10080.0},
        {"workflow": "leave", "state": "rejected", "requests": 1, "p50": 36000.0, "p90": 36000.0},
    ]
    weeks = found["weeks"]
    assert [each["requests"] for each in weeks[-2:]] == [1, 3]
    assert weeks[-2]["p50"] == 36000.0
    assert sum(each["requests"] for each in weeks) == 4
    starts = [datetime.fromisoformat(each["week"]) for each in weeks]
    assert {start.weekday() for start in starts} == {0}
    assert {later - earlier for earlier, later in pairwise(starts)} == {timedelta(days=7)}
    assert (await told(house, workflow="shared"))["cycles"] == []


async def test_steps_and_approvers(house: House, admin_pool: Pool) -> None:
    decided, waiting, run_out = [await house.begun() for _ in range(3)]
    # A task that waited an hour, one that is overdue, and one whose time ran out.
    await admin_pool.execute(
        "UPDATE tasks SET opened_at = opened_at - interval '1 hour' WHERE id = $1",
        UUID(decided.task),
    )
    assert (await house.decide("bob", decided.task)).status_code == 200
    await admin_pool.execute(
        "UPDATE tasks SET due_at = now() - interval '1 minute' WHERE id = $1", UUID(waiting.task)
    )
    await run_out.tick(datetime.now(UTC) + timedelta(hours=2))

    found = await told(house, until=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    [step] = found["steps"]
    assert (step["workflow"], step["step"], step["decided"]) == ("leave", "manager", 1)
    assert 3600 <= step["p50"] == step["p90"] < 3900
    assert (step["expired"], step["escalated"]) == (1, 1)
    assert (step["open"], step["overdue"]) == (2, 1)
    [bob] = found["approvers"]
    assert (bob["person"], bob["decided"], bob["expired"], bob["overdue"]) == ("bob", 1, 1, 1)
    assert bob["escalated"] == 1

    # The recipe may say what it counts as when nobody answers: that is no escalation.
    await admin_pool.execute("UPDATE tasks SET level = 7 WHERE level = 1")
    found = await told(house, until=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert (found["steps"][0]["expired"], found["steps"][0]["escalated"]) == (1, 0)


async def test_reports_are_for_administrators_and_auditors(house: House) -> None:
    assert (await house.get("/v1/reports", "bob")).status_code == 403
    assert (await house.get("/v1/reports", "root", "admin")).status_code == 200


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ],
)
async def test_a_period_that_is_none(house: House, since: str, until: str) -> None:
    answered = await house.get(
        "/v1/reports", "tess", "auditor", params={"since": since, "until": until}
    )
    assert answered.status_code == 422
    assert answered.json()["errors"][0]["parameter"] == "since"
