"""A transition is written whole and once; a decision that was first is never overruled."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from contract.messages import CommitResult
from recipes.happenings import Actor, Commanded, Decided, Started, Ticked
from recipes.model import Confidential, Json
from recipes.state import State
from storage import commits
from storage.errors import OutOfSequence, TaskClosedOtherwise
from storage.pool import Pool
from tests.integration.approvals import NOW, RECIPE, commit, furnish, submitted


@pytest.fixture
async def start(pool: Pool, admin_pool: Pool) -> State:
    """A submitted request of a furnished office."""
    await furnish(pool, admin_pool)
    return await submitted(pool)


async def decide(pool: Pool, state: State, task: str, who: str) -> Decided:
    """What the decide path does to the rows, reduced to its lock."""
    await pool.execute(
        "WITH won AS (UPDATE tasks SET state = 'decided', closed_at = $2 WHERE id = $1 AND state = 'open'"
        " RETURNING id, request_id)"
        " INSERT INTO decisions (id, task_id, request_id, decision, actor, decided_at)"
        " SELECT $3, id, request_id, 'approve', $4, $2 FROM won",
        UUID(task),
        NOW,
        uuid4(),
        who,
    )
    return Decided(task, "approve", Actor(who), NOW)


async def row(pool: Pool, state: State) -> asyncpg.Record:
    found = await pool.fetchrow("SELECT * FROM requests WHERE id = $1", UUID(state.request_id))
    assert found is not None
    return found


async def types(pool: Pool, state: State) -> list[str]:
    rows = await pool.fetch(
        "SELECT event_type FROM audit WHERE request_id = $1 ORDER BY seq", UUID(state.request_id)
    )
    return [row["event_type"] for row in rows]


async def test_the_start_assigns_tasks_and_leaves_a_chain(pool: Pool, start: State) -> None:
    _, after = await commit(pool, start, Started())
    request = await row(pool, after)
    assert (request["state"], request["step"], request["seq"]) == ("pending", "both", 1)
    tasks = await pool.fetch("SELECT * FROM tasks ORDER BY seat")
    assert [(t["seat"], t["assignee"], t["candidates"]) for t in tasks] == [
        ("both/boss", "bob", None),
        ("both/money", None, ["role:finance", "user:frank"]),
    ]
    assert tasks[0]["due_at"] == NOW + timedelta(hours=1)
    shared = await pool.fetch("SELECT principal FROM task_candidates ORDER BY 1")
    assert [r["principal"] for r in shared] == ["role:finance", "user:frank"]
    previous = bytes(32)
    for event in await pool.fetch("SELECT * FROM audit ORDER BY seq"):
        assert event["prev_hash"] == previous
        previous = hashlib.sha256(b"\0" + previous + event["body"]).digest()
        assert event["hash"] == previous
    assert await types(pool, after) == ["task.assigned", "task.assigned"]


async def test_the_same_transition_again_changes_nothing(pool: Pool, start: State) -> None:
    first, after = await commit(pool, start, Started())
    again, same = await commit(pool, start, Started())
    assert again.earlier is not None
    assert again.earlier.answers == first.answers
    assert same == after
    assert await pool.fetchval("SELECT count(*) FROM tasks") == 2


async def test_another_happening_at_a_written_seq_gets_what_stands(
    pool: Pool, start: State
) -> None:
    _, pending = await commit(pool, start, Started())
    late = NOW + timedelta(hours=2)
    _, escalated = await commit(pool, pending, Ticked(), late)
    cancel = Commanded(str(uuid4()), "cancel", Actor("alice"), late)
    result, after = await commit(pool, pending, cancel, late + timedelta(minutes=1))
    assert result.earlier is not None
    assert result.earlier.happening == Ticked()
    assert result.earlier.now == late
    assert after == escalated
    assert (await row(pool, after))["state"] == "pending"


async def test_an_attempt_several_transitions_behind_learns_of_each(
    pool: Pool, start: State
) -> None:
    """One workflow task may carry several transitions; if it is lost, all of them are tried again."""
    _, pending = await commit(pool, start, Started())
    late = NOW + timedelta(hours=2)
    _, escalated = await commit(pool, pending, Ticked(), late)
    cancel = Commanded(str(uuid4()), "cancel", Actor("alice"), late)
    _, cancelled = await commit(pool, escalated, cancel, late)
    state = start
    for _ in range(3):
        result, state = await commit(pool, state, Started() if state.seq == 0 else Ticked())
        assert result.earlier is not None
    assert state == cancelled


async def test_a_happening_that_changes_nothing_tells_what_was_missed(
    pool: Pool, start: State
) -> None:
    _, pending = await commit(pool, start, Started())
    assert await commit(pool, pending, Ticked()) == (CommitResult(), pending)
    await commit(pool, pending, Ticked(), NOW + timedelta(hours=2))
    stranger = Decided(str(uuid4()), "approve", Actor("grace"), NOW)
    result, _ = await commit(pool, pending, stranger)
    assert result.earlier is not None
    assert result.earlier.happening == Ticked()


async def test_a_task_closed_by_a_stranger_is_an_error_and_an_incident(
    pool: Pool, start: State
) -> None:
    """Nobody but its workflow and deciders closes a task. If somebody did, it is not believed."""
    _, pending = await commit(pool, start, Started())
    await pool.execute("UPDATE tasks SET state = 'cancelled', closed_at = now()")
    for _ in range(2):
        with pytest.raises(TaskClosedOtherwise):
            await commit(pool, pending, Ticked(), NOW + timedelta(hours=2))
    incidents: list[Json] = (await row(pool, pending))["incidents"]
    assert [item["kind"] for item in incidents] == ["CommitFailed"]
    assert incidents[0]["detail"].startswith("TaskClosedOtherwise: ")
    assert (await types(pool, pending))[-1] == "incident.raised"


async def test_an_error_says_its_kind_alone_where_anything_is_confidential(
    pool: Pool, admin_pool: Pool
) -> None:
    """What the database says of a row may quote it."""
    await furnish(pool, admin_pool, replace(RECIPE, confidential=Confidential(("hr",))))
    _, pending = await commit(pool, await submitted(pool), Started())
    await pool.execute("UPDATE tasks SET state = 'cancelled', closed_at = now()")
    with pytest.raises(TaskClosedOtherwise):
        await commit(pool, pending, Ticked(), NOW + timedelta(hours=2))
    [incident] = (await row(pool, pending))["incidents"]
    assert (incident["kind"], incident["detail"]) == ("CommitFailed", "TaskClosedOtherwise")


async def test_a_transition_that_is_written_after_all_resolves_that(
    pool: Pool, start: State
) -> None:
    _, pending = await commit(pool, start, Started())
    await commits.flag_failing(pool, pending, "disk full", NOW)
    late = NOW + timedelta(hours=2)
    _, after = await commit(pool, pending, Ticked(), late)
    assert (await row(pool, after))["incidents"] == []
    told = await pool.fetch(
        "SELECT event_type, payload, occurred_at FROM audit WHERE event_type LIKE 'incident.%'"
        " AND request_id = $1 ORDER BY seq",
        UUID(start.request_id),
    )
    assert [event["event_type"] for event in told] == ["incident.raised", "incident.resolved"]
    assert told[1]["payload"] == {"kind": "CommitFailed", "step": None, "seat": None}
    assert told[1]["occurred_at"] == late


async def test_commits_are_forgotten_some_days_after_the_end(
    pool: Pool, admin_pool: Pool, start: State
) -> None:
    _, pending = await commit(pool, start, Started())
    cancel = Commanded(str(uuid4()), "cancel", Actor("alice"), NOW)
    await commit(pool, pending, cancel)
    running = await submitted(pool)
    await commit(pool, running, Started())
    await commits.forget(pool, 10_000)
    assert await pool.fetchval("SELECT count(*) FROM commits") == 3
    await commits.forget(pool, -1_000)
    assert await pool.fetchval("SELECT count(*) FROM commits") == 1


async def test_a_closing_that_loses_writes_nothing_and_tells_who_won(
    pool: Pool, start: State
) -> None:
    _, pending = await commit(pool, start, Started())
    boss = next(task for task in pending.tasks if task.seat == "both/boss")
    won = await decide(pool, pending, boss.id, "bob")
    before = await types(pool, pending)
    result, _ = await commit(pool, pending, Ticked(), NOW + timedelta(hours=2))
    assert result.lost == (won,)
    assert (await row(pool, pending))["seq"] == 1
    assert await types(pool, pending) == before
    _, after = await commit(pool, pending, won)
    assert (await row(pool, after))["state"] == "approved"
    assert await pool.fetchval("SELECT count(*) FROM task_candidates") == 0
    closed = await pool.fetchrow("SELECT state FROM tasks WHERE seat = 'both/money'")
    assert closed is not None
    assert closed["state"] == "superseded"


async def test_an_escalation_replaces_the_task_of_its_seat(pool: Pool, start: State) -> None:
    _, pending = await commit(pool, start, Started())
    _, after = await commit(pool, pending, Ticked(), NOW + timedelta(hours=2))
    tasks = await pool.fetch("SELECT * FROM tasks WHERE seat = 'both/boss' ORDER BY level")
    assert [(t["assignee"], t["state"], t["level"]) for t in tasks] == [
        ("bob", "expired", 0),
        ("grace", "open", 1),
    ]
    assert (await types(pool, after))[-2:] == ["task.expired", "task.assigned"]


async def test_a_transition_out_of_order_is_refused(pool: Pool, start: State) -> None:
    _, pending = await commit(pool, start, Started())
    ahead = replace(pending, seq=7)
    with pytest.raises(OutOfSequence, match="transition 8 of"):
        await commit(pool, ahead, Ticked(), NOW + timedelta(hours=2))


async def test_nobody_to_ask_is_an_incident_in_the_projection(
    pool: Pool, admin_pool: Pool, start: State
) -> None:
    await admin_pool.execute("""
        BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM manager_lines; COMMIT
    """)
    _, after = await commit(pool, start, Started())
    incidents: list[Json] = (await row(pool, after))["incidents"]
    assert [item["kind"] for item in incidents] == ["NoApproverFound"]
    assert "incident.raised" in await types(pool, after)
