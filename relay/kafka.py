"""Kafka: every event of the feed as a record, each request's in their order.

A record's key is the request, its value the envelope. The cursor moves on once the brokers have acknowledged all
that was sent (idempotent producer, acks=all); what may not have got there is sent again, with the same ids.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import Counter, Gauge
from pydantic_core import to_json

from contract import cloudevents
from recipes.model import Json
from relay.outliving import mistaken
from storage import feed, telling
from storage.bell import Bell
from storage.feed import Fed, Forgotten
from storage.pool import Pool
from storage.telling import Unreadable

_log = structlog.get_logger()

CONSUMER = "kafka"
BATCH = 500
_USUAL = 1_000_000
"""Bytes of a batch, where the settings say nothing."""
_SIZES = ("batch.size", "message.max.bytes")
_ROOM = 0.9
_FEW = 10
"""Of those, while some are sent alone: each costs a round trip."""
LEASE = 60.0
PATIENCE = 20.0
"""Seconds in which the brokers have to acknowledge what is sent at once."""
LOOK_SECONDS = 1.0
_REFUSED = (KafkaException, ValueError, TypeError)
_AFTER = re.compile(r"\s*\(after \d+ms in state .*\)$")
"""Another one each time, of the same thing."""
_LINE = re.compile(r"([a-z][a-z0-9._]*)\s*=\s*(.*)")
_HEADERS = ("specversion", "id", "source", "type", "time", "subject", "sequence", "partitionkey")

sent = Counter("countersign_kafka_events_total", "Events that the brokers have acknowledged.")
failed = Counter("countersign_kafka_failures_total", "Times that they did not, or not in time.")
missed = Counter(
    "countersign_kafka_missed_total", "Events that were forgotten before they were sent."
)
by_ids = Counter(
    "countersign_kafka_by_ids_total",
    "Events that were sent without their content, by why.",
    ["why"],
)
closed = Gauge(
    "countersign_kafka_closed", "1 while the brokers take nothing of the relay whose turn it is."
)


class KafkaInvalid(Exception):
    """There can be no producer with these settings; the text says where and why."""

    fix = "correct the file of COUNTERSIGN_KAFKA_CONFIG, or unset COUNTERSIGN_KAFKA_BROKERS: no relay starts like this"


class _NotSent(Exception):
    """The brokers have not acknowledged it all; the text says why."""


def configured(brokers: str | None, path: Path | None) -> dict[str, str] | None:
    """`configuration`, where there are brokers. KafkaInvalid."""
    return None if brokers is None else configuration(brokers, path)


def configuration(brokers: str, path: Path | None) -> dict[str, str]:
    """That of librdkafka: what a file says (a line `name=value` each), and what must be so. KafkaInvalid."""
    said: dict[str, tuple[int, str]] = {} if path is None else _read(path)
    config = {name: value for name, (_, value) in said.items()} | {
        "bootstrap.servers": brokers,
        "enable.idempotence": "true",
        "acks": "all",
        "message.timeout.ms": "0",  # how long is ours to say
        "linger.ms": "60000",  # as is when a batch is whole (`_records`)
        "batch.num.messages": "10000",
        "log_level": "0",  # errors come by `error_cb`
    }
    try:
        Producer(config)
    except _REFUSED as error:
        raise KafkaInvalid(_where(path, said, _says(error))) from None
    return config


def _read(path: Path) -> dict[str, tuple[int, str]]:
    """What a file says, by name, each with its line. KafkaInvalid."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KafkaInvalid(f"{path} cannot be read: {error}") from None
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise KafkaInvalid(f"{path}, line {number}: it is not like name=value")
        found[match[1]] = number, match[2]
    return found


def _where(path: Path | None, said: Mapping[str, tuple[int, str]], why: str) -> str:
    """What librdkafka says against settings, with the line that it is about, if it names that."""
    if path is None:
        return why
    lines = [line for name, (line, _) in said.items() if name in re.findall(r"[\w.]+", why)]
    return f"{path}, line {lines[0]}: {why}" if lines else f"{path}: {why}"


