"""Submitting a request: everything that is checked before it exists, and the one commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unicodedata import category
from uuid import UUID, uuid4

import asyncpg
import structlog

from api import bodies, errors
from api.auth import Caller
from api.services import Services
from contract import canonical
from contract.messages import StartInput
from contract.names import ENGINE_VERSION
from recipes import expressions, progress
from recipes import inputs as recipe_inputs
from recipes.expressions import ExpressionError
from recipes.model import Json, Recipe
from recipes.state import State
from storage import idempotency, jsonb, requests

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
    fingerprint = idempotency.fingerprint("POST", "/v1/requests", raw)
    async with house.pool.acquire() as connection:
        found = await requests.prepare(connection, caller.id, body.workflow, body.version, key)
        if found["fingerprint"] is not None:
            return _again(found["fingerprint"], found["request_id"], fingerprint)
        _check_requester(caller, found)
        _check_recipe(body, found)
        sha256: str = found["sha256"]
        recipe = await house.catalogue.recipe(connection, body.workflow, found["version"], sha256)
        # As the relay will read them if it is to start the workflow: both must start the same one.
        inputs: dict[str, Json] = jsonb.kept(body.inputs)
        check_inputs(recipe, inputs)
        state = _initial(recipe, caller, inputs, sha256, found["now"])
        item = requests.Submission(
            id=UUID(state.request_id),
            workflow=recipe.workflow,
            version=recipe.version,
            requester=caller.id,
            title=title(recipe, state, found),
            inputs=inputs,
            digest=state.digest,
            at=state.submitted_at,
            deadline_at=state.deadline_at,
            recipe_sha256=sha256,
            key=key,
            fingerprint=fingerprint,
        )
        outbox_id = await requests.submit(connection, item)
        if outbox_id is None:
            # The key came in twice at once, and the other was first.
            known = await idempotency.known(connection, caller.id, key or "")
            assert known is not None
            return _again(*known, fingerprint)
    house.delivery.soon_start(outbox_id, StartInput(ENGINE_VERSION, recipe, sha256, state))
    return Made(item.id, _row(item))


def _again(known: str, request_id: UUID, fingerprint: str) -> Made:
    if known != fingerprint:
        raise errors.Problem(
            422, "idempotency_key_reused", "this Idempotency-Key was used with another body"
        )
    return Made(request_id, {}, again=True)


def _check_requester(caller: Caller, found: asyncpg.Record) -> None:
    if found["person"] is None:
        raise errors.forbidden(
            f"{caller.id} is not in the directory; an administrator adds people by org import"
        )
    if not found["employed"]:
        raise errors.forbidden(f"{caller.id} has left according to the directory")


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


def check_inputs(recipe: Recipe, inputs: dict[str, Json]) -> None:
    problems = [
        {"pointer": "/inputs" + problem.pointer, "message": problem.message}
        for problem in recipe_inputs.validate(recipe, inputs)
    ]
    if problems:
        first = f"{problems[0]['pointer']}: {problems[0]['message']}"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise errors.invalid(first + more, problems)


def _initial(
    recipe: Recipe, caller: Caller, inputs: dict[str, Json], sha256: str, now: datetime
) -> State:
    return progress.initial(
        recipe,
        request_id=str(uuid4()),
        requester=caller.id,
        inputs=inputs,
        submitted_at=now,
        digest=canonical.digest(sha256, inputs),
    )


def title(recipe: Recipe, state: State, person: Any) -> str:
    """The recipe's title with its expression filled in; the workflow's name where that fails.

    A title is for reading: one that cannot be rendered must not keep a request from being made.
    """
    plain = recipe.workflow.replace("_", " ").capitalize()
    if recipe.title is None:
        return plain
    try:
        text = expressions.environment(recipe).render(recipe.title, _scope(recipe, state, person))
    except ExpressionError as error:
        _log.warning("title not rendered", workflow=recipe.workflow, error=str(error))
        return plain
    # A recipe can make what no text in Postgres holds (NUL, half characters): left out, as line ends.
    rendered = "".join(" " if category(c) in ("Cc", "Cs") else c for c in str(text))
    rendered = " ".join(rendered.split())
    if len(rendered) > _LONGEST_TITLE:
        rendered = rendered[: _LONGEST_TITLE - 1] + "…"
    return rendered or plain


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
        "created_at": item.at,
        "finalized_at": None,
        "inputs": item.inputs,
        "digest": item.digest,
    }
