"""Region keys: files that are none are refused by the line, and data keys outlive a change of them."""

from pathlib import Path
from uuid import uuid4

import pytest

from recipes.model import Confidential
from storage import regions
from storage.regions import RegionKeyInvalid
from storage.vault import Vault, open_vault

EU = regions.RegionKey("eu", bytes(32)).written()


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    keys = [regions.new("eu-2026"), regions.new("eu-2025")]
    path = tmp_path / "region.key"
    path.touch(0o600)
    path.write_text(regions.written(keys))
    assert regions.read_keys(path) == keys
    path.chmod(0o640)
    with pytest.raises(RegionKeyInvalid, match="chmod 600"):
        regions.read_keys(path)
    with pytest.raises(RegionKeyInvalid, match="cannot be read"):
        regions.read_keys(tmp_path / "nowhere")


def test_keys_for_something_else_follow_the_file(tmp_path: Path) -> None:
    older, newer = regions.new("eu-2025"), regions.new("eu-2026")
    path = tmp_path / "region.key"
    path.touch(0o600)
    path.write_text(regions.written([older]))
    running = open_vault(path)
    [before] = running.derived("cookies")
    path.write_text(regions.written([newer, older]))
    assert running.derived("cookies") == Vault([newer, older]).derived("cookies")
    assert running.derived("cookies")[1] == before
    path.write_text("nothing")
    assert len(running.derived("cookies")) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no key"),
        ("REGION+eu+AAAA", "line 1"),
        (f"{EU}\nPRIVATE+KEY+x", "line 2"),
        (f"{EU}\n{EU}", "two keys of one name"),
    ],
)
def test_files_that_are_none(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "region.key"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(RegionKeyInvalid, match=what):
        regions.read_keys(path)


def test_names() -> None:
    with pytest.raises(RegionKeyInvalid, match="no name"):
        regions.new("with space")


def test_new_keys_say_what_is_confidential() -> None:
    vault = Vault([regions.new("eu")])
    keys, wrapped = vault.make(uuid4(), None)
    assert (keys.private, keys.strictest, keys.widest, wrapped.confidential) == (
        False,
        "shared",
        "shared",
        None,
    )
    keys, wrapped = vault.make(uuid4(), Confidential(("hr",), ("salary", "bonus")))
    assert (keys.fields, keys.strictest, keys.widest) == (
        ("bonus", "salary"),
        "confidential",
        "shared",
    )
    assert wrapped.confidential is not None
    whole, _ = vault.make(uuid4(), Confidential(("hr",), None))
    assert (whole.whole, whole.widest) == (True, "confidential")
