"""Import the past of another system: whole files of requests as they ended, all of one or nothing."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
from fastapi import APIRouter, Query
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from api import errors, past_rows, past_shapes
from api.authorize import House, authorize
from api.http import Route, answer, page
from api.past_examples import IMPORT
from api.past_rows import PastEntry, Reading, Where
from api.requests import before
from api.services import Services, caller_of, services
from api.submission import title
from api.tasks import Cursor, Limit
from contract import canonical
from recipes import inputs as recipe_inputs
from recipes import progress
from recipes.model import Json, Recipe
from recipes.starting import entity_problem
from recipes.state import Entity
from storage import commands, imports, jsonb, recipes
from storage.imports import Batch, PastDecision, PastRequest, There
from storage.pool import Source, vault_of
from storage.vault import Vault

router = APIRouter(prefix="/v1/imports", tags=["imports"], route_class=Route)

_MOST_WARNINGS = 100
_MOST_NAMED = 10


@router.post(
    "",
    status_code=201,
    response_model=past_shapes.HistoryImport,
    summary="Import requests of the past",
    responses={
        200: {"model": past_shapes.HistoryImport, "description": "A dry run, or imported before."}
    },
    openapi_extra=IMPORT,
)
async def import_history(
    request: Request,
    *,
    source: Annotated[
        str | None,
        Query(
            pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
            description="The system that had them: ids count within it.",
        ),
    ] = None,
    dry_run: Annotated[bool, Query(description="Only say what would be imported.")] = False,
) -> Response:
    """As an administrator, all or nothing: requests as they ended, with their times and people. They
    get chains of their own, marked as imported, and never a workflow or an open task. The same file
    again changes nothing, nor does a request that an earlier file had, if it says the same of it."""
    caller = await caller_of(request)
    actor = authorize(caller, "import", House())
    if source is None:
        raise errors.invalid_parameter("source", "is missing: name the system that had them")
    kind = past_rows.format_of(request.headers.get("content-type"))
    body = await request.body()
    digest = sha256(body).digest()
    house = services(request)
    known = await imports.known(house.pool, source, digest)
    if known is not None:
        return answer(_shown(known, again=True))
    reading = await asyncio.to_thread(past_rows.read, body, kind)
    async with house.pool.acquire() as connection, connection.transaction():
        await imports.lock(connection)
        known = await imports.known(connection, source, digest)
        if known is not None:
            return answer(_shown(known, again=True))
        at = await commands.now(connection)
        around = await _around(house, connection, source, reading, at)
        judged = await asyncio.to_thread(_judged, reading, around)
        if judged.problems:
            raise errors.invalid(*_said(judged.problems))
        already = len(reading.entries) - len(judged.requests)
        warnings = judged.warnings[:_MOST_WARNINGS]
        batch = Batch(uuid4(), source, digest, actor, at, already, warnings)
        if dry_run:
            return answer(_planned(batch, judged))
        await imports.load(connection, batch, judged.requests)
        made = await imports.known(connection, source, digest)
    assert made is not None
    return answer(_shown(made), 201)


@router.get("", response_model=past_shapes.HistoryImportPage, summary="List imports of the past")
async def list_imports(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """For administrators and auditors, the newest first."""
    caller = await caller_of(request)
    if not caller.sees_all:
        raise errors.forbidden("only administrators and auditors may see imports")
    found = await imports.newest(services(request).pool, before(cursor), limit + 1)
    items = [_shown(row) for row in found]
    return page(items, limit, lambda item: [item["imported_at"], item["id"]])


def _shown(row: asyncpg.Record, *, again: bool = False) -> dict[str, Json]:
    return {
        **dict(row),
        "sha256": row["sha256"].hex(),
        "dry_run": False,
        "again": again,
    }


def _planned(batch: Batch, judged: "_Judged") -> dict[str, Json]:
    return {
        "id": None,
        "source": batch.source,
        "sha256": batch.sha256.hex(),
        "imported_by": batch.actor.user,
        "imported_at": None,
        "requests": len(judged.requests),
        "decisions": sum(len(item.decisions) for item in judged.requests),
        "already": batch.already,
        "warnings": batch.warnings,
        "dry_run": True,
        "again": False,
    }


def _said(problems: list[dict[str, Json]]) -> tuple[str, list[dict[str, Json]]]:
    first = problems[0]
    place = f"row {first['row']}" if "row" in first else first["pointer"] or "the file"
    column = f", column {first['column']}" if first.get("column") else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}{column}: {first['message']}{more}", problems


# --- what a file is judged by -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Version:
    recipe: Recipe
    sha256: str

    @property
    def steps(self) -> frozenset[str]:
        return frozenset(step.id for step in self.recipe.steps)


@dataclass(frozen=True, slots=True)
class _Around:
    """What rows are held against: published versions (by workflow and the version that a row names), whom
    the directory has, what was imported before (by external id), the time; and with what their keys are wrapped."""

    source: str
    versions: Mapping[tuple[str, int | None], _Version]
    people: Mapping[str, asyncpg.Record]
    there: Mapping[str, There]
    now: datetime
    vault: Vault


async def _around(
    house: Services, source: Source, name: str, reading: Reading, now: datetime
) -> _Around:
    entries = [entry for entry, _ in reading.entries]
    versions: dict[tuple[str, int | None], _Version] = {}
    for key in {(entry.workflow, entry.version) for entry in entries}:
        shown = await recipes.show(source, *key)
        if shown is not None:
            workflow, version, digest = shown["workflow"], shown["version"], shown["sha256"]
            recipe = await house.catalogue.recipe(source, workflow, version, digest)
            versions[key] = _Version(recipe, digest)
    names = {name for entry in entries for name in _people(entry)}
    people = await imports.people(source, sorted(names))
    there = await imports.there(source, name, [entry.external_id for entry in entries])
    return _Around(name, versions, people, there, now, vault_of(source))


def _people(entry: PastEntry) -> Iterable[str]:
    yield entry.requester
    for decision in entry.decisions:
        yield decision.user
        if decision.on_behalf_of is not None:
            yield decision.on_behalf_of


# --- judging ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Judged:
    """What of a file is to be written, and what there is to say about it."""

    requests: list[PastRequest] = field(default_factory=list)
    problems: list[dict[str, Json]] = field(default_factory=list)
    warnings: list[dict[str, Json]] = field(default_factory=list)


def _judged(reading: Reading, around: _Around) -> _Judged:
    judged = _Judged(problems=list(reading.problems))
    for entry, where in reading.entries:
        count = len(judged.problems)
        for keys, message, fix in _wrong(entry, around):
            said = {"message": message} | ({"fix": fix} if fix else {})
            judged.problems.append(where(*keys) | said)
        version = around.versions.get((entry.workflow, entry.version))
        if version is None:
            continue
        inputs = _inputs(version.recipe, entry, texts=reading.texts)
        for problem in recipe_inputs.validate(version.recipe, inputs):
            keys = ("inputs", *_keys(problem.pointer))
            judged.problems.append(where(*keys) | {"message": problem.message})
        if len(judged.problems) == count:
            _take(judged, where, _past(entry, version, jsonb.kept(inputs), around), around)
    judged.warnings += _doubts(reading, around)
    return judged


def _take(judged: _Judged, where: Where, past: PastRequest, around: _Around) -> None:
    before = around.there.get(past.external_id)
    if before is None:
        judged.requests.append(past)
    elif before.row_sha256 != past.row_sha256:
        message = f"was imported before, and otherwise: see request {past.id}"
        judged.problems.append(where("external_id") | {"message": message})


def _wrong(
    entry: PastEntry, around: _Around
) -> Iterable[tuple[tuple[str | int, ...], str, str | None]]:
    """What is wrong with a row but for its inputs: where in it, what, and what to do."""
    version = around.versions.get((entry.workflow, entry.version))
    if version is None:
        which = "" if entry.version is None else f" version {entry.version}"
        fix = "publish one that says what these requests were: it may be disabled for new ones"
        yield ("workflow",), f"there is no recipe {entry.workflow}{which}", fix
    else:
        about = entity_problem(version.recipe, _entity(entry))
        if about is not None:
            yield ("entity",), about, None
    if entry.ended_at > around.now:
        yield ("ended_at",), "is in the future", "leave out what has not ended"
    if entry.ended_at < entry.submitted_at:
        yield ("ended_at",), "is before submitted_at", None
    for number, decision in enumerate(entry.decisions):
        if not entry.submitted_at <= decision.at <= entry.ended_at:
            yield ("decisions", number, "at"), "is not between submitted_at and ended_at", None


def _doubts(reading: Reading, around: _Around) -> list[dict[str, Json]]:
    """What is taken as it is, and worth a look: whom the directory does not have, steps that a version
    does not have, and people who decided their own."""
    found: list[dict[str, Json]] = []
    named = {name for entry, _ in reading.entries for name in _people(entry)}
    names = sorted(named - around.people.keys())
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        listed = ", ".join(names[:_MOST_NAMED])
        found.append({"message": f"not in the directory: {listed}{more}"})
    steps: set[tuple[str, int, str]] = set()
    for entry, where in reading.entries:
        version = around.versions.get((entry.workflow, entry.version))
        for number, decision in enumerate(entry.decisions):
            place = ("decisions", number)
            if decision.user == entry.requester:
                message = f"{decision.user} decided their own request"
                found.append(where(*place, "user") | {"message": message})
            if version is None or decision.step in version.steps:
                continue
            recipe = version.recipe
            if (missing := (recipe.workflow, recipe.version, decision.step)) not in steps:
                steps.add(missing)
                message = f"{recipe.workflow} version {recipe.version} has no step {decision.step}"
                found.append(where(*place, "step") | {"message": message})
    return found


def _keys(pointer: str) -> list[str]:
    """The keys that a JSON pointer goes by."""
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]


def _entity(entry: PastEntry) -> Entity | None:
    return None if entry.entity is None else Entity(entry.entity.type, entry.entity.id)


def _inputs(recipe: Recipe, entry: PastEntry, *, texts: bool) -> dict[str, Json]:
    """A row's inputs; cells of CSV by what they say, where the recipe does not want text."""
    if not texts:
        return entry.inputs
    properties: dict[str, Json] = (recipe.inputs or {}).get("properties", {})
    return {
        name: text if _is_text(properties.get(name)) else _value(text)
        for name, text in entry.inputs.items()
    }


