"""Requests by words and by a condition on their inputs, also in what is confidential, for those who may see it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from contract.boxes import CannotOpen, Keys
from storage import asking, judging, request_lists
from storage.judging import Seen, Subject
from storage.pool import Source, vault_of
from storage.request_lists import Filter
from storage.vault import Reader

Place: TypeAlias = tuple[datetime, UUID]
"""(created_at, id): the newest first."""

_MOST = 2_000


async def newest(
    source: Source,
    reader: Reader,
    wanted: Filter,
    limit: int,
    before: Place,
    *,
    everything: bool,
    portion: int = 200,
) -> list[asyncpg.Record]:
    """As `request_lists.newest`, found by what the reader may see of them. `portion`: so many are opened at a time
    to be judged, at first."""
    person, words, condition = reader.person, wanted.words, wanted.condition
    found = await request_lists.newest(source, person, wanted, limit, before, everything=everything)
    mine = await judging.mine(source, reader, words, condition, workflow=wanted.workflow)
    if not mine:
        return found
    end = _place(found[-1]) if len(found) == limit else None
    more: list[asyncpg.Record] = []
    anything = replace(wanted, words=None, condition=None)
    while len(more) < limit and (end is None or before > end):
        rows = await request_lists.newest(
            source, person, anything, portion, before, everything=everything, among=mine
        )
        more += await _judged(source, reader, wanted, rows)
        if len(rows) < portion:
            break
        before, portion = _place(rows[-1]), min(portion * 2, _MOST)
    each = {row["id"]: row for row in [*more, *found]}
    return sorted(each.values(), key=_place, reverse=True)[:limit]


def _place(row: asyncpg.Record) -> Place:
    return row["created_at"], row["id"]


async def _judged(
    source: Source, reader: Reader, wanted: Filter, rows: list[asyncpg.Record]
) -> list[asyncpg.Record]:
    """Those that are found by what the reader sees of them."""
    seen = await _seen(source, reader, [row["id"] for row in rows])
    return [
        rows[place] for place in await judging.fits(source, seen, wanted.words, wanted.condition)
    ]


async def _seen(source: Source, reader: Reader, ids: Sequence[UUID]) -> list[Seen]:
    """What the requests are about now, as the reader sees it."""
    rows = await source.fetch(asking.SUBJECTS_OF, ids, [asking.LAST] * len(ids))
    keys = await vault_of(source).reading(source, reader, ids)
    about = {row["request_id"]: _subject(row, keys.get(row["request_id"])) for row in rows}
    return [Seen(*about.get(request_id, (None, None))) for request_id in ids]


def _subject(row: asyncpg.Record, keys: Keys | None) -> Subject:
    """What is damaged is withheld from everybody; verifying says which row it is."""
    try:
        return judging.subject(row["title"], row["inputs"], row["sealed"], keys)
    except CannotOpen:
        return row["title"], row["inputs"]
