"""Chores: small workflows that a Schedule starts again and again, each one call of one activity.

No request waits for them. What they do is in their activities; when they run is in `worker.schedules`.
To add one: a workflow here and among WORKFLOWS, its activity and its interval in `worker.schedules`.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

from contract.messages import SyncAsked, Synced
from contract.names import (
    ACTIVITY_MIRROR,
    ACTIVITY_MOVE_MONTHS,
    ACTIVITY_SWEEP,
    WORKFLOW_MIRROR,
    WORKFLOW_MOVE_MONTHS,
    WORKFLOW_SWEEP,
)

_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))


async def _call(
    activity: str,
    *asked: Any,
    one_try: timedelta,
    all_tries: timedelta,
    beats: timedelta | None = None,
    result_type: type | None = None,
) -> Any:
    """Call the activity. One that never succeeds ends the run, and the next run begins afresh.

    One that `beats` (heartbeats, at least so often) is tried again soon after its worker died.
    """
    return await workflow.execute_activity(
        activity,
        args=asked,
        result_type=result_type,
        start_to_close_timeout=one_try,
        schedule_to_close_timeout=all_tries,
        heartbeat_timeout=beats,
        retry_policy=_RETRY,
    )


@workflow.defn(name=WORKFLOW_SWEEP)
class SweepWorkflow:
    """Find open tasks whose people are not the right ones any more."""

    @workflow.run
    async def run(self) -> None:
        await _call(ACTIVITY_SWEEP, one_try=timedelta(minutes=2), all_tries=timedelta(minutes=5))


@workflow.defn(name=WORKFLOW_MIRROR)
class MirrorWorkflow:
    """Bring the directory up to date with the system that it mirrors."""

    @workflow.run
    async def run(self, asked: SyncAsked | None = None) -> Synced:
        """`asked` is what somebody said who started it by hand."""
        found: Synced = await _call(
            ACTIVITY_MIRROR,
            asked or SyncAsked(),
            result_type=Synced,
            one_try=timedelta(minutes=15),
            all_tries=timedelta(minutes=20),
            beats=timedelta(seconds=30),
        )
        return found


@workflow.defn(name=WORKFLOW_MOVE_MONTHS)
class MoveMonthsWorkflow:
    """Move months of the audit that are long over to the cold tier, and delete those whose time is over."""

    @workflow.run
    async def run(self) -> None:
        await _call(
            ACTIVITY_MOVE_MONTHS,
            one_try=timedelta(hours=6),
            all_tries=timedelta(hours=12),
            beats=timedelta(minutes=1),
        )


WORKFLOWS = (SweepWorkflow, MirrorWorkflow, MoveMonthsWorkflow)
