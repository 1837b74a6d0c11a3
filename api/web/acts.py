"""What people do besides deciding: ask, hand on, add somebody, claim, comment, watch, add a file, cancel.

Each deed is a form of the page of a task or of a request (`back`), shown again there with what was wrong.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import files
from api.web.decision import task_page
from api.web.desk import Desk, Refused, refused_at
from api.web.one_request import request_page
from api.web.people import person_named
from api.web.visitors import PageRoute, form_of, local, texts_of, visitor
from contract.files import MEDIA_TYPES
from recipes.model import Json

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_Fields = Mapping[str, str]
_Deed = Callable[[Desk, UUID, _Fields], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Form:
    """A form that was sent: for which deed, to which task or request, and on which page it was."""

    deed: str
    subject: UUID
    back: str
    typed: _Fields


_TASK = re.compile(r"/tasks/([0-9a-f-]{36})(?:\?.*)?")
_SHOWN_AGAIN = frozenset((403, 409, 413, 415, 422))


@router.post("/tasks/{task_id:uuid}/{deed}")
async def do_to_task(request: Request, task_id: UUID, deed: str) -> Response:
    """A deed on a task."""
    return await _done(request, task_id, deed, _TO_TASKS, f"/tasks/{task_id}")


@router.post("/requests/{request_id:uuid}/files")
async def add_file(request: Request, request_id: UUID) -> Response:
    """A file beside a request."""
    form = await form_of(request)
    back = local(str(form.get("back") or f"/requests/{request_id}"))
    sent = form.get("file")
    try:
        if not isinstance(sent, UploadFile) or not sent.filename:
            raise refused_at("/file", "choose a file")
        # Browsers call types what their systems do; what it is says its name, and is held against its contents.
        kind = MEDIA_TYPES.get(files.ending(sent.filename), "application/octet-stream")
        reply = await visitor(request).desk.call(
            "POST",
            f"/v1/requests/{request_id}/attachments",
            await sent.read(),
            {"content-type": kind},
            {"name": sent.filename},
        )
        if reply.status >= 400:
            raise Refused(reply.status, reply.json() or {})
    except Refused as refusal:
        return await _again(request, _Form("files", request_id, back, {}), refusal)
    return RedirectResponse(back, 303)


@router.post("/requests/{request_id:uuid}/{deed}")
async def do_to_request(request: Request, request_id: UUID, deed: str) -> Response:
    """A deed on a request."""
    return await _done(request, request_id, deed, _TO_REQUESTS, f"/requests/{request_id}")


async def _done(
    request: Request, subject: UUID, deed: str, deeds: Mapping[str, _Deed], here: str
) -> Response:
    if deed not in deeds:
        raise Refused(404, {"detail": f"There is no page at {request.url.path}."})
    typed = await texts_of(request)
    back = local(typed.get("back") or here)
    try:
        await deeds[deed](visitor(request).desk, subject, typed)
    except Refused as refusal:
        return await _again(request, _Form(deed, subject, back, typed), refusal)
    return RedirectResponse(back, 303)


async def _again(request: Request, form: _Form, refusal: Refused) -> Response:
    """The page that the form was on, with what was wrong."""
    if refusal.status not in _SHOWN_AGAIN:
        raise refusal
    task = _TASK.fullmatch(form.back)
    if task is not None:
        return await task_page(request, UUID(task[1]), refusal, form.typed, form.deed)
    return await request_page(request, form.subject, refusal, form.typed, form.deed)


# --- tasks ---------------------------------------------------------------------------------------


async def _ask(desk: Desk, task: UUID, typed: _Fields) -> None:
    to = await person_named(desk, typed.get("ask_to", ""), "/to")
    await desk.post(f"/v1/tasks/{task}/questions", {"to": to, "text": typed.get("text", "")})


async def _reassign(desk: Desk, task: UUID, typed: _Fields) -> None:
    to = await person_named(desk, typed.get("give_to", ""), "/to")
    said = {"to": to, "comment": typed.get("comment", "")}
    await desk.post(f"/v1/tasks/{task}/reassign", said)


async def _add(desk: Desk, task: UUID, typed: _Fields) -> None:
    add = await person_named(desk, typed.get("add", ""), "/add")
    said = {"add": add, "where": typed.get("where", ""), "comment": typed.get("comment", "")}
    await desk.post(f"/v1/tasks/{task}/approvers", said)


async def _claim(desk: Desk, task: UUID, _: _Fields) -> None:
    await desk.post(f"/v1/tasks/{task}/claim")


async def _release(desk: Desk, task: UUID, _: _Fields) -> None:
    await desk.post(f"/v1/tasks/{task}/release")


_TO_TASKS: dict[str, _Deed] = {
    "ask": _ask,
    "reassign": _reassign,
    "add": _add,
    "claim": _claim,
    "release": _release,
}


# --- requests ------------------------------------------------------------------------------------


async def _comment(desk: Desk, request: UUID, typed: _Fields) -> None:
    await desk.post(f"/v1/requests/{request}/comments", {"text": typed.get("text", "")})


async def _answer(desk: Desk, _: UUID, typed: _Fields) -> None:
    question = typed.get("question", "")
    await desk.post(f"/v1/questions/{question}/answer", {"text": typed.get("text", "")})


async def _watch(desk: Desk, request: UUID, typed: _Fields) -> None:
    body: dict[str, Json] = {}
    if typed.get("watcher"):
        body = {"person": await person_named(desk, typed["watcher"], "/person")}
    await desk.post(f"/v1/requests/{request}/watchers", body)


async def _unwatch(desk: Desk, request: UUID, typed: _Fields) -> None:
    await desk.delete(f"/v1/requests/{request}/watchers/{typed.get('person') or desk.caller.id}")


async def _cancel(desk: Desk, request: UUID, typed: _Fields) -> None:
    await desk.post(f"/v1/requests/{request}/cancel", _with_comment(typed))


async def _retry(desk: Desk, request: UUID, typed: _Fields) -> None:
    await desk.post(f"/v1/requests/{request}/retry", _with_comment(typed))


async def _fire(desk: Desk, request: UUID, typed: _Fields) -> None:
    moves = typed.get("moves", "")
    body = _with_comment(typed) | (
        {"moves": int(moves)} if moves.isdecimal() and len(moves) < 19 else {}
    )
    await desk.post(f"/v1/requests/{request}/actions/{typed.get('action', '')}", body)


def _with_comment(typed: _Fields) -> dict[str, Any]:
    return {"comment": typed["comment"]} if typed.get("comment") else {}


_TO_REQUESTS: dict[str, _Deed] = {
    "comment": _comment,
    "answer": _answer,
    "watch": _watch,
    "unwatch": _unwatch,
    "cancel": _cancel,
    "retry": _retry,
    "fire": _fire,
}
