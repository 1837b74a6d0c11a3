"""The sealer, or the mover of months, in processes that end as by `kill -9` where they are told to.

`python -m tests.integration.killed` reads lines, each a list of JSON: what (`seal` or `move`), database URL,
folder (the witness, or the store), place, and the month that moves. A place is a number, of the times that
something has to be waited for once there is a connection; or a step of the mover by its name. Each line is
carried out by a fork, whose status is printed.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from typing_extensions import override

from relay.witnesses import Folder as Witness
from storage.moving import Mover
from storage.pool import create_pool
from storage.store import Folder as Store
from tests.integration.sealed import KEY, sealer

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Killer:
    """Runs parts of the product and kills them."""

    process: subprocess.Popen[str]

    @classmethod
    def started(cls) -> "Killer":
        arguments = [sys.executable, "-m", "tests.integration.killed"]
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(arguments, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True))

    async def killed(
        self, what: str, url: str, folder: Path, place: int | str, month: date | None = None
    ) -> bool:
        """Whether it was killed, or came to its end before."""
        of = None if month is None else month.isoformat()
        line = json.dumps([what, url, str(folder), place, of])
        status = await asyncio.to_thread(self._asked, line)
        assert status in (0, -signal.SIGKILL)
        return status != 0

    def stop(self) -> None:
        self.process.communicate()

    def _asked(self, line: str) -> int:
        reader, writer = self.process.stdout, self.process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(line + "\n")
        writer.flush()
        return int(reader.readline())


def _serve() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os._exit(_status(*json.loads(line)))
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _status(*line: Any) -> int:
    try:
        asyncio.run(_run(*line))
    except BaseException:  # noqa: BLE001 - the fork ends here, with whatever it was
        traceback.print_exc()
        return 1
    return 0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells when it waits."""

    def __init__(self, inner: Coroutine[Any, Any, Any], waits: Callable[[], None]) -> None:
        self._inner, self._waits = inner, waits

    @override
    def __await__(self) -> Any:
        return self._inner.__await__()

    @override
    def send(self, value: Any, /) -> Any:
        awaited = self._inner.send(value)
        self._waits()
        return awaited

    @override
    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        return self._inner.throw(typ)

    @override
    def close(self) -> None:
        self._inner.close()


async def _watched(work: Coroutine[Any, Any, None], place: int | str) -> None:
    """Carry it out, with all of its tasks, up to where something was waited for so many times."""
    count = 0

    def waits() -> None:
        nonlocal count
        count += 1
        if count == place:
            _die()

    def task(loop: asyncio.AbstractEventLoop, inner: Any, **more: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_Watched(inner, waits), loop=loop, **more)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(task)
    await asyncio.create_task(work)
    loop.set_task_factory(None)


async def _run(what: str, url: str, folder: str, place: int | str, month: str | None) -> None:
    pool = await create_pool(url, min_size=3, max_size=3)

    def step(name: str) -> None:
        if name == place:
            _die()

    async def seal() -> None:
        mine = sealer(pool, Witness(Path(folder)), batch=4)
        await mine.publish()
        while await mine.seal():
            await mine.publish()
        await mine.publish()

    async def move() -> None:
        assert month is not None
        mover = Mover(pool, Store(Path(folder)), (KEY,), step=step)
        await mover.move(date.fromisoformat(month))

    await _watched({"seal": seal, "move": move}[what](), place)
    await pool.close()


if __name__ == "__main__":
    _serve()
