"""The relay: tells Temporal whatever the API's first try did not, until it is told; seals the audit; puts
its events into the feed; and tells them to those who want to hear of them (`relay.sinks`).

Any number of relays may run. Rows are leased, so the death of one only delays what it had taken; one
at a time seals (`relay.sealing`).
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine

import structlog
from prometheus_client import Gauge, start_http_server
from structlog.contextvars import bound_contextvars
from temporalio.client import Client

import temporal_client
from contract import traces
from contract.notes import PrivateKey
from relay import delivery, feed, kafka, mail, measuring, notifying, sealing
from relay.delivery import Told
from relay.sealing import Sealer, Signing
from relay.sinks import Sinks
from relay.witnesses import Witness, witnesses
from settings import Settings
from storage import audit, commits, idempotency, outbox
from storage.errors import FAILED, StorageError, is_away, plain
from storage.outbox import Due
from storage.pool import Pool, patient_pool
from storage.seal_keys import read_keys
from storage.vault import open_vault
from telemetry import interceptors

_log = structlog.get_logger()

BATCH = 64
LEASE_SECONDS = 30.0
IDLE_SECONDS = 0.25
RETRY_SECONDS = 5.0
ADMISSION = 500
HOUSEKEEPING_SECONDS = 3600.0
REMEMBER_DAYS = 7

waiting = Gauge("countersign_outbox_rows", "Messages that Temporal has still to be told.")
oldest = Gauge("countersign_outbox_oldest_seconds", "Age of the oldest of them.")


async def run(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. KeyInvalid, WitnessInvalid if it cannot seal as its settings say,
    KafkaInvalid and MailInvalid if it cannot send to Kafka, or mail, so: before anything runs, or waits."""
    keep = witnesses(settings.seal_witnesses)
    keys = read_keys(settings.seal_key) if settings.seal_key.exists() else []
    brokers = kafka.configured(settings.kafka_brokers, settings.kafka_config)
    mail.trusting(settings.smtp_ca_file)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if settings.relay_metrics_port:
        start_http_server(settings.relay_metrics_port, addr=settings.metrics_host)
    vault = open_vault(settings.region_key)
    pool = await patient_pool(settings.database_url, vault, stopping, settings.database_pool_size)
    if pool is None:
        return
    client = await temporal_client.connect(
        settings.temporal_address,
        settings.temporal_namespace,
        pool,
        lazy=True,
        interceptors=interceptors(settings.otel_endpoint, "relay"),
    )
    sinks = Sinks(pool, settings, brokers)
    _log.info("relay runs")
    await asyncio.gather(
        *_sealing(stopping, pool, keys, keep, settings),
        *sinks.work(lambda work, pause: _repeat(stopping, work, pause)),
        _repeat(stopping, lambda: relay_once(client, pool), IDLE_SECONDS),
        _repeat(stopping, lambda: feed.sequence(pool), feed.SEQUENCE_SECONDS),
        _repeat(stopping, lambda: _measure(pool), 1.0),
        _repeat(stopping, lambda: _measure_sealing(pool), 1.0),
        _repeat(stopping, lambda: feed.measure(pool), 1.0),
        _repeat(stopping, lambda: measuring.measure(pool), measuring.SECONDS),
        _repeat(stopping, lambda: _prepare_months(pool), HOUSEKEEPING_SECONDS),
        _repeat(stopping, lambda: _forget(pool, settings.replay_days), HOUSEKEEPING_SECONDS),
        _repeat(stopping, lambda: feed.forget(pool, settings.feed_kept_days), HOUSEKEEPING_SECONDS),
        *(_repeat(stopping, work, rest) for work, rest in notifying.chores(pool, settings)),
    )
    await sinks.close()
    await pool.close()


def _sealing(
    stopping: asyncio.Event,
    pool: Pool,
    keys: list[PrivateKey],
    keep: list[Witness],
    settings: Settings,
) -> list[Coroutine[None, None, None]]:
    """What seals and what publishes; nothing without a key."""
    if not keys:
        _log.warning("the audit is not sealed: no key", wanted=str(settings.seal_key))
        return []
    sealer = Sealer(pool, Signing(tuple(keys)), keep)

    async def publish() -> bool:
        await sealer.publish()
        return False

    return [
        _repeat(stopping, publish, settings.seal_witness_seconds),
        _repeat(stopping, sealer.seal, settings.seal_seconds),
    ]


async def relay_once(client: Client, pool: Pool) -> bool:
    """Tell what is due. True if there may be more at once."""
    admitted = await outbox.not_begun(pool, ADMISSION) < ADMISSION
    rows = await outbox.take(pool, most=BATCH, lease_seconds=LEASE_SECONDS, starts=admitted)
    told = await asyncio.gather(*(_tell(client, pool, row) for row in rows))
    await outbox.delete(pool, [row.id for row, done in zip(rows, told, strict=True) if done])
    return len(rows) == BATCH and all(told)


async def _tell(client: Client, pool: Pool, row: Due) -> bool:
    """Its lines, and what follows at the workers, are of the trace of whoever wrote it."""
    about = {"request_id": str(row.request_id), **traces.named(row.traceparent)}
    with bound_contextvars(**about), traces.under(row.traceparent):
        done = await _told(client, pool, row)
        if done:
            _log.info("told", kind=row.kind, attempts=row.attempts)
        return done


async def _told(client: Client, pool: Pool, row: Due) -> bool:
    try:
        if row.kind == "start":
            start = await outbox.start_input(pool, row.request_id)
            result = await delivery.start(client, start)
        else:
            result = await delivery.signal(client, pool, row.request_id, row.message())
    except Exception as error:
        if is_away(error):
            raise
        # One bad row stops no others; it stays, and is seen.
        _log.warning("not told", kind=row.kind, error=plain(error))
        await outbox.postpone(pool, row.id, RETRY_SECONDS, plain(error))
        return False
    if result is Told.NOT_YET:
        await outbox.postpone(pool, row.id, RETRY_SECONDS, "its workflow was not there yet")
    return result is Told.DONE


async def _measure(pool: Pool) -> bool:
    rows, seconds = await outbox.lag(pool)
    waiting.set(rows)
    oldest.set(seconds)
    return False


async def _measure_sealing(pool: Pool) -> bool:
    await sealing.measure(pool)
    return False


async def _prepare_months(pool: Pool) -> bool:
    await audit.prepare_months(pool)
    return False


async def _forget(pool: Pool, replay_days: int) -> bool:
    await commits.forget(pool, replay_days)
    await idempotency.forget(pool, REMEMBER_DAYS)
    return False


async def _repeat(
    stopping: asyncio.Event, work: Callable[[], Awaitable[bool]], pause: float
) -> None:
    while not stopping.is_set():
        again = False
        try:
            again = await work()
        except (StorageError, *FAILED) as error:
            _log.warning("not done now", error=plain(error))
        if not again:
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue
