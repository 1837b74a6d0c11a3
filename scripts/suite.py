"""The whole suite, layer by layer, the quick ones first; it stops at the first layer that fails.

    python scripts/suite.py                 all layers
    python scripts/suite.py check unit      just these
    python scripts/suite.py --keep-going    all, whatever fails

Exit code 0 if every layer passed, 1 otherwise, 2 for a layer that does not exist.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
ENOUGH_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Layer:
    """Stages, run in order until one fails; the commands of a stage run at the same time. `folders`: the
    layer exists when one of them does."""

    name: str
    stages: tuple[tuple[tuple[str, ...], ...], ...]
    folders: tuple[str, ...] = ()

    def present(self) -> bool:
        return not self.folders or any((ROOT / folder).is_dir() for folder in self.folders)


def _covered(*arguments: str) -> tuple[str, ...]:
    return ("coverage", "run", "--parallel-mode", "-m", "pytest", *arguments)


def _shared(*folders: str) -> tuple[str, ...]:
    return ("pytest", *folders, "--numprocesses=3", "--dist=worksteal")


LAYERS = (
    Layer(
        "check",
        (
            (("ruff", "check", "."),),
            (("ruff", "format", "--check", "."),),
            (("pyrefly", "check"),),
            (("lint-imports",),),
        ),
    ),
    Layer(
        "unit",
        (
            (("coverage", "erase"),),
            (
                _covered("tests/unit/recipes"),
                _covered("tests/unit", "--ignore=tests/unit/recipes"),
                _covered("tests/model"),
            ),
            (("coverage", "combine", "--quiet"),),
            (("coverage", "report"),),
        ),
        ("tests/unit", "tests/model"),
    ),
    Layer("replay", ((("pytest", "tests/replay"),),), ("tests/replay",)),
    # Three for two cores, since tests also wait for Postgres and Temporal. Whoever is done takes tests of the
    # others: some last a second, some a minute.
    Layer(
        "integration",
        ((_shared("tests/integration", "tests/workflow"),),),
        ("tests/integration", "tests/workflow"),
    ),
    # They wait for the product more than they work; each file has one of its own, and the longest comes first.
    Layer(
        "acceptance",
        (
            (
                (
                    "pytest",
                    "tests/acceptance",
                    "--numprocesses=2",
                    "--dist=loadfile",
                    "--no-loadscope-reorder",
                ),
            ),
        ),
        ("tests/acceptance",),
    ),
    # Each of the two has a product and a Chromium.
    Layer(
        "browser",
        ((("pytest", "tests/browser", "--numprocesses=2", "--dist=worksteal"),),),
        ("tests/browser",),
    ),
)


def main(arguments: list[str]) -> int:
    keep_going = "--keep-going" in arguments
    wanted = [argument for argument in arguments if not argument.startswith("--")]
    unknown = set(wanted) - {layer.name for layer in LAYERS}
    if unknown:
        names = ", ".join(layer.name for layer in LAYERS)
        _say(f"no layer {', '.join(sorted(unknown))}; there are: {names}")
        return 2
    failed: list[str] = []
    with _in_memory():
        for layer in LAYERS:
            chosen = layer.present() and (not wanted or layer.name in wanted)
            if chosen and not _run(layer):
                failed.append(layer.name)
                if not keep_going:
                    break
    _say(f"FAILED, first in layer: {failed[0]}" if failed else "all layers passed")
    return 1 if failed else 0


@contextmanager
def _in_memory() -> Iterator[None]:
    """Keep the files of the tests in memory, if there is room and nobody said where they belong.

    Nearly every test has a database of its own, which is 700 files: made and deleted on a disk, they cost
    more than all that is done with them.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not _roomy(MEMORY):
        yield
        return
    folder = tempfile.mkdtemp(prefix="countersign-tests-", dir=MEMORY)
    Path(folder).chmod(0o755)  # Postgres may have an account of its own
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _roomy(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ENOUGH_BYTES


def _run(layer: Layer) -> bool:
    """Whether every command of the layer succeeded."""
    _say(layer.name)
    began = time.monotonic()
    for stage in layer.stages:
        failed = _alone(stage[0]) if len(stage) == 1 else _together(stage)
        if failed is not None:
            _say(f"{layer.name} failed: {failed}")
            return False
    _say(f"{layer.name} passed in {time.monotonic() - began:.1f} s")
    return True


def _alone(command: tuple[str, ...]) -> str | None:
    """What failed, if it did. It gets the terminal to itself."""
    done = subprocess.run(_found(command), cwd=ROOT, env=_environment(), check=False)
    return None if done.returncode == 0 else f"{' '.join(command)} (exit {done.returncode})"


def _together(stage: tuple[tuple[str, ...], ...]) -> str | None:
    """What failed first of these, if one did. What they say is shown one after the other."""
    running = [
        subprocess.Popen(
            _found(command),
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for command in stage
    ]
    failed: list[str] = []
    for command, process in zip(stage, running, strict=True):
        said, _ = process.communicate()
        sys.stdout.buffer.write(said)
        sys.stdout.flush()
        if process.returncode != 0:
            failed.append(f"{' '.join(command)} (exit {process.returncode})")
    return failed[0] if failed else None


def _found(command: tuple[str, ...]) -> tuple[str | Path, ...]:
    return (BIN / command[0], *command[1:])


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def _say(text: str) -> None:
    sys.stderr.write(f"=== {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
