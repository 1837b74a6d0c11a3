"""Idempotency keys: what a key of a person made before. Keys are written where the thing is made.

Of a submission the key says which request it made (`idempotency_keys`); of everything else the answer is kept
(`idempotent_answers`), in a box that opens with the keys of the request that it is about, or with the house's.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from contract import boxes
from contract.boxes import CannotOpen, Keys
from storage.pool import Connection, Source, vault_of
from storage.vault import Reader

_AT_ONCE = 10_000
_PURPOSE = "answers"


def fingerprint(method: str, path: str, body: bytes, salt: bytes) -> str:
    """What must be the same when a key comes again. `salt` is of the request that was made: nobody can try
    what the body may have been."""
    return sha256(salt + b"\x00".join((method.encode(), path.encode(), body))).hexdigest()


KNOWN = "SELECT fingerprint, request_id FROM idempotency_keys WHERE actor = $1 AND key = $2"


async def known(source: Source, actor: str, key: str) -> tuple[str, UUID] | None:
    """The fingerprint under which a key was used, and the request it made."""
    row = await source.fetchrow(KNOWN, actor, key)
    return None if row is None else (row["fingerprint"], row["request_id"])


ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended('idempotency:' || $1 || ' ' || $2, 0))"


async def alone(connection: Connection, actor: str, key: str) -> bool:
    """Have a key to oneself until the transaction ends; False if a call with it is being carried out."""
    found: bool = await connection.fetchval(ALONE, actor, key)
    return found


class AnswerLost(Exception):
    """What the key made is there; its answer cannot be opened, or not for whoever asks."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A key of somebody's."""

    actor: str
    key: str

    @property
    def about(self) -> str:
        return f"answer:{self.actor} {self.key}"


ANSWERED = "SELECT request_id, box FROM idempotent_answers WHERE actor = $1 AND key = $2"
SUBMITTED = "SELECT EXISTS (SELECT FROM idempotency_keys WHERE actor = $1 AND key = $2)"
KEEP = "INSERT INTO idempotent_answers (actor, key, request_id, box) VALUES ($1, $2, $3, $4)"


async def submitted(connection: Connection, slot: Slot) -> bool:
    """Whether a key made a request."""
    found: bool = await connection.fetchval(SUBMITTED, slot.actor, slot.key)
    return found


async def answered(connection: Connection, slot: Slot, reader: Reader) -> bytes | None:
    """What was kept under a key. AnswerLost."""
    row = await connection.fetchrow(ANSWERED, slot.actor, slot.key)
    if row is None:
        return None
    vault, request_id = vault_of(connection), row["request_id"]
    try:
        if request_id is not None:
            keys = (await vault.reading(connection, reader, [request_id])).get(request_id)
            if keys is not None:
                return _opened(keys, row["box"])
        return boxes.open_as(vault.derived(_PURPOSE), slot.about, row["box"])
    except CannotOpen as error:
        raise AnswerLost(str(error)) from None


def _opened(keys: Keys, box: bytes) -> bytes:
    """Who may not read what is confidential got an answer without: it is `shared`. CannotOpen."""
    if keys.whole and keys.holds("confidential"):
        with suppress(CannotOpen):
            return boxes.open_box(keys, "confidential", box)
    return boxes.open_box(keys, "shared", box)


async def keep(
    connection: Connection, slot: Slot, request_id: UUID | None, reader: Reader, plain: bytes
) -> None:
    """Keep an answer, in the transaction of what the call made; about a request, it goes with its keys, and opens
    with those that its reader has."""
    vault = vault_of(connection)
    keys = None if request_id is None else await vault.writing(connection, request_id)
    if keys is None:
        box = boxes.seal_as(vault.derived(_PURPOSE)[0], slot.about, plain)
    else:
        scope = keys.widest
        if keys.whole:
            found = await vault.reading(connection, reader, [keys.request_id])
            theirs = found.get(keys.request_id)
            scope = scope if theirs is not None and theirs.holds(scope) else "shared"
        box = boxes.seal(keys, scope, plain)
    await connection.execute(KEEP, slot.actor, slot.key, request_id, box)


_FORGET = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {table} WHERE created_at < now() - make_interval(days => $1) LIMIT $2))
"""


async def forget(source: Source, days: int) -> int:
    """Forget the keys older than `days`; how many. What they made stays."""
    forgotten = 0
    for table in ("idempotency_keys", "idempotent_answers"):
        statement, count = _FORGET.format(table=table), _AT_ONCE
        while count == _AT_ONCE:
            status = await source.execute(statement, days, _AT_ONCE)
            count = int(status.rpartition(" ")[2])
            forgotten += count
    return forgotten
