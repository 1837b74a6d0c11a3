"""What the real server keeps of a request is sealed, all of it; and workers carry on with it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.api.history.v1 import HistoryEvent, WorkflowTaskFailedEventAttributes
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest, QueryWorkflowResponse
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

import temporal_client
from contract.messages import JobInput, JobResult, Outcome, Standing, StartInput
from contract.names import (
    ACTIVITY_JOB,
    ENGINE_VERSION,
    QUERY_STANDING,
    SIGNAL_TELL,
    TASK_QUEUE_JOBS,
)
from recipes import parse, progress
from recipes.happenings import Actor, Commanded
from recipes.state import State
from temporal_codec import is_sealed
from tests.histories import assert_sealed, payloads
from tests.keeper import Keeper, make_keys
from tests.stack import TemporalServer
from tests.workflow.ledger import Ledger
from tests.workflow.test_continue_as_new import impatient
from worker.workflow import ApprovalWorkflow

__all__ = ["impatient"]

SECRET = "84000-a-year"
RAISE = """
workflow: raise
version: 1
owner: role:hr
inputs: {type: object, required: [pay], properties: {pay: {type: string}}}
steps:
  - {id: check, run: check_pay, with: {pay: "{{ inputs.pay }}"}, retry: {attempts: 3, first: 1s}}
  - {id: manager, approver: "user:bob"}
