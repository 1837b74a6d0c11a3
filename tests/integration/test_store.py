"""Where the cold tier's files are: a folder and an object store behave alike."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from contract.manifests import File
from storage.store import Damaged, Folder, Store, StoreFailed, StoreInvalid, store

DATA = bytes(range(256)) * 40
FILE = File("2024-01/000.parquet", sha256(DATA).hexdigest(), len(DATA), 7)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return store((tmp_path / "").as_uri(), tmp_path)
    return store(request.getfixturevalue("bucket"), tmp_path / "cache")


def test_files_are_kept(place: Store) -> None:
    assert place.get(FILE.name) is None
    assert place.names("2024-01/") == []
    place.put(FILE.name, DATA)
    place.put(FILE.name, DATA)
    with pytest.raises(StoreFailed, match="something else"):
        place.put(FILE.name, DATA[1:])
    assert place.get(FILE.name) == DATA
    assert place.names("2024-01/") == [FILE.name]
    for _ in range(2):
        assert place.path(FILE).read_bytes() == DATA
    with pytest.raises(Damaged):
        place.path(replace(FILE, size=3, sha256="00" * 32))
    for _ in range(2):
        place.delete(FILE.name)
    assert place.get(FILE.name) is None
    with pytest.raises(StoreFailed):
        place.path(replace(FILE, sha256="11" * 32))


def test_what_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("folder", "http://x/y", "file://elsewhere/x", "s3://", "file:///"):
        with pytest.raises(StoreInvalid, match="names no store"):
            store(url, tmp_path)
    with pytest.raises(StoreFailed, match="mount it"):
        Folder(tmp_path / "gone").get("x")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(StoreFailed, match="s3://away"):
        store("s3://away", tmp_path).get("x")