def _says(error: Exception) -> str:
    said = error.args[0]
    return str(said.str() if isinstance(said, KafkaError) else said).strip()


@dataclass(frozen=True, slots=True)
class _Record:
    """An event as it is sent."""

    id: Json
    key: str
    value: bytes
    headers: list[tuple[str, bytes | str | None]]

    @property
    def size(self) -> int:
        """In bytes, and a little more."""
        return (
            len(self.value) + sum(len(name) + len(str(it)) + 10 for name, it in self.headers) + 100
        )


class Kafka:
    """The sink of one relay. `look` is called again and again."""

    def __init__(self, pool: Pool, config: Mapping[str, str], topic: str, bell: Bell) -> None:
        self._pool = pool
        self._config = dict(config)
        self._topic = topic
        self._bell = bell
        self._owner = uuid4().hex
        self._most = _ROOM * min(int(config.get(name, _USUAL)) for name in _SIZES)
        self._begun = False
        self._why: str | None = None
        self._too_large: set[Json] = set()
        self._suspected: set[Json] = set()
        """To be sent alone, to see whether it is these that are too large."""
        self._said: str | None = None
        self._unreadable: set[int] = set()
        """Positions of those of which it was said."""
        self._producer = self._made()

    async def look(self) -> bool:
        """Send what is there, if this relay has the lease: then wait for more. True if it is to look again at
        once."""
        if not self._begun:
            await feed.begin(self._pool, CONSUMER)
            self._begun = True
        position = await feed.lease(self._pool, CONSUMER, self._owner, LEASE)
        if position is None:
            closed.set(0)
            return False
        try:
            found = await feed.after(self._pool, position, BATCH)
        except Forgotten as error:
            missed.inc(error.oldest - position)
            _log.error("events were forgotten before Kafka had them", count=error.oldest - position)
            await feed.advance(self._pool, CONSUMER, self._owner, error.oldest)
            return True
        if not found:
            await self._bell.wait(position, LOOK_SECONDS)
            return True
        told = await self._told(found)
        if not told:
            return False
        records = self._records(told)
        told = told[: len(records)]
        try:
            await asyncio.to_thread(self._send, records)
        except _NotSent as error:
            failed.inc()
            closed.set(1)
            self._begin_again(str(error))
            return False
        self._why = self._said = None
        closed.set(0)
        await feed.advance(self._pool, CONSUMER, self._owner, found[len(told) - 1].position)
        self._acknowledged(told)
        return True

    async def close(self) -> None:
        """Let another relay go on."""
        self._producer.purge()
        await feed.release(self._pool, CONSUMER, self._owner)

    async def _told(self, found: Sequence[Fed]) -> list[dict[str, Json]]:
        """Envelopes: of all, or of those before one that cannot be put together, and may be soon. Later it goes by
        its ids."""
        envelopes: list[dict[str, Json]] = []
        unreadable = set[int]()
        waits = False
        told = await telling.tried(self._pool, telling.ANYBODY, found)
        for event, each in zip(found, told, strict=True):
            if isinstance(each, Unreadable):
                if event.position not in self._unreadable:
                    mistaken("an event for Kafka", each.error, event_id=str(event.event_id))
                unreadable.add(event.position)
                waits = waits or telling.fresh(event)
            if not waits:
                envelopes.append(each.by_ids if isinstance(each, Unreadable) else each)
        self._unreadable = unreadable
        return envelopes

    def _acknowledged(self, told: Sequence[dict[str, Json]]) -> None:
        sent.inc(len(told))
        ids = {each["id"] for each in told}
        by_ids.labels("too_large").inc(len(self._too_large & ids))
        self._too_large -= ids
        self._suspected -= ids
        by_ids.labels("unreadable").inc(sum("unreadable" in _data(each) for each in told))

    def _made(self) -> Producer:
        return Producer(self._config | {"error_cb": self._failed})

    def _records(self, events: Sequence[dict[str, Json]]) -> list[_Record]:
        """As many events as fit into one batch: it is taken or refused as a whole, so that no event of a request
        overtakes one that was refused."""
        found: list[_Record] = []
        size = 0
        for event in events[:_FEW] if self._suspected else events:
            value = to_json(_short(event) if event["id"] in self._too_large else event)
            record = _Record(event["id"], str(event["partitionkey"]), value, _headers(event))
            size += record.size
            if found and size > self._most:
                break
            found.append(record)
        return found

    def _send(self, records: Sequence[_Record]) -> None:
        """Send records and wait for the brokers. _NotSent."""
        errors: list[KafkaError] = []
        until = time.monotonic() + PATIENCE
        try:
            for record in records:
                if record.id in self._suspected:
                    self._flush(until, errors)
                    self._produce(record, errors)
                    self._flush(until, errors)
                else:
                    self._produce(record, errors)
            self._flush(until, errors)
        except (KafkaException, BufferError) as error:
            raise _NotSent(_says(error)) from None
        except SystemError:
            # The client's own: it calls `done` while it raises that a producer has ended, and loses what it says.
            why = errors[0].str() if errors else "the brokers want no more of this producer"
            raise _NotSent(why) from None

    def _produce(self, record: _Record, errors: list[KafkaError]) -> None:
        """Begin to send; what comes of it is added to `errors` if it is one. KafkaException, BufferError."""

        def done(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)
                self._judge(record, error, exactly=record.id in self._suspected)

        try:
            self._producer.produce(
                self._topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                on_delivery=done,
            )
        except KafkaException as error:
            self._judge(record, error.args[0], exactly=True)
            raise

    def _flush(self, until: float, errors: Sequence[KafkaError]) -> None:
        """Wait for the brokers until that moment. _NotSent, also if there are errors."""
        left = self._producer.flush(max(0.0, until - time.monotonic()))
        if errors:
            raise _NotSent(errors[0].str())
        if left:
            raise _NotSent(f"not acknowledged within {PATIENCE:g} s: {self._reason()}")

    def _judge(self, record: _Record, error: KafkaError, *, exactly: bool) -> None:
        """What brokers never take as it is must not hold up all that follows: it goes by its ids alone. They refuse
        all that came to them together, so what is not `exactly` about this one says that it is to be sent alone."""
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return
        if exactly:
            _log.error("an event is too large for Kafka: it is sent without content", id=record.id)
            self._too_large.add(record.id)
        else:
            self._suspected.add(record.id)

    def _begin_again(self, why: str) -> None:
        """With a producer that has nothing under way: what may have got there is sent again."""
        if why != self._why:
            self._why = why
            _log.warning("Kafka does not take events now", error=why)
        self._producer.purge()
        self._said = None
        self._producer = self._made()

    def _failed(self, error: KafkaError) -> None:
        """What librdkafka says of brokers it cannot reach; it goes on by itself. That they are all down says less than
        what it said of one."""
        if self._said is None or error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._said = _AFTER.sub("", error.str())

    def _reason(self) -> str:
        """Why nothing comes of it, as far as that can be known."""
        if self._said is not None:
            return self._said
        try:
            found = self._producer.list_topics(self._topic, timeout=min(PATIENCE, 2.0))
        except KafkaException as error:
            return _says(error)
        error = found.topics[self._topic].error
        return "the brokers do not say why" if error is None else error.str()


def _short(event: Mapping[str, Json]) -> dict[str, Json]:
    """An event by its ids, for whoever then asks for the rest."""
    data = _data(event)
    kept = {name: data.get(name) for name in ("request_id", "seq", "workflow", "version")}
    return {**event, "data": kept | {"too_large": True}}


def _data(event: Mapping[str, Json]) -> dict[str, Json]:
    data = event["data"]
    assert isinstance(data, dict)
    return data


def _headers(event: Mapping[str, Json]) -> list[tuple[str, bytes | str | None]]:
    """Those of CloudEvents for Kafka; the value is the whole envelope, so its type is that of one."""
    found = [(f"ce_{name}", str(event[name])) for name in _HEADERS if name in event]
    return [("content-type", cloudevents.MEDIA_TYPE), *found]
