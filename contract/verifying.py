"""Whether evidence holds: rows of the audit against themselves, their chains, the tree and what was signed.

Nothing here reads a database: it is fed with what was read, in order. `Chains` takes rows with the
leaves of the same places, by request and `seq`; `Leaves` takes all leaves by number and compares their
tree with every checkpoint. What is not as it should be is a `Finding`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
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
    """A row as it was read: `said` are its columns as JSON, which should be what `body` says; `fresh` if
    it may be waiting to be sealed."""

    request_id: UUID
    seq: int
    prev_hash: bytes
    hash: bytes
    body: bytes
    said: str
    fresh: bool
    recorded_at: datetime


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
        self._whole = whole
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
        sealed = {(leaf[0], leaf[1]): leaf for leaf in leaves if (leaf[0], leaf[1]) not in gone}
        self._gone = gone
        self.rows += len(rows)
        for row in rows:
            leaf = sealed.pop((row[0], row[1]), None)
            self._leaf = None if leaf is None else leaf.leaf
            self._follow(row)
            self._hashed(row)
            self._told(row)
            self._sealed(row, leaf)
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
            if not self._whole:
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

    def _hashed(self, row: Row) -> None:
        if sha256(b"\x00" + row.prev_hash + row.body).digest() != row.hash:
            self._find("edited", "its hash is not that of its body", row)

    def _told(self, row: Row) -> None:
        try:
            said = orjson.loads(row.body)
        except ValueError:
            self._find("edited", "its body is not JSON", row)
            return
        columns = orjson.loads(row.said)
        if said != columns:
            names = columns if isinstance(said, dict) else ()
            wrong = ", ".join(n for n in names if said.get(n) != columns[n]) or "its body"
            self._find("column", f"not as in the body that was hashed: {wrong}", row)
        if not spelt(row.body, said):
            self._find("misspelt", "its body is not the canonical spelling of what it says", row)

    def _sealed(self, row: Row, leaf: Leaf | None) -> None:
        if leaf is None:
            if not row.fresh:
                self._find("forged", "it is not in the tree, where it would be by now", row)
        elif merkle.leaf(row.request_id, row.seq, row.hash) != leaf.hash:
            what = "it is another row than the one that was sealed"
            self._find("rehashed", what, row)
        elif row.recorded_at != leaf.recorded_at:
            self._find("column", "recorded_at is not what it was when it was sealed", row)

    def _find(self, kind: Kind, what: str, at: Row | Leaf | Head | Place) -> None:
        self.findings.append(Finding(kind, what, at[0], at[1], self._leaf))


_ODD_NUMBER = re.compile(rb"[0-9][.eE]|[0-9]{16}")
"""Outside strings: numbers that canonical JSON has not got, or maybe not."""


def spelt(body: bytes, said: Json) -> bool:
    """Whether `body`, which says `said`, is canonical. The quick way is sure of what it takes; the slow
    one decides on the rest."""
    if orjson.dumps(said, option=orjson.OPT_SORT_KEYS) == body:
        strings_apart = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        if not _ODD_NUMBER.search(b"".join(strings_apart[::2])):
            return True
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
        self.signed: list[Checkpoint] = []
        """The checkpoints of the database whose signatures hold."""
        self._open(found)
        self.kept = self._open_kept(kept)
        self._marks = sorted([*self.signed, *self.kept], key=lambda each: each.size)
        self._next = 0
        self._good: Checkpoint | None = None
        self._suspects: list[Leaf] = []
        self._recent: Checkpoint | None = None
        self._broken = False
        self._pass_marks()

    def take(self, leaves: Sequence[Leaf]) -> None:
        tree = self.tree
        for leaf in leaves:
            if leaf.leaf != tree.size:
                gone = f"leaves {tree.size} to {leaf.leaf - 1} are missing"
                self.findings.append(Finding("tree", gone, leaf=tree.size, since=self._since()))
                raise TreeCut
            tree.add(leaf.hash)
            self._in_time(leaf)
            self._suspects.append(leaf)
            if self._next < len(self._marks) and self._marks[self._next].size == tree.size:
                self._pass_marks()

    def end(self) -> None:
        """There are no more leaves."""
        for mark in self._marks[self._next :]:
            here = "the database's own" if mark in self.signed else "a witness's"
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
        try:
            self.keys = notes.announced(self.keys, note)
            return notes.opened(note, self.keys)
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
                if not mark.waiting and mark in self.signed:
                    self._recent = mark
                self._suspects.clear()
            elif not self._broken:
                self._broken = True
                self._differs(mark)

    def _differs(self, mark: Checkpoint) -> None:
        first = 0 if self._good is None else self._good.size
        what = (
            f"the tree of {mark.size} rows is not the one signed at {timestamp(mark.time)}:"
            f" one of the leaves {first} to {mark.size - 1} was changed, or another one put there"
        )
        kind: Kind = "tree" if mark in self.signed else "fork"
        place: tuple[UUID | None, int | None] = (None, None)
        if len(self._suspects) == 1:
            place = self._suspects[0].request_id, self._suspects[0].seq
        self.findings.append(Finding(kind, what, *place, first, mark.time))

    def _in_time(self, leaf: Leaf) -> None:
        late = None if self._recent is None else backdated(leaf, self._recent)
        if late is not None:
            self.findings.append(late)

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
