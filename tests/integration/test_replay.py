"""Carried out again by the engine: what happened comes to the same rows, the same request, the same tasks;
and what was written by something else is found."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contract import content
from recipes.happenings import ENGINE, Actor, Commanded
from storage import audit, commits
from storage.audit import event
from storage.pool import Pool, vault_of
from storage.replay import Replayed, replay
from tests.integration.house import House, Workflow


async def _replayed(pool: Pool, flow: Workflow, at: datetime | None = None) -> Replayed:
    async with pool.acquire() as connection:
        return await replay(connection, UUID(flow.state.request_id), at)


async def _decided(house: House, who: str = "bob") -> Workflow:
    """A request of leave whose manager has approved it."""
    flow = await house.begun()
    assert (await house.decide(who, flow.task)).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    return flow


async def test_it_comes_to_where_the_request_is(house: House, pool: Pool) -> None:
    flow = await house.begun()
    found = await _replayed(pool, flow)
    assert (found.findings, found.state.seq) == ((), flow.state.seq)
    response = await house.decide("bob", flow.task)
    assert response.status_code == 200
    # Decided, and not taken up by the workflow yet.
    assert (await _replayed(pool, flow)).findings == ()
    await flow.befall(house.delivery.signals[-1][1])
    found = await _replayed(pool, flow)
    assert (found.findings, found.state) == ((), flow.state)
    assert found.state.state == "approved"


async def test_timers_escalations_and_cancellations_too(house: House, pool: Pool) -> None:
    flow = await house.begun()
    await flow.tick(datetime.now(UTC) + timedelta(hours=2))
    assert (await _replayed(pool, flow)).findings == ()
    request_id = flow.state.request_id
    house.delivery.signals.clear()
    await house.post(f"/v1/requests/{request_id}/cancel", "alice")
    [(_, message)] = house.delivery.signals
    assert isinstance(message, Commanded)
    await flow.befall(message)
    found = await _replayed(pool, flow)
    assert (found.findings, found.state.state) == ((), "cancelled")


async def test_up_to_a_moment(house: House, pool: Pool) -> None:
    flow = await house.begun()
    then = datetime.now(UTC)
    assert (await house.decide("bob", flow.task)).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    found = await _replayed(pool, flow, then)
    assert (found.findings, found.state.state, found.transitions) == ((), "pending", 1)
    before = await _replayed(pool, flow, then - timedelta(days=1))
    assert before.transitions == 0


CHANGES = {
    "another assignee": (
        "UPDATE audit SET payload = payload || '{\"assignee\": \"mallory\"}' WHERE event_type = 'task.assigned'",
        "has another payload",
    ),
    "another state after it": (
        "UPDATE audit SET snapshot = snapshot || '{\"state\": \"rejected\"}' WHERE event_type = 'step.completed'",
        "has another snapshot",
    ),
    "a row is gone": (
        "DELETE FROM audit WHERE event_type = 'request.finalized'",
        "must have left request.finalized",
    ),
    "another decision": (
        "UPDATE audit SET payload = payload || '{\"decision\": \"reject\"}' WHERE event_type = 'decision.recorded'",
        "no row tells of the decision",
    ),
    "other inputs": ("UPDATE requests SET inputs = '{\"days\": 500}'", "other inputs"),
    "another step": ("UPDATE requests SET seq = 9", "the request shows seq 9"),
    "a transition is gone": (
        "DELETE FROM commits WHERE seq = 1",
        "transitions 1 to 1 are not kept",
    ),
    "a transition is damaged": (
        "UPDATE commits SET committed = jsonb_set(committed, '{box}', '\"AAAA\"') WHERE seq = 2",
        "transition 2 cannot be opened",
    ),
    "an open task": (
        "UPDATE tasks SET state = 'open', closed_at = NULL",
        "is shown as open",
    ),
}


@pytest.mark.parametrize("name", list(CHANGES))
async def test_what_does_not_follow_is_found(
    house: House, pool: Pool, admin_pool: Pool, name: str
) -> None:
    flow = await _decided(house)
    assert (await _replayed(pool, flow)).findings == ()
    sql, what = CHANGES[name]
    async with admin_pool.acquire() as connection, connection.transaction():
        for row in await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit'::regclass"
        ):
            await connection.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER ALL")
        await connection.execute("ALTER TABLE requests DISABLE TRIGGER ALL")
        await connection.execute("ALTER TABLE tasks DISABLE TRIGGER ALL")
        await connection.execute(sql)
    found = (await _replayed(pool, flow)).findings
    assert any(what in each.what for each in found), found


async def test_a_transition_that_is_another(house: House, pool: Pool, admin_pool: Pool) -> None:
    flow = await _decided(house)
    request_id = UUID(flow.state.request_id)
    keys = await vault_of(pool).writing(pool, request_id)
    kept = await pool.fetchval("SELECT committed FROM commits WHERE seq = 2")
    committed = content.unboxed(kept, keys)
    committed["happening"]["decision"] = "reject"
    forged = content.boxed(committed, keys)
    await admin_pool.execute("UPDATE commits SET committed = $1 WHERE seq = 2", forged)
    found = (await _replayed(pool, flow)).findings
    assert any("no row tells of the decision" in each.what for each in found), found


async def test_what_is_sealed_in_a_row_is_another(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    flow = await _decided(house)
    for row in await admin_pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit'::regclass"
    ):
        await admin_pool.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER ALL")
    await admin_pool.execute(
        "UPDATE audit SET payload = jsonb_set(payload, '{sealed,0,box}', '\"AAAA\"') WHERE seq = 1"
    )
    found = (await _replayed(pool, flow)).findings
    assert any("what is sealed in it cannot be opened" in each.what for each in found), found


async def test_a_row_that_the_engine_did_not_leave(house: House, pool: Pool) -> None:
    """Written as the product writes it, chain and all, by somebody who has the application's password."""
    flow = await _decided(house)
    now = datetime.now(UTC)
    forged = [
        event("step.completed", now, {"step": "manager"}, {"state": "approved"}, ENGINE),
        event("decision.recorded", now, {"task_id": "x"}, {"state": "pending"}, Actor("bob")),
    ]
    await audit.append(pool, UUID(flow.state.request_id), "leave", 1, forged)
    found = (await _replayed(pool, flow)).findings
    assert [each.what for each in found] == [
        "the engine left no such row: step.completed",
        "the engine never had this decision",
    ]


async def test_what_was_forgotten_is_said(house: House, pool: Pool) -> None:
    flow = await _decided(house)
    await commits.forget(pool, -1)
    found = (await _replayed(pool, flow)).findings
    assert any("the request shows seq" in each.what for each in found)
