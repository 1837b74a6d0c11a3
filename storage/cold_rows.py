"""Rows of the cold tier, one after the other, for whoever verifies them, in the order of chains: each
with what its columns say beside what its body does. It blocks: use a thread."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

import orjson

from contract.canonical import canonical, timestamp
from contract.verifying import Place, Row, spelt

if TYPE_CHECKING:  # pyarrow takes long to import
    from pyarrow.parquet import ParquetFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AT_ONCE = 8192
"""Rows read at a time."""


class _Read(NamedTuple):
    """What is read of a row, by the names of the columns; times in microseconds since 1970."""

    request_id: str
    seq: int
    event_id: str
    event_type: str
    occurred_at: int
    recorded_at: int
    workflow: str
    version: int
    user: str | None
    role: str | None
    on_behalf_of: str | None
    outcome: str | None
    requester: str | None
    entity_type: str | None
    entity_id: str | None
    body: bytes
    prev_hash: bytes
    hash: bytes
    leaf: int


_Found: TypeAlias = tuple[UUID, int, _Read]
_place = itemgetter(0, 1)


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
        first = None if since is None else _micros(since)
        last = None if until is None else _micros(until)
        streams = (chain.from_iterable(_rows(path, one) for path in files) for files in months)
        found: Iterable[_Found] = merge(*streams, key=_place)
        self._found = (
            each
            for each in found
            if (first is None or each[2].recorded_at >= first)
            and (last is None or each[2].recorded_at < last)
        )
        self._next: _Found | None = next(self._found, None)
        self._subjects = _Subjects()

    def take(self, up_to: Place, most: int) -> list[Row]:
        """The next rows up to a place, so many at most."""
        found: list[Row] = []
        while self._next is not None and len(found) < most and _place(self._next) <= up_to:
            request_id, _, read = self._next
            found.append(_row(request_id, read, self._subjects))
            self._next = next(self._found, None)
        return found


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _rows(path: Path, request_id: str | None) -> Iterator[_Found]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    def values(column: pa.Array) -> list[Any]:
        timed = pa.types.is_timestamp(column.type)
        found: list[Any] = (column.cast(pa.int64()) if timed else column).to_pylist()
        return found

    with ParquetFile(path) as file:
        groups = list(range(file.num_row_groups))
        if request_id is not None:
            groups = [n for n in groups if _may_have(file, n, request_id)]
        for batch in file.iter_batches(
            _AT_ONCE, row_groups=groups, columns=list(_Read._fields), use_threads=False
        ):
            for read in map(_Read, *(values(batch.column(name)) for name in _Read._fields)):
                if request_id is None or read.request_id == request_id:
                    yield UUID(read.request_id), read.seq, read


def _may_have(file: "ParquetFile", group: int, request_id: str) -> bool:
    """By the statistics of the first column."""
    about = file.metadata.row_group(group).column(0).statistics
    return bool(about.min <= request_id <= about.max)


# --- what columns say -------------------------------------------------------------------------------


def _row(request_id: UUID, read: _Read, subjects: "_Subjects") -> Row:
    recorded = _EPOCH + read.recorded_at * _MICROSECOND
    said = _said(read, recorded, subjects)
    return Row(
        request_id, read.seq, read.prev_hash, read.hash, read.body, said, False, recorded, read.leaf
    )


def _said(read: _Read, recorded: datetime, subjects: "_Subjects") -> bytes | None:
    """What its columns say: None if that is its body, spelt as it should be."""
    try:
        body = orjson.loads(read.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not all(isinstance(body.get(name), dict) for name in _PARTS):
        return b"{}"
    actor = body["actor"]
    columns = {
        **body,
        "event_id": read.event_id,
        "event_type": read.event_type,
        "occurred_at": timestamp(_EPOCH + read.occurred_at * _MICROSECOND),
        "recorded_at": timestamp(recorded),
        "request_id": read.request_id,
        "seq": read.seq,
        "workflow_id": read.workflow,
        "workflow_version": read.version,
        "actor": {
            **actor,
            "user": read.user,
            "role": read.role,
            "on_behalf_of": read.on_behalf_of,
        },
    }
    derived = {"outcome": read.outcome, **subjects.columns(read)}
    expected = {"outcome": _outcome(body), **subjects.after(read, body)}
    if derived != expected:
        columns |= {name: derived[name] for name in derived if derived[name] != expected[name]}
    elif columns == body and spelt(read.body, body):
        return None
    return canonical(columns).encode()


_PARTS = ("actor", "payload")


def _outcome(body: dict[str, Any]) -> str | None:
    """As the database's `audit_outcome`."""
    payload = body["payload"]
    ended = payload.get("state") if body.get("event_type") == "request.finalized" else None
    return _text(payload.get("decision"), payload.get("outcome"), ended)


class _Subjects:
    """Who asked, and about what, at each row of a chain, as its bodies tell. Where rows before it are
    missing that is not known: they may have told."""

    def __init__(self) -> None:
        self._place: tuple[str, int] = ("", 0)
        self._known: dict[str, str | None] | None = None

    def columns(self, read: _Read) -> dict[str, str | None]:
        return {name: getattr(read, name) for name in _SUBJECT}

    def after(self, read: _Read, body: dict[str, Any]) -> dict[str, str | None]:
        """What the columns of this row should be; as they are, where that is not known."""
        request_id, seq = self._place
        self._place = read.request_id, read.seq
        if read.seq == 1:
            self._known = dict.fromkeys(_SUBJECT)
        elif self._place != (request_id, seq + 1):
            self._known = None
        if self._known is None:
            return self.columns(read)
        if _tells(body):
            self._known = _subject(read, body, self._known)
        return self._known


_SUBJECT = ("requester", "entity_type", "entity_id")


def _tells(body: dict[str, Any]) -> bool:
    """Whether from this row on the request is about something, be it sealed."""
    if not str(body.get("event_type")).startswith("request."):
        return False
    sealed = body["payload"].get("sealed")
    parts = sealed if isinstance(sealed, list) else ()
    return isinstance(body["payload"].get("inputs"), dict) or any(
        isinstance(part, dict) and "inputs" in (part.get("names") or ()) for part in parts
    )


def _subject(
    read: _Read, body: dict[str, Any], before: dict[str, str | None]
) -> dict[str, str | None]:
    """What the row tells; of what it is silent about, what was told before."""
    payload = body["payload"]
    entity = payload.get("entity")
    said: dict[str, Any] = entity if isinstance(entity, dict) else {}
    created = body["actor"].get("user") if body.get("event_type") == "request.created" else None
    found = {
        "requester": _text(payload.get("requester"), before["requester"], created),
        "entity_type": _text(said.get("type"), before["entity_type"]),
        "entity_id": _text(said.get("id"), before["entity_id"]),
    }
    if entity is None and read.entity_type is None:
        # Of requests from before migration 0017 each such row was taken by itself.
        found |= {"entity_type": None, "entity_id": None} if read.seq > 1 else {}
    return found


def _text(*values: object) -> str | None:
    """The first that there is."""
    return next((str(value) for value in values if value is not None), None)
