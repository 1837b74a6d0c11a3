"""The workflow on the time-skipping server: what it does with messages, timers and lost races."""

from datetime import timedelta
from uuid import uuid4

from temporalio.testing import WorkflowEnvironment

from contract.messages import CommitInput, Committed, Outcome
from contract.names import SIGNAL_TELL
from recipes import parse, progress
from recipes.asks import Answer, Ask, AskEmployee, AskManager, Refusal
from recipes.effects import RemindTask, SettleCommand
from recipes.happenings import Actor, Commanded, Rechecked, Ticked
from tests.workflow.ledger import Ledger, answer
from tests.workflow.running import LEAVE, TWO_OF_THREE, running


async def test_a_decision_carries_the_request_to_its_end(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        await run.decide("bob")
        assert await run.handle.result() == Outcome("approved", 2)
    assert run.seen() == [("bob", "approve")]


async def test_two_days_of_silence_escalate_and_so_do_the_next_two(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        started = await time_skipping.get_current_time()
        await time_skipping.sleep(timedelta(hours=97))
        assert run.seen() == [("bob", "closed"), ("grace", "closed"), ("zoe", "open")]
        reminded = [e for e in run.ledger.effects(run.id) if isinstance(e, RemindTask)]
        assert len(reminded) == 2
        due = run.ledger.open_tasks(run.id)[0].task.due_at
        assert due is not None
        assert abs(due - started - timedelta(hours=144)) < timedelta(minutes=1)
        await run.decide("zoe", "reject")
        assert (await run.handle.result()).state == "rejected"


async def test_nobody_above_raises_an_incident_and_leaves_the_task_open(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        await time_skipping.sleep(timedelta(hours=145))
        state = run.ledger.state(run.id)
        assert [incident.kind for incident in state.incidents] == ["NoApproverFound"]
        await run.decide("zoe")
        assert (await run.handle.result()).state == "approved"


async def test_the_deadline_ends_a_request_that_nobody_decides(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        assert (await run.handle.result()).state == "expired"
    assert run.ledger.open_tasks(run.id) == []


async def test_a_decision_told_twice_counts_once(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        made = await run.decide("ann")
        await run.handle.signal(SIGNAL_TELL, made)
        await run.handle.signal(SIGNAL_TELL, made)
        await run.written(2)
        await time_skipping.sleep(timedelta(minutes=5))
        assert run.ledger.state(run.id).state == "pending"
        await run.decide("ben")
        assert await run.handle.result() == Outcome("approved", 3)
    assert run.seen() == [("ann", "approve"), ("ben", "approve"), ("cy", "closed")]


async def test_a_decision_that_was_first_beats_the_timer_that_meant_to_close_its_task(
    time_skipping: WorkflowEnvironment,
) -> None:
    """The decision stands in storage; its signal never comes. It counts all the same."""
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        run.ledger.decide(run.task("cy"), "cy", "approve", now)
        await time_skipping.sleep(timedelta(hours=2))
        votes = {seat.key: seat.vote for seat in run.ledger.state(run.id).seats}
        assert votes == {"board/1": None, "board/2": None, "board/3": "approve"}
        await run.decide("ann")
        assert (await run.handle.result()).state == "approved"


async def test_a_decision_that_was_first_beats_who_is_added_before_it(
    time_skipping: WorkflowEnvironment,
) -> None:
    """The decision stands in storage; adding would withdraw its task. It counts, and the others wait."""
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        run.ledger.decide(run.task("cy"), "cy", "approve", now)
        await run.add("board/1", "dan", "before")
        await run.written(3)
        votes = {seat.key: seat.vote for seat in run.ledger.state(run.id).seats}
        assert votes == {"board/1": None, "board/2": None, "board/3": "approve", "board/+1": None}
        assert [opened.task.assignment.user for opened in run.ledger.open_tasks(run.id)] == ["dan"]
        await run.decide("dan")
        await run.written(4)
        await run.decide("ben")
        assert (await run.handle.result()).state == "approved"


async def test_a_decision_that_was_first_beats_supersession(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        run.ledger.decide(run.task("cy"), "cy", "reject", now)
        await run.decide("ann")
        await run.decide("ben")
        assert (await run.handle.result()).state == "approved"
    assert run.seen() == [("ann", "approve"), ("ben", "approve"), ("cy", "reject")]


async def test_decisions_that_would_each_settle_the_step_all_count(
    time_skipping: WorkflowEnvironment,
) -> None:
    """All three stand in storage before the workflow hears of one, so that none of them supersedes
    another."""
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        made = [
            run.ledger.decide(run.task(who), who, "approve", now) for who in ("ann", "ben", "cy")
        ]
        for decision in made:
            await run.handle.signal(SIGNAL_TELL, decision)
        outcome = await run.handle.result()
        assert outcome == Outcome("approved", 3)
    assert {standing for _, standing in run.seen()} == {"approve"}


async def test_one_signal_of_several_decisions_is_one_transition(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        told = await run.decide_all("ann", "ben", "cy")
        await run.handle.signal(SIGNAL_TELL, told)
        assert await run.handle.result() == Outcome("approved", 2)
    assert run.ledger.closed == set()


async def test_a_command_behind_several_that_were_first(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        for who in ("ann", "ben", "cy"):
            run.ledger.decide(run.task(who), who, "approve", now)
        await run.command("cancel")
        assert (await run.handle.result()).state == "approved"
    settled = [e for e in run.ledger.effects(run.id) if isinstance(e, SettleCommand)]
    assert [e.applied for e in settled] == [False]


async def test_cancel_ends_it_and_a_later_command_is_refused_with_the_reason(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        made = await run.command("cancel")
        late = Commanded(str(uuid4()), "cancel", Actor("alice"), made.at)
        await run.handle.signal(SIGNAL_TELL, made)
        outcome = await run.handle.result()
        assert outcome.state == "cancelled"
    assert run.seen() == [("bob", "closed")]
    refused = progress.apply(run.ledger.recipe, run.ledger.state(run.id), late, made.at)
    assert [getattr(e, "detail", "") for e in refused.effects] == [
        "the request is already cancelled"
    ]


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    time_skipping: WorkflowEnvironment,
) -> None:
    failures = iter([RuntimeError("the answer was lost")])

    def lose_one(_: CommitInput) -> None:
        for error in failures:
            raise error

    ledger = Ledger(parse.parse(LEAVE).recipe, after=lose_one)
    async with running(time_skipping, LEAVE, ledger) as run:
        await run.begun()
        await run.decide("bob")
        assert await run.handle.result() == Outcome("approved", 2)
    assert run.seen() == [("bob", "approve")]


async def test_what_stands_in_storage_is_taken_up_before_what_was_meant(
    time_skipping: WorkflowEnvironment,
) -> None:
    """An attempt wrote a cancellation and died; the next one meant a decision. Both are settled."""
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        cancel = Commanded(str(uuid4()), "cancel", Actor("alice"), now)
        before = run.ledger.state(run.id)
        stands = progress.apply(run.ledger.recipe, before, cancel, now)
        run.ledger.commits[run.id].append((Committed(cancel, now), stands))
        await run.decide("ann")
        assert await run.handle.result() == Outcome("cancelled", 2)


async def test_postgres_down_makes_the_workflow_wait(time_skipping: WorkflowEnvironment) -> None:
    failures = iter([ConnectionError("no Postgres")] * 5)

    def fail(_: CommitInput) -> None:
        for error in failures:
            raise error

    ledger = Ledger(parse.parse(LEAVE).recipe, before=fail)
    async with running(time_skipping, LEAVE, ledger) as run:
        await run.begun()
        await run.decide("bob")
        assert await run.handle.result() == Outcome("approved", 2)


async def test_a_decision_on_a_task_this_run_has_yet_to_learn_of_is_kept(
    time_skipping: WorkflowEnvironment,
) -> None:
    """An attempt wrote the escalation and died; its new task was decided before the next attempt."""
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        before = run.ledger.state(run.id)
        due = before.tasks[0].due_at
        assert due is not None
        stands = progress.settle(
            run.ledger.recipe, before, Ticked(), due, lambda asks: tuple(map(answer, asks))
        )
        answers = ((answer(AskManager("manager_approval", "bob")),),)
        run.ledger.commits[run.id].append((Committed(Ticked(), due, answers), stands))
        run.ledger.closed.add(before.tasks[0].id)
        await run.decide("grace")
        assert await run.handle.result() == Outcome("approved", 3)


async def test_two_transitions_of_a_lost_attempt_are_both_taken_up(
    time_skipping: WorkflowEnvironment,
) -> None:
    """One workflow task carried two decisions and was lost; the next attempt reads them the other
    way round."""
    async with running(time_skipping, TWO_OF_THREE) as run:
        await run.begun()
        now = await time_skipping.get_current_time()
        recipe, state = run.ledger.recipe, run.ledger.state(run.id)
        made = [
            run.ledger.decide(run.task("ann"), "ann", "approve", now),
            run.ledger.decide(run.task("cy"), "cy", "reject", now),
        ]
        for decision in made:
            stands = progress.apply(recipe, state, decision, now)
            run.ledger.commits[run.id].append((Committed(decision, now), stands))
            state = stands.state
        for decision in reversed(made):
            await run.handle.signal(SIGNAL_TELL, decision)
        await run.decide("ben")
        assert await run.handle.result() == Outcome("approved", 4)
    assert run.seen() == [("ann", "approve"), ("ben", "approve"), ("cy", "reject")]


async def test_a_commit_that_keeps_failing_does_not_fill_one_history(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Ten minutes of trying, then the loop looks around and tries again; nothing is lost."""
    since = await time_skipping.get_current_time()

    def fail(_: CommitInput) -> None:
        if patience[0] > 0:
            patience[0] -= 1
            raise ValueError("cannot be written")

    patience = [40]
    ledger = Ledger(parse.parse(LEAVE).recipe, before=fail)
    async with running(time_skipping, LEAVE, ledger) as run:
        await run.begun()
        assert await time_skipping.get_current_time() - since > timedelta(minutes=10)
        await run.decide("bob")
        assert await run.handle.result() == Outcome("approved", 2)


async def test_a_recheck_moves_a_task_and_keeps_its_time(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        due = run.ledger.open_tasks(run.id)[0].task.due_at
        run.ledger.answer = carol_manages
        told = await run.recheck()
        await run.written(2)
        assert run.ledger.open_tasks(run.id)[0].task.due_at == due
        await run.handle.signal(SIGNAL_TELL, told)  # told twice: its task is closed by now
        await run.decide("carol")
        assert await run.handle.result() == Outcome("approved", 3)
    assert run.seen() == [("bob", "closed"), ("carol", "approve")]


async def test_a_decision_that_was_first_beats_a_recheck(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        run.ledger.answer = carol_manages
        now = await time_skipping.get_current_time()
        tasks = (run.task("bob"),)
        run.ledger.decide(tasks[0], "bob", "approve", now)
        await run.handle.signal(SIGNAL_TELL, Rechecked(tasks, now))
        assert await run.handle.result() == Outcome("approved", 2)
    assert run.seen() == [("bob", "approve")]


async def test_a_recheck_is_kept_while_it_cannot_be_written(
    time_skipping: WorkflowEnvironment,
) -> None:
    failing = [0]

    def fail(_: CommitInput) -> None:
        if failing[0]:
            failing[0] -= 1
            raise ValueError("cannot be written")

    ledger = Ledger(parse.parse(LEAVE).recipe, before=fail)
    async with running(time_skipping, LEAVE, ledger) as run:
        await run.begun()
        run.ledger.answer = carol_manages
        failing[0] = 40
        await run.recheck()
        await run.written(2)
        await run.decide("carol")
        assert await run.handle.result() == Outcome("approved", 3)


async def test_a_recheck_of_a_task_this_run_has_yet_to_learn_of_is_kept(
    time_skipping: WorkflowEnvironment,
) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        before = run.ledger.state(run.id)
        due = before.tasks[0].due_at
        assert due is not None
        stands = progress.settle(
            run.ledger.recipe, before, Ticked(), due, lambda asks: tuple(map(answer, asks))
        )
        answers = ((answer(AskManager("manager_approval", "bob")),),)
        run.ledger.commits[run.id].append((Committed(Ticked(), due, answers), stands))
        run.ledger.closed.add(before.tasks[0].id)
        run.ledger.answer = nobody_above
        await run.recheck()
        await run.written(3)
        assert [i.kind for i in run.ledger.state(run.id).incidents] == ["NoApproverFound"]
        await run.decide("grace")
        assert await run.handle.result() == Outcome("approved", 4)


async def test_a_reassignment_is_told_what_came_of_it(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        await run.reassign("manager_approval", "alice")
        await run.reassign("manager_approval", "dave")
        await run.written(3)
        settled = [e for e in run.ledger.effects(run.id) if isinstance(e, SettleCommand)]
        assert [(e.applied, e.detail) for e in settled] == [
            (False, "alice is the requester: nobody decides their own request"),
            (True, "reassigned to dave"),
        ]
        await run.decide("dave")
        assert await run.handle.result() == Outcome("approved", 4)


def carol_manages(ask: Ask) -> Answer:
    if isinstance(ask, AskEmployee):
        return Answer(employee={"id": "alice", "manager": {"id": "carol"}})
    return answer(ask)


def nobody_above(ask: Ask) -> Answer:
    if isinstance(ask, AskManager):
        return Answer(refusal=Refusal("NoApproverFound", "nobody is there"))
    return answer(ask)
