"""Who people are in Slack: named by an administrator, or found by the directory's mail address."""

import asyncpg

from storage.pool import Source

FOUND = """
INSERT INTO slack_people (person, slack_user) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
NAME = """
INSERT INTO slack_people (person, slack_user, named_by)
SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM slack_people WHERE slack_user = $2 AND person <> $1)
ON CONFLICT (person) DO UPDATE SET slack_user = excluded.slack_user, named_by = excluded.named_by, named_at = now()
RETURNING person, slack_user, named_by, named_at
"""
LIST = """
SELECT person, slack_user, named_by, named_at FROM slack_people WHERE person > $1 ORDER BY person LIMIT $2
"""


async def found(source: Source, person: str, slack_user: str) -> bool:
    """Remember who somebody is, unless that is known; False if it is somebody else, or they are."""
    await source.execute(FOUND, person, slack_user)
    return await person_of(source, slack_user) == person


async def name(
    source: Source, person: str, slack_user: str, named_by: str
) -> asyncpg.Record | None:
    """An administrator says who somebody is; None if that is somebody else already."""
    try:
        return await source.fetchrow(NAME, person, slack_user, named_by)
    except asyncpg.UniqueViolationError:  # at the same instant
        return None


async def forget(source: Source, person: str) -> bool:
    """It is not known any more who they are; False if it was not."""
    gone = await source.fetchval(
        "DELETE FROM slack_people WHERE person = $1 RETURNING person", person
    )
    return gone is not None


async def person_of(source: Source, slack_user: str) -> str | None:
    """Who a user of Slack is."""
    who: str | None = await source.fetchval(
        "SELECT person FROM slack_people WHERE slack_user = $1", slack_user
    )
    return who


async def known(source: Source, after: str, limit: int) -> list[asyncpg.Record]:
    """By person, those after one."""
    return await source.fetch(LIST, after, limit)
