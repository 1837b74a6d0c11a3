"""What a list of tasks is narrowed to, by parameters and by what the reader sees of each."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import Query

from api import errors
from storage import sight, tasks
from storage.pool import Source
from storage.tasks import Narrowing
from storage.vault import Reader

SOON = 24 * 3600
"""Seconds until something is due that is due soon."""

_MOST = 200
_DUE: dict[str, tuple[int | None, int]] = {"overdue": (None, 0), "soon": (0, SOON)}

Claimed: TypeAlias = Literal["me", "others", "nobody"]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """`only` is for the database to judge; `text` and `claimed` are judged by what the reader sees."""

    only: Narrowing
    claimed: Claimed | None = None

    def check_any_state(self) -> None:
        """Problem 422 for what can only be said of open tasks."""
        said = {
            "due": (self.only.due_after, self.only.due_within) != (None, None),
            "shared": self.only.shared is not None,
            "claimed": self.claimed is not None,
        }
        for name, is_said in said.items():
            if is_said:
                raise errors.invalid_parameter(name, "is of open tasks: leave it or `state` out")

    async def opened(
        self,
        source: Source,
        reader: Reader,
        limit: int,
        after: tuple[datetime | None, UUID],
        *,
        brief: bool = False,
    ) -> list[dict[str, Any]]:
        """Open tasks as the reader sees them, the soonest due first; limit at most 201. Of brief ones only what
        lists show is sure to be there."""
        if self == Narrowed(Narrowing()):
            found = await tasks.inbox(source, reader.person, limit, after, brief=brief)
            return await sight.seen_by(source, reader, found, sight.TITLED)
        kept: list[dict[str, Any]] = []
        while True:
            rows = await tasks.matching(source, reader.person, self.only, after, limit)
            seen = await sight.seen_by(source, reader, rows, sight.TITLED)
            kept += [row for row in seen if self._fits(row, reader.person)]
            if len(kept) >= limit or len(rows) < limit:
                return kept[:limit]
            after = (rows[-1]["due_at"], rows[-1]["id"])

    async def closed(
        self, source: Source, reader: Reader, limit: int, after: tuple[datetime, UUID]
    ) -> list[dict[str, Any]]:
        """Closed tasks with their decisions, the latest first; limit at most 201."""
        if self == Narrowed(Narrowing()):
            found = await tasks.closed(source, reader.person, limit, after)
            return await sight.seen_by(source, reader, found, sight.TASK)
        kept: list[dict[str, Any]] = []
        while True:
            rows = await tasks.closed_matching(source, reader.person, self.only, limit, after)
            seen = await sight.seen_by(source, reader, rows, sight.TASK)
            kept += [row for row in seen if self._fits(row, reader.person)]
            if len(kept) >= limit or len(rows) < limit:
                return kept[:limit]
            after = (rows[-1]["closed_at"], rows[-1]["id"])

    def _fits(self, row: dict[str, Any], person: str) -> bool:
        return self._has_text(row) and self._is_claimed(row["claimed_by"], person)

    def _has_text(self, row: dict[str, Any]) -> bool:
        """The database took whatever is sealed along."""
        if self.only.text is None or row["sealed"] is None:
            return True
        said = (
            row["title"],
            row["requester"],
            row["workflow"].replace("_", " "),
            row["requester_name"] or "",
        )
        return any(self.only.text.casefold() in each.casefold() for each in said)

    def _is_claimed(self, claimed_by: str | None, person: str) -> bool:
        """A claim that does not bind is none."""
        if self.claimed is None:
            return True
        whose = "nobody" if claimed_by is None else "me" if claimed_by == person else "others"
        return whose == self.claimed


async def narrowed(
    *,
    workflow: Annotated[str | None, Query(max_length=63)] = None,
    requester: Annotated[str | None, Query(max_length=128)] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Text to find in titles, or in the names of requester and workflow.",
        ),
    ] = None,
    due: Annotated[
        Literal["overdue", "soon"] | None, Query(description="`soon`: within 24 hours.")
    ] = None,
    shared: Annotated[
        bool | None, Query(description="With others; `false`: asked of one person.")
    ] = None,
    claimed: Annotated[Claimed | None, Query(description="By whom a shared one is.")] = None,
) -> Narrowed:
    """The parameters of a list of tasks."""
    after, within = (None, None) if due is None else _DUE[due]
    if claimed is not None and shared is None:
        shared = True
    only = Narrowing(
        workflow,
        requester,
        text=q or None,
        due_after=after,
        due_within=within,
        shared=shared,
    )
    return Narrowed(only, claimed)
