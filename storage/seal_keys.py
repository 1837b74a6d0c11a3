"""The file of the secret keys that seal."""

from pathlib import Path

from contract import notes
from contract.notes import KeyInvalid, PrivateKey


def read_keys(path: Path) -> list[PrivateKey]:
    """The keys of a key file. KeyInvalid if it cannot be read, says none, or others may read it."""
    try:
        others = path.stat().st_mode & 0o077
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyInvalid(f"{path} cannot be read: {error}") from None
    if others:
        raise KeyInvalid(f"others may read {path}: chmod 600 {path}")
    try:
        return notes.keys_of(text)
    except KeyInvalid as error:
        raise KeyInvalid(f"{path}: {error}") from None
