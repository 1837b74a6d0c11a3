"""What waits for people, by workflow, as figures of the relay. Every relay tells the same: take the largest."""

from prometheus_client import Gauge

from storage import stats
from storage.pool import Pool
from storage.stats import Standing

SECONDS = 10.0
COUNT_SECONDS = 30.0
"""How often it is counted, by whichever relay comes first: that reads every open task."""

open_tasks = Gauge("countersign_open_tasks", "Tasks that wait for a decision.", ["workflow"])
overdue = Gauge(
    "countersign_overdue_tasks", "Those of them that are past their time.", ["workflow"]
)
incidents = Gauge("countersign_incidents", "Requests that wait for an administrator.", ["workflow"])

_NOTHING = Standing(0, 0, 0)
_told: set[str] = set()


async def measure(pool: Pool, count_seconds: float = COUNT_SECONDS) -> bool:
    """A workflow of which nothing waits any more is told with zeros."""
    found = await stats.standing(pool, count_seconds)
    _told.update(found)
    for workflow in _told:
        standing = found.get(workflow, _NOTHING)
        open_tasks.labels(workflow).set(standing.open)
        overdue.labels(workflow).set(standing.overdue)
        incidents.labels(workflow).set(standing.incidents)
    return False
