"""`countersign audit export`: sealed rows as evidence, for those who have no database."""

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from cli import asking
from cli.asking import (
    About,
    ActorId,
    Behalf,
    EventType,
    InRole,
    Outcome,
    Since,
    Until,
    Version,
    Where,
    Words,
    Workflow,
)
from cli.audit import Month, Request, scope_of
from cli.output import Exit, Failure, say
from contract.canonical import timestamp

if TYPE_CHECKING:
    from storage.asking import Asked
    from storage.evidence import Scope
    from storage.exporting import Found
    from storage.proving import Exported
    from storage.sealing import Sealed

Format = Literal["jsonl", "csv", "parquet"]

COLUMNS = (
    "occurred_at", "request_id", "seq", "title", "workflow", "version", "event_type", "outcome", "user",
    "role", "on_behalf_of", "via", "requester", "entity_type", "entity_id", "inputs", "recorded_at", "leaf",
    "prev_hash", "hash", "body", "disclosed", "withheld", "proof",
)  # fmt: skip
"""Of CSV and Parquet: a row with its proof, and what people wrote in it."""


def export(
    request: Request = None,
    month: Month = None,
    since: Since = None,
    until: Until = None,
    workflow: Workflow = None,
    version: Version = None,
    actor_id: ActorId = None,
    on_behalf_of: Behalf = None,
    actor_role: InRole = None,
    event_type: EventType = None,
    outcome: Outcome = None,
    entity: About = None,
    words: Words = None,
    where: Where = None,
    format: Annotated[Format, typer.Option(help="jsonl is for cli/verify_audit.py.")] = "jsonl",
    output: Annotated[Path | None, typer.Option(help="A file; default: stdout.")] = None,
) -> None:
    """Write sealed rows with a signed checkpoint and proofs: everything, a request, a month, or what is
    asked for as in `query`. Beside rows that are asked for go those that tell what they are about.

    What people wrote goes beside each row as far as auditors may see it; the rest is named as withheld."""
    kind, colon, number = (entity or "").partition(":")
    given = {
        "since": asking.instant(since),
        "until": asking.instant(until),
        "workflow": workflow,
        "version": version,
        "actor": actor_id,
        "on_behalf_of": on_behalf_of,
        "role": actor_role,
        "event_type": event_type,
        "outcome": outcome,
        "entity_type": kind or None,
        "entity_id": number if colon else None,
        "words": words,
        "condition": where,
    }
    said = {name: value for name, value in given.items() if value is not None}
    if not said and format == "jsonl":
        _written(output, lambda put: _whole(scope_of(request, month), request, put))
        return
    asked = _asked(said, scope_of(request, month))
    if format == "parquet":
        _parquet(asked, output)
        return
    write = _csv if format == "csv" else _lines
    _written(output, lambda put: write(asked, put))


def _written(output: Path | None, work: Callable[[Callable[[str], Any]], Any]) -> None:
    if output is None:
        asyncio.run(work(sys.stdout.write))
        return
    try:
        with output.open("x", newline="") as file:
            asyncio.run(work(file.write))
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}") from None
    except Failure:
        output.unlink()  # half an export proves nothing
        raise


def _asked(said: dict[str, Any], scope: "Scope") -> "Asked":
    from contract.conditions import ConditionInvalid, condition
    from storage.asking import Asked

    if scope.since is not None:
        if "since" in said or "until" in said:
            raise Failure("--month, or --since and --until", code=Exit.USAGE)
        said |= {"since": scope.since, "until": scope.until}
    try:
        if "condition" in said:
            said["condition"] = condition(said["condition"])
    except ConditionInvalid as error:
        raise Failure(f"--where: {error}", code=Exit.USAGE) from None
    return Asked(**said, request_id=scope.request_id)


# --- everything, a request, a month ----------------------------------------------------------------


async def _whole(scope: "Scope", request: UUID | None, put: Callable[[str], Any]) -> None:
    from cli.evidence import cold_tier, connected
    from storage import evidence, exporting, proving
    from storage.errors import ColdUnavailable
    from storage.exporting import EXPORTER

    async with connected() as connection:
        await connection.execute(evidence.STAY)
        last = await _last(connection)
        everything = request is None and scope.since is None
        head = {
            "countersign_export": 1,
            "whole": everything,
            "request_id": request and str(request),
            "since": scope.since and timestamp(scope.since),
            "until": scope.until and timestamp(scope.until),
            "rows": await proving.count(connection, scope, last.size),
            "checkpoints": [*await proving.announcements(connection), last.note],
        }
        put(_line(head))
        try:
            rows = exporting.exported(connection, cold_tier(), EXPORTER, scope, last.size)
            async for row in rows:
                put(_line(_evidence(row, proof=not everything)))
        except ColdUnavailable as error:
            raise Failure(str(error), code=Exit.UNAVAILABLE) from None


