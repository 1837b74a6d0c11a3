"""The embedded cluster's files: made whole or not at all, and sockets in reach."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from cli import postgres


def test_a_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    cluster = postgres.prepare(tmp_path / "postgres", postgres.THROW_AWAY)
    assert (cluster.folder / "global" / "pg_control").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["postgres"]


def test_a_cluster_is_made_once(tmp_path: Path) -> None:
    first = postgres.prepare(tmp_path / "postgres", postgres.THROW_AWAY)
    control = (first.folder / "global" / "pg_control").read_bytes()
    assert postgres.prepare(tmp_path / "postgres", postgres.THROW_AWAY) == first
    assert (first.folder / "global" / "pg_control").read_bytes() == control


def test_it_listens_on_a_socket_of_its_owner_alone(tmp_path: Path) -> None:
    cluster = postgres.prepare(tmp_path / "postgres", postgres.THROW_AWAY)
    assert "--listen_addresses=" in cluster.command()
    assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o700


def test_a_long_path_gets_a_short_private_socket_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path(tempfile.mkdtemp(prefix="cs", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    short.chmod(0o711)
    folder = tmp_path / ("long" * 25) / "postgres"
    folder.parent.mkdir()
    cluster = postgres.prepare(folder, postgres.THROW_AWAY)
    assert cluster.socket_dir.parent == short
    assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o700
    cluster.socket_dir.chmod(0o777)
    with pytest.raises(postgres.PostgresFailed, match="belongs to somebody else"):
        postgres.prepare(folder, postgres.THROW_AWAY)
    cluster.socket_dir.rmdir()
    short.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_is_not_who_runs_it(tmp_path: Path) -> None:
    cluster = postgres.prepare(tmp_path / "postgres", postgres.THROW_AWAY)
    assert cluster.account is not None
    assert cluster.folder.stat().st_uid == cluster.account.uid != 0
