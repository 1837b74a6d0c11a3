"""Whether evidence holds: rows of the audit against themselves, their chains and their leaves.

Nothing here reads a database: it is fed with what was read, in order. `Chains` takes rows with the
leaves of the same places, by request and `seq`; what all leaves come to is for `verifying_tree`. What is
not as it should be is a `Finding`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

import orjson

from contract import merkle
from contract.canonical import canonical
from recipes.model import Json

BEGINNING = bytes(32)
"""What the first row of a chain has for the hash of the one before it."""
LATE = timedelta(minutes=10)
"""So long after it was recorded a row may be sealed: its transaction may take time to commit."""

Kind = Literal[
    "edited",
    "rehashed",
    "misspelt",
    "column",
    "chain",
    "missing",
    "tail",
    "forged",
    "backdated",
    "tree",
    "checkpoint",
    "fork",
    "rollback",
    "replay",
]
Place: TypeAlias = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `what`, in words. Of a row its place; `since`: when it was still right,
    as far as signatures say."""

    kind: Kind
    what: str
    request_id: UUID | None = None
    seq: int | None = None
    leaf: int | None = None
    since: datetime | None = None


class Row(NamedTuple):
    """A row as it was read: `said` are its columns as JSON, with no number in powers of ten, which should
    be what `body` says; None where that was looked at, and the body is spelt as it should be. `fresh` if it
    may be waiting to be sealed; `leaf` is the number that is kept beside it, if one is."""

    request_id: UUID
    seq: int
    prev_hash: bytes
    hash: bytes
    body: bytes
    said: bytes | None
    fresh: bool
    recorded_at: datetime
    leaf: int | None


class Leaf(NamedTuple):
    request_id: UUID
    seq: int
    leaf: int
    hash: bytes
    recorded_at: datetime


class Head(NamedTuple):
    """What the database takes for the end of a request's chain."""

    request_id: UUID
    seq: int
    hash: bytes


class Chains:
    """Rows in the order of their chains, in portions. With `whole` chains begin with their first row."""

    def __init__(self, *, whole: bool = True) -> None:
        self.findings: list[Finding] = []
        self.rows = 0
        self.whole = whole
        self._request: UUID | None = None
        self._seq = 0
        self._hash = BEGINNING
        self._leaf: int | None = None
        self._ends: dict[UUID, tuple[int, bytes]] = {}
        self._gone: frozenset[Place] = frozenset()

    def take(
        self, rows: Sequence[Row], leaves: Sequence[Leaf], gone: frozenset[Place] = frozenset()
    ) -> None:
        """The next rows, with all leaves of places up to the last of them. Rows that are `gone` were
        deleted because their time was over: chains go on from the first row that is there."""
        sealed = {(leaf[0], leaf[1]): leaf for leaf in leaves}
        for place in gone & sealed.keys():
            del sealed[place]
        self._gone = gone
        self.rows += len(rows)
        doubtful = _doubtful(rows)
        for number, row in enumerate(rows):
            request_id, seq, prev_hash, own, body, _, fresh, recorded_at, beside = row
            leaf = sealed.pop((request_id, seq), None)
            self._leaf = None if leaf is None else leaf[2]
            if request_id == self._request and seq == self._seq + 1 and prev_hash == self._hash:
                self._seq, self._hash = seq, own
                self._ends[request_id] = seq, own
            else:
                self._follow(row)
            if sha256(b"\x00" + prev_hash + body).digest() != own:
                self._find("edited", "its hash is not that of its body", row)
            if number in doubtful:
                self._told(row)
            if leaf is None:
                if not fresh:
                    self._find("forged", "it is not in the tree, where it would be by now", row)
            elif merkle.leaf(request_id, seq, own) != leaf[3]:
                self._find("rehashed", "it is another row than the one that was sealed", row)
            elif recorded_at != leaf[4]:
                what = "recorded_at is not what it was when it was sealed"
                self._find("column", what, row)
            elif beside is not None and beside != leaf[2]:
                self._find("column", f"not the number of its leaf: {beside}", row)
        for leaf in sealed.values():
            self._leaf = leaf.leaf
            self._find("missing", "the row was sealed and is not there", leaf)
        self._leaf = None

    def end(self, heads: Iterable[Head], *, last: bool) -> None:
        """Where chains are said to end: all those that went before the one that goes on, or with `last`
        all of them."""
        ended = {place: end for place, end in self._ends.items() if last or place != self._request}
        for head in heads:
            if (head.request_id, head.seq) in self._gone:
                continue
            seq, last_hash = ended.pop(head.request_id, (0, BEGINNING))
            if (seq, last_hash) != (head.seq, head.hash):
                what = f"the chain ended with row {head.seq}; now it ends with {seq}"
                if seq == head.seq:
                    what = f"the chain ended with another row {seq}"
                self._find("tail", what, head)
        for request_id, (seq, _) in ended.items():
            self._find("forged", "its chain was not made as chains are", (request_id, seq))
        self._ends = {} if last else {p: e for p, e in self._ends.items() if p == self._request}

    def _follow(self, row: Row) -> None:
        request_id, seq, prev_hash, own_hash, *_ = row
        if request_id != self._request:
            self._request, self._seq, self._hash = request_id, 0, BEGINNING
            if not self.whole:
                self._seq, self._hash = seq - 1, prev_hash
        while (request_id, self._seq + 1) in self._gone:
            self._seq, self._hash = self._seq + 1, prev_hash
        if seq == self._seq + 1 and prev_hash == self._hash:
            pass
        elif seq > self._seq + 1:
            gap = f"rows {self._seq + 1} to {seq - 1} of the chain are missing"
            self._find("chain", gap, row)
        else:
            self._find("chain", "it does not go on from the row before it", row)
        self._seq, self._hash = seq, own_hash
        self._ends[request_id] = seq, own_hash

    def _told(self, row: Row) -> None:
        """Of a row whose columns, spelt as they should be, are not its body."""
        try:
            said = orjson.loads(row.body)
        except ValueError:
            self._find("edited", "its body is not JSON", row)
            return
        columns = orjson.loads(row.said or row.body)
        if not _same(said, columns):
            names = columns if isinstance(said, dict) else ()
            wrong = ", ".join(n for n in names if not _same(said.get(n), columns[n])) or "its body"
            self._find("column", f"not as in the body that was hashed: {wrong}", row)
        if not spelt(row.body, said):
            self._find("misspelt", "its body is not the canonical spelling of what it says", row)

    def _find(self, kind: Kind, what: str, at: Row | Leaf | Head | Place) -> None:
        self.findings.append(Finding(kind, what, at[0], at[1], self._leaf))