async def _last(connection: Any) -> "Sealed":
    from storage import sealing

    last = (await sealing.tree(connection)).last
    if last is None:
        raise Failure("nothing was sealed yet", fix="countersign doctor")
    return last


def _evidence(row: "Exported", *, proof: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "leaf": row.leaf,
        "request_id": str(row.request_id),
        "seq": row.seq,
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
        "body": row.body.decode(),
    }
    if row.disclosed:
        line["disclosed"] = row.disclosed
    if row.withheld:
        line["withheld"] = row.withheld
    if proof:
        line["proof"] = [each.hex() for each in row.proof]
    return line


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


# --- what is asked for -----------------------------------------------------------------------------


async def _found(asked: "Asked", notes: list[str]) -> "AsyncIterator[Found]":
    """What is found; `notes` gets the checkpoints, before the first of it."""
    from cli.evidence import cold_tier, connected
    from storage import evidence, exporting, proving
    from storage.errors import ColdUnavailable
    from storage.exporting import EXPORTER

    async with connected() as connection:
        await connection.execute(evidence.STAY)
        last = await _last(connection)
        notes += [*await proving.announcements(connection), last.note]
        try:
            async for each in exporting.found(connection, cold_tier(), EXPORTER, asked, last.size):
                yield each
        except ColdUnavailable as error:
            raise Failure(str(error), code=Exit.UNAVAILABLE) from None


async def _lines(asked: "Asked", put: Callable[[str], Any]) -> None:
    notes: list[str] = []
    lines = [
        _evidence(each.sealed, proof=True) | {"asked": each.asked}
        async for each in _found(asked, notes)
    ]
    head = {
        "countersign_export": 1,
        "whole": False,
        "request_id": None,
        "since": asked.since and timestamp(asked.since),
        "until": asked.until and timestamp(asked.until),
        "asked": {name: str(value) for name, value in asdict(asked).items() if value is not None},
        "rows": len(lines),
        "checkpoints": notes,
    }
    put(_line(head))
    for line in lines:
        put(_line(line))


async def _csv(asked: "Asked", put: Callable[[str], Any]) -> None:
    """The checkpoint that the proofs are of goes to stderr: it is no row of a table."""
    notes: list[str] = []
    page = StringIO()
    writer = csv.writer(page)
    writer.writerow(COLUMNS)
    async for each in _found(asked, notes):
        if each.asked:
            writer.writerow([_cell(value) for value in _columns(each).values()])
            put(page.getvalue())
            page.seek(0)
            page.truncate()
    put(page.getvalue())
    say(f"the proofs are of this checkpoint:\n\n{notes[-1]}")


def _parquet(asked: "Asked", output: Path | None) -> None:
    """With the checkpoints among its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if output is None:
        raise Failure("--format parquet needs --output FILE", code=Exit.USAGE)
    if output.exists():
        raise Failure(f"{output} is there already", code=Exit.CONFLICT)
    notes: list[str] = []

    async def read() -> list[dict[str, Any]]:
        return [_columns(each) async for each in _found(asked, notes) if each.asked]

    rows = asyncio.run(read())
    kinds = {"seq": pa.int32(), "version": pa.int32(), "leaf": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    table = pa.Table.from_pylist(rows, schema=schema)
    table = table.replace_schema_metadata({"checkpoints": json.dumps(notes)})
    pq.write_table(table, output, compression="zstd")


def _columns(found: "Found") -> dict[str, Any]:
    row, sealed = found.row, found.sealed
    actor: dict[str, Any] = row.actor
    return {
        "occurred_at": timestamp(row.occurred_at),
        "request_id": str(row.request_id),
        "seq": row.seq,
        "title": row.title,
        "workflow": row.workflow,
        "version": row.version,
        "event_type": row.event_type,
        "outcome": row.outcome,
        "user": actor["user"],
        "role": actor["role"],
        "on_behalf_of": actor["on_behalf_of"],
        "via": " ".join(actor["via"]),
        "requester": row.requester,
        "entity_type": row.entity and row.entity.type,
        "entity_id": row.entity and row.entity.id,
        "inputs": None if row.inputs is None else json.dumps(row.inputs, ensure_ascii=False),
        "recorded_at": timestamp(row.recorded_at),
        "leaf": sealed.leaf,
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
        "body": row.body.decode(),
        "disclosed": json.dumps(sealed.disclosed, ensure_ascii=False),
        "withheld": " ".join(row.withheld),
        "proof": " ".join(each.hex() for each in sealed.proof),
    }


def _cell(value: Any) -> Any:
    """Spreadsheets take what begins so for a formula: an apostrophe makes it a text."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