def _is_text(schema: Json) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string"


def _value(text: str) -> Json:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


def _past(
    entry: PastEntry, version: _Version, inputs: dict[str, Json], around: _Around
) -> PastRequest:
    recipe, entity = version.recipe, _entity(entry)
    request_id = imports.request_id(around.source, entry.external_id)
    keys, wrapped = around.vault.make(request_id, version.recipe.confidential)
    state = progress.initial(
        recipe,
        request_id=str(request_id),
        requester=entry.requester,
        inputs=inputs,
        submitted_at=entry.submitted_at,
        digest=canonical.digest(version.sha256, inputs, keys.salt),
        entity=entity,
    )
    said = entry.model_dump(mode="json") | {"inputs": inputs}
    before = around.there.get(entry.external_id)
    salt = keys.salt if before is None else before.salt
    decisions = sorted(entry.decisions, key=lambda decision: decision.at)
    return PastRequest(
        id=request_id,
        external_id=entry.external_id,
        row_sha256=sha256(salt + canonical.canonical(said).encode()).digest(),
        workflow=recipe.workflow,
        version=recipe.version,
        recipe_sha256=version.sha256,
        requester=entry.requester,
        title=title(
            recipe, state, around.people.get(entry.requester) or _stranger(entry.requester)
        ),
        inputs=inputs,
        digest=state.digest,
        submitted_at=entry.submitted_at,
        ended_at=entry.ended_at,
        outcome=entry.outcome,
        reason=entry.reason,
        entity=entity,
        decisions=tuple(PastDecision(**dict(decision)) for decision in decisions),
        keys=keys,
        wrapped=wrapped,
    )


def _stranger(person: str) -> dict[str, Any]:
    """What a title can say of somebody whom the directory does not have."""
    return {"person": person, "name": person, "email": None, "department": None, "attributes": {}}
