"""Orders by the connector alone, attempt after attempt as Temporal makes them: no requests, no recipe, no audit.

A workflow has a hundred orders made at once, each by an activity with the retries of a task. `python -m bench.ordering`
is its worker process.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities import connections
from activities.netsuite import purchase_order
from activities.registry import Call, Later, Refused
from activities.systems import Systems

TASK_QUEUE = "bench-ordering"
ADDRESS = "BENCH_TEMPORAL_ADDRESS"
CONNECTIONS = "BENCH_CONNECTIONS"
ORDER = "order"
BATCH = 100
_AT_ONCE = 40
_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=20,
)


@dataclass(frozen=True, slots=True)
class Made:
    """The order of `key` has this number in NetSuite, after so many attempts."""

    key: str
    number: str
    attempts: int


@workflow.defn(name="orders")
class Orders:
    """The orders of these keys, all at once."""

    @workflow.run
    async def run(self, erp: str, keys: list[str]) -> list[Made]:
        return list(
            await asyncio.gather(
                *(
                    workflow.execute_activity(
                        ORDER,
                        args=(erp, key),
                        result_type=Made,
                        start_to_close_timeout=timedelta(seconds=90),
                        retry_policy=_RETRY,
                    )
                    for key in keys
                )
            )
        )


class Ordering:
    """One attempt after the other, as `activities.jobs` makes them."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems

    @activity.defn(name=ORDER)
    async def order(self, erp: str, key: str) -> Made:
        attempt = activity.info().attempt
        inputs = {"connection": erp, "record": {"entity": {"id": "42"}}}
        call = Call(inputs, key, key, "order", attempt, attempt > 1, lambda _: None, self._systems)
        try:
            made = await purchase_order(call)
        except Refused as refused:
            raise ApplicationError(str(refused), non_retryable=True) from refused
        except Later as later:
            after = None if later.seconds is None else timedelta(seconds=later.seconds)
            raise ApplicationError(str(later), next_retry_delay=after) from later
        return Made(key, made["id"], attempt)


async def ordered(client: Client, erp: str, keys: list[str]) -> list[Made]:
    """The orders of one batch, made."""
    return await client.execute_workflow(
        Orders.run, args=(erp, keys), id=f"{erp}-{keys[0]}", task_queue=TASK_QUEUE
    )


async def work(address: str, file: Path) -> None:
    """Work until SIGTERM."""
    ordering = Ordering(Systems(connections.load(file)))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    client = await temporal_client.connect(address, "default", None)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Orders],
        activities=[ordering.order],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=_AT_ONCE,
    )
    async with worker:
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(work(os.environ[ADDRESS], Path(os.environ[CONNECTIONS])))
