"""Find open tasks whose people are not the right ones any more; their requests are told by the relay."""

import time

import structlog
from temporalio import activity

from contract.names import ACTIVITY_SWEEP
from storage.pool import Pool
from storage.sweep import sweep

_log = structlog.get_logger()


class Sweeping:
    """The sweep of one worker process, over its pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn(name=ACTIVITY_SWEEP)
    async def sweep(self) -> int:
        """Tell every request with stale tasks, a batch at a time. How many tasks that were."""
        tasks, again = 0, True
        while again:
            swept = await sweep(self._pool)
            tasks, again = tasks + swept.tasks, swept.more
        meter = activity.metric_meter()
        meter.create_counter(
            "countersign_rechecked_tasks", "Open tasks whose workflow was told to ask again."
        ).add(tasks)
        meter.create_gauge(
            "countersign_last_sweep_time", "When the last sweep ended.", "unix seconds"
        ).set(int(time.time()))
        if tasks:
            _log.info("swept", tasks=tasks)
        return tasks
