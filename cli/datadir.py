"""The data folder of `countersign dev`: its lock, what runs on it, and what an earlier run left."""

import fcntl
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.output import Failure
from cli.processes import Identity, stop

_LOCK = "lock"
_RUNNING = "dev.json"
_PROCESSES = "processes.json"
_PATIENCE = 15.0


class DataDir:
    """A data folder that is ours alone, from `open` until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._lock: int | None = None
        self._processes: dict[str, dict[str, Any]] = {}

    def open(self) -> None:
        """Make the folder and lock it. Failure naming the holder if somebody else has it."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Failure(
                f"the data folder {self.path} cannot be used: {error.strerror}",
                fix="choose another one with --data-dir",
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 200, 0).decode(errors="replace").strip()
            raise Failure(
                f"the data folder {self.path} is in use by countersign dev ({holder})",
                fix="stop that one (Ctrl-C there), or use another folder: --data-dir DIR",
            ) from None
        os.ftruncate(self._lock, 0)
        now = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        os.pwrite(self._lock, f"pid {os.getpid()}, since {now}\n".encode(), 0)

    # --- what runs ---

    def record(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        """Remember a child, so that the next start can stop it should we not live to do so."""
        identity = Identity.of(pid)
        if identity is not None:
            self._processes[name] = {
                "pid": pid,
                "started": identity.started,
                "signal": int(stop_signal),
            }
            write_json(self.path / _PROCESSES, self._processes)

    def forget(self, name: str) -> None:
        if self._processes.pop(name, None) is not None:
            write_json(self.path / _PROCESSES, self._processes)

    def stop_left_over(self) -> list[str]:
        """Stop what an earlier run left behind; the names of those that still ran."""
        found = _read_json(self.path / _PROCESSES)
        stopped = []
        for name, item in reversed(found.items()):
            identity = Identity(int(item["pid"]), float(item["started"]))
            if stop(identity, signal.Signals(int(item["signal"])), patience=_PATIENCE):
                stopped.append(name)
        write_json(self.path / _PROCESSES, {})
        return stopped

    def announce(self, facts: dict[str, Any]) -> None:
        """Say where everything is, for the other commands on this machine."""
        write_json(self.path / _RUNNING, facts)

    def withdraw(self) -> None:
        (self.path / _RUNNING).unlink(missing_ok=True)


def running(path: Path) -> dict[str, Any]:
    """What the `countersign dev` on this data folder announced; empty when none runs there."""
    found = _read_json(path / _RUNNING)
    identity = Identity(int(found["pid"]), float(found["started"])) if found else None
    return found if identity is not None and identity.alive() else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """The file is whole at any moment, also when the machine stops."""
    draft = path.with_name(path.name + ".new")
    with draft.open("w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
