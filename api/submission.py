"""Submitting a request, by a person or by an event: everything that is checked before it exists."""

from dataclasses import asdict, dataclass, replace
from typing import Any
from unicodedata import category
from uuid import UUID, uuid4

import asyncpg
import structlog
from structlog.contextvars import bind_contextvars

from api import bodies, errors, once
from api.auth import Caller
from api.services import Services
from contract import canonical, content
from contract.boxes import Keys, salt_of
from contract.lines import TURNING, cut
from contract.messages import StartInput
from contract.names import ENGINE_VERSION
from recipes import expressions, progress, timers
from recipes import inputs as recipe_inputs
from recipes.expressions import ExpressionError
from recipes.model import Json, Recipe
from recipes.starting import entity_problem
from recipes.state import Entity, State
from storage import calendars, idempotency, jsonb, requests
from storage.errors import AlreadyOpen
from storage.idempotency import Slot
from storage.pool import Connection, Source, vault_of

_LONGEST_TITLE = 200
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """A request by its id; `again` if its key had made it before, else `row` is what it looks like."""

    id: UUID
    row: dict[str, Json]
    again: bool = False


async def submit(
    house: Services, caller: Caller, body: bodies.Submission, key: str | None, raw: bytes
) -> Made:
    """Make a request and have its workflow started behind the answer. Problem 403, 409 or 422."""
    try:
        async with house.pool.acquire() as connection:
            if key is None:
                found = await _submitted(house, connection, caller, body, key=None, raw=raw)
            else:
                async with connection.transaction():
                    await once.alone(connection, Slot(caller.id, key))
                    found = await _submitted(house, connection, caller, body, key=key, raw=raw)
    except _Taken as taken:
        raise await one_open(house.pool, taken.item) from None
    if isinstance(found, Made):
        return found
    outbox_id, ready = found
    bind_contextvars(request_id=str(ready.item.id))
    house.delivery.soon_start(outbox_id, ready.start)
    return Made(ready.item.id, _row(ready.item))


async def _submitted(
    house: Services,
    connection: Connection,
    caller: Caller,
    body: bodies.Submission,
    *,
    key: str | None,
    raw: bytes,
) -> "Made | tuple[int, Ready]":
    """What its key had made before, or a new request with its row in the outbox. Problem or _Taken."""
    entity = None if body.entity is None else Entity(body.entity.type, body.entity.id)
    found = await requests.prepare(
        connection, caller.id, body.workflow, body.version, key=key, entity=entity
    )
    if found["fingerprint"] is not None:
        return await _again(connection, raw, found["fingerprint"], found["request_id"])
    if found["key_taken"]:
        raise once.reused()
    check_requester(caller.id, found)
    _check_recipe(body, found)
    check_starter(caller.id, body.workflow, found)
    wanted = Wanted(caller.id, body.workflow, body.inputs, entity)
    ready = await draft(house, connection, found, wanted)
    item = replace(ready.item, key=key, fingerprint=_fingerprint(raw, ready.item.keys))
    try:
        outbox_id = await requests.submit(connection, item)
    except AlreadyOpen:
        raise _Taken(item) from None
    assert outbox_id is not None, "whoever has the key to themselves is the first to use it"
    return outbox_id, ready


