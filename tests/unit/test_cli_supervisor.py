"""The supervisor, with real processes: what dies is started again, what is stopped stays so."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli import supervisor
from cli.datadir import DataDir
from cli.output import Failure
from cli.processes import Identity
from cli.supervisor import Part, Supervisor

COUNTING = "open(__import__('sys').argv[1], 'a').write('x'); import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


class Watched:
    """A supervisor, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = DataDir(folder)
        self.data_dir.open()
        self.said: list[str] = []
        self.supervisor = Supervisor(self.data_dir, self.said.append)

    def part(self, code: str, *arguments: str, ready: Callable[[], Awaitable[bool]]) -> Part:
        command = (sys.executable, "-c", code, *arguments)
        return Part("part", command, dict(os.environ), ready, patience=0.5)

    def pid(self) -> int:
        return int(self.data_dir._processes["part"]["pid"])


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.05)
    return Watched(tmp_path / "data")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.02)


async def test_what_is_killed_is_started_again(watched: Watched, tmp_path: Path) -> None:
    starts = tmp_path / "starts"

    async def ready() -> bool:
        return starts.exists()

    await watched.supervisor.start(watched.part(COUNTING, str(starts), ready=ready), within=10)
    first = watched.pid()
    os.kill(first, signal.SIGKILL)
    await _until(lambda: starts.read_text() == "xx")
    assert watched.said == ["part was ended by SIGKILL; starting it again in 0.1 s"]
    second = Identity.of(watched.pid())
    await watched.supervisor.stop()
    assert second is not None
    assert not second.alive()
    assert starts.read_text() == "xx"
    assert watched.data_dir.stop_left_over() == []


async def test_what_does_not_stop_is_killed(watched: Watched) -> None:
    log = watched.supervisor.log_of("part")

    async def ready() -> bool:
        return log.exists() and "up" in log.read_text()

    await watched.supervisor.start(watched.part(STUBBORN, ready=ready), within=10)
    began = time.monotonic()
    await watched.supervisor.stop()
    assert 0.5 <= time.monotonic() - began < 5
    assert watched.said == ["part does not stop by itself; killing it"]


async def test_what_keeps_dying_is_a_failure_with_the_end_of_its_log(watched: Watched) -> None:
    async def never() -> bool:
        return False

    dying = watched.part("import sys; sys.exit('no such database')", ready=never)
    with pytest.raises(Failure) as caught:
        await watched.supervisor.start(dying, within=30)
    assert caught.value.message == "part ended (exit 1)"
    assert caught.value.details[-1] == "no such database"
    await watched.supervisor.stop()


async def test_a_program_that_is_not_there_is_said(watched: Watched) -> None:
    async def never() -> bool:
        return False

    part = Part("part", ("/no/such/program",), {}, never)
    with pytest.raises(Failure, match=r"part cannot be run: .*No such file"):
        await watched.supervisor.start(part, within=30)
    await watched.supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, signal, sys, time\n"
        "from cli.processes import popen_arguments\n"
        "a = popen_arguments(log=subprocess.DEVNULL, stop_signal=signal.SIGTERM)\n"
        "print(subprocess.Popen(['sleep', '60'], **a).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    assert parent.stdout is not None
    child = Identity.of(int(await parent.stdout.readline()))
    assert child is not None
    parent.kill()
    await parent.wait()
    await _until(lambda: not child.alive())
