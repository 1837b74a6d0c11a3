"""Keeps child processes running: starts them, restarts what dies, stops all in reverse order."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.datadir import DataDir
from cli.output import Failure
from cli.processes import Account, popen_arguments

FIRST_PAUSE = 0.3
LONGEST_PAUSE = 10.0
HEALTHY_AFTER = 30.0
LARGEST_LOG = 20 * 2**20
_TAIL = 15


@dataclass(frozen=True, slots=True)
class Part:
    """One child process. `ready` asks whether it serves; `patience` is seconds to stop by itself."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None
    patience: float = 15.0


@dataclass(slots=True)
class _Kept:
    part: Part
    process: asyncio.subprocess.Process | None = None
    keeper: "asyncio.Task[None] | None" = None
    wanted: bool = True
    restarts: int = 0
    ended: list[int] = field(default_factory=list)


class Supervisor:
    """The children of one `countersign dev`, in the order they were started."""

    def __init__(self, data_dir: DataDir, say: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._say = say
        self._kept: dict[str, _Kept] = {}

    @property
    def running(self) -> bool:
        return bool(self._kept)

    def log_of(self, name: str) -> Path:
        return self._data_dir.logs / f"{name}.log"

    async def start(self, part: Part, *, within: float) -> float:
        """Start a part and wait until it is ready; the seconds that took.

        Failure with the end of its log when it has not come up `within` seconds, or keeps dying.
        """
        began = time.monotonic()
        kept = self._kept[part.name] = _Kept(part)
        kept.keeper = asyncio.create_task(self._keep(kept))
        while not await part.ready():
            if kept.keeper.done() or time.monotonic() - began > within or len(kept.ended) >= 3:
                raise self._did_not_start(kept)
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def stop(self) -> None:
        """Stop all, the last started first; each gets its patience, then it is killed."""
        for kept in reversed(self._kept.values()):
            kept.wanted = False
            await self._stop(kept)

    async def _stop(self, kept: _Kept) -> None:
        process = kept.process
        if process is not None and process.returncode is None:
            _signal(process, kept.part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), kept.part.patience)
            except TimeoutError:
                self._say(f"{kept.part.name} does not stop by itself; killing it")
                _signal(process, signal.SIGKILL)
                await process.wait()
        if kept.keeper is not None:
            kept.keeper.cancel()
            await asyncio.gather(kept.keeper, return_exceptions=True)
        self._data_dir.forget(kept.part.name)

    async def _keep(self, kept: _Kept) -> None:
        """Run the part, again and again, until it is not wanted any more."""
        part, pause = kept.part, FIRST_PAUSE
        while kept.wanted:
            began = time.monotonic()
            kept.process = await self._spawn(part)
            code = await kept.process.wait()
            if not kept.wanted:
                return
            kept.ended.append(code)
            kept.restarts += 1
            if time.monotonic() - began > HEALTHY_AFTER:
                pause = FIRST_PAUSE
                kept.ended.clear()
            self._say(f"{part.name} {_how(code)}; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _spawn(self, part: Part) -> asyncio.subprocess.Process:
        path = self.log_of(part.name)
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            arguments = popen_arguments(log=log, stop_signal=part.stop_signal, account=part.account)
            process = await asyncio.create_subprocess_exec(
                *part.command, env=dict(part.environment), cwd=self._data_dir.path, **arguments
            )
        self._data_dir.record(part.name, process.pid, part.stop_signal)
        return process

    def _did_not_start(self, kept: _Kept) -> Failure:
        path = self.log_of(kept.part.name)
        lines = path.read_text(errors="replace").splitlines()[-_TAIL:] if path.exists() else []
        why = _how(kept.ended[-1]) if kept.ended else "does not become ready"
        if kept.keeper is not None and kept.keeper.done() and not kept.keeper.cancelled():
            why = f"cannot be run: {kept.keeper.exception()}"
        return Failure(f"{kept.part.name} {why}", details=lines, fix=f"its whole log is in {path}")


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended (exit {code})"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
