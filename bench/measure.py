"""Figures: percentiles, medians of rounds, processor time and memory of a process tree."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import psutil


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of `values` do not exceed. NaN if empty."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """A latency distribution, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Spread":
        values = [value * 1000 for value in seconds]
        return cls(
            len(values),
            percentile(values, 0.50),
            percentile(values, 0.95),
            percentile(values, 0.99),
        )


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours/theirs; the rounds were interleaved, so noise hits both."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def processor_seconds(pid: int) -> float:
    """Processor time that a process and all its children, dead ones too, have used so far."""
    total = 0.0
    for process in _tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if process.pid == pid:
            total += times.children_user + times.children_system
    return total


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process tree in MiB; `share` counts memory shared between processes once."""

    resident: float
    share: float
    processes: int


def memory(pid: int) -> Memory:
    resident = share = 0.0
    count = 0
    for process in _tree(pid):
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        resident += info.rss / 2**20
        share += getattr(info, "pss", info.rss) / 2**20
        count += 1
    return Memory(resident, share, count)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Processor seconds between two samples, by process."""
    return {name: after[name] - before.get(name, 0.0) for name in after}
