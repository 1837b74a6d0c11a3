"""State machines: the actions of a request, who may fire them, and firing one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, entitled, errors, schemas, views
from api.auth import Caller
from api.entitled import state_of
from api.http import answer, read, takes
from api.requests import COMMAND_ANSWERS, Commands, allowed, check_open, record, tell
from api.services import Services, caller_of, services
from recipes import machine
from recipes.happenings import Actor, Commanded
from recipes.model import Json, Machine, MachineAction, Recipe
from recipes.state import Move, State
from storage import actions, commands
from storage.pool import Source

router = APIRouter(prefix="/v1/requests", tags=["state machines"], route_class=Commands)


@dataclass(frozen=True, slots=True)
class Found:
    """A state machine's request, as its row says it is."""

    row: asyncpg.Record
    recipe: Recipe
    machine: Machine
    state: State

    @property
    def called_off(self) -> str | None:
        """Why nothing can be fired any more, where that is not for the state the machine is in."""
        ended = self.state.state in ("cancelled", "expired")
        return f"the request is already {self.state.state}" if ended else None


@router.get(
    "/{request_id}/actions",
    response_model=schemas.ActionPage,
    summary="The actions of a state machine",
)
async def list_actions(request: Request, request_id: UUID) -> Response:
    """Every action of the request's machine: whether I can fire it now, and if not why. `moves` goes
    with firing one: it is refused if the request has moved meanwhile. 404 for a request without actions."""
    caller = await caller_of(request)
    house = services(request)
    async with house.pool.acquire() as connection:
        found = await _found(house, connection, caller, request_id)
        state = found.state
        who = await entitled.named(connection, found.recipe, state)
        mine = await actions.capacities(connection, caller.id, found.recipe.workflow)
    items: list[dict[str, Json]] = []
    for action in found.machine.actions:
        rights = entitled.capacity(action, who[action.id], state.requester, mine)
        why_not = found.called_off or machine.refusal(found.machine, state.status, action.id)
        why_not = why_not or (rights if isinstance(rights, str) else None)
        items.append(views.action(action, who[action.id].principals, why_not))
    return answer(
        {"status": state.status, "moves": state.moves, "items": items, "next_cursor": None}
    )


@router.post(
    "/{request_id}/actions/{action_id}",
    response_model=schemas.Request,
    summary="Fire an action",
    responses=COMMAND_ANSWERS,
    openapi_extra=takes(bodies.FireBody, required=False),
)
async def fire_action(request: Request, request_id: UUID, action_id: str) -> Response:
    """200 with the request once it has moved; 409 with the reason if the action is disabled, does not
    lead out of the state the request is in or leads into a disabled one, or if somebody was first (who,
    and when); 403 if it is not for me; 404 if there is none; 202 if it is not known within two seconds."""
    caller = await caller_of(request)
    body = await read(request, bodies.FireBody)
    house = services(request)
    async with house.pool.acquire() as connection, connection.transaction():
        found = await _found(house, connection, caller, request_id, lock=True)
        action = found.machine.action(action_id)
        if action is None:
            listed = ", ".join(each.id for each in found.machine.actions)
            detail = f"there is no action of this name; there are {listed}"
            raise errors.Problem(404, "unknown_action", detail)
        actor = await _entitled(connection, found, action, caller)
        await _check(connection, found, action, body, caller)
        at, moves = await commands.now(connection), found.state.moves
        message = Commanded(
            str(uuid4()), "fire", actor, at, body.comment, action=action_id, moves=moves
        )
        outbox_id = await record(connection, found.row, message)
    return await tell(house, caller, request_id, message, outbox_id)


async def _found(
    house: Services, source: Source, caller: Caller, request_id: UUID, *, lock: bool = False
) -> Found:
    """Problem 404 if the caller may not see it, or if it is no state machine."""
    row, _ = await allowed(source, caller, "see", request_id, lock=lock)
    recipe = await house.catalogue.recipe(source, row["workflow"], row["version"], row["sha256"])
    if recipe.machine is None:
        detail = f"{recipe.workflow} is no state machine: it has no actions"
        raise errors.Problem(404, "not_a_state_machine", detail)
    state = await state_of(source, recipe, recipe.machine, row)
    return Found(row, recipe, recipe.machine, state)


async def _entitled(source: Source, found: Found, action: MachineAction, caller: Caller) -> Actor:
    """As whom the caller fires it. Problem 403 if they may not."""
    who = await entitled.named(source, found.recipe, found.state)
    mine = await actions.capacities(source, caller.id, found.recipe.workflow)
    rights = entitled.capacity(action, who[action.id], found.state.requester, mine)
    if isinstance(rights, str):
        raise errors.forbidden(rights)
    return rights


async def _check(
    source: Source, found: Found, action: MachineAction, body: bodies.FireBody, caller: Caller
) -> None:
    """Problem 409 if it cannot be fired now, 422 if it lacks a comment. The workflow looks again: until
    then somebody else may have been first."""
    if found.called_off is not None:
        check_open(found.row)
    state = found.state
    why_not = machine.refusal(found.machine, state.status, action.id)
    if why_not is None and body.moves not in (None, state.moves):
        why_not = f"it has moved since you saw it, and is in `{state.status}`"
    if why_not is not None:
        last = await actions.history(source, caller.reader, found.row["id"], 1)
        moves = [_move(row) for row in last]
        moved = [views.moved(row) for row in last]
        raise errors.conflict(
            "action_refused",
            why_not + machine.told(next(iter(moves), None)),
            request_status=state.status,
            moved=next(iter(moved), None),
        )
    if action.require_comment and not (body.comment or "").strip():
        raise errors.invalid_at("/comment", f"action `{action.id}` needs a comment")


def _move(row: Mapping[str, Any]) -> Move:
    payload, actor = row["payload"], row["actor"]
    by = Actor(actor["user"], actor["role"], actor["on_behalf_of"], tuple(actor["via"]))
    return Move(payload["action"], payload["from"], payload["to"], by, row["occurred_at"])
