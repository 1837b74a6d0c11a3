"""librdkafka's mock brokers in a process of their own, and what somebody reads there."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import confluent_kafka
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


# --- brokers that lie ---

PRODUCE, INIT_PRODUCER_ID = 0, 22
"""Calls of Kafka's protocol."""
_POINTER, _CODES = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
_CALLS: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_new": (_POINTER, [ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_mock_clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
    "rd_kafka_mock_topic_set_error": (None, [_POINTER, ctypes.c_char_p, ctypes.c_int]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, _CODES],
    ),
}


class Liars:
    """Mock brokers of librdkafka's that answer what a test says: what Python is not given, by the library itself.
    Codes are those of Kafka's protocol, 0 for none; -195 hangs up."""

    def __init__(self) -> None:
        [path] = Path(f"{Path(confluent_kafka.__file__).parent}.libs").glob("librdkafka-*")
        self._library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _CALLS.items():
            call = getattr(self._library, name)
            call.restype, call.argtypes = result, arguments
        why = ctypes.create_string_buffer(512)
        config = self._library.rd_kafka_conf_new()
        self._handle = self._library.rd_kafka_new(0, config, why, len(why))
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.brokers = found.decode()

    def make(self, topic: str, partitions: int) -> None:
        assert not self._library.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), partitions, 1
        )

    def answer(self, call: int, *codes: int) -> None:
        """What the next such calls are answered with."""
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, call, len(codes), array
        )

    def say(self, topic: str, code: int) -> None:
        """What whoever asks for a topic is told."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), code)

    def mend(self, topic: str) -> None:
        self.say(topic, 0)
        for call in (PRODUCE, INIT_PRODUCER_ID):
            self._library.rd_kafka_mock_clear_request_errors(self._cluster, call)

    def end(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)
