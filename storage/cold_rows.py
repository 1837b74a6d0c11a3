"""Rows of the cold tier, one after the other, for whoever verifies or exports: in the order of chains, or
in that of the tree. It blocks: use a thread."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from contract.canonical import timestamp
from contract.verifying import Place, Row

if TYPE_CHECKING:  # pyarrow takes long to import
    from pyarrow.parquet import ParquetFile

_SAID = ("event_id", "event_type", "occurred_at", "recorded_at", "request_id", "seq")
_NAMED = {"workflow": "workflow_id", "version": "workflow_version"}
_ACTOR = ("user", "role", "on_behalf_of")
_COLUMNS = (*_SAID, *_NAMED, *_ACTOR, "body", "prev_hash", "hash")


class ColdRows:
    """Rows of some months, each a sequence of files, in the order of their chains; of one request alone, or
    those recorded `since` and before `until`."""

    def __init__(
        self,
        months: Sequence[Sequence[Path]],
        request_id: UUID | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        one = None if request_id is None else str(request_id)
        streams = (chain.from_iterable(_rows(path, one) for path in files) for files in months)
        rows: Iterable[Row] = merge(*streams, key=_place)
        self._rows = (
            row
            for row in rows
            if (since is None or row.recorded_at >= since)
            and (until is None or row.recorded_at < until)
        )
        self._next: Row | None = next(self._rows, None)

    def take(self, up_to: Place, most: int) -> list[Row]:
        """The next rows up to a place, so many at most."""
        found: list[Row] = []
        while self._next is not None and len(found) < most and _place(self._next) <= up_to:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _place(row: Row) -> Place:
    return row.request_id, row.seq


def _rows(path: Path, request_id: str | None) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    from storage.parquet import GROUP_ROWS

    with ParquetFile(path) as file:
        groups = list(range(file.num_row_groups))
        if request_id is not None:
            groups = [n for n in groups if _may_have(file, n, request_id)]
        for batch in file.iter_batches(
            GROUP_ROWS, row_groups=groups, columns=list(_COLUMNS), use_threads=False
        ):
            for values in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
                row = dict(zip(_COLUMNS, values, strict=True))
                if request_id is None or row["request_id"] == request_id:
                    yield _row(row)


def _may_have(file: "ParquetFile", group: int, request_id: str) -> bool:
    """By the statistics of the first column."""
    about = file.metadata.row_group(group).column(0).statistics
    return bool(about.min <= request_id <= about.max)


def _row(read: dict[str, Any]) -> Row:
    """`said` is what the body says, with what columns say in its place."""
    recorded: datetime = read["recorded_at"]
    said: dict[str, Any] = {}
    try:
        body = orjson.loads(read["body"])
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("actor"), dict):
        said = body | {name: read[name] for name in _SAID}
        said |= {there: read[name] for name, there in _NAMED.items()}
        said |= {name: timestamp(read[name]) for name in ("occurred_at", "recorded_at")}
        said["actor"] = body["actor"] | {name: read[name] for name in _ACTOR}
    return Row(
        UUID(read["request_id"]),
        read["seq"],
        read["prev_hash"],
        read["hash"],
        read["body"],
        orjson.dumps(said).decode(),
        False,
        recorded,
    )
