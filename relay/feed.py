"""The feed's own work in a relay: giving positions, forgetting old ones, and saying how far all are."""

from prometheus_client import Counter, Gauge

from relay.gauges import show
from storage import feed
from storage.pool import Pool

SEQUENCE_SECONDS = 0.1

fed = Counter("countersign_feed_events_total", "Events that this relay has put into the feed.")
waiting = Gauge("countersign_feed_waiting_rows", "Committed events that are not in the feed yet.")
lag = Gauge("countersign_feed_lag_seconds", "Age of the oldest of them.")
events_behind = Gauge(
    "countersign_feed_consumer_lag_events", "Events that a consumer has not had yet.", ["consumer"]
)
seconds_behind = Gauge(
    "countersign_feed_consumer_lag_seconds", "Age of the oldest of them.", ["consumer"]
)


async def sequence(pool: Pool) -> bool:
    """Put into the feed what is committed. True if there may be more at once."""
    count = await feed.sequence(pool)
    fed.inc(count)
    return count == feed.BATCH


async def measure(pool: Pool) -> bool:
    """How far the feed is behind, and each consumer of it, also where nothing works on them."""
    rows, seconds = await feed.lag(pool)
    waiting.set(rows)
    lag.set(seconds)
    found = await feed.behind(pool)
    show(events_behind, {each.name: each.events for each in found})
    show(seconds_behind, {each.name: each.seconds for each in found})
    return False


async def forget(pool: Pool, days: int) -> bool:
    """Forget what is old. True if there may be more at once."""
    return await feed.forget(pool, days) == feed.BATCH
