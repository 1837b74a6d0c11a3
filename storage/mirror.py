"""Where the directory is a mirror of another system's: how fresh it is, and who came from there.

Every change of the row is made by whoever holds it (`hold`), before anything else is locked but the
directory itself, so that readings of the other system that end together come one after the other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from contract.events import DIRECTORY_FAILING, DIRECTORY_HEALED, DIRECTORY_SYNC_ASKED
from contract.messages import Message
from recipes.happenings import Actor, Rechecked
from recipes.model import Json
from storage import audit, org
from storage.pool import Connection, Pool, Source

ACTOR = Actor("system:directory")
"""On whose account the other system's changes are made."""

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


@dataclass(frozen=True, slots=True)
class Standing:
    """The mirror as it stands. `synced_at` None: never yet. Past `stale_after` nobody is asked."""

    source: str
    synced_at: datetime | None
    stale_after: datetime
    tried_at: datetime | None
    failing: str | None
    failing_since: datetime | None
    people: int | None
    doubts: list[str]
    validators: dict[str, Json] | None
    stale: bool


STANDING = """
SELECT source, synced_at, stale_after, tried_at, failing, failing_since, people, doubts, validators,
       stale_after < clock_timestamp() AS stale
  FROM directory_mirror
"""


async def standing(source: Source) -> Standing | None:
    """None where the directory mirrors no other system."""
    row = await source.fetchrow(STANDING)
    return None if row is None else Standing(*row)


async def hold(connection: Connection) -> Standing | None:
    """Within a transaction: the mirror, which nobody else changes until its end."""
    row = await connection.fetchrow(f"{STANDING} FOR UPDATE")
    return None if row is None else Standing(*row)


# People who are there already count until patience is over; an empty directory must not pretend to
# be one, and is not asked before the first list.
DECLARE = """
INSERT INTO directory_mirror AS m (source, stale_after)
SELECT $1, clock_timestamp() + CASE WHEN EXISTS (SELECT 1 FROM people) THEN $2::interval ELSE '0' END
ON CONFLICT (only_one) DO UPDATE
   SET source = excluded.source,
       synced_at = CASE WHEN m.source = excluded.source THEN m.synced_at END,
       validators = CASE WHEN m.source = excluded.source THEN m.validators END,
       stale_after = coalesce(m.synced_at + $2::interval, m.stale_after)
"""


async def declare(source: Source, url: str, patience: timedelta) -> None:
    """The directory mirrors what is at `url`. What was so already stays as it is."""
    await source.execute(DECLARE, url, patience)


async def withdraw(pool: Pool) -> None:
    """The directory mirrors nothing any more: it is ours alone, and what waited for it goes on."""

    async def delete(connection: Connection, at: datetime) -> None:
        if await connection.execute("DELETE FROM directory_mirror") != "DELETE 0":
            await recheck(connection, at)

    await org.write(pool, delete)


MIRRORED = """
SELECT m.person, p.employed @> clock_timestamp() AS employed
  FROM mirrored_people m JOIN people p ON p.id = m.person
"""


async def mirrored(source: Source) -> dict[str, bool]:
    """Everybody who ever came from the other system, and whether they are here now."""
    return {row["person"]: row["employed"] for row in await source.fetch(MIRRORED)}


OWN = "INSERT INTO mirrored_people SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"


async def own(connection: Connection, people: Sequence[str]) -> None:
    """These came from the other system."""
    await connection.execute(OWN, people)


OTHER_ROLES = """
SELECT m.person, array_agg(m.role) AS roles FROM role_members m
 WHERE m.person = ANY($2::text[]) AND m.valid @> $1::timestamptz AND m.role <> ALL($3::text[])
 GROUP BY m.person
"""


async def other_roles(
    source: Source, at: datetime, people: Sequence[str], mirrored: Collection[str]
) -> dict[str, list[str]]:
    """What these people hold besides the roles that are `mirrored`: nobody over there speaks of those."""
    rows = await source.fetch(OTHER_ROLES, at, people, list(mirrored))
    return {row["person"]: row["roles"] for row in rows}


CHANGES = "SELECT seq FROM audit_heads WHERE request_id = $1"


async def changes(source: Source) -> int:
    """How many events the directory's chain has: the same number again means it is as it was."""
    return int(await source.fetchval(CHANGES, org.CHAIN) or 0)


@dataclass(frozen=True, slots=True)
class Success:
    """A list that was taken, or that was said not to have changed (`people` None: as many as before)."""

    patience: timedelta
    people: int | None = None
    doubts: Sequence[str] = ()
    validators: dict[str, Json] | None = None


SUCCEEDED = """
UPDATE directory_mirror
   SET synced_at = $1::timestamptz, tried_at = $1::timestamptz,
       stale_after = $1::timestamptz + $2::interval, failing = NULL,
       failing_since = NULL, people = coalesce($3::int, people),
       doubts = CASE WHEN $3::int IS NULL THEN doubts ELSE $4::text[] END, validators = $5
"""


async def succeeded(
    connection: Connection, at: datetime, before: Standing, success: Success
) -> None:
    """Fresh as of `at`, which `org.lock` gave. Whoever waited for the directory goes on."""
    await connection.execute(
        SUCCEEDED, at, success.patience, success.people, list(success.doubts), success.validators
    )
    if before.failing_since is not None:
        said: dict[str, Json] = {"source": before.source, "failing_since": before.failing_since}
        await _record(connection, DIRECTORY_HEALED, at, said)
    await recheck(connection, at)


FAILED = """
UPDATE directory_mirror SET tried_at = $1, failing = $2, failing_since = coalesce(failing_since, $1)
"""


async def failed(connection: Connection, why: str) -> None:
    """The directory stays as it is. Recorded once, when it begins."""
    async with connection.transaction():
        before = await hold(connection)
        if before is None:
            return
        at = await connection.fetchval("SELECT clock_timestamp()")
        await connection.execute(FAILED, at, why)
        if before.failing_since is None:
            said: dict[str, Json] = {
                "source": before.source,
                "why": why,
                "synced_at": before.synced_at,
                "stale_after": before.stale_after,
            }
            await _record(connection, DIRECTORY_FAILING, at, said)


async def record_asked(
    connection: Connection, at: datetime, actor: Actor, most_gone: int | None
) -> None:
    """Somebody asks for a reading now, and may let more people leave by it than usual."""
    await _record(connection, DIRECTORY_SYNC_ASKED, at, {"most_gone": most_gone}, actor)


async def _record(
    connection: Connection,
    event_type: str,
    at: datetime,
    said: dict[str, Json],
    actor: Actor = ACTOR,
) -> None:
    event = audit.event(event_type, at, said, {}, actor)
    await audit.append_plain(connection, org.CHAIN, "org", 1, [event])


# With every list, not only with the first one after a gap: what was asked while the gap was being
# closed may have its incident only now. Told already and not heard yet is told enough.
RECHECK = """
INSERT INTO outbox (request_id, kind, message, due_at)
SELECT r.id, 'signal', $1, now() FROM requests r
 WHERE r.incidents <> '[]' AND r.incidents @> '[{"kind": "DirectoryUnavailable"}]'
   AND NOT EXISTS (SELECT 1 FROM outbox o
                    WHERE o.request_id = r.id AND o.message->>'kind' = 'rechecked')
"""


async def recheck(connection: Connection, at: datetime) -> None:
    """Requests that wait for a directory that could not be asked are told to ask again."""
    message: Json = _MESSAGE.dump_python(Rechecked((), at), mode="json")
    await connection.execute(RECHECK, message)
