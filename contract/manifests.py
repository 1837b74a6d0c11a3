"""What a month of the audit is made of in the cold tier: files, hashes, and where it is in the tree.

A manifest is signed as checkpoints are: a text (the name of the tree with `/months`, a line of canonical
JSON), an empty line, a line for each signature. It never reads as a checkpoint: that has a number there.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from contract import notes
from contract.canonical import canonical
from contract.notes import NoteInvalid, PrivateKey, PublicKey

_MARK = "/months"


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file: its name in the store, `sha256` in hex, its size in bytes, how many rows."""

    name: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A month, `2026-05`. `digest` is SHA-256 over the hashes of its rows by request and `seq`, in hex;
    `first_leaf` and `last_leaf` are the ends of where its rows are in the tree, whose `checkpoint` (a
    whole note) covers them all."""

    month: str
    rows: int
    digest: str
    first_leaf: int
    last_leaf: int
    files: tuple[File, ...]
    checkpoint: str


_MANIFEST = TypeAdapter(Manifest)


def signed(manifest: Manifest, keys: Sequence[PrivateKey]) -> str:
    """The manifest as a note that all of these keys have signed."""
    text = f"{keys[0].name}{_MARK}\n{canonical(asdict(manifest))}\n"
    return notes.signed_text(text, keys)


def opened(note: str, trusted: Collection[PublicKey]) -> Manifest:
    """The manifest of a note that a trusted key has signed. NoteInvalid if none has, or it is none."""
    return parsed(notes.opened_text(note, trusted))


def parsed(text: str) -> Manifest:
    """The manifest that a note, or its text, says. NoteInvalid if it says none. Of signatures nothing is
    known."""
    first, _, rest = text.partition("\n")
    line, _, _ = rest.partition("\n")
    if not first.endswith(_MARK):
        raise NoteInvalid("it is not the manifest of a month")
    try:
        return _MANIFEST.validate_json(line)
    except ValidationError as error:
        raise NoteInvalid(
            f"it is not the manifest of a month: {error.errors()[0]['msg']}"
        ) from None
