"""The data folder: one holder, and what an earlier run left behind is stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import datadir
from cli.datadir import DataDir
from cli.examine import places
from cli.output import Failure
from cli.processes import Identity, port_holder


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(60)"))
    yield process
    process.kill()
    process.wait()


def test_a_folder_has_one_holder_and_the_second_is_told_who(tmp_path: Path) -> None:
    first = DataDir(tmp_path / "data")
    first.open()
    with pytest.raises(Failure) as caught:
        DataDir(tmp_path / "data").open()
    assert f"pid {os.getpid()}" in caught.value.message
    assert "--data-dir" in (caught.value.fix or "")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="cannot be used: Not a directory"):
        DataDir(tmp_path / "file").open()


def test_what_was_left_over_is_stopped(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    first = DataDir(tmp_path)
    first.open()
    first.record("worker", sleeper.pid, signal.SIGTERM)
    assert DataDir(tmp_path).stop_left_over() == ["worker"]
    assert sleeper.poll() is not None
    assert DataDir(tmp_path).stop_left_over() == []


def test_a_pid_that_was_used_anew_is_left_alone(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    other = {"pid": sleeper.pid, "started": 1.0, "signal": int(signal.SIGTERM)}
    datadir.write_json(tmp_path / "processes.json", {"worker": other})
    assert DataDir(tmp_path).stop_left_over() == []
    assert sleeper.poll() is None


def test_an_announcement_counts_while_its_process_lives(tmp_path: Path) -> None:
    assert datadir.running(tmp_path) == {}
    me = Identity.of(os.getpid())
    assert me is not None
    facts = {"pid": me.pid, "started": me.started, "api_url": "http://127.0.0.1:1"}
    DataDir(tmp_path).announce(facts)
    assert datadir.running(tmp_path) == facts
    DataDir(tmp_path).announce({**facts, "started": 1.0})
    assert datadir.running(tmp_path) == {}


def test_what_looks_at_a_running_one_looks_where_it_has_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "temporal.test:7233")
    monkeypatch.delenv("COUNTERSIGN_AUDIT_STORE", raising=False)
    me = Identity.of(os.getpid())
    assert me is not None
    facts = {"pid": me.pid, "started": me.started, "temporal_address": "127.0.0.1:1"}
    DataDir(tmp_path).announce({**facts, "audit_store": "file:///audit", "api_url": "http://x:1"})
    found = places(None)
    assert (found.settings.audit_store, found.api_url) == ("file:///audit", "http://x:1")
    assert found.settings.temporal_address == "temporal.test:7233"  # what is set counts first


def test_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text("{")
    assert datadir.running(tmp_path) == {}


def test_who_holds_a_port() -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        holder = port_holder("127.0.0.1", port)
        assert holder is not None
        assert f"pid {os.getpid()}" in holder
    assert port_holder("127.0.0.1", port) is None
