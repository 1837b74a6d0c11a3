"""Whether the tree holds: all leaves by number, against every checkpoint that was signed.

Nothing here reads a database: it is fed with what was read, in order.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest

from contract import notes
from contract.canonical import timestamp
from contract.merkle import Growing
from contract.notes import Checkpoint, NoteInvalid, PublicKey
from contract.verifying import LATE, Finding, Kind, Leaf


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
