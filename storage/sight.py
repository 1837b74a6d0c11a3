"""Rows as somebody sees them: what is confidential opened for those who may see it, left out for others.

`seen_by` is for whoever reads: row-level security has the last word on their keys (migration 0030). `whole`
is for whoever carries requests out. A row that has keys of its own request says so by `private`; `sealed` is
the box beside its title and inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from contract import content
from contract.boxes import CannotOpen, Keys
from contract.content import Subject
from storage.pool import Source, vault_of
from storage.vault import Reader

_log = structlog.get_logger()

Row: TypeAlias = asyncpg.Record | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is sealed of a row, by the names of its columns, each with where it is in answers. `texts` are boxes
    where all of the request is confidential; `said` and `values`, of jobs, where anything is; `subject`
    says that `title`, or `inputs` too, are those of the request."""

    texts: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    subject: bool = True


REQUEST = Shape({"reason": "/reason"})
TASK = Shape({"comment": "/decision/comment", "reason": "/decision/reason"})
REVISION = Shape({"comment": "/comment"})
COMMENT = Shape({"text": "/text"}, subject=False)
QUESTION = Shape({"text": "/text", "answer": "/answer"})
ATTACHMENT = Shape({"name": "/name"}, subject=False)
COMMANDED = Shape({"comment": "/comment"}, subject=False)
TITLED = Shape()
JOB = Shape(
    said={"error": "/error"}, values={"inputs": "/inputs", "output": "/output"}, subject=False
)


async def keys_for(source: Source, reader: Reader, request: Row) -> Keys | None:
    """The keys of a request (a row with `id` and `private`) for whoever reads; None where nobody needs any."""
    if not request["private"]:
        return None
    found = await vault_of(source).reading(source, reader, [request["id"]])
    return found.get(request["id"])


def reads(keys: Keys | None) -> bool:
    """Whether a holder of these keys of a request may read what people write beside its inputs."""
    return keys is None or keys.holds(keys.widest)


async def seen_by(
    source: Source, reader: Reader, rows: Sequence[Row], shape: Shape, *, of: str = "request_id"
) -> list[dict[str, Any]]:
    """The rows as the reader sees them, each with `withheld`: pointers to what is left out. `of` names the
    column of its request's id. Costs nothing where none is private."""
    private: set[UUID] = {row[of] for row in rows if row["private"]}
    keys = await vault_of(source).reading(source, reader, private) if private else {}
    return [seen(row, keys.get(row[of]), shape) for row in rows]


async def seen_whole(source: Source, reader: Reader, rows: Sequence[Row]) -> set[UUID]:
    """The requests among these rows of which the reader may see all that there is, whatever is looked up
    beside the row: of one whose sealed inputs were left empty there may be outputs that are sealed."""
    private = {row["id"] for row in rows if row["private"]}
    keys = await vault_of(source).reading(source, reader, private) if private else {}
    hidden = {it for it in private if it not in keys or not keys[it].holds("confidential")}
    return {row["id"] for row in rows} - hidden


async def seen_one(
    source: Source, reader: Reader, row: Row, shape: Shape, *, of: str = "request_id"
) -> dict[str, Any]:
    [found] = await seen_by(source, reader, [row], shape, of=of)
    return found


def seen(row: Row, keys: Keys | None, shape: Shape) -> dict[str, Any]:
    """The row as a holder of these keys of its request sees it, with `withheld`. What is damaged is withheld
    from everybody: a list is not for one bad row to keep from people."""
    try:
        return _seen(row, keys, shape)
    except CannotOpen as error:
        assert keys is not None
        _log.error("a box cannot be opened", request_id=str(keys.request_id), why=str(error))
        return _seen(row, replace(keys, confidential=None), shape)


def _seen(row: Row, keys: Keys | None, shape: Shape) -> dict[str, Any]:
    found = dict(row.items())
    withheld: list[str] = []
    if keys is not None and keys.private:
        if shape.subject and found["sealed"] is not None:
            withheld += _subject(found, keys)
        for name, place in shape.texts.items():
            found[name] = content.shown_text(found[name], keys)
            withheld += [place] if found[name] is None and row[name] is not None else []
        for name, place in shape.said.items():
            found[name] = content.shown_said(found[name], keys)
            withheld += [place] if found[name] is None and row[name] is not None else []
        for name, place in shape.values.items():
            withheld += _value(found, name, place, keys)
    return found | {"withheld": withheld}


def _subject(found: dict[str, Any], keys: Keys) -> list[str]:
    """Put title and inputs in, as far as they can be seen: what is left out."""
    if keys.holds("confidential"):
        told = content.opened_subject(_kept(found), keys)
        found["title"] = told.title
        if "inputs" in found:
            found["inputs"] = told.inputs
        return []
    left_out = [] if "inputs" not in found else hidden_inputs(keys)
    return [*left_out, "/title"] if keys.whole and "title" in found else left_out


def hidden_inputs(keys: Keys) -> list[str]:
    """Pointers to the inputs that are confidential."""
    if keys.fields is None:
        return ["/inputs"]
    return [f"/inputs/{name.replace('~', '~0').replace('/', '~1')}" for name in keys.fields]


def _value(found: dict[str, Any], name: str, place: str, keys: Keys) -> list[str]:
    if not content.is_boxed(found[name]):
        return []
    if keys.holds("confidential"):
        found[name] = content.unboxed(found[name], keys)
        return []
    found[name] = None
    return [place]


async def whole(source: Source, row: Row, *, of: str = "id") -> dict[str, Any]:
    """A row with all of its title and inputs, for whoever carries its request out; nobody is shown them."""
    return (await wholes(source, [row], of=of))[0]


async def wholes(source: Source, rows: Sequence[Row], *, of: str = "id") -> list[dict[str, Any]]:
    """`whole` of many."""
    private: list[UUID] = [row[of] for row in rows if row["sealed"] is not None]
    keys = await vault_of(source).writing_many(source, private) if private else {}
    return [_whole(row, keys.get(row[of])) for row in rows]


def _whole(row: Row, keys: Keys | None) -> dict[str, Any]:
    found = dict(row.items())
    told = content.opened_subject(_kept(found), keys)
    names = {"title": told.title, "inputs": told.inputs}
    return found | {name: value for name, value in names.items() if name in found}


def _kept(found: Mapping[str, Any]) -> Subject:
    return Subject(found.get("title", ""), found.get("inputs", {}), found["sealed"])
