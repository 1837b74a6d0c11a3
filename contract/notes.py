"""Checkpoints of the audit tree as signed notes, and the keys that sign them (C2SP signed-note,
tlog-checkpoint).

A checkpoint is text: the name of the tree, its size, its root in base64, then lines of ours: `time`
with the moment of sealing, `waiting` if there were more rows to seal, and a `key` for each key that is
to be trusted from here on; an empty line; a line for each signature. Keys have the text forms of Go's `note`: `NAME+ID+BASE64` for the public
one, `PRIVATE+KEY+NAME+ID+BASE64` for the other. Whoever trusts a key trusts those it announces.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from contract.canonical import timestamp

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_TEXT = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"(?P<more>(?:[^\n]+\n)*)"
)


class NoteInvalid(Exception):
    """This is no checkpoint, or not one that a trusted key has signed; the text says why."""


class KeyInvalid(Exception):
    """This is no key; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with. `name` is the tree's."""

    name: str
    raw: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.raw).decode()}"

    def signed(self, text: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs; `seed` is its secret, 32 bytes."""

    name: str
    seed: bytes

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, self._key().public_key().public_bytes_raw())

    def written(self) -> str:
        """The text form, which is as secret as the key."""
        return f"{_PRIVATE}{self.name}+{self.public.id.hex()}+{b64encode(_ED25519 + self.seed).decode()}"

    def sign(self, text: str) -> bytes:
        return self._key().sign(text.encode())

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How large the tree was at a moment, and its root. `waiting`: older rows than that may follow.
    `keys` are announced: trust them from now on."""

    origin: str
    size: int
    root: bytes
    time: datetime
    keys: tuple[PublicKey, ...] = ()
    waiting: bool = False

    def text(self) -> str:
        lines = [self.origin, str(self.size), b64encode(self.root).decode()]
        lines += [f"time {timestamp(self.time)}", *["waiting"][: self.waiting]]
        lines += [f"key {key}" for key in self.keys]
        return "".join(f"{line}\n" for line in lines)


def name_problem(name: str) -> str | None:
    """Why a tree cannot be named so; None if it can."""
    if _NAME.fullmatch(name):
        return None
    return (
        f"{name!r} is no name of a tree: a letter or digit, then letters, digits and . _ / -,"
        " such as countersign.example.org/audit"
    )


def signed(checkpoint: Checkpoint, keys: Sequence[PrivateKey]) -> str:
    """The checkpoint as a note that all of these keys have signed, the first one first."""
    return signed_text(checkpoint.text(), keys)


def signed_text(text: str, keys: Sequence[PrivateKey]) -> str:
    """A text, which ends with a new line, as a note."""
    lines = [
        f"\N{EM DASH} {key.name} {b64encode(key.public.id + key.sign(text)).decode()}\n"
        for key in keys
    ]
    return f"{text}\n{''.join(lines)}"


def opened(note: str, trusted: Collection[PublicKey]) -> Checkpoint:
    """The checkpoint of a note that one of the `trusted` keys has signed. NoteInvalid if none has, if
    one of them has not signed this text, or if it is no checkpoint."""
    return parsed(opened_text(note, trusted))


def opened_text(note: str, trusted: Collection[PublicKey]) -> str:
    """The text of a note that one of the `trusted` keys has signed. NoteInvalid as of `opened`."""
    text = text_of(note)
    block = note[len(text) + 1 :]
    if not block.endswith("\n"):
        raise NoteInvalid("it breaks off")
    known = {(key.name, key.id): key for key in trusted}
    good = False
    for line in block.removesuffix("\n").split("\n"):
        name, key_id, signature = _signature(line)
        key = known.get((name, key_id))
        if key is None:
            continue
        if not key.signed(text, signature):
            raise NoteInvalid(f"the signature of {name} is not of this text")
        good = True
    if not good:
        raise NoteInvalid("none of the trusted keys has signed it")
    return text


def text_of(note: str) -> str:
    """What the signatures of a note are of. NoteInvalid if it has none."""
    text, divided, _ = note.rpartition("\n\n")
    if not divided:
        raise NoteInvalid("it has no signature")
    return text + "\n"


def parsed(text: str) -> Checkpoint:
    """The checkpoint that a text says. NoteInvalid if it says none. Of signatures nothing is known."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise NoteInvalid("it is not name, size and root, a line each")
    time: datetime | None = None
    keys: list[PublicKey] = []
    for line in found["more"].splitlines():
        kind, _, rest = line.partition(" ")
        try:
            if kind == "time":
                time = datetime.fromisoformat(rest)
            elif kind == "key":
                keys.append(public_key(rest))
        except (ValueError, KeyInvalid) as error:
            raise NoteInvalid(f"`{line}`: {error}") from None
    if time is None or time.tzinfo is None:
        raise NoteInvalid("it does not say its time")
    root = b64decode(found["root"])
    waiting = "waiting" in found["more"].splitlines()
    return Checkpoint(found["origin"], int(found["size"]), root, time, tuple(keys), waiting)


def public_key(text: str) -> PublicKey:
    """The key of `NAME+ID+BASE64`. KeyInvalid says what is wrong."""
    name, key_id, raw = _key_parts(text.strip())
    key = PublicKey(name, raw)
    if key.id != key_id:
        raise KeyInvalid(f"the key of {name} has not the id that it says: it was cut or changed")
    return key


def private_key(text: str) -> PrivateKey:
    """The key of `PRIVATE+KEY+NAME+ID+BASE64`. KeyInvalid says what is wrong, without the secret."""
    text = text.strip()
    if not text.startswith(_PRIVATE):
        raise KeyInvalid("a line that does not begin with PRIVATE+KEY+")
    name, key_id, seed = _key_parts(text.removeprefix(_PRIVATE))
    key = PrivateKey(name, seed)
    if key.public.id != key_id:
        raise KeyInvalid(f"the key of {name} has not the id that it says: it was cut or changed")
    return key


def keys_of(text: str) -> list[PrivateKey]:
    """The keys of a key file, a line each, of one tree: the first one signs, those after it are to
    follow it and sign, too. KeyInvalid if there is none, or they are of different trees."""
    keys = [private_key(line) for line in _lines(text)]
    if not keys:
        raise KeyInvalid("it holds no key")
    if len({key.name for key in keys}) > 1:
        raise KeyInvalid("its keys are of different trees")
    return keys


def public_keys_of(text: str) -> list[PublicKey]:
    """The keys of a file of public keys, a line each. KeyInvalid if a line is none."""
    return [public_key(line) for line in _lines(text)]


def announced(keys: Iterable[PublicKey], note: str) -> tuple[PublicKey, ...]:
    """The keys to be trusted after a note that one of `keys` has signed. NoteInvalid if none has."""
    return tuple(dict.fromkeys((*keys, *opened(note, tuple(keys)).keys)))


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _key_parts(text: str) -> tuple[str, bytes, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise KeyInvalid("a key is NAME+ID+BASE64")
    name, key_id, encoded = parts
    problem = name_problem(name)
    if problem is not None:
        raise KeyInvalid(problem)
    try:
        found, raw = bytes.fromhex(key_id), b64decode(encoded, validate=True)
    except ValueError:
        raise KeyInvalid(f"the key of {name} is not NAME+ID+BASE64") from None
    if len(found) != 4 or len(raw) != 33 or raw[:1] != _ED25519:
        raise KeyInvalid(f"the key of {name} is no Ed25519 key")
    return name, found, raw[1:]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    dash, _, rest = line.partition(" ")
    name, blank, encoded = rest.partition(" ")
    try:
        raw = b64decode(encoded, validate=True)
    except ValueError:
        raw = b""
    if dash != "\N{EM DASH}" or not blank or len(raw) < 5:
        raise NoteInvalid("a line below the text is no signature")
    return name, raw[:4], raw[4:]
