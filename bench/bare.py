"""Baseline (a): a bare Temporal workflow of two one-row local activities and one signal.

No HTTP, no recipe, no audit: what the same server, Postgres and machine give at most. The worker has
the settings of ours. `python -m bench.bare` is its worker process.
"""

import asyncio
import os
import signal
from datetime import timedelta

import uvloop
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

import temporal_client
from bench import bare_rows
from bench.bare_rows import Rows

TASK_QUEUE = "bench-bare"
ADDRESS = "BENCH_TEMPORAL_ADDRESS"
DATABASE = "BENCH_DATABASE_URL"


@workflow.defn(name="bare")
class Bare:
    """Opens, waits for one signal, closes."""

    @workflow.init
    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.decision: str | None = None

    @workflow.signal
    def decide(self, decision: str) -> None:
        self.decision = decision

    @workflow.run
    async def run(self, request_id: str) -> str:
        await self.insert(bare_rows.OPEN, request_id)
        await workflow.wait_condition(lambda: self.decision is not None)
        await self.insert(bare_rows.CLOSE, request_id)
        return self.decision or ""

    async def insert(self, activity: str, request_id: str) -> None:
        await workflow.execute_local_activity(
            activity, request_id, start_to_close_timeout=timedelta(seconds=30)
        )


async def start(client: Client, request_id: str) -> None:
    await client.start_workflow("bare", request_id, id=request_id, task_queue=TASK_QUEUE)


async def work(address: str, database_url: str) -> None:
    """Work until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    rows = await Rows.connect(database_url)
    client = await temporal_client.connect(address, "default", None)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Bare],
        activities=[rows.open_task, rows.close_task],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=1000,
        max_concurrent_workflow_tasks=100,
        max_concurrent_local_activities=50,
        no_remote_activities=True,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    async with worker:
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(work(os.environ[ADDRESS], os.environ[DATABASE]))