class _Taken(Exception):
    """Another request about the entity was made at the same instant."""

    def __init__(self, item: requests.Submission) -> None:
        super().__init__(str(item.id))
        self.item = item


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be the requester of which workflow, with which inputs, about what."""

    requester: str
    workflow: str
    inputs: dict[str, Json]
    entity: Entity | None


@dataclass(frozen=True, slots=True)
class Ready:
    """A request that may be made: its row, and the start of its workflow."""

    item: requests.Submission
    start: StartInput


async def draft(
    house: Services, source: Source, found: asyncpg.Record, wanted: Wanted, *, limited: bool = False
) -> Ready:
    """The request that is wanted, with what `requests.prepare` found. With `limited` of its inputs those
    alone that the recipe declares. Problem 409 or 422 where it may not be made."""
    sha256: str = found["sha256"]
    recipe = await house.catalogue.recipe(source, wanted.workflow, found["version"], sha256)
    # As the relay will read them if it is to start the workflow: both must start the same one.
    inputs: dict[str, Json] = jsonb.kept(wanted.inputs)
    if limited:
        inputs = recipe_inputs.declared(recipe, inputs)
    check_inputs(recipe, inputs, wanted.entity)
    alone = recipe.entity is not None and recipe.entity.one_open and wanted.entity is not None
    if alone and found["open_id"] is not None:
        raise _already_open(wanted, found["open_id"])
    timing = timers.deadline_timing(recipe, found["now"])
    deadline = None if timing is None else await calendars.times(source, timing)
    request_id = uuid4()
    keys, wrapped = vault_of(source).make(request_id, recipe.confidential)
    state = progress.initial(
        recipe,
        request_id=str(request_id),
        requester=wanted.requester,
        inputs=inputs,
        submitted_at=found["now"],
        digest=canonical.digest(sha256, inputs, keys.salt),
        entity=wanted.entity,
        deadline=deadline,
    )
    item = requests.Submission(
        id=request_id,
        workflow=recipe.workflow,
        version=recipe.version,
        requester=wanted.requester,
        title=title(recipe, state, found),
        inputs=inputs,
        digest=state.digest,
        at=state.submitted_at,
        deadline_at=state.deadline_at,
        recipe_sha256=sha256,
        keys=keys,
        wrapped=wrapped,
        entity=wanted.entity,
        one_open=alone,
        deadline_by=state.deadline_by,
    )
    return Ready(item, StartInput(ENGINE_VERSION, recipe, sha256, state))


async def one_open(source: Source, item: requests.Submission) -> errors.Problem:
    """What to say where another request about the same entity was made at the same instant."""
    assert item.entity is not None
    other = await requests.open_about(source, item.workflow, item.entity)
    return _already_open(Wanted(item.requester, item.workflow, item.inputs, item.entity), other)


def _already_open(wanted: Wanted, other: UUID | None) -> errors.Problem:
    """409, naming the open request; None if it has ended meanwhile."""
    assert wanted.entity is not None
    about = f"{wanted.workflow} about {wanted.entity.type} {wanted.entity.id}"
    if other is None:
        return errors.conflict("already_open", f"a request of {about} ended just now: try again")
    return errors.conflict(
        "already_open", f"a request of {about} is open: {other}", request_id=other
    )


def _fingerprint(raw: bytes, keys: Keys | None) -> str:
    return idempotency.fingerprint("POST", "/v1/requests", raw, salt_of(keys))


async def _again(source: Source, raw: bytes, known: str, request_id: UUID) -> Made:
    keys = await vault_of(source).writing(source, request_id)
    if known != _fingerprint(raw, keys):
        raise once.reused()
    return Made(request_id, {}, again=True)


def check_requester(person: str, found: asyncpg.Record) -> None:
    """Problem 403 for whoever is not, or no longer, in the directory."""
    if found["person"] is None:
        raise errors.forbidden(
            f"{person} is not in the directory; an administrator adds people by org import"
        )
    if not found["employed"]:
        raise errors.forbidden(f"{person} has left according to the directory")


def check_starter(person: str, workflow: str, found: asyncpg.Record) -> None:
    """Problem 403 for whoever is none of those who may submit it."""
    if not found["may_start"]:
        listed = ", ".join(found["starters"])
        raise errors.forbidden(
            f"{person} may not submit {workflow}: its recipe leaves that to {listed}"
        )


def _check_recipe(body: bodies.Submission, found: asyncpg.Record) -> None:
    if found["version"] is None and body.version is None:
        raise errors.invalid_at("/workflow", f"there is no recipe named {body.workflow}")
    if found["version"] is None:
        raise errors.invalid_at("/version", f"{body.workflow} has no version {body.version}")
    if found["disabled_at"] is not None:
        raise errors.conflict(
            "recipe_disabled",
            f"{body.workflow} version {found['version']} takes no new requests:"
            f" {found['disabled_reason']}",
        )


def check_inputs(recipe: Recipe, inputs: dict[str, Json], entity: Entity | None = None) -> None:
    """Problem 422 with all that the recipe refuses of a submission."""
    problems = [
        {"pointer": "/inputs" + problem.pointer, "message": problem.message}
        for problem in recipe_inputs.validate(recipe, inputs)
    ]
    about = entity_problem(recipe, entity)
    if about is not None:
        problems.append({"pointer": "/entity", "message": about})
    if problems:
        first = f"{problems[0]['pointer']}: {problems[0]['message']}"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise errors.invalid(first + more, problems)


def title(recipe: Recipe, state: State, person: Any) -> str:
    """The recipe's title with its expression filled in; the workflow's name where that fails.

    A title is for reading: one that cannot be rendered must not keep a request from being made.
    """
    plain = content.plain_title(recipe.workflow)
    if recipe.title is None:
        return plain
    try:
        text = expressions.environment(recipe).render(recipe.title, _scope(recipe, state, person))
    except ExpressionError as error:
        _log.warning("title not rendered", workflow=recipe.workflow, error=str(error))
        return plain
    # A recipe can make what no text in Postgres holds (NUL, half characters): left out, as line ends, and what
    # turns text round: one input is not to change how the title reads the amount of another.
    rendered = "".join(" " if category(c) in ("Cc", "Cs") or c in TURNING else c for c in str(text))
    return cut(" ".join(rendered.split()), _LONGEST_TITLE) or plain


def _scope(recipe: Recipe, state: State, person: Any) -> dict[str, Json]:
    """What a title's expression can name: the names of `progress`, as far as they are known now."""
    attributes = person["attributes"]
    employee: dict[str, Json] = {
        "id": person["person"],
        "name": person["name"],
        "email": person["email"],
        "department": person["department"],
        "title": attributes.get("title"),
        "attributes": attributes,
    }
    request: dict[str, Json] = {
        "id": state.request_id,
        "requester": state.requester,
        "workflow": recipe.workflow,
        "version": recipe.version,
        "submitted_at": state.submitted_at,
        "entity": state.entity and asdict(state.entity),
    }
    return {
        **state.inputs,
        "inputs": state.inputs,
        "employee": employee,
        "request": request,
        "steps": {},
    }


def _row(item: requests.Submission) -> dict[str, Json]:
    """The request as it stands after the commit, without reading it again."""
    return {
        "id": item.id,
        "workflow": item.workflow,
        "version": item.version,
        "title": item.title,
        "requester": item.requester,
        "state": "created",
        "status": None,
        "moves": 0,
        "step": None,
        "incidents": [],
        "reason": None,
        "deadline_at": item.deadline_at,
        "deadline_by": item.deadline_by and asdict(item.deadline_by),
        "resubmit_by": None,
        "created_at": item.at,
        "finalized_at": None,
        "inputs": item.inputs,
        "digest": item.digest,
        "entity_type": item.entity and item.entity.type,
        "entity_id": item.entity and item.entity.id,
        "import_id": None,
        "recall_id": None,
        "reopens": None,
        "withheld": [],
        "erased_at": None,
    }
