"""The sealer: makes every audit row a leaf of the Merkle tree, signs its size and root, and has
witnesses keep that.

Any number of relays may run, one of them seals at a time. It never signs what does not go on from what
it, or a witness, knows to have been signed: a database that was put back to an older state is noticed,
and nothing is sealed until people have looked (docs/evidence.md, "Sealing"). Requests go on meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter, Gauge

from contract import merkle, notes
from contract.notes import Checkpoint, NoteInvalid, PrivateKey
from relay.witnesses import Witness, WitnessFailed
from storage import sealing
from storage.pool import Connection, Pool
from storage.sealing import Growth, Sealed, Tree

_log = structlog.get_logger()

BATCH = 5000
"""Rows sealed at once, at most."""
QUIET = timedelta(minutes=5)
"""So often there is a checkpoint although nothing happened: it proves that nothing had."""
_PATIENCE = 20.0

rows_sealed = Counter("countersign_seal_rows_total", "Audit rows sealed.")
waiting = Gauge("countersign_seal_waiting_rows", "Audit rows that wait to be sealed.")
lag = Gauge("countersign_seal_lag_seconds", "Age of the oldest audit row that is not sealed.")
witness_lag = Gauge(
    "countersign_seal_witness_lag_seconds",
    "How much later the newest checkpoint is than what a witness has.",
    ["witness"],
)
refused = Gauge(
    "countersign_seal_refused",
    "1 while nothing is sealed, because the database does not go on from what was signed.",
)


class NotTheSameTree(Exception):
    """The database's tree does not go on from a checkpoint that was signed; the text says how."""


@dataclass(frozen=True, slots=True)
class Signing:
    """With what is signed, and how: `quiet` is how long there may be no checkpoint."""

    keys: tuple[PrivateKey, ...]
    quiet: timedelta = QUIET
    batch: int = BATCH

    @property
    def origin(self) -> str:
        return self.keys[0].name

    def sign(
        self, size: int, root: bytes, before: Tree, *, waiting: bool
    ) -> tuple[Checkpoint, str]:
        """The next checkpoint, and its note. Time never runs back from one to the next."""
        time = before.now if before.last is None else max(before.now, before.last.sealed_at)
        announced = tuple(key.public for key in self.keys[1:])
        checkpoint = Checkpoint(self.origin, size, root, time, announced, waiting)
        return checkpoint, notes.signed(checkpoint, self.keys)


