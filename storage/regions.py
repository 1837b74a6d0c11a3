"""Region keys: they wrap the data keys of requests, and the database never sees them.

A file of lines, `REGION+NAME+BASE64`, that its owner alone may read. The first line is the key that wraps
from now on; those after it open what was wrapped before.
"""

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.boxes import KEY_BYTES

_PREFIX = "REGION"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class RegionKeyInvalid(Exception):
    """This is no file of region keys, or not one that may be used; the text says why."""


@dataclass(frozen=True, slots=True)
class RegionKey:
    """A key by its name."""

    name: str
    key: bytes = field(repr=False)

    def written(self) -> str:
        return f"{_PREFIX}+{self.name}+{b64encode(self.key).decode()}"


def new(name: str) -> RegionKey:
    """A key nobody has yet. RegionKeyInvalid if this is no name."""
    if not NAME.fullmatch(name):
        raise RegionKeyInvalid(
            f"{name!r} is no name: letters, digits, . _ - and at most 63 of them"
        )
    return RegionKey(name, secrets.token_bytes(KEY_BYTES))


def parsed(text: str) -> list[RegionKey]:
    """The keys of a file's text. RegionKeyInvalid with the line that is none."""
    found = [
        _line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not found:
        raise RegionKeyInvalid("it holds no key")
    names = [key.name for key in found]
    if len(set(names)) < len(names):
        raise RegionKeyInvalid("it holds two keys of one name")
    return found


def written(keys: Sequence[RegionKey]) -> str:
    return "".join(f"{key.written()}\n" for key in keys)


def read_keys(path: Path) -> list[RegionKey]:
    """The keys of a file. RegionKeyInvalid if it cannot be read, holds none, or others may read it."""
    try:
        others = path.stat().st_mode & 0o077
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RegionKeyInvalid(f"{path} cannot be read: {error}") from None
    if others:
        raise RegionKeyInvalid(f"others may read {path}: chmod 600 {path}")
    try:
        return parsed(text)
    except RegionKeyInvalid as error:
        raise RegionKeyInvalid(f"{path}: {error}") from None


def _line(number: int, line: str) -> RegionKey:
    prefix, _, rest = line.strip().partition("+")
    name, _, text = rest.partition("+")
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if prefix != _PREFIX or not NAME.fullmatch(name) or len(key) != KEY_BYTES:
        raise RegionKeyInvalid(
            f"line {number} is no key: {_PREFIX}+NAME+BASE64 of {KEY_BYTES} bytes"
        )
    return RegionKey(name, key)
