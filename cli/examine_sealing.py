"""What `countersign doctor` looks at of the sealing: how far behind it is, the key, the witnesses."""

import asyncio

from cli.finding import Finding
from contract import notes
from contract.notes import KeyInvalid, NoteInvalid, PublicKey
from relay.sealing import QUIET
from relay.witnesses import Witness, WitnessFailed, WitnessInvalid, witnesses
from settings import Settings
from storage import sealing
from storage.pool import Source
from storage.seal_keys import read_keys
from storage.sealing import Tree

_LATE_SECONDS = 60
_RUN = "run countersign relay where the key is; its log says what keeps it (docs/evidence.md)"


async def sealed(source: Source, loaded: Settings) -> list[Finding]:
    """How sealing stands, then the key if it is on this machine, then each witness."""
    rows, seconds = await sealing.lag(source)
    tree = await sealing.tree(source)
    found = [_standing(tree, rows, seconds)]
    if loaded.seal_key.exists():
        found.append(_key(loaded))
    return [*found, *await _witnesses(source, tree, loaded)]


def _standing(tree: Tree, rows: int, seconds: float) -> Finding:
    if tree.last is None:
        fix = "countersign audit key new NAME, then run countersign relay with the key"
        return Finding("sealing", "warning", "nothing was ever sealed", fix)
    quiet = (tree.now - tree.last.sealed_at).total_seconds()
    seen = f"{tree.size} rows, the last checkpoint {quiet:.0f} s ago"
    if seconds > _LATE_SECONDS or quiet > _LATE_SECONDS + QUIET.total_seconds():
        late = f"{seen}; {rows} rows wait, the oldest for {seconds:.0f} s"
        return Finding("sealing", "problem", late, _RUN)
    return Finding("sealing", "ok", seen)


def _key(loaded: Settings) -> Finding:
    try:
        keys = read_keys(loaded.seal_key)
    except KeyInvalid as error:
        return Finding("sealing key", "problem", str(error), "put back the key, from your safe")
    if len(keys) > 1:
        fix = "countersign audit key retire, once a checkpoint has announced the next one"
        return Finding("sealing key", "warning", f"{keys[0].name}: two keys sign", fix)
    return Finding("sealing key", "ok", str(keys[0].public))


async def _witnesses(source: Source, tree: Tree, loaded: Settings) -> list[Finding]:
    try:
        places = witnesses(loaded.seal_witnesses)
        keys = notes.public_keys_of(loaded.seal_public_key.read_text())
    except WitnessInvalid as error:
        return [Finding("witnesses", "problem", str(error), "set COUNTERSIGN_SEAL_WITNESSES")]
    except (OSError, KeyInvalid):
        return []
    if not places:
        fix = (
            "set COUNTERSIGN_SEAL_WITNESSES: without one nobody sees that the database was put back"
        )
        return [Finding("witnesses", "warning", "checkpoints are kept nowhere else", fix)]
    return [await _witness(source, tree, place, keys) for place in places]


async def _witness(source: Source, tree: Tree, place: Witness, keys: list[PublicKey]) -> Finding:
    part = f"witness {place.url}"
    try:
        note = await asyncio.to_thread(place.latest, keys[0].name)
        there = None if note is None else notes.opened(note, keys)
    except (WitnessFailed, NoteInvalid) as error:
        return Finding(part, "problem", str(error), "make it readable and writable for the relay")
    if there is None:
        return Finding(part, "warning", "it has nothing yet", "run countersign relay")
    if await sealing.root(source, there.size) != there.root:
        seen = f"it has a tree of {there.size} rows that is not the database's ({tree.size})"
        return Finding(part, "problem", seen, "countersign audit verify, before anything else")
    behind = 0.0 if tree.last is None else (tree.last.sealed_at - there.time).total_seconds()
    if behind > QUIET.total_seconds():
        return Finding(part, "problem", f"it is {behind:.0f} s behind", "look at the relay's log")
    return Finding(part, "ok", f"it has {there.size} rows")
