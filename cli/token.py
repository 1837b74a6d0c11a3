"""The development issuer: tokens for one's own machine, signed with a key of the data folder.

It refuses to exist where others could use it: in production, and where the API binds to more than
loopback. The API refuses its tokens there too.
"""

import os
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import jwt
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

import settings
from cli.output import Exit, Failure, write
from settings import Settings

ISSUER = "countersign-dev"
AUDIENCE = "countersign"
LONGEST_HOURS = 12


def token(
    person: Annotated[str, typer.Argument(help="The person's id, as in the directory.")],
    role: Annotated[
        list[str] | None, typer.Option(help="A role in the token, such as admin or auditor.")
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=LONGEST_HOURS, help="How long it is good.")] = 12,
) -> None:
    """Print a token of the local development issuer."""
    write(mint(settings.load(), person, role or [], hours))


def mint(loaded: Settings, person: str, roles: list[str], hours: int = LONGEST_HOURS) -> str:
    """A token for `person`. Failure in production or beyond loopback."""
    key = ensure_issuer(loaded)
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": person,
        "roles": roles,
        "iat": now,
        "exp": now + hours * 3600,
        "jti": uuid4().hex,
    }
    return jwt.encode(claims, key, algorithm="EdDSA")


def ensure_issuer(loaded: Settings) -> Ed25519PrivateKey:
    """The issuer's key, made now if there is none: 0600, its public half beside it."""
    if loaded.production:
        raise Failure(
            "there is no development issuer in production",
            fix="get a token from your identity provider and set COUNTERSIGN_TOKEN",
        )
    if not loaded.dev_issuer_allowed:
        raise Failure(
            f"the development issuer serves one machine, and the API binds to {loaded.api_host}",
            fix="bind it to loopback (COUNTERSIGN_API_HOST), or set up a real issuer",
        )
    path = loaded.dev_issuer_key
    if not path.exists():
        _make(path)
    key = load_pem_private_key(_read(path), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise Failure(f"{path} is not an Ed25519 key", fix=f"remove it: {path}")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shown = loaded.dev_issuer_public_key
    if not shown.exists() or shown.read_bytes() != public:
        _publish(shown, public)
    return key


def _make(path: Path) -> None:
    """Write a new private key; if another process was first, its key stands."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(0o600, exist_ok=False)
        draft.write_bytes(pem)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise Failure(
            f"{path} cannot be written: {error.strerror}",
            fix="choose a data folder of your own: COUNTERSIGN_DATA_DIR",
        ) from None


def _publish(path: Path, public: bytes) -> None:
    draft = path.with_name(f"{path.name}.{uuid4().hex}")
    draft.write_bytes(public)
    draft.replace(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(
            f"{path} cannot be read: {error.strerror}",
            code=Exit.FAILED,
            fix="run as the person who runs countersign dev, or set COUNTERSIGN_TOKEN",
        ) from None
