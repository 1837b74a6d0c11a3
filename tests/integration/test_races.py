"""A timer and a person at the same instant: exactly one closes the task, and a 200 always counts."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID, uuid4

from recipes import progress
from recipes.happenings import Actor, Decided, Started, Ticked
from recipes.state import State
from storage import decisions
from storage.pool import Pool
from tests.integration.approvals import NOW, RECIPE, commit, furnish, submitted

ROUNDS = 1000
LATE = NOW + timedelta(hours=2)


async def test_a_timeout_and_a_decision_at_the_same_instant_a_thousand_times(
    pool: Pool, admin_pool: Pool
) -> None:
    """The escalation after an hour races the manager's decision. Whoever is first, the other is
    told; and the workflow's next transition builds on what really happened."""
    await furnish(pool, admin_pool)
    won = {"person": 0, "clock": 0}
    gate = asyncio.Semaphore(4)

    async def one() -> None:
        async with gate:
            won[await _race(pool)] += 1

    await asyncio.gather(*(one() for _ in range(ROUNDS)))
    assert sum(won.values()) == ROUNDS
    assert min(won.values()) > 0, won
    assert await pool.fetchval("SELECT count(*) FROM decisions") == won["person"]
    twice = await pool.fetchval(
        "SELECT count(*) FROM decisions d JOIN tasks t ON t.id = d.task_id WHERE t.state <> 'decided'"
    )
    assert twice == 0


async def _race(pool: Pool) -> str:
    _, pending = await commit(pool, await submitted(pool), Started())
    boss = next(task for task in pending.tasks if task.seat == "both/boss")
    made = Decided(boss.id, "approve", Actor("bob"), LATE)

    async def timer() -> State:
        await asyncio.sleep(random.random() * 0.002)
        result, after = await commit(pool, pending, Ticked(), LATE)
        return after if not result.lost else pending

    async def person() -> bool:
        await asyncio.sleep(random.random() * 0.002)
        return bool(await decisions.record(pool, [_deciding(pending, made)]))

    after, accepted = await asyncio.gather(timer(), person())
    states = [
        row["state"]
        for row in await pool.fetch(
            "SELECT state FROM tasks WHERE request_id = $1 AND seat = 'both/boss' ORDER BY level",
            UUID(pending.request_id),
        )
    ]
    if not accepted:
        assert states == ["expired", "open"]
        assert after.tasks[-1].assignment.user == "grace"
        return "clock"
    assert states == ["decided"]
    assert after == pending
    _, final = await commit(pool, pending, made, LATE)
    assert final.state == "approved"
    return "person"


async def test_a_reminder_and_a_decision_at_the_same_instant_do_not_lock_each_other_out(
    pool: Pool, admin_pool: Pool
) -> None:
    """Both lock the task before the head of the audit chain; the other order would deadlock."""
    await furnish(pool, admin_pool)
    reminding = NOW + timedelta(minutes=31)

    async def one() -> None:
        _, pending = await commit(pool, await submitted(pool), Started())
        boss = next(task for task in pending.tasks if task.seat == "both/boss")
        made = Decided(boss.id, "approve", Actor("bob"), reminding)
        decided, (_, after) = await asyncio.gather(
            decisions.record(pool, [_deciding(pending, made)]),
            commit(pool, pending, Ticked(), reminding),
        )
        assert len(decided) == 1
        assert after.tasks[0].remind_at == ()

    for _ in range(50):
        await asyncio.gather(*(one() for _ in range(4)))


def _deciding(state: State, made: Decided) -> decisions.Deciding:
    return decisions.Deciding(
        decision_id=uuid4(),
        task_id=UUID(made.task_id),
        request_id=UUID(state.request_id),
        workflow=RECIPE.workflow,
        version=RECIPE.version,
        decision=made.decision,
        actor=made.actor,
        comment=None,
        reason=None,
        at=made.at,
        payload={"task_id": made.task_id},
        snapshot=progress.snapshot(RECIPE, state),
        message={"kind": "decided"},
        digest=state.digest,
    )
