"""librdkafka's mock brokers in a process of their own, and what somebody reads there."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from confluent_kafka import Consumer, TopicPartition
from pydantic_core import from_json

_CLUSTER = """
import sys
from confluent_kafka import Producer
held = Producer({"test.mock.num.brokers": 3, "log_level": 0})
brokers = held.list_topics(timeout=60).brokers.values()
print(",".join(f"{it.host}:{it.port}" for it in brokers), flush=True)
sys.stdin.read()
"""


Record: TypeAlias = tuple[str, dict[str, Any], dict[str, str]]


@dataclass
class Cluster:
    """Brokers in a process of their own, which can be halted."""

    process: "subprocess.Popen[str]"
    brokers: str

    def halt(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def brokers() -> Iterator[Cluster]:
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Cluster(process, process.stdout.readline().strip())
        process.kill()


def records(brokers: str, topic: str, count: int) -> list[Record]:
    """The records of so many events: key, envelope and headers, those of a key in their order."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "tests",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: list[Record] = []
    while len({value["id"] for _, value, _ in found}) < count:
        message = consumer.poll(60)
        assert message is not None, f"only {len(found)} of {count}"
        key, value, headers = message.key(), message.value(), message.headers()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        assert isinstance(headers, list)
        texts = {name: bytes(text).decode() for name, text in headers if isinstance(text, bytes)}
        found.append((key.decode(), from_json(value), texts))
    consumer.close()
    return found
