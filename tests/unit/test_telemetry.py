"""Without its setting, OpenTelemetry costs nothing: it is not even imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import relay.main, worker.main
from settings import load
from telemetry import interceptors

def imported(*names):
    return any(name.startswith(names) for name in sys.modules)

loaded = load()
given = [len(interceptors(loaded.otel_endpoint, part)) for part in ("worker", "relay")]
print(given, imported("opentelemetry"))
from api.app import create_app
create_app(loaded)
given = len(interceptors(loaded.otel_endpoint, "api"))
# FastAPI has the names of OpenTelemetry's interface imported, whoever uses it.
print(given, imported("opentelemetry.sdk", "opentelemetry.exporter", "temporalio.contrib.opentelemetry"))
"""


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [("", "[0, 0] False\n0 False\n"), ("http://127.0.0.1:9", "[1, 1] True\n1 True\n")],
)
def test_it_is_imported_where_it_is_wanted(endpoint: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        cwd=ROOT,
        env=os.environ | {"COUNTERSIGN_OTEL_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (said, "")
