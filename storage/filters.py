"""Filters that people saved: of which list, and to what it is narrowed."""

from collections.abc import Mapping
from uuid import UUID, uuid4

import asyncpg

from recipes.model import Json
from storage.pool import Source

MOST = 50
"""So many may one person save."""

OF_PERSON = """
SELECT id, name, list, narrowed, saved_at FROM saved_filters WHERE person = $1 ORDER BY lower(name), name
"""


async def of_person(source: Source, person: str) -> list[asyncpg.Record]:
    """All that somebody saved, by name."""
    return await source.fetch(OF_PERSON, person)


SAVE = f"""
INSERT INTO saved_filters AS f (id, person, name, list, narrowed)
SELECT $1, $2, $3, $4, $5
 WHERE (SELECT count(*) FROM saved_filters WHERE person = $2 AND name <> $3) < {MOST}
ON CONFLICT (person, name) DO UPDATE
   SET list = excluded.list, narrowed = excluded.narrowed, saved_at = now()
RETURNING id, name, list, narrowed, saved_at
"""


async def save(
    source: Source, person: str, name: str, of: str, narrowed: Mapping[str, Json]
) -> asyncpg.Record | None:
    """Save one, in the place of one of the same name; None if they have MOST others."""
    return await source.fetchrow(SAVE, uuid4(), person, name, of, dict(narrowed))


FORGET = "DELETE FROM saved_filters WHERE id = $1 AND person = $2 RETURNING id"


async def forget(source: Source, person: str, filter_id: UUID) -> bool:
    """Whether it was there, and theirs."""
    return await source.fetchval(FORGET, filter_id, person) is not None
