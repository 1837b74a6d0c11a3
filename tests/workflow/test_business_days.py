"""Business days in a workflow: its timers ring when the calendar said, whatever becomes of that."""

from dataclasses import replace
from datetime import date, timedelta

from temporalio.testing import WorkflowEnvironment

from contract.messages import Outcome
from recipes.asks import Answer, Ask, AskTimes
from recipes.business import Holiday
from recipes.effects import OpenTask, RemindTask
from recipes.state import State
from tests.workflow.ledger import CALENDARS, WORK, answer
from tests.workflow.running import BUSINESS, BUSINESS_REVIEW, Running, running


def opened(run: Running) -> list[OpenTask]:
    return [effect for effect in run.ledger.effects(run.id) if isinstance(effect, OpenTask)]


async def test_levels_and_reminders(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, BUSINESS) as run:
        await run.begun()
        first: State = run.ledger.state(run.id)
        [task] = first.tasks
        assert task.due_at is not None
        assert task.due_by is not None
        assert len(task.remind_at) >= 1
        now = await time_skipping.get_current_time()
        # A holiday that is imported while it runs changes nothing about what runs.
        free = replace(WORK, holidays=(Holiday(task.due_at.date(), "a day off"),))
        changed = replace(CALENDARS, known=(free,))

        def answer_later(ask: Ask) -> Answer:
            found = answer(ask)
            if isinstance(ask, AskTimes) or found.times is None:
                return found
            timing = ask.timing  # type: ignore[union-attr]
            assert timing is not None
            return replace(found, times=changed.times(timing, "America/New_York"))

        run.ledger.answer = answer_later
        await run.recheck()
        await time_skipping.sleep(task.due_at - now + timedelta(minutes=1))
        after = opened(run)
        assert [effect.task.assignment.user for effect in after] == ["bob", "grace"]
        second = after[1].task
        assert timedelta() <= second.opened_at - task.due_at < timedelta(minutes=1)
        assert second.due_by is not None
        assert second.due_by.time_zone == "America/New_York"
        reminders = [e for e in run.ledger.effects(run.id) if isinstance(e, RemindTask)]
        assert [reminder.task_id for reminder in reminders].count(task.id) == len(task.remind_at)
        await run.decide("grace")
        assert (await run.handle.result()).state == "approved"


async def test_a_deadline(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, BUSINESS) as run:
        await run.begun()
        deadline = run.ledger.state(run.id).deadline_at
        assert deadline is not None
        begun = await time_skipping.get_current_time()
        assert deadline - begun >= timedelta(days=27)
        await time_skipping.sleep(deadline - begun + timedelta(minutes=1))
        assert (await run.handle.result()).state == "expired"


async def test_timers_of_a_state(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, BUSINESS_REVIEW) as run:
        await run.begun()
        await run.fire("submit")
        await run.written(2)
        soonest, later = run.ledger.state(run.id).timers
        assert soonest.due_by is not None
        assert later.due_by is None
        assert soonest.at.date() > date(2020, 1, 1)
        now = await time_skipping.get_current_time()
        await time_skipping.sleep(soonest.at - now + timedelta(minutes=1))
        await run.written(3)
        assert run.ledger.state(run.id).status == "draft"
        await run.fire("submit")
        await run.fire("publish")
        assert await run.handle.result() == Outcome("approved", 5)
