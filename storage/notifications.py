"""Notifications: what requests told people, and whether they have read it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from storage.pool import Source

OF_PERSON = """
SELECT n.id, n.request_id, r.workflow, r.title, r.private, r.sealed, n.step, n.message, n.sent_at, n.read_at
  FROM notifications n JOIN requests r ON r.id = n.request_id
 WHERE n.person = $1 AND {unread}(n.sent_at, n.id) < ($2, $3)
 ORDER BY n.sent_at DESC, n.id DESC LIMIT $4
"""
_LISTS = {
    True: OF_PERSON.replace("{unread}", "n.read_at IS NULL AND "),
    False: OF_PERSON.replace("{unread}", ""),
}


async def of_person(
    source: Source, person: str, before: tuple[datetime, UUID], limit: int, *, unread: bool
) -> list[asyncpg.Record]:
    """What somebody was told, newest first, from `before` (sent_at, id) on; all of it, or the unread."""
    return await source.fetch(_LISTS[unread], person, *before, limit)


READ = """
WITH seen AS (
    UPDATE notifications SET read_at = now()
     WHERE person = $1 AND read_at IS NULL AND ($2::uuid[] IS NULL OR id = ANY($2::uuid[]))
    RETURNING id)
SELECT (SELECT count(*) FROM notifications WHERE person = $1 AND read_at IS NULL)
       - (SELECT count(*) FROM seen)
"""


async def read(source: Source, person: str, ids: Sequence[UUID] | None) -> int:
    """Mark these of somebody's notifications as read, or all (None): how many are left unread."""
    left: int = await source.fetchval(READ, person, ids)
    return left
