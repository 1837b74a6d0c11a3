"""Requests of the past as files write them: CSV, JSON or JSON lines, read and checked one by one.

A column of CSV is the path of a field in JSON, lists counted from 1: `inputs.days`, `decisions.2.user`,
`entity.type`. A cell that is empty says nothing. Cells of inputs that are JSON (5, true) are taken as
that, unless the recipe says that the input is text.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from api import csv_file, errors
from api.bodies import EntityBody, EntityId, Inputs, PersonId, Text
from api.org_entries import refused, unknown_key
from recipes.model import Json
from recipes.state import FinalState

Format: TypeAlias = Literal["csv", "json", "jsonl"]
MEDIA_TYPES: dict[str, Format] = {
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "jsonl",
}
MOST_ROWS = 20_000
MOST_DECISIONS = 100
Where: TypeAlias = Callable[..., dict[str, Json]]
"""From the keys within a row to the place in the file, as a problem tells it: `{pointer}` or
`{row, column}`."""


def _moment(value: Any) -> datetime:
    said = "must be a time with its zone, such as 2024-05-13T09:30:00Z"
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError(said)
        return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(said) from None


Then = Annotated[datetime, BeforeValidator(_moment)]
_STRICT = ConfigDict(extra="forbid", frozen=True)


class PastDecisionEntry(BaseModel):
    model_config = _STRICT
    step: Annotated[Text, Field(min_length=1, max_length=100)]
    decision: Literal["approve", "reject"]
    user: PersonId
    on_behalf_of: PersonId | None = None
    comment: Text | None = None
    at: Then


class PastEntry(BaseModel):
    """A request as it ended. Without `version` the one is meant that a submission would take now."""

    model_config = _STRICT
    external_id: EntityId
    workflow: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    version: int | None = Field(None, ge=1, le=2**31 - 1)
    requester: PersonId
    inputs: Inputs = Field(default_factory=dict)
    submitted_at: Then
    decisions: list[PastDecisionEntry] = Field(default_factory=list, max_length=MOST_DECISIONS)
    outcome: FinalState
    ended_at: Then
    reason: Text | None = None
    entity: EntityBody | None = None


_FIELDS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): tuple(PastEntry.model_fields),
    ("decisions",): tuple(PastDecisionEntry.model_fields),
    ("entity",): tuple(EntityBody.model_fields),
}


@dataclass(slots=True)
class Reading:
    """A file while it is read: its entries with their places, and all that is wrong. `texts`: the inputs
    are as cells of CSV had them, not typed yet."""

    texts: bool = False
    entries: list[tuple[PastEntry, Where]] = field(default_factory=list)
    problems: list[dict[str, Json]] = field(default_factory=list)

    def problem(self, where: dict[str, Json], message: str, fix: str | None = None) -> None:
        self.problems.append(where | {"message": message} | ({"fix": fix} if fix else {}))

    def entry(self, raw: Json, where: Where) -> None:
        try:
            self.entries.append((PastEntry.model_validate(raw), where))
        except ValidationError as error:
            for item in error.errors(include_url=False, include_input=False):
                self.problem(where(*item["loc"]), _said(dict(item)))


def format_of(content_type: str | None) -> Format:
    """Problem 415 for a media type that is none of ours."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    found = MEDIA_TYPES.get(media_type)
    if found is None:
        detail = f"{media_type[:80] or 'nothing'} is no format of history: {', '.join(MEDIA_TYPES)}"
        raise errors.Problem(415, "unsupported_media_type", detail)
    return found


def read(source: bytes, format: Format) -> Reading:
    """All rows, with what is wrong with each. Problem 400 if the file is not of that format, 422 if it has
    no rows, or too many."""
    reading = Reading(texts=format == "csv")
    for number, (raw, where) in enumerate(_READERS[format](source, reading), 1):
        if number > MOST_ROWS:
            message = f"has more than {MOST_ROWS} requests: import it in parts"
            raise errors.invalid_at("", message)
        reading.entry(raw, where)
    if not (reading.entries or reading.problems):
        raise errors.invalid_at("", "has no requests: nothing would be imported")
    _once(reading)
    return reading


def _once(reading: Reading) -> None:
    counts = Counter(entry.external_id for entry, _ in reading.entries)
    seen: set[str] = set()
    for entry, where in reading.entries:
        if counts[entry.external_id] > 1 and entry.external_id in seen:
            reading.problem(where("external_id"), f"`{entry.external_id}` is here twice")
        seen.add(entry.external_id)


