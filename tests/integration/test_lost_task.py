"""A workflow task that carried several transitions is lost, because a signal met its completion: all of
its local activities run again, and find what they wrote."""

from dataclasses import replace
from uuid import UUID, uuid4

from temporalio import activity
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities.commit import Activities
from contract.messages import CommitInput, CommitResult, Outcome
from contract.names import ACTIVITY_COMMIT, TASK_QUEUE
from recipes.happenings import Actor, Commanded
from relay import delivery
from tests.integration.house import House
from tests.stack import TemporalServer
from worker.workflow import ApprovalWorkflow


async def test_start_and_cancel_in_one_task_and_a_second_cancel_meets_it(
    house: House, temporal_server: TemporalServer
) -> None:
    client = await temporal_client.connect(
        temporal_server.address, temporal_server.namespace, house.pool
    )
    made = await house.submit()
    request_id = UUID(made["id"])
    await delivery.start(client, house.delivery.starts[-1])
    first = Commanded(
        str(uuid4()), "cancel", Actor("alice"), house.delivery.starts[-1].state.submitted_at
    )
    second = replace(first, command_id=str(uuid4()))
    for command in (first, second):
        await house.pool.execute(
            "INSERT INTO commands (id, request_id, command, actor) VALUES ($1, $2, 'cancel', 'alice')",
            UUID(command.command_id),
            request_id,
        )
    await delivery.signal(client, house.pool, request_id, first)
    real, seen = Activities(house.pool), list[tuple[int, bool]]()

    @activity.defn(name=ACTIVITY_COMMIT)
    async def commit(asked: CommitInput) -> CommitResult:
        result = await real.commit(asked)
        seen.append((asked.state.seq + 1, result.earlier is not None))
        if seen == [(1, False), (2, False)]:
            await delivery.signal(client, house.pool, request_id, second)
        return result

    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ApprovalWorkflow],
        activities=[commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = client.get_workflow_handle(str(request_id), result_type=Outcome)
        assert await handle.result() == Outcome("cancelled", 3)
    assert seen == [(1, False), (2, False), (1, True), (2, True), (3, False)]
    rows = await house.pool.fetch("SELECT applied, detail FROM commands ORDER BY applied DESC")
    assert [(row["applied"], row["detail"]) for row in rows] == [
        (True, "cancelled"),
        (False, "the request is already cancelled"),
    ]
