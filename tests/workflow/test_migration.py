"""A request in flight goes on with another version: in its workflow, its history, its next run."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, SEARCH_RECIPE, SIGNAL_TELL
from recipes import parse, progress
from recipes.effects import SettleCommand
from recipes.happenings import Actor, Commanded, Migration
from tests.workflow.ledger import Ledger
from tests.workflow.running import LEAVE, REVIEW, running
from tests.workflow.test_continue_as_new import impatient
from worker.workflow import ApprovalWorkflow

__all__ = ["impatient"]

NOW = datetime.now(UTC)
_RECIPE = SearchAttributeKey.for_keyword(SEARCH_RECIPE)
ARCHIVE = (
    REVIEW.replace("version: 1", "version: 2") + "  - {id: archive, from: draft, to: published}\n"
)
SECOND = LEAVE.replace("version: 1", "version: 2") + '  - {id: second, approver: "user:carol"}\n'


async def test_it_goes_on_with_the_other_version(time_skipping: WorkflowEnvironment) -> None:
    async with running(time_skipping, LEAVE) as run:
        await run.begun()
        await run.migrate(SECOND)
        await run.written(2)
        await run.migrate(LEAVE.replace("manager_approval", "elsewhere"))
        await run.written(3)
        shown = await run.handle.describe()
        assert shown.typed_search_attributes[_RECIPE] == "leave_request.v2"
        await time_skipping.sleep(timedelta(hours=49))
        await run.decide("grace")
        await run.written(6)
        await run.decide("carol")
        outcome = await run.handle.result()
    assert outcome.state == "approved"
    settled = [e for e in run.ledger.effects(run.id) if isinstance(e, SettleCommand)]
    assert [(effect.applied, effect.detail) for effect in settled] == [
        (True, "moved to version 2"),
        (False, "it is at step manager_approval, which version 1 does not have"),
    ]


async def test_the_next_run_is_pinned_to_it(impatient: str) -> None:
    """What only version 2 has can be fired after its history was begun anew."""
    client = await Client.connect(impatient, data_converter=pydantic_data_converter)
    first, second = parse.parse(REVIEW), parse.parse(ARCHIVE)
    ledger, request = Ledger(first.recipe), str(uuid4())
    state = progress.initial(
        first.recipe,
        request_id=request,
        requester="alice",
        inputs={},
        submitted_at=NOW,
        digest="d",
    )
    wanted = Migration(second.recipe, second.sha256, "d2", "d")
    told = [Commanded(str(uuid4()), "migrate", Actor("root"), NOW, migration=wanted)]
    told += [
        Commanded(str(uuid4()), "fire", Actor("alice"), NOW, action=name, moves=number)
        for number, name in enumerate(("submit", "return") * 20)
    ]
    told.append(Commanded(str(uuid4()), "fire", Actor("alice"), NOW, action="archive", moves=40))
    async with Worker(
        client,
        task_queue="long",
        workflows=[ApprovalWorkflow],
        activities=[ledger.commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await client.start_workflow(
            ApprovalWorkflow.run,
            StartInput(ENGINE_VERSION, first.recipe, first.sha256, state),
            id=request,
            task_queue="long",
        )
        for number, command in enumerate(told):
            while len(ledger.commits.get(request, ())) <= number:
                await handle.describe()
            await handle.signal(SIGNAL_TELL, command)
        assert await handle.result() == Outcome("approved", len(told) + 1)
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{request}'")]
    assert len(runs) >= 3
    history = await client.get_workflow_handle(request, run_id=runs[0].run_id).fetch_history()
    began = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
    assert f'"recipe_sha256":"{second.sha256}"'.encode() in began.data
