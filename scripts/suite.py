"""The whole suite, layer by layer, the quick ones first; it stops at the first layer that fails.

    python scripts/suite.py                 all layers
    python scripts/suite.py check unit      just these
    python scripts/suite.py --keep-going    all, whatever fails

Exit code 0 if every layer passed, 1 otherwise, 2 for a layer that does not exist.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Layer:
    """Commands, run in order until one fails. `folders`: the layer exists when one of them does."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...] = ()

    def present(self) -> bool:
        return not self.folders or any((ROOT / folder).is_dir() for folder in self.folders)


def _pytest(*folders: str) -> tuple[str, ...]:
    return ("pytest", *(folder for folder in folders if (ROOT / folder).is_dir()))


LAYERS = (
    Layer(
        "check",
        (
            ("ruff", "check", "."),
            ("ruff", "format", "--check", "."),
            ("pyrefly", "check"),
            ("lint-imports",),
        ),
    ),
    Layer(
        "unit",
        (
            ("coverage", "run", "-m", *_pytest("tests/unit", "tests/model")),
            ("coverage", "report"),
        ),
        ("tests/unit", "tests/model"),
    ),
    *(
        Layer(name, (_pytest(f"tests/{name}"),), (f"tests/{name}",))
        for name in ("replay", "integration", "workflow", "acceptance", "browser")
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
    for layer in LAYERS:
        chosen = layer.present() and (not wanted or layer.name in wanted)
        if chosen and not _run(layer):
            failed.append(layer.name)
            if not keep_going:
                break
    _say(f"FAILED, first in layer: {failed[0]}" if failed else "all layers passed")
    return 1 if failed else 0


def _run(layer: Layer) -> bool:
    """Whether every command of the layer succeeded; each gets the terminal to itself."""
    _say(layer.name)
    began = time.monotonic()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for command in layer.commands:
        done = subprocess.run(
            (BIN / command[0], *command[1:]), cwd=ROOT, env=environment, check=False
        )
        if done.returncode != 0:
            _say(f"{layer.name} failed: {' '.join(command)} (exit {done.returncode})")
            return False
    _say(f"{layer.name} passed in {time.monotonic() - began:.1f} s")
    return True


def _say(text: str) -> None:
    sys.stderr.write(f"=== {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
