"""What `countersign doctor` looks at besides: chores and their schedules, and what the directory mirrors."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from activities import mapping
from activities.mapping import MappingInvalid
from cli.finding import Finding
from settings import Settings
from storage import mirror
from storage.pool import Source
from worker.schedules import Chore, chores

_LATE = timedelta(minutes=2)
"""How much later than its interval a chore may be: a run that waits for a slow one, a worker's restart."""
_BAD = frozenset(
    [
        WorkflowExecutionStatus.FAILED,
        WorkflowExecutionStatus.TIMED_OUT,
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.CANCELED,
    ]
)
_RUN = "run countersign worker: it makes the schedules when it starts, and does the chores"


async def schedules(client: Client, loaded: Settings) -> list[Finding]:
    """One finding for each chore that is on. Raises RPCError."""
    return [
        await _schedule(client, chore, chore.every)
        for chore in chores(loaded)
        if chore.every is not None
    ]


async def _schedule(client: Client, chore: Chore, every: timedelta) -> Finding:
    """`every` as our settings have it; the schedule's own interval counts, if it is there."""
    part = f"schedule {chore.workflow}"
    try:
        found = await client.get_schedule_handle(chore.workflow).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return Finding(part, "problem", "is not there", _RUN)
    if found.schedule.state.paused:
        fix = f"temporal schedule toggle --unpause --schedule-id {chore.workflow}"
        return Finding(part, "warning", f"is paused: {found.schedule.state.note or ''}", fix)
    last = max((run.started_at for run in found.info.recent_actions), default=None)
    every = next((interval.every for interval in found.schedule.spec.intervals), every)
    since = last or found.info.created_at
    late = datetime.now(UTC) - since
    if late > every + _LATE:
        return Finding(part, "problem", f"last ran {_minutes(late)} ago", _RUN)
    failed = await _failed(client, found)
    if failed is not None:
        fix = f"look at the workflow {failed} in the Temporal Web UI, and at the worker's log"
        return Finding(part, "problem", "its last run failed", fix)
    return Finding(part, "ok", f"every {every.total_seconds():g} s")


async def _failed(client: Client, found: ScheduleDescription) -> str | None:
    """The id of the last run, if it failed."""
    if not found.info.recent_actions:
        return None
    action = found.info.recent_actions[-1].action
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    try:
        handle = client.get_workflow_handle(
            action.workflow_id, run_id=action.first_execution_run_id
        )
        run = await handle.describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None  # so old that Temporal has forgotten it
        raise
    return action.workflow_id if run.status in _BAD else None


async def mirrored(source: Source, loaded: Settings) -> list[Finding]:
    """How the directory stands, where it mirrors another system."""
    part = "HR system"
    found = await mirror.standing(source)
    if loaded.directory_mapping is not None:
        file = loaded.directory_mapping
        try:
            mapping.parse(file.read_bytes(), file.name)
        except (OSError, MappingInvalid) as error:
            why = getattr(error, "strerror", None) or str(error)
            return [Finding(part, "problem", f"{file}: {why}", "correct the mapping file")]
    if found is None:
        if loaded.directory_url is None:
            return []
        return [Finding(part, "problem", f"{loaded.directory_url} was never read", _RUN)]
    read = f"read {_minutes(datetime.now(UTC) - found.synced_at)} ago" if found.synced_at else ""
    if found.stale:
        what = f"{found.source}: {read or 'never read'}; nobody is asked any more"
        return [Finding(part, "problem", what, found.failing or _RUN)]
    if found.failing is not None:
        what = f"{found.source}: {found.failing}"
        fix = f"put it right; what was {read or 'here before'} counts until {found.stale_after:%F %R} UTC"
        return [Finding(part, "problem", what, fix)]
    doubts: Literal["ok", "warning"] = "warning" if found.doubts else "ok"
    seen = "; ".join([f"{found.source}: {found.people} people, {read}", *found.doubts])
    fix = "correct them over there, or the mapping file" if found.doubts else None
    return [Finding(part, doubts, seen, fix)]


def _minutes(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
