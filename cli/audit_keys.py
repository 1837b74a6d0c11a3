"""`countersign audit key ...`: the keys that sign checkpoints of the audit tree.

Two files: the secret keys (0600) for the relay that seals, a line each, and beside it the public keys,
also those of before, for everybody who verifies.
"""

import asyncio
import os
import secrets
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from cli.output import Exit, Failure, say, write
from contract import notes
from contract.notes import KeyInvalid, PrivateKey, PublicKey
from settings import Settings

DEV_NAME = "localhost/countersign-dev"
_FIX = "set COUNTERSIGN_SEAL_KEY_FILE (and COUNTERSIGN_SEAL_PUBLIC_KEY_FILE)"

app = typer.Typer(no_args_is_help=True, help="The keys that sign checkpoints.")


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(help="Of the tree, for ever: such as countersign.example.org/audit.")
    ],
) -> None:
    """Make the first key, where there is none (COUNTERSIGN_SEAL_KEY_FILE), and print the public one."""
    loaded = _settings()
    problem = notes.name_problem(name)
    if problem is not None:
        raise Failure(problem, code=Exit.USAGE)
    if loaded.seal_key.exists():
        raise Failure(
            f"there is a key already: {loaded.seal_key}",
            code=Exit.CONFLICT,
            fix="countersign audit key rotate makes another one of the same tree",
        )
    _write_new(loaded, name)
    _told(loaded)


@app.command()
def show() -> None:
    """Print the public keys, a line each: what somebody who verifies is to have."""
    for key in public_keys(_settings()):
        write(str(key))


@app.command()
def rotate() -> None:
    """Make the next key: checkpoints are signed with both from the relay's next start, and announce it."""
    loaded = _settings()
    keys = _keys(loaded)
    if len(keys) > 1:
        raise Failure(
            "the next key is there already",
            code=Exit.CONFLICT,
            fix="once it is announced, countersign audit key retire ends the old one",
        )
    key = PrivateKey(keys[0].name, secrets.token_bytes(32))
    _publish(loaded, [*public_keys(loaded), key.public])
    replace(loaded.seal_key, _page([*keys, key]))
    _told(loaded)
    say("start the relay again; then countersign audit key retire")


@app.command()
def retire() -> None:
    """End the old key, once a checkpoint announces the next one: its secret is removed."""
    loaded = _settings()
    keys = _keys(loaded)
    if len(keys) < 2:
        raise Failure("there is no next key", fix="countersign audit key rotate")
    if not asyncio.run(_is_announced(keys[-1].public)):
        raise Failure(
            "no checkpoint has announced the next key: whoever trusts the old one alone could not follow",
            fix="start the relay again and wait for its next checkpoint (countersign audit checkpoints)",
        )
    replace(loaded.seal_key, _page(keys[-1:]))
    _told(loaded)
    say("start the relay again")


def public_keys(loaded: Settings) -> list[PublicKey]:
    """The public keys of this machine. Failure if there are none, or they are no keys."""
    path = loaded.seal_public_key
    try:
        keys = notes.public_keys_of(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"{path} cannot be read: {error}",
            fix="say which keys count: --key, or COUNTERSIGN_SEAL_PUBLIC_KEY_FILE",
        ) from None
    except KeyInvalid as error:
        raise Failure(f"{path}: {error}") from None
    if not keys:
        raise Failure(f"{path} holds no key")
    return keys


def ensure(loaded: Settings) -> None:
    """The key of `countersign dev`, made now if there is none."""
    if not loaded.seal_key.exists():
        _write_new(loaded, DEV_NAME)


def _settings() -> Settings:
    from cli.examine import places

    return places(None).settings


def _keys(loaded: Settings) -> list[PrivateKey]:
    from storage.seal_keys import read_keys

    try:
        return read_keys(loaded.seal_key)
    except KeyInvalid as error:
        raise Failure(
            str(error), fix="countersign audit key new NAME makes the first one"
        ) from None


async def _is_announced(key: PublicKey) -> bool:
    from cli.evidence import connected
    from storage import sealing

    async with connected() as connection:
        last = (await sealing.tree(connection)).last
    return last is not None and key in notes.parsed(notes.text_of(last.note)).keys


def _write_new(loaded: Settings, name: str) -> None:
    key = PrivateKey(name, secrets.token_bytes(32))
    _publish(loaded, [key.public])
    replace(loaded.seal_key, _page([key]))


def _page(keys: list[PrivateKey]) -> str:
    return "".join(f"{key.written()}\n" for key in keys)


def _publish(loaded: Settings, keys: list[PublicKey]) -> None:
    replace(loaded.seal_public_key, "".join(f"{key}\n" for key in keys), mode=0o644)


def replace(path: Path, text: str, mode: int = 0o600, *, fix: str = _FIX) -> None:
    """The file is whole at any moment, and never others' to read if it is secret."""
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode, exist_ok=False)
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise Failure(
            f"{path} cannot be written: {error.strerror}",
            fix=fix,
        ) from None


def _told(loaded: Settings) -> None:
    say(f"secret: {loaded.seal_key}; public: {loaded.seal_public_key}")
    write(str(_keys(loaded)[-1].public))
