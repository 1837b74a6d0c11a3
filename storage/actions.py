"""State machines: as whom somebody may fire an action, and which were fired."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contract.content import SEALED, opened
from contract.events import ACTION_FIRED
from recipes.happenings import Actor
from storage import pools
from storage.pool import Source, vault_of
from storage.vault import Reader

# As what $1 can be named in workflow $2: in person, by a role, and for those who delegated.
CAPACITIES = f"""
WITH RECURSIVE {pools.BEHIND.format(person="$1::text")}, {pools.MEMBERSHIPS}, me AS (
    SELECT id FROM people WHERE id = $1 AND employed @> now()
)
SELECT principal, role, path FROM (
    SELECT 'user:' || id AS principal, NULL AS role, ARRAY[id] AS path FROM me
    UNION ALL
    SELECT 'role:' || m.role, m.role, ARRAY[id]
      FROM me JOIN role_members m ON m.person = me.id AND m.valid @> now()
    UNION ALL
    SELECT n.principal, n.role, stand_ins(n.member, n.role, $2, '{{}}', now())
      FROM me CROSS JOIN memberships n
) found
 WHERE path[cardinality(path)] = $1 ORDER BY cardinality(path), principal, path
"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """A principal (`user:x`, `role:y`) that somebody is, or decides for: then on whose behalf."""

    principal: str
    actor: Actor


async def capacities(source: Source, person: str, workflow: str) -> list[Capacity]:
    """As what `person` may act now, in person first; nothing if they are not in the directory."""
    found: list[Capacity] = []
    for row in await source.fetch(CAPACITIES, person, workflow):
        first, *rest = row["path"]
        behalf, via = (first, tuple(rest[:-1])) if rest else (None, ())
        found.append(Capacity(row["principal"], Actor(person, row["role"], behalf, via)))
    return found


HAS_FIRED = """
SELECT EXISTS (SELECT 1 FROM commands WHERE actor = $2 AND request_id = $1 AND command = 'fire')
"""


async def has_fired(source: Source, request_id: UUID, person: str) -> bool:
    """Whether somebody fired an action of a request, or was entitled to and came too late."""
    fired: bool = await source.fetchval(HAS_FIRED, request_id, person)
    return fired


HISTORY = """
SELECT actor, payload, occurred_at FROM audit
 WHERE request_id = $1 AND event_type = $2 ORDER BY seq DESC LIMIT $3
"""


async def history(
    source: Source, reader: Reader, request_id: UUID, limit: int
) -> list[dict[str, Any]]:
    """The last actions fired, oldest first: `actor`, `payload` and `occurred_at` of their events, and what of
    the payload is `withheld` from the reader."""
    rows = await source.fetch(HISTORY, request_id, ACTION_FIRED, limit)
    sealed = [request_id] if any(SEALED in row["payload"] for row in rows) else []
    keys = await vault_of(source).reading(source, reader, sealed)
    found: list[dict[str, Any]] = []
    for row in reversed(rows):
        told = opened(row["payload"], keys.get(request_id))
        found.append(dict(row) | {"payload": told.payload, "withheld": told.withheld})
    return found
