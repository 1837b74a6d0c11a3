"""RESULTS.md: one section a benchmark, replaced when it runs again."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = """\
# Results

Each section is written by the run it names; ratios are between what ran interleaved in that run, on
one machine with everything on it. Postgres with fsync and synchronous commit, Temporal embedded
with WAL and full sync, API, worker, relay and driver as processes of their own.
"""


def write(name: str, text: str) -> None:
    """Put a section into RESULTS.md and print it."""
    section = f"## {name}\n\n`make bench ARGS={name}`, {_when_and_where()}\n\n{text.strip()}\n"
    page = RESULTS.read_text() if RESULTS.exists() else _HEAD
    there = re.compile(rf"^## {name}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if there.search(page):
        page = there.sub(lambda _: section + "\n", page, count=1)
    else:
        page = page.rstrip() + "\n\n" + section
    RESULTS.write_text(page.rstrip() + "\n")
    print(section)


def _when_and_where() -> str:
    day = datetime.now(UTC).date().isoformat()
    gib = psutil.virtual_memory().total / 2**30
    return f"{day}, {os.cpu_count()} cores, {gib:.0f} GiB."
