"""Questions: whoever may decide a task asks anybody, who answers on the record without deciding."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, errors, people_shapes, views
from api.auth import Caller
from api.claims import check_open, loaded
from api.http import Route, answer, page, read, read_cursor, takes
from api.once import about as answer_about
from api.requests import allowed
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from contract.boxes import Keys
from contract.canonical import timestamp
from recipes.model import Json
from storage import questions, sight
from storage.pool import Source
from storage.questions import About
from storage.vault import Reader

router = APIRouter(prefix="/v1", route_class=Route)

_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


@router.post(
    "/tasks/{task_id}/questions",
    status_code=201,
    response_model=people_shapes.Question,
    summary="Ask somebody about a task",
    tags=["tasks"],
    openapi_extra=takes(bodies.QuestionBody),
)
async def ask_question(request: Request, task_id: UUID) -> Response:
    """By whoever may decide the open task, or holds the recipe's owner role. `to` is anybody in the
    directory, the requester too; they get to see the request. Where all of it is confidential, both must
    be entitled to that. The task stays open, and its time runs."""
    caller = await caller_of(request)
    body = await read(request, bodies.QuestionBody)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row, actor = await loaded(connection, caller, "ask", task_id)
        check_open(row)
        if body.to == caller.id:
            raise errors.invalid_at("/to", "nobody asks themselves")
        here = await questions.here(connection, body.to)
        if not here:
            said = "has left" if here is False else "is not known to the directory"
            raise errors.invalid_at("/to", f"{body.to} {said}")
        about = _about(row, task_id)
        await _check_read(connection, caller, row, body.to)
        question_id = await questions.ask(connection, about, actor, body.to, body.text)
        shown = await _shown(connection, caller, question_id)
    answer_about(request, row["request_id"])
    return answer(shown, 201)


async def _check_read(source: Source, caller: Caller, row: asyncpg.Record, person: str) -> None:
    """Problem 403 or 422 if question and answer would be kept from who asks, or from who is asked, as all
    of the request is."""
    if not sight.reads(await _keys(source, caller.reader, row)):
        raise errors.forbidden(
            "this request is confidential: questions and answers are for those whom its recipe names"
        )
    if not sight.reads(await _keys(source, Reader(person), row)):
        raise errors.invalid_at(
            "/to", f"{person} may not see this request, which is confidential: ask somebody who may"
        )


async def _keys(source: Source, reader: Reader, row: asyncpg.Record) -> Keys | None:
    """Of the request of a task's row."""
    about = {"id": row["request_id"], "private": row["private"]}
    return await sight.keys_for(source, reader, about)


async def _shown(source: Source, caller: Caller, question_id: UUID) -> dict[str, Json]:
    row = await questions.load(source, question_id)
    assert row is not None
    return views.question(await sight.seen_one(source, caller.reader, row, sight.QUESTION))


@router.get(
    "/questions",
    response_model=people_shapes.QuestionPage,
    summary="Questions put to me",
    tags=["tasks"],
)
async def list_questions(
    request: Request,
    *,
    state: Literal["open", "answered", "all"] = "open",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Those that wait for my answer, the oldest first; or `answered` or `all`, the newest first."""
    caller = await caller_of(request)
    after = _BEGINNING if state == "open" else _LATEST
    if cursor is not None:
        at, found_id = read_cursor(cursor, "time", "uuid")
        if at is None:
            raise errors.invalid_parameter("cursor", "is not one that this list gave")
        after = (at, found_id)
    pool = services(request).pool
    found = await questions.put_to(pool, caller.id, state, after, limit + 1)
    rows = await sight.seen_by(pool, caller.reader, found, sight.QUESTION)
    return page(
        [views.question(row) for row in rows], limit, lambda item: [item["asked_at"], item["id"]]
    )


@router.post(
    "/questions/{question_id}/answer",
    response_model=people_shapes.Question,
    summary="Answer a question",
    tags=["tasks"],
    openapi_extra=takes(bodies.AnswerBody),
)
async def answer_question(request: Request, question_id: UUID) -> Response:
    """By the person asked alone, once; also when the task was closed meanwhile. Nothing is decided by
    it. The same answer again gets 200 again."""
    caller = await caller_of(request)
    body = await read(request, bodies.AnswerBody)
    async with services(request).pool.acquire() as connection, connection.transaction():
        row = await questions.load(connection, question_id)
        if row is None:
            raise errors.not_found("question")
        try:
            _, actor = await allowed(connection, caller, "see", row["request_id"])
        except errors.Problem as refusal:
            raise errors.not_found("question") if refusal.status == 404 else refusal from None
        if caller.id != row["asked"]:
            raise errors.forbidden(f"only {row['asked']}, who was asked, may answer")
        about = _about(row, row["task_id"])
        first = await questions.answer(connection, about, question_id, actor, body.text)
        row = await questions.whole(connection, question_id)
        shown = await _shown(connection, caller, question_id)
    if not first and row["answer"] != body.text:
        raise errors.conflict(
            "already_answered", f"already answered at {timestamp(row['answered_at'])}"
        )
    answer_about(request, row["request_id"])
    return answer(shown)


def _about(row: asyncpg.Record, task_id: UUID) -> About:
    """From a row of a task, or of a question."""
    snapshot = {"state": row["request_state"], "seq": row["seq"], "step": row["request_step"]}
    return About(task_id, row["step"], row["request_id"], row["workflow"], row["version"], snapshot)