# --- spelling ---

_TOGETHER = 16
"""So many rows are read at once: fewer calls, and what is read stays in the processor's cache."""
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_FRACTION = re.compile(rb"\.[0-9]+(?:e[-+]?[0-9]+)?(?:[,}\]]|$)")
"""Where a number ends that is not whole (or a text that looks like it)."""
_POWER = re.compile(rb"(?:^|[:,\[])-?[0-9]e")
"""Where one begins that is large or small (or such a text)."""


def _doubtful(rows: Sequence[Row]) -> set[int]:
    """Which rows, by number, have a body that is not what their columns say in canonical spelling; maybe.

    One comparison answers both questions. The quick way is sure of what it takes: whole numbers alone, and
    keys sorted by bytes, which is the canonical order but for rare characters.
    """
    found: set[int] = set()
    numbers = [number for number, row in enumerate(rows) if row.said is not None]
    for first in range(0, len(numbers), _TOGETHER):
        part = numbers[first : first + _TOGETHER]
        if not _quick([rows[number] for number in part]):
            found.update(number for number in part if not _quick([rows[number]]))
    return found


def _quick(rows: Sequence[Row]) -> bool:
    text = b"[" + b",".join([row.said for row in rows if row.said is not None]) + b"]"
    if _FRACTION.search(text):
        return False
    try:
        spelt = [orjson.dumps(each, option=_SORTED) for each in orjson.loads(text)]
    except (ValueError, TypeError):  # no JSON; an integer that is too large
        return False
    return spelt == [row.body for row in rows]


def _same(one: Json, other: Json) -> bool:
    try:
        return canonical(one) == canonical(other)
    except ValueError:
        return False


def spelt(body: bytes, said: Json) -> bool:
    """Whether `body`, which says `said`, is canonical. The quick way is sure of what it takes; the slow
    one decides on the rest."""
    try:
        quick = orjson.dumps(said, option=_SORTED) == body
        if quick and not _FRACTION.search(body) and not _POWER.search(body):
            return True
    except TypeError:  # an integer that is too large
        pass
    return canonical(said).encode() == body
