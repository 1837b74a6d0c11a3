"""The decision: one task with all that it hangs on, and the buttons."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.delayed import MARGIN
from api.web import rules
from api.web.about import about, if_there
from api.web.called import called
from api.web.desk import Refused
from api.web.inbox import listing
from api.web.names import ids_in
from api.web.pages import page
from api.web.visitors import PageRoute, local, texts_of, visitor
from contract import facts, words
from recipes.model import REQUESTER, Json

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_TYPED = ("decision", "comment", "reason", "to", "digest")
UNDO_SECONDS = 10
"""How long a decision made here may be undone."""
_ANSWERED = frozenset((403, 409, 422))
"""Refusals that are shown beside what was refused."""


@router.get("/tasks/{task_id:uuid}")
async def show_task(request: Request, task_id: UUID) -> Response:
    """A task that I may see, the list beside it."""
    return await task_page(request, task_id)


@router.post("/tasks/{task_id:uuid}/decision")
async def decide(request: Request, task_id: UUID) -> Response:
    """Decide it, to be sent when it can be undone no more, and go on to the next."""
    typed = await texts_of(request)
    said: dict[str, Json] = {name: typed[name] for name in _TYPED if typed.get(name)}
    try:
        answered = await visitor(request).desk.post(
            f"/v1/tasks/{task_id}/decisions", {**said, "after": UNDO_SECONDS}
        )
    except Refused as refusal:
        if refusal.status not in _ANSWERED:
            raise
        return await task_page(request, task_id, refusal, typed)
    # One that is not kept stands, and cannot be undone: its own page says so.
    then = local(typed.get("next")) if "delayed" in answered else f"/tasks/{task_id}"
    return RedirectResponse(then, 303)


async def task_page(
    request: Request,
    task_id: UUID,
    refusal: Refused | None = None,
    typed: Mapping[str, str] | None = None,
    deed: str = "decision",
) -> Response:
    """The page of a task; after a refusal of a `deed` with what was `typed`, and what was wrong beside it."""
    desk = visitor(request).desk
    task, shown = await asyncio.gather(
        desk.get(f"/v1/tasks/{task_id}"), listing(desk, request.query_params, str(task_id))
    )
    found, why = await asyncio.gather(
        about(desk, task), if_there(desk.get("/v1/org/explain", task=task_id))
    )
    names = await called(desk, ids_in(task, found.request, why, refusal and refusal.problem))
    told = facts.facts(
        found.recipe["inputs"], task["inputs"], show=task["show"], withheld=task["withheld"]
    )
    changed = [] if refusal is None else refusal.problem.get("changed") or []
    return page(
        request,
        "task.html",
        200 if refusal is None else refusal.status,
        **shown,
        chosen=str(task_id),
        task=task,
        found=found,
        facts=told,
        why=why,
        names=names,
        mine=next((each for each in shown["banners"] if each["task_id"] == str(task_id)), None),
        rule=rules.rule(found.recipe, task["step"], task["branch"]),
        step_name=rules.step_name(found.recipe, task["step"], task["branch"]),
        decision_name=_decided_as(task),
        at_once=_at_once(task),
        rewind_names={
            to: "the requester" if to == REQUESTER else rules.step_name(found.recipe, to)
            for to in task["rewind_to"]
        },
        next=_next(shown["tasks"], str(task_id)),
        refusal=refusal,
        wrong={} if refusal is None else refusal.at(),
        changed=facts.changes(changed, told.labels),
        typed=typed or {},
        deed=deed,
    )


def _decided_as(task: Mapping[str, Any]) -> str | None:
    """What the outcome is called that was chosen."""
    chosen = task["decision"] and task["decision"]["decision"]
    return next((each["name"] for each in task["outcomes"] if each["id"] == chosen), chosen)


def _at_once(task: Mapping[str, Any]) -> bool:
    """Whether its time was about to run out when it was decided: then nobody could have undone it."""
    due, decision = task["due_at"], task["decision"]
    if due is None or decision is None:
        return False
    left = words.moment(due) - words.moment(decision["decided_at"])
    return timedelta() < left <= timedelta(seconds=UNDO_SECONDS + MARGIN)


def _next(tasks: list[dict[str, Any]], chosen: str) -> str:
    """Where to go after a decision: to the task after this one in the list, else to the first other one."""
    ids = [task["id"] for task in tasks]
    after = ids[ids.index(chosen) + 1 :] if chosen in ids else []
    others = after or [each for each in ids if each != chosen]
    return f"/tasks/{others[0]}" if others else "/"
