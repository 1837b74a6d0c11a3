"""The worker of jobs: its functions, and that they are all that recipes in use need."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities import connections, netsuite, registry
from activities.connections import ConnectionsInvalid
from activities.http_call import http
from activities.jobs import Jobs
from activities.registry import Function, RegistryInvalid
from activities.systems import Systems
from contract.names import TASK_QUEUE_JOBS
from recipes.model import HTTP
from settings import Settings
from storage import jobs
from storage.pool import Pool

_MOST_NAMED = 10
_HEARD = timedelta(seconds=2)
"""How soon a job hears that it is to stop: by the answer to its next beat."""


class WorkerRefuses(Exception):
    """A worker could not do its work; the text says why and what to do."""


def functions(settings: Settings) -> dict[str, Function]:
    """All there are, by name. WorkerRefuses if they cannot be had."""
    try:
        return {HTTP: http, **registry.load(f"{netsuite.__name__},{settings.jobs}")}
    except RegistryInvalid as error:
        raise WorkerRefuses(str(error)) from error


def systems(settings: Settings) -> Systems:
    """What they may call. WorkerRefuses if its file cannot be used."""
    try:
        return Systems(connections.load(settings.connections))
    except ConnectionsInvalid as error:
        raise WorkerRefuses(str(error)) from error


async def say_and_compare(pool: Pool, found: Mapping[str, Function]) -> None:
    """Write down which functions there are. WorkerRefuses if a recipe in use runs another: its requests
    would wait in silence."""
    missing = await jobs.missing(pool, list(found))
    if missing:
        named = [f"{it.function} ({it.workflow} version {it.version})" for it in missing]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise WorkerRefuses(
            f"this worker has no function {', '.join(named[:_MOST_NAMED])}{more}: name the module that"
            " has it in COUNTERSIGN_JOBS, or disable the version"
        )
    await jobs.say(pool, list(found))


def build(
    client: Client,
    pool: Pool,
    settings: Settings,
    found: Mapping[str, Function],
    others: Systems | None = None,
) -> Worker:
    """Without versions: a job is the same work whatever engine asks for it."""
    return Worker(
        client,
        task_queue=TASK_QUEUE_JOBS,
        activities=[Jobs(pool, found, others).run],
        max_concurrent_activities=settings.worker_job_slots,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_heartbeat_throttle_interval=_HEARD,
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_graceful_shutdown),
    )
