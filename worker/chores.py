"""Chores: small workflows that a Schedule starts again and again, each one call of one activity.

No request waits for them. What they do is in their activities; when they run is in `worker.schedules`.
To add one: a workflow here and among WORKFLOWS, its activity and its interval in `worker.schedules`.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from contract.names import (
    ACTIVITY_MIRROR,
    ACTIVITY_SWEEP,
    WORKFLOW_MIRROR,
    WORKFLOW_SWEEP,
)

_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))


async def _call(activity: str, *, one_try: timedelta, all_tries: timedelta) -> None:
    """Call the activity. One that never succeeds ends the run, and the next run begins afresh."""
    await workflow.execute_activity(
        activity,
        start_to_close_timeout=one_try,
        schedule_to_close_timeout=all_tries,
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
    async def run(self) -> None:
        await _call(ACTIVITY_MIRROR, one_try=timedelta(minutes=15), all_tries=timedelta(minutes=20))


WORKFLOWS = (SweepWorkflow, MirrorWorkflow)
