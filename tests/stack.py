"""Values that fixtures of conftest.py give, for annotations; and free ports."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from storage import regions
from storage.regions import RegionKey
from storage.vault import Reader


@dataclass(frozen=True, slots=True)
class Database:
    """One database of one test. `url` is the application's; `admin_url` the superuser's."""

    url: str
    admin_url: str


@dataclass(frozen=True, slots=True)
class TemporalServer:
    address: str
    ui_url: str
    namespace: str = "default"


_FIRST, _LAST = 10_000, 30_000
"""Below the ports that kernels give to clients, so that no connection takes one before its server does."""
_numbers = count(os.getpid() * 64)
"""Processes that run tests at the same time begin far from each other."""


def free_ports(number: int) -> list[int]:
    """Ports nobody has now; never the same ones twice."""
    found: list[int] = []
    while len(found) < number:
        port = _FIRST + next(_numbers) % (_LAST - _FIRST)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.append(port)
    return found


AUDITOR = Reader("tess", frozenset(["auditor"]))

REGION = RegionKey("test", bytes(range(32)))
"""What wraps the data keys of requests in tests."""


def write_region_key(path: Path) -> None:
    """Where settings look for it: `region.key` in the data folder."""
    path.touch(0o600)
    path.write_text(regions.written([REGION]))
