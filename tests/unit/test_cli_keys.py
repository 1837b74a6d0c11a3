"""`countersign keys`: the file of region keys."""

from pathlib import Path

import pytest

from cli import main
from cli.output import Exit
from storage import regions


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "region.key"
    monkeypatch.setenv("COUNTERSIGN_REGION_KEY_FILE", str(found))
    return found


def test_a_new_key_wraps_first(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["keys", "new", "eu-2025"]) == Exit.OK
    assert path.stat().st_mode & 0o777 == 0o600
    assert main.run(["keys", "new", "eu-2026"]) == Exit.OK
    assert "keys rewrap" in capsys.readouterr().err
    assert [key.name for key in regions.read_keys(path)] == ["eu-2026", "eu-2025"]
    assert main.run(["keys", "show"]) == Exit.OK
    assert capsys.readouterr().out == "eu-2026\neu-2025\n"


def test_what_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["keys", "show"]) == Exit.FAILED
    assert "countersign keys new NAME" in capsys.readouterr().err
    assert main.run(["keys", "new", "with space"]) == Exit.USAGE
    assert not path.exists()
    assert main.run(["keys", "new", "eu"]) == Exit.OK
    before = path.read_bytes()
    assert main.run(["keys", "new", "eu"]) == Exit.CONFLICT
    assert path.read_bytes() == before


@pytest.mark.parametrize("part", ["api", "worker", "relay"])
def test_no_part_starts_without(part: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not path.exists()
    assert main.run([part]) == Exit.USAGE
    assert "countersign keys new" in capsys.readouterr().err
