"""Whether evidence holds: rows of the audit against themselves, their chains, the tree and what was signed.

Nothing here reads a database: it is fed with what was read, in order. `Chains` takes rows with the
leaves of the same places, by request and `seq`; `Leaves` takes all leaves by number and compares their
tree with every checkpoint. What is not as it should be is a `Finding`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import zip_longest
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

import orjson

from contract import merkle, notes
from contract.canonical import canonical, timestamp
from contract.merkle import Growing
from contract.notes import Checkpoint, NoteInvalid, PublicKey
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


# --- rows ------------------------------------------------------------------------------------------


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


# --- the tree --------------------------------------------------------------------------------------


class Leaves:
    """All leaves in the order of the tree, in portions, against the checkpoints that were signed.

    `trusted` are the public keys; whatever a note announces that one of them has signed is trusted,
    too. `found` are the notes of the database, the oldest first, `kept` those of witnesses.
    """

    def __init__(
        self, trusted: Sequence[PublicKey], found: Sequence[str], kept: Sequence[str] = ()
    ) -> None:
        self.findings: list[Finding] = []
        self.keys = tuple(trusted)
        self.tree = Growing()
        self._known: dict[str, Checkpoint] = {}
        self.signed: list[Checkpoint] = []
        """The checkpoints of the database whose signatures hold."""
        self._open(found)
        self.kept = self._open_kept(kept)
        self._own = frozenset(self.signed)
        self._marks = sorted([*self.signed, *self.kept], key=lambda each: each.size)
        self._next = 0
        self._good: Checkpoint | None = None
        self.recent: list[Checkpoint] = []
        """Checkpoints that hold, at which nothing was waiting: leaves after them were recorded after them."""
        self._broken = False
        self.alone: int | None = None
        """The number of the one leaf that can have been changed, if it is one."""
        self._pass_marks()

    def take(self, first: int, hashes: Sequence[bytes]) -> None:
        """The hashes of the next leaves, which are numbered on from `first`. TreeCut."""
        tree, begin = self.tree, 0
        if first != tree.size:
            gone = f"leaves {tree.size} to {first - 1} are missing"
            self.findings.append(Finding("tree", gone, leaf=tree.size, since=self._since()))
            raise TreeCut
        while begin < len(hashes):
            end = len(hashes)
            if self._next < len(self._marks):
                end = min(end, self._marks[self._next].size - first)
            tree.extend(hashes[begin:end])
            begin = end
            if self._next < len(self._marks) and self._marks[self._next].size == tree.size:
                self._pass_marks()

    def since(self) -> Iterator[tuple[int, int, Checkpoint]]:
        """From which leaf, up to which, not including it, all were recorded after which checkpoint (or
        shortly before: `LATE`)."""
        for mark, after in zip_longest(self.recent, self.recent[1:]):
            until = self.tree.size if after is None else after.size
            if mark.size < until:
                yield mark.size, until, mark

    def end(self) -> None:
        """There are no more leaves."""
        for mark in self._marks[self._next :]:
            here = "the database's own" if mark in self._own else "a witness's"
            what = (
                f"{here} checkpoint of {timestamp(mark.time)} is of {mark.size} rows; there are"
                f" {self.tree.size}: the database was put back to an older state, or cut off"
            )
            self.findings.append(Finding("rollback", what, leaf=self.tree.size, since=mark.time))
            return

    def _open(self, found: Sequence[str]) -> None:
        before: Checkpoint | None = None
        for note in found:
            checkpoint = self._opened(note, "a")
            if checkpoint is None:
                continue
            if before is not None and (
                checkpoint.size < before.size or checkpoint.time < before.time
            ):
                what = (
                    f"the checkpoint of {timestamp(checkpoint.time)} is not after the one before it"
                )
                self.findings.append(Finding("checkpoint", what))
            before = checkpoint
            self.signed.append(checkpoint)

    def _open_kept(self, kept: Sequence[str]) -> list[Checkpoint]:
        """Of a witness those of this tree alone: it may keep others', too."""
        names = {key.name for key in self.keys}
        mine = [note for note in kept if note.partition("\n")[0] in names]
        return [each for note in mine if (each := self._opened(note, "a witness's")) is not None]

    def _opened(self, note: str, whose: str) -> Checkpoint | None:
        """Signatures take longer than all the rest of a quiet hour: each note is looked at once, and a
        witness's that is the database's own not again."""
        found = self._known.get(note)
        if found is not None:
            return found
        try:
            found = notes.opened(note, self.keys)
            if not set(found.keys) <= set(self.keys):
                self.keys = tuple(dict.fromkeys((*self.keys, *found.keys)))
                found = notes.opened(note, self.keys)
            self._known[note] = found
            return found
        except NoteInvalid as error:
            first = note.partition("\n\n")[0].replace("\n", " ")[:120]
            self.findings.append(Finding("checkpoint", f"{whose} checkpoint, {first}: {error}"))
            return None

    def _pass_marks(self) -> None:
        """Compare with every checkpoint of just this size. The first that differs says between which
        two something was changed; those after it say no more."""
        root = self.tree.root()
        while self._next < len(self._marks) and self._marks[self._next].size == self.tree.size:
            mark = self._marks[self._next]
            self._next += 1
            if mark.root == root:
                self._good = mark
                if not mark.waiting and mark in self._own:
                    self.recent.append(mark)
            elif not self._broken:
                self._broken = True
                self._differs(mark)

    def _differs(self, mark: Checkpoint) -> None:
        first = 0 if self._good is None else self._good.size
        what = (
            f"the tree of {mark.size} rows is not the one signed at {timestamp(mark.time)}:"
            f" one of the leaves {first} to {mark.size - 1} was changed, or another one put there"
        )
        kind: Kind = "tree" if mark in self._own else "fork"
        self.findings.append(Finding(kind, what, leaf=first, since=mark.time))
        self.alone = first if mark.size - first == 1 else None

    def _since(self) -> datetime | None:
        return None if self._good is None else self._good.time


class TreeCut(Exception):
    """Leaves are missing in between: there is no tree to go on with."""


def backdated(leaf: Leaf, before: Checkpoint) -> Finding | None:
    """What is wrong if the leaf's row says that it was recorded long before a checkpoint that it is not
    in, although nothing was waiting then."""
    if before.waiting or leaf.recorded_at >= before.time - LATE:
        return None
    what = (
        f"it says it was recorded at {timestamp(leaf.recorded_at)}, and was not there at"
        f" {timestamp(before.time)}: it was put there later"
    )
    return Finding("backdated", what, leaf.request_id, leaf.seq, leaf.leaf, before.time)


def when_sealed(findings: Iterable[Finding], signed: Sequence[Checkpoint]) -> list[Finding]:
    """The findings, each with the moment at which what it is about was sealed as it should be."""
    sizes = [mark.size for mark in signed]
    found = []
    for each in findings:
        if each.since is None and each.leaf is not None:
            first = bisect_right(sizes, each.leaf)
            since = signed[first].time if first < len(signed) else None
            found.append(replace(each, since=since))
        else:
            found.append(each)
    return found