Rows: TypeAlias = Iterator[tuple[Json, Where]]


def _json(source: bytes, _: Reading) -> Rows:
    tree = _parsed(source, "the body")
    if not isinstance(tree, list):
        raise refused([{"pointer": "", "message": "must be a list of requests"}])
    for number, raw in enumerate(tree):
        yield raw, partial(_below, number)


def _json_lines(source: bytes, _: Reading) -> Rows:
    for number, line in enumerate(source.splitlines(), 1):
        if line.strip():
            yield _parsed(line, f"line {number}"), partial(_in_row, number)


def _parsed(source: bytes, what: str) -> Json:
    try:
        return from_json(source, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise errors.Problem(400, "not_json", f"{what} is not JSON: {error}") from None


def _csv(source: bytes, reading: Reading) -> Rows:
    rows = csv_file.rows(source)
    columns = [name.strip() for name in next(rows, [])]
    _check_columns(columns)
    for number, cells in enumerate(rows, 2):
        if not any(cell.strip() for cell in cells):
            continue
        where = partial(_in_row, number)
        if len(cells) > len(columns):
            message = f"has {len(cells)} cells, and the header {len(columns)}"
            reading.problem(where(), message, "quote cells that hold the delimiter")
            continue
        filled = ((name, cell.strip()) for name, cell in zip(columns, cells, strict=False))
        yield _tree((name, cell) for name, cell in filled if name and cell), where


def _check_columns(columns: list[str]) -> None:
    problems: list[dict[str, Json]] = []
    for name, count in Counter(columns).items():
        if name and count > 1:
            problems.append({"row": 1, "column": name, "message": "is there twice"})
        said = _column_problem(name.split(".")) if name else None
        if said is not None:
            problems.append({"row": 1, "column": name, "message": said})
    missing = [
        name
        for name, info in PastEntry.model_fields.items()
        if info.is_required() and name not in columns
    ]
    if missing:
        problems.append({"row": 1, "message": f"has no column {', '.join(missing)}"})
    if problems:
        raise refused(problems)


def _column_problem(path: list[str]) -> str | None:
    """Why it is no path of a field."""
    match path:
        case ["inputs", name] if name:
            return None
        case ["decisions", number, name] if (
            number.isdecimal() and len(number) < 10 and 0 < int(number) <= MOST_DECISIONS
        ):
            return _unless_known(name, ("decisions",))
        case ["entity", name]:
            return _unless_known(name, ("entity",))
        case ["inputs" | "decisions" | "entity", *_]:
            return "must be written as inputs.NAME, decisions.1.user or entity.type"
        case _:
            return _unless_known(".".join(path), ())


def _unless_known(name: str, below: tuple[str, ...]) -> str | None:
    return None if name in _FIELDS[below] else unknown_key(name, _FIELDS[below])


def _tree(cells: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """A row's cells as JSON would have them. A decision that is left out before another lacks everything."""
    raw: dict[str, Json] = {}
    decisions: dict[int, dict[str, Json]] = {}
    for path, text in cells:
        match path.split("."):
            case ["decisions", number, name]:
                decisions.setdefault(int(number), {})[name] = text
            case [parent, name]:
                raw.setdefault(parent, {})[name] = text
            case _:
                raw[path] = text
    if decisions:
        raw["decisions"] = [decisions.get(number + 1, {}) for number in range(max(decisions))]
    return raw


_READERS: dict[Format, Callable[[bytes, Reading], Rows]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _json_lines,
}


def _below(number: int, *keys: str | int) -> dict[str, Json]:
    return {"pointer": errors.pointer(number, *keys)}


def _in_row(number: int, *keys: str | int) -> dict[str, Json]:
    """The row as a spreadsheet counts it, and the column that has the field."""
    if not keys:
        return {"row": number}
    return {
        "row": number,
        "column": ".".join(str(k + 1) if isinstance(k, int) else k for k in keys),
    }


_SAID = {
    "missing": "is missing",
    "string_too_short": "is empty",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
}


def _said(item: dict[str, Any]) -> str:
    """What pydantic found, in words for people."""
    if item["type"] == "extra_forbidden":
        *parents, name = item["loc"]
        return unknown_key(str(name), _FIELDS[tuple(p for p in parents if isinstance(p, str))])
    said: str = _SAID.get(item["type"], item["msg"].removeprefix("Value error, "))
    return said
