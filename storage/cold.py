"""Ask the cold tier: the same questions, with the same answers, of Parquet files by DuckDB.

Each call blocks: use a thread. Nothing people write becomes SQL: values are parameters.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from pydantic_core import from_json

from contract.events import STEP_COMPLETED
from recipes.state import Entity
from storage.asking import Asked, Place, Span, Told
from storage.rules import Rule

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pyarrow import Table

_COLUMNS = """
body, prev_hash, hash, outcome, requester, entity_type, entity_id, leaf"""

_WHERE = {
    "since": "occurred_at >= make_timestamptz({})",
    "until": "occurred_at < make_timestamptz({})",
    "workflow": "workflow = {}",
    "version": "version = {}",
    "actor": '"user" = {}',
    "on_behalf_of": "on_behalf_of = {}",
    "role": "role = {}",
    "event_type": "event_type = {}",
    "outcome": "outcome = {}",
    "entity_type": "entity_type = {}",
    "entity_id": "entity_id = {}",
    "request_id": "request_id = {}",
}
_AFTER = "(occurred_at, request_id, seq) < (make_timestamptz({}), {}, {})"
Where: TypeAlias = tuple[UUID, int]
"""A request, and which row of its chain."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Cold:
    """One process's DuckDB. It reads the files that it is given, and may not fetch anything else."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._duck: DuckDBPyConnection | None = None

    def places(
        self,
        files: Sequence[Path],
        asked: Asked,
        spans: Sequence[Span] | None,
        limit: int,
        after: Place | None = None,
    ) -> list[Where]:
        """Where rows of these files are, the newest first, those after a place alone. With `spans`, those in
        them: Postgres found them by words and a condition."""
        if spans is not None and not spans:
            return []
        values: list[Any] = []

        def parameter(value: object) -> str:
            values.append(value)
            return f"${len(values)}"

        source = f"read_parquet({parameter([str(path) for path in files])}) r"
        clauses = ["true"]
        for name, clause in _WHERE.items():
            value = getattr(asked, name)
            if value is not None:
                clauses.append(clause.format(parameter(_plain(value))))
        if spans is not None:
            source += " JOIN w USING (request_id)"
            clauses.append("r.seq BETWEEN w.first AND w.last")
        if after is not None:
            place = (_micros(after.occurred_at), str(after.request_id), after.seq)
            clauses.append(_AFTER.format(*map(parameter, place)))
        rows = self._fetch(
            f"SELECT request_id, seq FROM {source} WHERE {' AND '.join(clauses)}"
            f" ORDER BY occurred_at DESC, request_id DESC, seq DESC LIMIT {parameter(limit)}",
            values,
            None if spans is None else _table(spans),
        )
        return [(UUID(request_id), seq) for request_id, seq in rows]

    def rows(self, files: Sequence[Path], places: Sequence[Where]) -> list[Told]:
        """The rows there, in any order. Bodies are most of a file: of few, few are unpacked."""
        if not places:
            return []
        requests, seqs = zip(*((str(request_id), seq) for request_id, seq in places), strict=True)
        found = self._fetch(
            f"SELECT {_COLUMNS} FROM read_parquet($1)"
            " JOIN (SELECT unnest($2) AS request_id, unnest($3) AS seq) w USING (request_id, seq)"
            " WHERE request_id IN (SELECT unnest($2))",
            [[str(path) for path in files], list(requests), list(seqs)],
        )
        return [_told(row) for row in found]

    def events(self, files: Sequence[Path], request_id: UUID, after: int, limit: int) -> list[Told]:
        """A request's rows in the order of its chain, those with `seq` above `after`."""
        rows = self._fetch(
            f"SELECT {_COLUMNS} FROM read_parquet($1) WHERE request_id = $2 AND seq > $3"
            " ORDER BY seq LIMIT $4",
            [[str(path) for path in files], str(request_id), after, limit],
        )
        return [_told(row) for row in rows]

    def ended_by(self, files: Sequence[Path], rule: Rule) -> list[tuple[UUID, datetime]]:
        """Requests that a rule ended, and when, whatever their inputs."""
        rows = self._fetch(
            "SELECT request_id, epoch_us(occurred_at) FROM read_parquet($1)"
            " WHERE workflow = $2 AND version = $3 AND event_type = $4"
            " AND json_extract_string(decode(body), '$.payload.step') = $5"
            " AND json_exists(decode(body), '$.payload.rule')"
            " AND ($6::BIGINT IS NULL OR occurred_at >= make_timestamptz($6::BIGINT))"
            " AND ($7::BIGINT IS NULL OR occurred_at < make_timestamptz($7::BIGINT))",
            [
                [str(path) for path in files],
                *(rule.workflow, rule.version, STEP_COMPLETED, rule.step),
                *(None if when is None else _micros(when) for when in (rule.since, rule.until)),
            ],
        )
        return [(UUID(request_id), _EPOCH + at * _MICROSECOND) for request_id, at in rows]

    def by_leaf(
        self,
        files: Sequence[Path],
        request_id: UUID | None,
        since: datetime | None,
        until: datetime | None,
    ) -> "ByLeaf":
        """Rows in the order of the tree: of one request, or recorded `since` and before `until`."""
        if not files:
            return ByLeaf(None)
        values: list[Any] = [[str(path) for path in files]]
        clauses = ["true"]
        for clause, value in (
            ("request_id = {}", request_id),
            ("recorded_at >= make_timestamptz({})", since),
            ("recorded_at < make_timestamptz({})", until),
        ):
            if value is not None:
                values.append(_plain(value))
                clauses.append(clause.format(f"${len(values)}"))
        cursor = self._connection().cursor()
        cursor.execute(
            "SELECT leaf, request_id, seq, prev_hash, hash, body FROM read_parquet($1)"
            f" WHERE {' AND '.join(clauses)} ORDER BY leaf",
            values,
        )
        return ByLeaf(cursor)

    def _fetch(
        self, query: str, values: Sequence[Any], table: "Table | None" = None
    ) -> list[tuple[Any, ...]]:
        """With a table, which is `w` in the query."""
        with self._connection().cursor() as cursor:
            if table is not None:
                cursor.register("w", table)
            return cursor.execute(query, list(values)).fetchall()

    def _connection(self) -> "DuckDBPyConnection":
        with self._lock:
            if self._duck is None:
                import duckdb

                self._duck = duckdb.connect(
                    config={
                        "autoinstall_known_extensions": "false",
                        "autoload_known_extensions": "false",
                    }
                )
                # Global: each cursor is a session of its own. What a file's footer says is read once; so
                # many values are held against the statistics of row groups, one by one.
                self._duck.execute("SET GLOBAL parquet_metadata_cache = true")
                self._duck.execute("SET GLOBAL dynamic_or_filter_threshold = 1000")
            return self._duck


