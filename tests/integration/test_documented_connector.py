"""The connector of one's own in docs/automatic-work.md, and its test, word for word."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/automatic-work.md").read_text()


def test_a_connector_of_ones_own(tmp_path: Path) -> None:
    part = PAGE.partition("<!-- connector -->")[2].partition("<!-- /connector -->")[0]
    [connector, its_test] = re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    (tmp_path / "tickets.py").write_text(connector)
    (tmp_path / "test_tickets.py").write_text(its_test)
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
