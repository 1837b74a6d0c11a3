"""Boxes that only the keys of a request open (AES-256-GCM), and the data keys themselves as a region key wraps them.

A request has a data key, `shared`, for what those who see the request may read; and where its recipe keeps
something from most of them, another one, `confidential`. Once both are destroyed, nothing of what people
wrote can be read any more, wherever a box was copied to. A box is a byte that says how it is made (1), a
nonce of 12 bytes, the ciphertext and its tag of 16; it is bound to its request and scope.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest as hmac
from typing import Literal, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Scope: TypeAlias = Literal["shared", "confidential"]

KEY_BYTES = 32
_NONCE_BYTES = 12
_MADE = b"\x01"


class CannotOpen(Exception):
    """This box is not one of this key, or not as it was made; the text says which."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The data keys of a request, as far as their holder may have them. `private` is whether there is a
    confidential key, held or not; `fields` are the inputs that are confidential then, None for all that
    people wrote."""

    request_id: UUID
    shared: bytes = field(repr=False)
    confidential: bytes | None = field(default=None, repr=False)
    private: bool = False
    fields: tuple[str, ...] | None = None

    @property
    def strictest(self) -> Scope:
        """Of what must be as secret as anything of the request."""
        return "confidential" if self.private else "shared"

    @property
    def whole(self) -> bool:
        """Whether all that people wrote is confidential."""
        return self.private and self.fields is None

    @property
    def widest(self) -> Scope:
        """Of what is confidential where everything is, and else is not."""
        return "confidential" if self.whole else "shared"

    def holds(self, scope: Scope) -> bool:
        return scope == "shared" or self.confidential is not None

    @property
    def salt(self) -> bytes:
        """What digests of inputs are made with, so that nobody can guess what they are of."""
        return hmac(self.shared, b"countersign digest", "sha256")

    def key(self, scope: Scope) -> bytes:
        """CannotOpen if it is not held."""
        found = self.shared if scope == "shared" else self.confidential
        if found is None:
            raise CannotOpen(f"the {scope} key of {self.request_id} is not there")
        return found


def salt_of(keys: Keys | None) -> bytes:
    """What digests of a request's inputs are made with: nothing where it has no keys."""
    return b"" if keys is None else keys.salt


def seal(keys: Keys, scope: Scope, plain: bytes) -> bytes:
    """A box with these bytes."""
    return _seal(keys.key(scope), plain, _about(keys.request_id, scope))


def open_box(keys: Keys, scope: Scope, box: bytes) -> bytes:
    """What is in a box. CannotOpen."""
    return _open(keys.key(scope), box, _about(keys.request_id, scope))


def wrap(region_key: bytes, request_id: UUID, scope: Scope, data_key: bytes) -> bytes:
    """A data key as it is kept."""
    return _seal(region_key, data_key, b"wrapped:" + _about(request_id, scope))


def unwrap(region_key: bytes, request_id: UUID, scope: Scope, wrapped: bytes) -> bytes:
    """CannotOpen if it was wrapped with another region key, or is of another request."""
    return _open(region_key, wrapped, b"wrapped:" + _about(request_id, scope))


def seal_as(key: bytes, about: str, plain: bytes) -> bytes:
    """A box of no request, sealed with a key of the house (`Vault.derived`) and bound to what it is about."""
    return _seal(key, plain, f"countersign:{about}".encode())


def open_as(keys: Iterable[bytes], about: str, box: bytes) -> bytes:
    """What is in a box of no request, sealed with one of these keys. CannotOpen."""
    for key in keys:
        try:
            return _open(key, box, f"countersign:{about}".encode())
        except CannotOpen:
            continue
    raise CannotOpen("this box was sealed with another key, or is damaged")


def commitment(plain: bytes) -> str:
    """What a box's content can be held against later, by whoever is shown it: hex of its SHA-256."""
    return sha256(plain).hexdigest()


def _about(request_id: UUID, scope: Scope) -> bytes:
    return f"countersign:{request_id}:{scope}".encode()


def _seal(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _MADE + nonce + AESGCM(key).encrypt(nonce, plain, about)


def _open(key: bytes, box: bytes, about: bytes) -> bytes:
    if box[:1] != _MADE:
        raise CannotOpen("this is no box that this version knows")
    nonce, sealed = box[1 : 1 + _NONCE_BYTES], box[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, sealed, about)
    except (InvalidTag, ValueError):
        raise CannotOpen("this box was sealed with another key, or is damaged") from None
