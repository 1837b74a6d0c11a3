"""The README's walk, word for word, in a shell."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.product import Product

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def running(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Iterator[Product]:
    product = Product(tmp_path, free_ports(3))
    product.start()
    yield product
    assert product.stop() == 0


def test_the_walk(running: Product, tmp_path: Path) -> None:
    walk = README.partition("<!-- walk -->")[2].partition("<!-- /walk -->")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", walk, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    done = subprocess.run(
        ("bash", "-eux", "-o", "pipefail"),
        input="\n".join(blocks),
        env={**os.environ, "COUNTERSIGN_DATA_DIR": str(running.settings.data_dir)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for seen in (
        "waiting for  user:bob",
        "decision.recorded",
        "request.finalized",
        "waiting for  user:mallory",
    ):
        assert seen in done.stdout
    for said in ("approved: Leave request (alice)", "published equipment v1"):
        assert said in done.stderr
