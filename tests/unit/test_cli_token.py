"""The development issuer: what it signs, where it keeps its key, and where it refuses to exist."""

import stat
from pathlib import Path

import jwt
import pytest

from cli import token
from cli.output import Failure
from settings import Settings


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_a_token_is_what_the_api_expects(here: Settings) -> None:
    minted = token.mint(here, "alice", ["admin"], hours=2)
    key = here.dev_issuer_public_key.read_bytes()
    claims = jwt.decode(
        minted, key, algorithms=["EdDSA"], audience="countersign", issuer="countersign-dev"
    )
    assert claims["sub"] == "alice"
    assert claims["roles"] == ["admin"]
    assert claims["exp"] - claims["iat"] == 2 * 3600


def test_the_key_is_made_once_and_for_its_owner_alone(here: Settings) -> None:
    token.mint(here, "alice", [])
    first = here.dev_issuer_key.read_bytes()
    token.mint(here, "bob", [])
    assert here.dev_issuer_key.read_bytes() == first
    assert stat.S_IMODE(here.dev_issuer_key.stat().st_mode) == 0o600
    assert sorted(path.name for path in here.data_dir.iterdir()) == [
        "dev_issuer.pem",
        "dev_issuer.pub.pem",
    ]


def test_a_lost_or_stale_public_half_comes_back(here: Settings) -> None:
    token.mint(here, "alice", [])
    public = here.dev_issuer_public_key.read_bytes()
    here.dev_issuer_public_key.write_text("something else")
    token.mint(here, "alice", [])
    assert here.dev_issuer_public_key.read_bytes() == public


def test_it_does_not_exist_in_production(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no development issuer in production"):
        token.mint(Settings(data_dir=tmp_path, environment="production"), "alice", [])
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_exist_beyond_loopback(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"binds to 10\.0\.0\.1"):
        token.mint(Settings(data_dir=tmp_path, api_host="10.0.0.1"), "alice", [])
    assert list(tmp_path.iterdir()) == []
