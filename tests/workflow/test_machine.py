"""A state machine in its workflow: actions, timers, and more than a thousand moves."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, SIGNAL_TELL
from recipes import parse, progress
from recipes.effects import SettleCommand
from recipes.happenings import Actor, Commanded
from tests.workflow.ledger import Ledger
from tests.workflow.running import REVIEW, running
from tests.workflow.test_continue_as_new import impatient
from worker.workflow import ApprovalWorkflow

__all__ = ["impatient"]

NOW = datetime.now(UTC)


async def test_actions_and_a_timer_of_three_days(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, REVIEW) as run:
        await run.begun()
        await run.fire("submit")
        await run.written(2)
        await time_skipping.sleep(timedelta(days=4))
        await run.written(3)
        state = run.ledger.state(run.id)
        assert (state.status, state.moves) == ("draft", 2)
        await run.fire("publish")
        await run.fire("submit")
        await run.fire("publish")
        assert await run.handle.result() == Outcome("approved", 6)
    settled = [e for e in run.ledger.effects(run.id) if isinstance(e, SettleCommand)]
    assert [effect.applied for effect in settled] == [True, False, True, True]


@pytest.mark.parametrize("impatient", [400], indirect=True)
async def test_more_than_a_thousand_moves(impatient: str) -> None:
    """Over many runs; what is carried from one to the next stays as small as it was."""
    moves = 1050
    client = await Client.connect(impatient, data_converter=pydantic_data_converter)
    parsed = parse.parse(REVIEW)
    ledger = Ledger(parsed.recipe)
    request = str(uuid4())
    sizes: list[int] = []
    ledger.after = lambda asked: sizes.append(len(repr(asked.state)))
    async with Worker(
        client,
        task_queue="long",
        workflows=[ApprovalWorkflow],
        activities=[ledger.commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        state = progress.initial(
            parsed.recipe,
            request_id=request,
            requester="alice",
            inputs={},
            submitted_at=NOW,
            digest="d",
        )
        handle = await client.start_workflow(
            ApprovalWorkflow.run,
            StartInput(ENGINE_VERSION, parsed.recipe, parsed.sha256, state),
            id=request,
            task_queue="long",
        )
        for number in range(moves):
            name = "return" if number % 2 else "submit"
            command = Commanded(
                str(uuid4()), "fire", Actor("alice"), NOW, action=name, moves=number
            )
            await handle.signal(SIGNAL_TELL, command)
            while number - len(ledger.commits.get(request, ())) > 20:
                await handle.describe()
        last = [("submit", moves), ("publish", moves + 1)]
        for name, seen in last:
            told = Commanded(str(uuid4()), "fire", Actor("bob"), NOW, action=name, moves=seen)
            await handle.signal(SIGNAL_TELL, told)
        assert await handle.result() == Outcome("approved", moves + 3)
    settled = [e for e in ledger.effects(request) if isinstance(e, SettleCommand)]
    assert len(settled) == moves + 2
    assert all(effect.applied for effect in settled)
    assert max(sizes[500:]) <= 1.02 * max(sizes[150:500])
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{request}'")]
    continued = [run for run in runs if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW]
    assert len(continued) >= 3
