"""Values that fixtures of conftest.py give, for annotations; and free ports."""

import socket
from dataclasses import dataclass
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


def free_ports(count: int) -> list[int]:
    """Ports nobody has now. All are held until all are found, so that no two are the same; the
    kernel hands out a freed port again only after going round."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


AUDITOR = Reader("tess", frozenset(["auditor"]))

REGION = RegionKey("test", bytes(range(32)))
"""What wraps the data keys of requests in tests."""


def write_region_key(path: Path) -> None:
    """Where settings look for it: `region.key` in the data folder."""
    path.touch(0o600)
    path.write_text(regions.written([REGION]))
