"""Child processes that do not outlive us, and processes of an earlier run that did."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Account:
    """The system account a child runs as, when it must not be ours."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be recognised again: a pid is used anew, a pid and its start time are not."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > 1:
                return False
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def popen_arguments(
    *, log: IO[bytes] | int, stop_signal: signal.Signals, account: Account | None = None
) -> dict[str, Any]:
    """Keyword arguments for Popen and asyncio's likeness of it.

    The child gets a session of its own, so that Ctrl-C reaches us alone and we stop our children in
    order; and, on Linux, `stop_signal` when we die without having stopped it.
    """
    return {
        "stdin": asyncio.subprocess.DEVNULL,
        "stdout": log,
        "stderr": asyncio.subprocess.STDOUT,
        "start_new_session": True,
        "preexec_fn": _dies_with_parent(stop_signal),
        **run_as(account),
    }


def run_as(account: Account | None) -> dict[str, Any]:
    """Keyword arguments for Popen that make a child run as `account`; none for None."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": ()}


def _dies_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None  # there, the next start stops what was left (datadir.stop_left_over)
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def stop(identity: Identity, stop_signal: signal.Signals, *, patience: float) -> bool:
    """Stop a process that is not our child: ask, wait `patience` seconds, then kill. True if it ran."""
    if not identity.alive():
        return False
    try:
        process = psutil.Process(identity.pid)
        process.send_signal(stop_signal)
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience)
    except psutil.NoSuchProcess:
        pass
    return True


def port_holder(host: str, port: int) -> str | None:
    """None if `port` can be bound now; else who holds it, as far as we may know."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return _listener(port) or "another process"
    return None


def _listener(port: int) -> str | None:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            pid = connection.pid
            try:
                return f"{psutil.Process(pid).name()}, pid {pid}" if pid else None
            except psutil.NoSuchProcess:
                return None
    return None


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours, with `extra`, and no COUNTERSIGN_* of ours besides it."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")
    }
    return {**inherited, **extra}


def tool(name: str) -> Path:
    """A program that came with a Python package, beside the interpreter that runs us."""
    return Path(sys.executable).parent / name


def our_command(*arguments: str) -> Sequence[str]:
    """`countersign ...` as a child: the same entry point as alone."""
    return (sys.executable, "-m", "cli.main", *arguments)
