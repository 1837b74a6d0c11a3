"""The embedded Temporal: its command line, and how to ask whether it serves.

A labelled single-node default on SQLite, good for some 50,000 open requests and 40 lifecycles/s.
The settings were measured (DESIGN section 9): the file survives kill -9 with WAL and full sync; the
transfer queue's default of 20 polls a second costs 40 ms per workflow task.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from cli.processes import tool
from contract import names

_PRAGMAS = ("journal_mode=wal", "synchronous=2")
_DYNAMIC = (
    "history.transferProcessorMaxPollRPS=200",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)


def command(database: Path, *, port: int, ui_port: int, codec: str | None = None) -> Sequence[str]:
    """`temporal server start-dev` on loopback with its state in the file `database`. Its Web UI asks `codec`
    what is in sealed payloads."""
    flags: list[str] = ["--db-filename", str(database), "--ip", "127.0.0.1"]
    flags += ["--port", str(port), "--ui-port", str(ui_port), "--ui-disable-news-fetch"]
    if codec is not None:
        flags += ["--ui-codec-endpoint", codec]
    for pragma in _PRAGMAS:
        flags += ["--sqlite-pragma", pragma]
    for value in _DYNAMIC:
        flags += ["--dynamic-config-value", value]
    for name in names.SEARCH_ATTRIBUTES:
        flags += ["--search-attribute", f"{name}=Keyword"]
    flags += ["--log-level", "warn"]
    return (str(tool("temporal")), "server", "start-dev", *flags)


def environment() -> dict[str, str]:
    """What the server's process needs: a lazier garbage collector, and none of our settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")
    }
    return {**kept, "GOGC": "400"}


async def ready(ui_url: str, namespace: str = "default") -> bool:
    """Whether the server answers for its namespace and knows our search attributes."""
    path = f"/api/v1/namespaces/{namespace}/search-attributes"
    answer = await _get(ui_url + path)
    return set(names.SEARCH_ATTRIBUTES) <= set(answer.get("customAttributes", ()))


async def polled(ui_url: str, namespace: str = "default") -> bool:
    """Whether a worker is waiting for work on our task queue."""
    path = f"/api/v1/namespaces/{namespace}/task-queues/{names.TASK_QUEUE}?taskQueueType=1"
    answer = await _get(ui_url + path)
    return bool(answer.get("pollers"))


async def _get(url: str) -> dict[str, Any]:
    """The JSON object there; an empty one while nobody answers properly."""
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            response = await client.get(url)
            return response.json() if response.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return {}
