"""`countersign audit key`: two files, one of them secret."""

from pathlib import Path

import pytest

from cli import main
from cli.output import Exit
from contract import notes
from storage.seal_keys import read_keys


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "seal.key"
    monkeypatch.setenv("COUNTERSIGN_SEAL_KEY_FILE", str(path))
    return path


def test_a_key_is_made_once(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", "key", "new", "example.org/audit"]) == Exit.OK
    [made] = read_keys(key)
    assert capsys.readouterr().out.strip() == str(made.public)
    assert key.stat().st_mode & 0o077 == 0
    public = key.with_suffix(".pub")
    assert public.stat().st_mode & 0o044 == 0o044
    assert notes.public_keys_of(public.read_text()) == [made.public]
    assert main.run(["audit", "key", "show"]) == Exit.OK
    assert capsys.readouterr().out.strip() == str(made.public)
    assert main.run(["audit", "key", "new", "example.org/audit"]) == Exit.CONFLICT
    assert read_keys(key) == [made]
    assert sorted(path.name for path in key.parent.iterdir()) == ["seal.key", "seal.pub"]


def test_the_next_key_is_added_and_the_old_public_one_stays(key: Path) -> None:
    assert main.run(["audit", "key", "new", "example.org/audit"]) == Exit.OK
    [first] = read_keys(key)
    assert main.run(["audit", "key", "rotate"]) == Exit.OK
    assert main.run(["audit", "key", "rotate"]) == Exit.CONFLICT
    both = read_keys(key)
    assert both[0] == first
    assert both[1].name == first.name
    shown = notes.public_keys_of(key.with_suffix(".pub").read_text())
    assert shown == [each.public for each in both]


@pytest.mark.parametrize("name", ["", "a b", "a+b", "ä", "/x"])
def test_bad_names_are_refused(key: Path, name: str) -> None:
    assert main.run(["audit", "key", "new", "--", name]) == Exit.USAGE
    assert not key.exists()


def test_what_is_not_there_is_said(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", "key", "show"]) == Exit.FAILED
    assert main.run(["audit", "key", "retire"]) == Exit.FAILED
    assert "audit key new" in capsys.readouterr().err


def test_the_relay_does_not_start_with_a_key_that_others_read(
    key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run(["audit", "key", "new", "example.org/audit"])
    key.chmod(0o644)
    assert main.run(["relay"]) == Exit.USAGE
    assert "chmod 600" in capsys.readouterr().err


def test_the_relay_does_not_start_with_a_witness_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERSIGN_SEAL_WITNESSES", "x")
    assert main.run(["relay"]) == Exit.USAGE
    assert "COUNTERSIGN_SEAL_WITNESSES" in capsys.readouterr().err