class ByLeaf:
    """What is left of rows in the order of the tree."""

    def __init__(self, cursor: "DuckDBPyConnection | None") -> None:
        self._cursor = cursor
        self._next: list[tuple[Any, ...]] = []

    def take(self, size: int, most: int | None) -> list[tuple[Any, ...]]:
        """Those of leaves below `size`, so many at most: leaf, request, seq, prev_hash, hash, body."""
        found: list[tuple[Any, ...]] = []
        while (most is None or len(found) < most) and self._there() and self._next[-1][0] < size:
            leaf, request_id, *rest = self._next.pop()
            found.append((leaf, UUID(request_id), *rest))
        return found

    def _there(self) -> bool:
        """Whether there is a next row; some are read ahead."""
        if not self._next and self._cursor is not None:
            self._next = self._cursor.fetchmany(2000)[::-1]
        return bool(self._next)


def _table(spans: Sequence[Span]) -> "Table":
    import pyarrow as pa

    return pa.table(
        {
            "request_id": [str(span.request_id) for span in spans],
            "first": [span.first for span in spans],
            "last": [span.last for span in spans],
        }
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _micros(value)
    return str(value) if isinstance(value, UUID) else value


def _micros(moment: datetime) -> int:
    """Since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


# --- rows ---


def _told(row: tuple[Any, ...]) -> Told:
    """All that the body says is taken from there."""
    body, prev_hash, own, outcome, requester, entity_type, entity_id, leaf = row
    said = from_json(body)
    return Told(
        event_id=UUID(said["event_id"]),
        occurred_at=datetime.fromisoformat(said["occurred_at"]),
        recorded_at=datetime.fromisoformat(said["recorded_at"]),
        request_id=UUID(said["request_id"]),
        seq=said["seq"],
        workflow=said["workflow_id"],
        version=said["workflow_version"],
        event_type=said["event_type"],
        actor=said["actor"],
        payload=said["payload"],
        snapshot=said["snapshot"],
        outcome=outcome,
        body=body,
        prev_hash=prev_hash,
        hash=own,
        requester=requester,
        title=None,
        entity=None if entity_type is None else Entity(entity_type, entity_id),
        inputs=None,
        leaf=leaf,
    )
