"""A worker process: runs workflows and their activities until it is told to stop."""

import asyncio
import signal
from datetime import timedelta

import structlog
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
)

import temporal_client
from activities.commit import Activities
from contract.names import ENGINE_VERSION, TASK_QUEUE, TASK_QUEUE_CHORES, TASK_QUEUE_JOBS
from settings import Settings
from storage import mirror
from storage.errors import FAILED, plain
from storage.pool import Pool, patient_pool
from storage.vault import open_vault
from telemetry import interceptors
from worker import jobs, schedules
from worker.workflow import ApprovalWorkflow

_log = structlog.get_logger()

VERSION = WorkerDeploymentVersion("countersign", f"engine-{ENGINE_VERSION}")
"""Running requests move to the newest engine (AUTO_UPGRADE): one pinned to an older would be stuck
once its last worker is gone. Replay of stored histories guards that they can move."""

STICKY = timedelta(seconds=2)
"""How long a workflow task waits for the worker that knows it; the SDK's 10 s stall after a crash."""


def build(client: Client, pool: Pool, settings: Settings) -> Worker:
    """The worker, with everything a workflow of ours may call registered.

    Unsandboxed, because the sandbox re-imports for every workflow; a lint keeps clocks, randomness
    and I/O out of workflow code instead, and stored histories are replayed on every change.
    """
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ApprovalWorkflow],
        activities=[Activities(pool).commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.worker_cached_workflows,
        max_concurrent_workflow_tasks=settings.worker_workflow_slots,
        max_concurrent_local_activities=settings.worker_activity_slots,
        no_remote_activities=True,
        sticky_queue_schedule_to_start_timeout=STICKY,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_graceful_shutdown),
        deployment_config=WorkerDeploymentConfig(
            version=VERSION,
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
        ),
    )


async def make_current(client: Client) -> None:
    """Tell Temporal that requests are now carried by this engine version."""
    await client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace,
            deployment_name=VERSION.deployment_name,
            build_id=VERSION.build_id,
            ignore_missing_task_queues=True,
            allow_no_pollers=True,
        )
    )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is under way.

    WorkerRefuses if it could not run the jobs of recipes that are in use.
    """
    functions, systems = jobs.functions(settings), jobs.systems(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    vault = open_vault(settings.region_key)
    pool = await patient_pool(settings.database_url, vault, stopping, settings.database_pool_size)
    client = None if pool is None else await _patient_client(settings, pool, stopping)
    if pool is None or client is None:
        return
    await jobs.say_and_compare(pool, functions)
    await _say_what_is_mirrored(pool, settings)
    async with (
        build(client, pool, settings),
        schedules.build(client, pool, settings),
        jobs.build(client, pool, settings, functions, systems),
    ):
        _log.info("worker runs", task_queues=[TASK_QUEUE, TASK_QUEUE_CHORES, TASK_QUEUE_JOBS])
        await stopping.wait()
        _log.info("worker finishes what is under way")
    await pool.close()


async def _say_what_is_mirrored(pool: Pool, settings: Settings) -> None:
    """Before the first request is carried on: an empty directory that mirrors another must not be asked.

    If Postgres goes away just now, the first reading of the other system says it.
    """
    origin = schedules.mirrored(settings)
    try:
        if origin is None:
            await mirror.withdraw(pool)
        else:
            await mirror.declare(pool, origin.url, origin.patience)
    except FAILED as error:
        _log.warning("what the directory mirrors was not written", error=plain(error))


async def _patient_client(settings: Settings, pool: Pool, stopping: asyncio.Event) -> Client | None:
    """A connected client, as soon as Temporal serves our namespace; None if stopped before."""
    port = settings.worker_metrics_port
    runtime = temporal_client.metered(f"{settings.metrics_host}:{port}") if port else None
    while not stopping.is_set():
        try:
            client = await temporal_client.connect(
                settings.temporal_address,
                settings.temporal_namespace,
                pool,
                runtime=runtime,
                interceptors=interceptors(settings.otel_endpoint, "worker"),
            )
            await make_current(client)
            await schedules.arrange(client, schedules.chores(settings))
            return client
        except (RPCError, RuntimeError) as error:
            _log.warning("waiting for Temporal", error=str(error))
            await asyncio.sleep(1)
    return None