"""


@dataclass
class Payroll:
    """Does the job: it beats, fails at its first attempt and gives an output at its second, and each time
    tells what it was given."""

    busy: asyncio.Event = field(default_factory=asyncio.Event)
    fail: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name=ACTIVITY_JOB)
    async def run(self, asked: JobInput) -> JobResult:
        assert asked.job.inputs == {"pay": SECRET}
        attempt = activity.info().attempt
        if attempt == 1:
            activity.heartbeat(f"looking at {SECRET}")
            self.busy.set()
            await self.fail.wait()
            raise ApplicationError(f"no {SECRET} today", f"{SECRET}?", type="Later")
        return JobResult(f"{SECRET} is fine", attempt)


@dataclass
class Started:
    """A request under way, and whose keys there are."""

    client: Client
    keeper: Keeper
    ledger: Ledger
    state: State
    queue: str
    handle: WorkflowHandle[ApprovalWorkflow, Outcome]

    def worker(self, *, cached: int = 1000, tasks: int = 100) -> Worker:
        return Worker(
            self.client,
            task_queue=self.queue,
            workflows=[ApprovalWorkflow],
            activities=[self.ledger.commit],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=cached,
            max_concurrent_workflow_tasks=tasks,
        )

    def clerk(self, payroll: Payroll) -> Worker:
        return Worker(self.client, task_queue=TASK_QUEUE_JOBS, activities=[payroll.run])

    async def asked_of_bob(self) -> str:
        """His task, as soon as there is one."""
        while not (tasks := self.ledger.open_tasks(self.state.request_id)):  # noqa: ASYNC110 - a worker writes it
            await asyncio.sleep(0.02)
        return tasks[0].task.id

    async def decide(self) -> None:
        at = datetime.now(UTC)
        made = self.ledger.decide(await self.asked_of_bob(), "bob", "approve", at)
        await self.handle.signal(SIGNAL_TELL, made)


async def start(address: str, *, keys: bool = True) -> Started:
    parsed = parse.parse(RAISE)
    request_id = uuid4()
    keeper = Keeper({request_id: make_keys(request_id)} if keys else {})
    client = await temporal_client.connect(address, "default", keeper.source)
    state = progress.initial(
        parsed.recipe,
        request_id=str(request_id),
        requester="alice",
        inputs={"pay": SECRET},
        submitted_at=datetime.now(UTC),
        digest="d",
    )
    queue = f"test-{request_id}"
    handle = await client.start_workflow(
        ApprovalWorkflow.run,
        StartInput(ENGINE_VERSION, parsed.recipe, parsed.sha256, state),
        id=state.request_id,
        task_queue=queue,
    )
    return Started(client, keeper, Ledger(parsed.recipe), state, queue, handle)


async def whole_past(started: Started) -> list[HistoryEvent]:
    """The events of all runs, as the server keeps them."""
    runs = started.client.list_workflows(f"WorkflowId = '{started.state.request_id}'")
    found: list[HistoryEvent] = []
    async for run in runs:
        handle = started.client.get_workflow_handle(run.id, run_id=run.run_id)
        found += (await handle.fetch_history()).events
    return found


@pytest.mark.parametrize("impatient", [25], indirect=True)
async def test_nothing_the_server_keeps_can_be_read(impatient: str) -> None:
    """Start, signals, local activities, jobs with beats, failures and outputs, queries, the next run."""
    started, payroll = await start(impatient), Payroll()
    handle = started.handle
    async with started.worker(), started.clerk(payroll):
        await payroll.busy.wait()
        while not (await described(handle)).heartbeat_details.payloads:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)
        assert assert_sealed(await described(handle), SECRET) == 1
        payroll.fail.set()
        while not (pending := await described(handle)).HasField("last_failure"):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)
        assert pending.last_failure.message == "Encoded failure"
        assert assert_sealed(pending, SECRET) >= 2  # its text and its details
        await started.asked_of_bob()
        standing = await handle.query(QUERY_STANDING, result_type=Standing)
        assert standing.state == started.ledger.state(handle.id)
        assert assert_sealed(await asked(started.client, handle.id), SECRET) == 1
        for number in range(12):
            said = Commanded(
                f"c{number}", "retry", Actor("alice"), started.state.submitted_at, SECRET
            )
            await handle.signal(SIGNAL_TELL, said)
        await started.decide()
        assert await handle.result() == Outcome("approved", len(started.ledger.commits[handle.id]))
    events = await whole_past(started)
    assert sum(assert_sealed(event, SECRET) for event in events) > 20
    kinds = {each.WhichOneof("attributes") for each in events}
    wanted = (
        "workflow_execution_started",
        "workflow_execution_signaled",
        "marker_recorded",
        "activity_task_scheduled",
        "activity_task_started",  # with the failure before
        "activity_task_completed",
        "workflow_execution_continued_as_new",
        "workflow_execution_completed",
    )
    assert {f"{kind}_event_attributes" for kind in wanted} <= kinds


async def described(handle: WorkflowHandle[ApprovalWorkflow, Outcome]) -> PendingActivityInfo:
    """The activity that is under way, as the server shows it."""
    [pending] = (await handle.describe()).raw_description.pending_activities
    return pending


async def asked(client: Client, workflow_id: str) -> QueryWorkflowResponse:
    """The raw answer to a query."""
    request = QueryWorkflowRequest(
        namespace="default", query=WorkflowQuery(query_type=QUERY_STANDING)
    )
    request.execution.workflow_id = workflow_id
    return await client.workflow_service.query_workflow(request)


async def test_what_has_no_keys_is_carried_out_in_the_clear(
    temporal_server: TemporalServer,
) -> None:
    """Requests from before there were any."""
    started, payroll = await start(temporal_server.address, keys=False), Payroll()
    payroll.fail.set()
    async with started.worker(), started.clerk(payroll):
        await started.decide()
        assert (await started.handle.result()).state == "approved"
    found = [each for event in await whole_past(started) for _, each in payloads(event)]
    assert len(found) > 5
    assert not any(is_sealed(each) for each in found)


async def test_another_worker_goes_on_from_the_sealed_history(
    temporal_server: TemporalServer,
) -> None:
    """One that keeps no workflow in its memory reads the whole history for every task of it; so does
    whoever replays it, with the keys."""
    started, payroll = await start(temporal_server.address), Payroll()
    payroll.fail.set()
    async with started.worker(), started.clerk(payroll):
        await started.asked_of_bob()
    async with started.worker(cached=0, tasks=1):
        said = Commanded("c", "retry", Actor("alice"), started.state.submitted_at, SECRET)
        await started.handle.signal(SIGNAL_TELL, said)
        await started.decide()
        assert (await started.handle.result()).state == "approved"
    history = await started.handle.fetch_history()
    replayer = Replayer(
        workflows=[ApprovalWorkflow],
        data_converter=temporal_client.data_converter(started.keeper.source),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    await replayer.replay_workflow(history)
    kinds = [event.WhichOneof("attributes") for event in history.events]
    assert "workflow_task_failed_event_attributes" not in kinds


async def test_postgres_away_for_a_moment_fails_no_workflow_task(
    temporal_server: TemporalServer,
) -> None:
    started = await start(temporal_server.address)
    asked_before = started.keeper.asked
    started.keeper.failures += [ConnectionRefusedError("no") for _ in range(5)]
    payroll = Payroll()
    payroll.fail.set()
    async with started.worker(), started.clerk(payroll):
        await started.decide()
        assert (await started.handle.result()).state == "approved"
    assert started.keeper.failures == []
    assert started.keeper.asked > asked_before + 5
    kinds = [event.WhichOneof("attributes") for event in await whole_past(started)]
    assert "workflow_task_failed_event_attributes" not in kinds


async def test_without_its_keys_a_workflow_task_fails_and_says_why(
    temporal_server: TemporalServer,
) -> None:
    started = await start(temporal_server.address)
    keys = started.keeper.keys.pop(UUID(started.state.request_id))
    async with started.worker():
        while not (failures := await failed(started)):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    text = failures[0].failure.encoded_attributes.data.decode()
    assert f"the keys of {keys.request_id} are not there any more: it was erased" in text
    assert not is_sealed(failures[0].failure.encoded_attributes)
    await started.handle.terminate()


async def failed(started: Started) -> list[WorkflowTaskFailedEventAttributes]:
    events = (await started.handle.fetch_history()).events
    return [
        event.workflow_task_failed_event_attributes
        for event in events
        if event.HasField("workflow_task_failed_event_attributes")
    ]