class Sealer:
    """The sealer of one relay. `seal` and `publish` are called again and again."""

    def __init__(self, pool: Pool, signing: Signing, witnesses: Sequence[Witness]) -> None:
        self._pool = pool
        self._signing = signing
        self._witnesses = witnesses
        self._confirmed = False
        """Whether the database goes on from what witnesses have, as far as they could be asked."""
        self._refusal: str | None = None
        self._known: Sealed | None = None
        """The last checkpoint of this process."""
        self._held: dict[str, datetime] = {}
        """Of when the newest checkpoint is that a witness is known to have."""

    async def seal(self) -> bool:
        """Seal what is there. True if there may be more at once. Before the first `publish`, and after
        an error of Postgres (which passes through: it may be back as another one), nothing is sealed."""
        if not self._confirmed:
            return False
        try:
            return await self._seal()
        except NotTheSameTree as error:
            self._refuse(str(error))
            return False
        except BaseException:
            self._confirmed = False
            raise

    async def publish(self) -> None:
        """Have every witness keep the newest checkpoint. One that fails is left out, and catches up."""
        tree = await sealing.tree(self._pool)
        try:
            await self._check_known(tree)
            found = await asyncio.gather(
                *(self._hand_over(witness, tree) for witness in self._witnesses),
                return_exceptions=True,
            )
            for error in found:
                if error is not None:
                    raise error
        except NotTheSameTree as error:
            self._refuse(str(error))
            return
        refused.set(0)
        self._refusal = None
        self._confirmed = True

    # --- sealing ---

    async def _seal(self) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await sealing.lead(connection):
                return False
            before = await sealing.tree(connection)
            await self._check_known(before)
            grown = await grow(connection, self._signing, before)
            if grown is None or not await sealing.seal(connection, before, grown):
                return grown is not None
        self._known = grown.checkpoint
        rows_sealed.inc(len(grown.rows))
        return len(grown.rows) == self._signing.batch

    # --- what was signed before ---

    async def _check_known(self, tree: Tree) -> None:
        """NotTheSameTree if the database has lost what this process had sealed."""
        known = self._known
        if known is not None and await sealing.root(self._pool, known.size) != known.root:
            raise NotTheSameTree(
                f"this relay signed a tree of {known.size} rows at {known.sealed_at:%Y-%m-%d %H:%M:%S}Z;"
                f" the database has {tree.size}, or others"
            )

    async def _hand_over(self, witness: Witness, tree: Tree) -> None:
        """Check what a witness has, then give it the newest. NotTheSameTree if they do not fit."""
        held = self._held.setdefault(witness.url, tree.now)
        try:
            async with asyncio.timeout(_PATIENCE):
                there = await self._latest(witness)
                await self._check_witness(witness, there, tree)
                if tree.last is not None and (there is None or there.time < tree.last.sealed_at):
                    newest = notes.parsed(notes.text_of(tree.last.note))
                    await asyncio.to_thread(witness.keep, newest, tree.last.note)
        except (WitnessFailed, NoteInvalid, TimeoutError) as error:
            why = str(error) or "it did not answer in time"
            _log.warning("a witness keeps no checkpoints", witness=witness.url, why=why)
        else:
            held = self._held[witness.url] = tree.now if tree.last is None else tree.last.sealed_at
        newest_at = tree.now if tree.last is None else tree.last.sealed_at
        witness_lag.labels(witness.url).set(max(0.0, (newest_at - held).total_seconds()))

    async def _latest(self, witness: Witness) -> Checkpoint | None:
        note = await asyncio.to_thread(witness.latest, self._signing.origin)
        if note is None:
            return None
        return notes.opened(note, [key.public for key in self._signing.keys])

    async def _check_witness(self, witness: Witness, there: Checkpoint | None, tree: Tree) -> None:
        if there is not None and await sealing.root(self._pool, there.size) != there.root:
            raise NotTheSameTree(
                f"{witness.url} has a tree of {there.size} rows, signed at"
                f" {there.time:%Y-%m-%d %H:%M:%S}Z; the database has {tree.size}, or others"
            )

    def _refuse(self, why: str) -> None:
        self._confirmed = False
        refused.set(1)
        if why != self._refusal:
            self._refusal = why
            _log.error("nothing is sealed: the database was put back, or changed", why=why)


async def grow(connection: Connection, signing: Signing, before: Tree) -> Growth | None:
    """What is to be sealed now, signed; None if nothing is."""
    rows, watermark = await sealing.unsealed(connection, before.watermark, signing.batch)
    if not rows and not _due(signing, before, watermark):
        return None
    kept = await sealing.kept(connection, merkle.edge(before.size))
    _check_edge(kept, before)
    leaves = [row.leaf for row in rows]
    nodes = merkle.completed(kept, before.size, leaves)
    kept |= nodes | {(0, before.size + n): each for n, each in enumerate(leaves)}
    size = before.size + len(leaves)
    root = merkle.part(kept, (0, size))
    checkpoint, note = signing.sign(size, root, before, waiting=len(rows) == signing.batch)
    number = 1 if before.last is None else before.last.number + 1
    return Growth(rows, nodes, Sealed(number, size, root, checkpoint.time, note), watermark)


def _due(signing: Signing, before: Tree, watermark: int) -> bool:
    """Whether there is to be a checkpoint although there are no rows. A watermark that has come down is
    kept at once: until then all rows are looked at."""
    last = before.last
    if last is None or watermark < before.watermark:
        return True
    waiting = notes.parsed(notes.text_of(last.note)).waiting
    return waiting or before.now - last.sealed_at >= signing.quiet


async def measure(pool: Pool) -> None:
    """How far sealing is behind, also where nobody seals."""
    rows, seconds = await sealing.lag(pool)
    waiting.set(rows)
    lag.set(seconds)


def _check_edge(kept: merkle.Kept, before: Tree) -> None:
    """NotTheSameTree if the newest leaves are not those that were signed."""
    if before.last is None:
        return
    try:
        same = merkle.part(kept, (0, before.size)) == before.last.root
    except KeyError:
        same = False
    if not same or before.size != before.last.size:
        raise NotTheSameTree(
            f"the leaves of the tree are not those of checkpoint {before.last.number}"
        )
