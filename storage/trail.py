"""The whole audit trail: one surface over Postgres and the cold tier."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from storage import asking, months
from storage.asking import Asked, Place, Told
from storage.cold import Cold
from storage.errors import ColdUnavailable
from storage.months import Month
from storage.pool import Source
from storage.rules import Rule
from storage.store import Store, StoreFailed, store

# A month must not leave Postgres while its rows are read there. Before the snapshot of the transaction.
STAY = "LOCK TABLE audit IN ACCESS SHARE MODE"

LEXEMES = "SELECT tsvector_to_array(to_tsvector('simple', $1))"


@dataclass(frozen=True, slots=True)
class Trail:
    """Both tiers. `store` is None where no cold tier is set: then nothing may have moved there."""

    store: Store | None
    cold: Cold

    async def ask(
        self, source: Source, asked: Asked, limit: int, after: Place | None = None
    ) -> list[Told]:
        """Rows of both tiers, the newest first, those after a place alone. ColdUnavailable.

        A month that moves while this looks may be found in both, never in none: Postgres is asked first,
        and what has left it is in the list of months that is read after that.
        """
        found = await asking.hot(source, asked, limit, after)
        moved = await months.asked(source, asked.since, asked.until)
        if moved:
            lexemes = None if asked.words is None else await source.fetchval(LEXEMES, asked.words)
            files = await self._files(moved)
            found += await asyncio.to_thread(self.cold.ask, files, asked, lexemes, limit, after)
        return _first(found, limit)

    async def events_of(
        self, source: Source, request_id: UUID, *, after: int = 0, limit: int = 1000
    ) -> list[Told]:
        """A request's rows in the order of its chain, those with `seq` above `after`."""
        found = await asking.chain(source, request_id, after, limit)
        moved = await months.of_request(source, request_id, after)
        if moved:
            files = await self._files(moved)
            found += await asyncio.to_thread(self.cold.events, files, request_id, after, limit)
        rows = {row.seq: row for row in found}
        return [rows[seq] for seq in sorted(rows)][:limit]

    async def ended_by(self, source: Source, rule: Rule) -> list[tuple[UUID, datetime]]:
        """Requests that a rule ended, and when, as the cold tier has it; whatever their inputs.
        ColdUnavailable."""
        moved = await months.of_workflow(source, rule.workflow, rule.since, rule.until)
        if not moved:
            return []
        files = await self._files(moved)
        return await asyncio.to_thread(self.cold.ended_by, files, rule)

    async def months(
        self,
        source: Source,
        request_id: UUID | None,
        since: datetime | None,
        until: datetime | None,
    ) -> list[list[Path]]:
        """The files of each month of the cold tier: of those that have rows of a request, or that were
        recorded `since` and before `until`. ColdUnavailable."""
        if request_id is not None:
            moved = await months.of_request(source, request_id)
        else:
            moved = await months.recorded(source, since, until)
        return [await self._files([month]) for month in moved]

    async def _files(self, moved: Sequence[Month]) -> list[Path]:
        """The files of months on this machine."""
        place = self.store
        if place is None:
            raise ColdUnavailable(
                f"{moved[-1].name} is in the cold tier, and none is set: COUNTERSIGN_AUDIT_STORE"
            )
        files = [file for month in moved for file in month.opened().files]
        try:
            return await asyncio.to_thread(lambda: [place.path(file) for file in files])
        except StoreFailed as error:
            raise ColdUnavailable(f"the cold tier cannot be read: {error}") from None


def trail(url: str | None, cache: Path) -> Trail:
    """The trail with the cold tier of this URL. StoreInvalid if it names none."""
    return Trail(None if url is None else store(url, cache), Cold())


HOT_ALONE = Trail(None, Cold())
"""Where nothing has moved."""


def _first(found: Iterable[Told], limit: int) -> list[Told]:
    """The newest of both tiers, each once."""
    rows = {(row.request_id, row.seq): row for row in found}
    order = sorted(
        rows.values(), key=lambda row: (row.occurred_at, row.request_id, row.seq), reverse=True
    )
    return order[:limit]
