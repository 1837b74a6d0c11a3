"""The whole audit trail: one surface over Postgres and the cold tier, each row as its reader may see it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import structlog

from contract import content
from contract.boxes import CannotOpen, Keys
from contract.content import SEALED
from storage import asking, audit, judging, months
from storage.asking import Asked, Place, Told
from storage.cold import Cold, Where
from storage.errors import ColdUnavailable
from storage.judging import Seen
from storage.months import Month
from storage.pool import Source, vault_of
from storage.rules import Rule
from storage.store import Store, StoreFailed, store
from storage.vault import Reader

_log = structlog.get_logger()

# A month must not leave Postgres while its rows are read there. Before the snapshot of the transaction.
STAY = "LOCK TABLE audit IN ACCESS SHARE MODE"
_MOST = 5_000


@dataclass(frozen=True, slots=True)
class Trail:
    """Both tiers. `store` is None where no cold tier is set: then nothing may have moved there. `portion` rows
    are opened at a time to be judged, at first: twice as many each time, as the cold tier is read again.
    `look`: so many of the newest rows of the cold tier are looked at before all that is asked for."""

    store: Store | None
    cold: Cold
    portion: int = 200
    look: int = 1_000

    async def ask(
        self, source: Source, reader: Reader, asked: Asked, limit: int, after: Place | None = None
    ) -> list[Told]:
        """Rows of both tiers, the newest first, those after a place alone: found by what the reader may see
        of them. ColdUnavailable."""
        found = await opened(source, reader, await self._found(source, asked, limit, after))
        mine = await judging.mine(
            source, reader, asked.words, asked.condition, workflow=asked.workflow
        )
        if not mine:
            return found
        end = found[-1].place if len(found) == limit else None
        more: list[Told] = []
        anything, portion = replace(asked, words=None, condition=None), self.portion
        while len(more) < limit and (end is None or after is None or after > end):
            kept = await self._found(source, anything, portion, after, mine)
            more += await _judged(source, reader, asked, kept)
            if len(kept) < portion:
                break
            after, portion = kept[-1].place, min(portion * 2, _MOST)
        return _first([*found, *more], limit)

    async def _found(
        self,
        source: Source,
        asked: Asked,
        limit: int,
        after: Place | None,
        among: Sequence[UUID] | None = None,
    ) -> list[Told]:
        """By what search has in the clear.

        A month that moves while this looks may be found in both, never in none: Postgres is asked first,
        and what has left it is in the list of months that is read after that.
        """
        found = await asking.hot(source, asked, limit, after, among)
        moved = await months.asked(source, asked.since, asked.until)
        if moved:
            files = await self._files(moved)
            places = await self._places(source, files, asked, limit, after, among)
            cold = await asyncio.to_thread(self.cold.rows, files, places)
            found += await asking.with_subjects(source, cold)
        return _first(found, limit)

    async def _places(  # noqa: PLR0917 - what `_found` has
        self,
        source: Source,
        files: Sequence[Path],
        asked: Asked,
        limit: int,
        after: Place | None,
        among: Sequence[UUID] | None,
    ) -> list[Where]:
        """Where the newest rows are that are asked for. Words and inputs are asked of Postgres, where they can be
        blanked: files have neither. What many rows fulfil is found by the newest of all rows; what few do, by
        all that requests were ever about."""
        if among is None and asked.about and limit < self.look:
            look = self.cold.places, files, asked, None, self.look, after
            newest = await asyncio.to_thread(*look)
            fit = await asking.fitting(source, asked, newest)
            if len(fit) >= limit or len(newest) < self.look:
                return fit[:limit]
        spans = await asking.spans(source, asked, among)
        return await asyncio.to_thread(self.cold.places, files, asked, spans, limit, after)

    async def events_of(
        self,
        source: Source,
        reader: Reader,
        request_id: UUID,
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Told]:
        """A request's rows in the order of its chain, those with `seq` above `after`."""
        rows = await self.kept(source, request_id, after=after, limit=limit)
        return await opened(source, reader, rows)

    async def kept(
        self, source: Source, request_id: UUID, *, after: int = 0, limit: int = 1000
    ) -> list[Told]:
        """`events_of` as they are kept: what is sealed stays so."""
        found = await asking.chain(source, request_id, after, limit)
        moved = await months.of_request(source, request_id, after)
        if moved:
            files = await self._files(moved)
            cold = await asyncio.to_thread(self.cold.events, files, request_id, after, limit)
            found += await asking.with_subjects(source, cold)
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


async def opened(source: Source, reader: Reader, rows: Sequence[Told]) -> list[Told]:
    """The rows, with what was sealed as far as the reader may see it."""
    sealed = {row.request_id for row in rows if row.box is not None or SEALED in row.payload}
    keys = await vault_of(source).reading(source, reader, sealed) if sealed else {}
    return [readable(row, keys.get(row.request_id)) for row in rows]


def readable(row: Told, keys: Keys | None) -> Told:
    """The row as a holder of these keys of its request reads it. What is damaged is withheld from everybody; verifying says which row it is."""
    try:
        return _read(row, keys)
    except CannotOpen as error:
        _log.error(
            "a row cannot be opened", request_id=str(row.request_id), seq=row.seq, why=str(error)
        )
        return _read(row, None)


def _read(row: Told, keys: Keys | None) -> Told:
    told = content.opened(row.payload, keys)
    title, inputs = judging.subject(row.title, row.inputs, row.box, keys)
    if row.box is not None and (keys is None or not keys.holds("confidential")):
        hidden = ("inputs",) if row.title is not None else ("inputs", "title")
    else:
        hidden = ()
    return replace(
        row,
        payload=told.payload,
        title=title,
        inputs=inputs,
        withheld=told.withheld,
        hidden=hidden,
        disclosed=told.disclosed,
    )


async def _judged(source: Source, reader: Reader, asked: Asked, kept: list[Told]) -> list[Told]:
    """Those that are found by what the reader sees of them, opened. A condition is on inputs alone."""
    looked_at = kept if asked.words is not None else [replace(row, payload={}) for row in kept]
    rows = await opened(source, reader, looked_at)
    seen = [Seen(row.title, row.inputs, audit.said(row.payload)) for row in rows]
    fit = await judging.fits(source, seen, asked.words, asked.condition)
    return await opened(source, reader, [kept[place] for place in fit])


def _first(found: Iterable[Told], limit: int) -> list[Told]:
    """The newest of both tiers, each once."""
    rows = {(row.request_id, row.seq): row for row in found}
    order = sorted(
        rows.values(), key=lambda row: (row.occurred_at, row.request_id, row.seq), reverse=True
    )
    return order[:limit]
