"""Jobs, waits and callbacks in their workflow: done, failing, stopped, tried again, after the end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, SIGNAL_TELL, TASK_QUEUE_JOBS
from recipes import parse, progress
from recipes.effects import CancelJob, EndJob, Notify, Record, StartJob
from recipes.happenings import Actor, Commanded
from recipes.model import Json
from recipes.state import Job
from tests.workflow.clerk import Clerk, Stubborn
from tests.workflow.ledger import Ledger
from tests.workflow.running import ORDER, SECRET_ORDER, Running, running
from tests.workflow.test_continue_as_new import impatient
from worker.workflow import ApprovalWorkflow

__all__ = ["impatient"]


def times(*answers: Json | Exception) -> Callable[[Job], Json]:
    """One answer after the other; exceptions are raised."""
    left = list(answers)

    def answer(_: Job) -> Json:
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    return answer


def seen(run: Running) -> list[str]:
    """What became of jobs, notifications and the request, in order."""
    found: list[str] = []
    for effect in run.ledger.effects(run.id):
        match effect:
            case StartJob(job):
                found.append(f"{job.step} starts")
            case EndJob(job, output, failure, attempts):
                found.append(f"{job.step} {attempts}: {failure or output}")
            case CancelJob(job):
                found.append(f"{job.step} is to stop")
            case Notify(step, people, message):
                found.append(f"{step} to {', '.join(people)}: {message}")
            case Record("request.finalized", payload):
                found.append(payload["state"])
            case _:
                pass
    return found


async def test_a_sequence_and_what_follows_it(time_skipping: WorkflowEnvironment) -> None:
    clerk = Clerk(
        {"validate_order": lambda job: job.inputs["days"], "book_sale": lambda _: "booked"}
    )
    async with running(time_skipping, ORDER, clerk=clerk) as run:
        assert (await run.handle.result()).state == "approved"
    assert seen(run) == [
        "validate starts",
        "validate 1: 5",
        "charge starts",
        "charge 1: charge_card",
        "mail to alice: charged charge_card",
        "approved",
        "book starts",
        "book 1: booked",
        "praise starts",
        "praise 1: praise",
    ]
    begun = [job for job, _ in clerk.asked]
    assert [job.key for job in begun][:2] == [f"{run.id}:validate", f"{run.id}:charge"]
    assert begun[1].inputs == {"of": 5}


async def test_attempts_keep_the_key_and_run_out(time_skipping: WorkflowEnvironment) -> None:
    """Then it is an incident, and `retry` does the same work again."""
    failing = times(RuntimeError("no"), RuntimeError("card declined"), "c-1")
    clerk = Clerk({"charge_card": failing})
    async with running(time_skipping, ORDER, clerk=clerk) as run:
        await run.env.sleep(timedelta(days=3))
        await run.written(4)
        [incident] = run.ledger.state(run.id).incidents
        assert (incident.kind, incident.step, incident.detail) == (
            "JobFailed",
            "charge",
            "card declined",
        )
        await run.command("retry")
        assert (await run.handle.result()).state == "approved"
    charges = [(job, attempt) for job, attempt in clerk.asked if job.step == "charge"]
    assert [attempt for _, attempt in charges] == [1, 2, 1]
    assert len({job.key for job, _ in charges}) == 1
    assert [job.again for job, _ in charges] == [0, 0, 1]


async def test_why_is_kept_with_the_job_where_anything_is_confidential(
    time_skipping: WorkflowEnvironment,
) -> None:
    clerk = Clerk({"charge_card": times(RuntimeError("no"), RuntimeError("no 4711"), "c-1")})
    async with running(time_skipping, SECRET_ORDER, clerk=clerk) as run:
        await run.env.sleep(timedelta(days=3))
        await run.written(4)
        state = run.ledger.state(run.id)
        [incident] = state.incidents
        assert incident.detail.startswith("charge_card failed; why is kept with its job")
        assert state.job is not None
        assert state.job.failure == "no 4711"
        await run.command("retry")
        assert (await run.handle.result()).state == "approved"


async def test_an_attempt_that_takes_too_long(time_skipping: WorkflowEnvironment) -> None:
    clerk = Clerk(holds={"charge_card": asyncio.Event()})
    async with running(time_skipping, ORDER, clerk=clerk) as run:
        await run.env.sleep(timedelta(days=3))
        await run.written(4)
        [incident] = run.ledger.state(run.id).incidents
        assert incident.detail == "took longer than 5 s"
        clerk.holds.clear()
        await run.command("retry")
        assert (await run.handle.result()).state == "approved"


async def test_cancelled_before_it_was_done(time_skipping: WorkflowEnvironment) -> None:
    """The request is final at once; what follows comes when it is known how the job ended."""
    clerk = Clerk(holds={"validate_order": asyncio.Event()})
    async with running(time_skipping, ORDER, clerk=clerk) as run:
        await clerk.busy(1)
        await run.command("cancel")
        assert await run.handle.result() == Outcome("cancelled", 3)
    assert seen(run) == [
        "validate starts",
        "validate is to stop",
        "cancelled",
        "tell to shop: cancelled",
    ]
    assert "charge" not in run.ledger.state(run.id).results


async def test_cancelled_and_done_all_the_same(time_skipping: WorkflowEnvironment) -> None:
    """It is on record, and undone by the callback that asks for it."""
    clerk = Stubborn(holds={"charge_card": asyncio.Event()})
    text = ORDER.replace("timeout: 5s", "timeout: 1h")
    async with running(time_skipping, text, clerk=clerk) as run:
        await run.env.sleep(timedelta(days=2))
        await clerk.busy(2)
        await run.command("cancel")
        assert (await run.handle.result()).state == "cancelled"
    assert seen(run)[2:] == [
        "charge starts",
        "charge is to stop",
        "cancelled",
        "charge 1: charge_card",
        "refund starts",
        "refund 1: refund",
        "tell to shop: cancelled",
    ]


async def test_a_callback_that_fails_waits_for_people(time_skipping: WorkflowEnvironment) -> None:
    """The request stays what it is; the workflow ends when all is done."""
    failing = times(*[RuntimeError("ledger is closed")] * 3, "booked")
    async with running(time_skipping, ORDER, clerk=Clerk({"book_sale": failing})) as run:
        while not (run.ledger.commits.get(run.id) and run.ledger.state(run.id).incidents):
            await run.env.sleep(timedelta(minutes=1))
        state = run.ledger.state(run.id)
        assert (state.state, state.incidents[0].step) == ("approved", "book")
        await run.command("cancel")
        await run.command("retry")
        assert (await run.handle.result()).state == "approved"
    assert seen(run)[-2:] == ["praise starts", "praise 1: praise"]


@pytest.mark.parametrize(("policy", "state"), [("reject", "rejected"), ("continue", "approved")])
async def test_what_a_failure_does(
    time_skipping: WorkflowEnvironment, policy: str, state: str
) -> None:
    text = ORDER.replace("timeout: 5s}", f"timeout: 5s, on_failure: {policy}}}")
    text = text.replace("{{ steps.charge.output }}", "{{ steps.charge.error }}")
    clerk = Clerk({"charge_card": times(*[RuntimeError("card declined")] * 2)})
    async with running(time_skipping, text, clerk=clerk) as run:
        assert (await run.handle.result()).state == state
    told = "mail to alice: charged card declined"
    assert (told in seen(run)) == (state == "approved")


@pytest.mark.parametrize("impatient", [12], indirect=True)
async def test_no_fresh_history_begins_while_a_job_runs(impatient: str) -> None:
    """Else nobody would be there to hear of its end. It begins when that is known."""
    client = await Client.connect(impatient, data_converter=pydantic_data_converter)
    text = ORDER.replace("for: 2d", "for: 1s").replace("timeout: 5s", "timeout: 1h")
    parsed = parse.parse(text)
    clerk, ledger = Clerk(holds={"charge_card": asyncio.Event()}), Ledger(parsed.recipe)
    state = progress.initial(
        parsed.recipe,
        request_id=str(uuid4()),
        requester="alice",
        inputs={"days": 5},
        submitted_at=datetime.now(UTC),
        digest="d",
    )
    requests = Worker(
        client,
        task_queue="long",
        workflows=[ApprovalWorkflow],
        activities=[ledger.commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with requests, Worker(client, task_queue=TASK_QUEUE_JOBS, activities=[clerk.run]):
        handle = await client.start_workflow(
            ApprovalWorkflow.run,
            StartInput(ENGINE_VERSION, parsed.recipe, parsed.sha256, state),
            id=state.request_id,
            task_queue="long",
        )
        await clerk.busy(2)
        for number in range(10):  # far beyond the limit, while the card is charged
            nothing = Commanded(f"c-{number}", "retry", Actor("alice"), state.submitted_at)
            await handle.signal(SIGNAL_TELL, nothing)
        clerk.holds["charge_card"].set()
        assert (await handle.result()).state == "approved"
    assert clerk.runs() == ["validate_order", "charge_card", "book_sale"]
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{state.request_id}'")]
    continued = [run for run in runs if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW]
    assert continued
