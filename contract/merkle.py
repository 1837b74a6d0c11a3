"""The Merkle tree of RFC 6962 over all audit rows: hashes, proofs, and which parts a proof needs.

Leaves are numbered from 0 in the order in which they were sealed. A subtree that is complete never
changes, so those of 256 leaves (level 8), of 256 times 256 (level 16) and so on are kept; whatever is
between is hashed again from at most 255 of those below. `(level, index)` names a complete subtree: the
leaves from `index << level` up to, not including, `(index + 1) << level`.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

STRIDE = 8
"""Every so many levels subtrees are kept."""
EMPTY = sha256(b"").digest()
"""The root of a tree without leaves."""

Span: TypeAlias = tuple[int, int]
"""Leaves from the first number up to, not including, the second."""
Subtree: TypeAlias = tuple[int, int]
Kept: TypeAlias = Mapping[Subtree, bytes]
"""Hashes by (level, index); a leaf's level is 0."""


def leaf(request_id: UUID, seq: int, hash: bytes) -> bytes:
    """The hash of an audit row's leaf: over its request, its place in the chain and its own hash."""
    return sha256(b"\x00" + request_id.bytes + seq.to_bytes(8, "big") + hash).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


# --- growing --------------------------------------------------------------------------------------


class Growing:
    """A tree that leaves are added to, one by one; it knows no more than its roots on the way."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        """Roots of the complete subtrees that make it up, the largest first."""

    def add(self, leaf_hash: bytes) -> None:
        rest = self.size
        while rest & 1:
            leaf_hash = sha256(b"\x01" + self._peaks.pop() + leaf_hash).digest()
            rest >>= 1
        self._peaks.append(leaf_hash)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaves, level by level."""
        peaks, rest, nodes = self._peaks, self.size, list(leaves)
        made: list[bytes] = []
        while nodes:
            if rest & 1:
                nodes.insert(0, peaks.pop())
            if len(nodes) & 1:
                made.append(nodes.pop())
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            rest >>= 1
        peaks += reversed(made)
        self.size += len(leaves)

    def root(self) -> bytes:
        return _folded(self._peaks)


def completed(before: Kept, size: int, leaves: Sequence[bytes]) -> dict[Subtree, bytes]:
    """The subtrees to be kept that `leaves` complete in a tree of `size`.

    `before` has what `edge(size)` names.
    """
    found: dict[Subtree, bytes] = {}
    hashes = dict(before) | {(0, size + n): each for n, each in enumerate(leaves)}
    level, count = STRIDE, size + len(leaves)
    while count >> level:
        for index in range(size >> level, count >> level):
            found[level, index] = hashes[level, index] = _complete(hashes, level, index)
        level += STRIDE
    return found


def edge(size: int) -> list[tuple[int, int, int]]:
    """What a tree of `size` needs to grow and to give its root: per level, which are kept: from, to."""
    found = []
    level = 0
    while size >> level:
        last = size >> level
        found.append((level, last >> STRIDE << STRIDE, last))
        level += STRIDE
    return found


# --- parts and proofs -----------------------------------------------------------------------------


def inclusion(index: int, size: int) -> list[Span]:
    """The parts whose hashes prove that leaf `index` is in a tree of `size`, from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    found: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency(first: int, second: int) -> list[Span]:
    """The parts whose hashes prove that the tree of size `second` goes on from that of `first`."""
    if not 0 < first <= second:
        raise ValueError(f"no tree of {second} goes on from one of {first}")
    found: list[Span] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _half(end - start)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    if not whole:
        found.append((start, end))
    return found[::-1]


def needed(spans: Iterable[Span]) -> list[tuple[int, int, int]]:
    """What of the kept hashes the parts are made of: level, from, to (not included)."""
    found = []
    for span in spans:
        for level, index in _pieces(*span):
            below = level % STRIDE
            found.append((level - below, index << below, (index + 1) << below))
    return found


def part(kept: Kept, span: Span) -> bytes:
    """The hash of a part that a proof names, or of a whole tree. KeyError if `kept` lacks any of it."""
    return _folded([_complete(kept, *piece) for piece in _pieces(*span)])


def root_of_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root of the tree that this proof is of. ValueError if it has not the length it must have."""
    spans = inclusion(index, size)
    if len(spans) != len(proof):
        raise ValueError(f"a proof of leaf {index} of {size} has {len(spans)} hashes")
    found = leaf_hash
    for (start, _), sibling in zip(spans, proof, strict=True):
        found = node(sibling, found) if start <= index else node(found, sibling)
    return found


def roots_of_consistency(
    first: int, second: int, first_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The roots of both trees, as the proof has them; the first one is to be compared, too.

    ValueError if the proof has not the length it must have.
    """
    spans = consistency(first, second)
    if len(spans) != len(proof):
        raise ValueError(f"a proof from {first} to {second} has {len(spans)} hashes")
    parts = list(zip(spans, proof, strict=True))
    if parts and parts[0][0][1] == first:
        (_, old), *parts = parts
    else:
        old = first_root  # the first tree is itself a complete part of the second
    new = old
    for (start, _), sibling in parts:
        if start >= first:
            new = node(new, sibling)
        else:
            old, new = node(sibling, old), node(sibling, new)
    return old, new


def _half(size: int) -> int:
    """The largest power of two below `size` (2 at least)."""
    return 1 << (size - 1).bit_length() - 1


def _pieces(start: int, end: int) -> list[Subtree]:
    """The complete subtrees that make up a part, left to right."""
    found: list[Subtree] = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def _complete(kept: Kept, level: int, index: int) -> bytes:
    """The hash of a complete subtree, from the kept ones below it."""
    if (level, index) in kept:
        return kept[level, index]
    below = level % STRIDE or STRIDE
    row = [kept[level - below, (index << below) + n] for n in range(1 << below)]
    while len(row) > 1:
        row = [node(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The root over parts that lie side by side, the largest first."""
    if not hashes:
        return EMPTY
    *rest, found = hashes
    for each in reversed(rest):
        found = node(each, found)
    return found
