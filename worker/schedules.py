"""When chores run: Temporal Schedules, made and kept as the settings say by every worker that starts.

Every worker must have the same settings: the last to start decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from activities.mirror import Mirroring, Origin
from activities.pages import Bounds
from activities.sweep import Sweeping
from contract.names import TASK_QUEUE_CHORES, WORKFLOW_MIRROR, WORKFLOW_MOVE_MONTHS, WORKFLOW_SWEEP
from settings import Settings
from storage.pool import Pool
from storage.store import store
from worker.chores import WORKFLOWS

_CATCH_UP = timedelta(minutes=1)
"""What was missed for longer than this, while Temporal was down, is not made up for."""

_WHOLE_SECONDS = 840.0
"""Within one try of the mirror's activity, with time left to write."""

SWEEP_EVERY = timedelta(seconds=30)
"""Whoever leaves or comes back by the clock alone is noticed within this time."""


NIGHT = timedelta(hours=2)
"""When months of the audit move, in UTC."""


@dataclass(frozen=True, slots=True)
class Chore:
    """A workflow of `worker.chores`, by its name, and how often it runs; None: not at all. `offset` is how
    much later than whole intervals since 1970 that is: of a day, the time of day in UTC.

    The name is also the schedule's id and the beginning of its workflows' ids.
    """

    workflow: str
    every: timedelta | None
    offset: timedelta = timedelta(0)


def chores(settings: Settings) -> tuple[Chore, ...]:
    """All of them, also those that are off."""
    mirrored = timedelta(seconds=settings.directory_sync_seconds)
    return (
        Chore(WORKFLOW_SWEEP, SWEEP_EVERY),
        Chore(WORKFLOW_MIRROR, mirrored if settings.directory_url else None),
        Chore(WORKFLOW_MOVE_MONTHS, timedelta(days=1) if settings.audit_store else None, NIGHT),
    )


def activities(pool: Pool, settings: Settings) -> list[Callable[..., Any]]:
    """What chores call."""
    origin = mirrored(settings)
    mirroring = [] if origin is None else [Mirroring(pool, origin).mirror]
    return [Sweeping(pool).sweep, *mirroring, *_moving(pool, settings)]


def _moving(pool: Pool, settings: Settings) -> list[Callable[..., Any]]:
    if settings.audit_store is None:
        return []
    from activities.moving import Moving

    moving = Moving(
        pool,
        store(settings.audit_store, settings.audit_cache),
        settings.seal_key,
        settings.audit_hot_days,
        settings.audit_retention_years,
    )
    return [moving.move_months]


def mirrored(settings: Settings) -> Origin | None:
    """The system that the directory mirrors, if it does."""
    if settings.directory_url is None or settings.directory_mapping is None:
        return None
    page = settings.directory_timeout_seconds
    return Origin(
        url=settings.directory_url,
        mapping_file=settings.directory_mapping,
        patience=timedelta(seconds=settings.directory_patience_seconds),
        token=settings.directory_token,
        token_file=settings.directory_token_file,
        bounds=Bounds(page=page, whole=min(20 * page, _WHOLE_SECONDS)),
    )


def build(client: Client, pool: Pool, settings: Settings) -> Worker:
    """The worker of all chores, with a few slots: they run seldom.

    Without versions: a chore lasts minutes, and the next run takes whatever worker there is.
    """
    return Worker(
        client,
        task_queue=TASK_QUEUE_CHORES,
        workflows=WORKFLOWS,
        activities=activities(pool, settings),
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=10,
        max_concurrent_workflow_tasks=4,
        max_concurrent_activities=4,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(2),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(1),
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_graceful_shutdown),
    )


async def arrange(client: Client, wanted: Sequence[Chore]) -> None:
    """Make, change or delete the schedules. Any number of workers may do it at once. Raises RPCError."""
    for chore in wanted:
        if chore.every is None:
            await _remove(client, chore.workflow)
        else:
            await _keep(client, chore.workflow, _schedule(chore, chore.every))


def _schedule(chore: Chore, every: timedelta) -> Schedule:
    """One run at a time: a run that lasts longer than the interval lets the next ones fall out."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            chore.workflow, id=chore.workflow, task_queue=TASK_QUEUE_CHORES
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every, offset=chore.offset or None)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_CATCH_UP),
    )


async def _keep(client: Client, schedule_id: str, wanted: Schedule) -> None:
    """Make the schedule, and run it at once; or change the one that is there."""

    def changed(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        current = found.description.schedule
        if (current.spec.intervals, current.policy) == (wanted.spec.intervals, wanted.policy):
            return None
        wanted.state = current.state  # whoever paused it meant that
        return ScheduleUpdate(wanted)

    try:
        await client.create_schedule(schedule_id, wanted, trigger_immediately=True)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id).update(changed)


async def _remove(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
