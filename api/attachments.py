"""Attachments: files beside a request, taken with care and given back so that nothing runs."""

import asyncio
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors, files, people_shapes, views
from api.http import Route, answer
from api.requests import allowed
from api.services import caller_of, services
from contract.files import LARGEST_TOTAL, MEDIA_TYPES
from storage import attachments, sight
from storage.attachments import File

router = APIRouter(prefix="/v1/requests", tags=["requests"], route_class=Route)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[str, Any] = {
    "requestBody": {"required": True, "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY)},
}
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


@router.post(
    "/{request_id}/attachments",
    status_code=201,
    response_model=people_shapes.Attachment,
    summary="Add a file to a request",
    responses={
        200: {"model": people_shapes.Attachment, "description": "It is there already."},
        413: {"description": "The file is larger than 10 MiB."},
        415: {"description": "`Content-Type` is not that of the file's name."},
    },
    openapi_extra=_FILE,
)
async def add_attachment(
    request: Request,
    request_id: UUID,
    *,
    name: Annotated[
        str, Query(max_length=200, description="The file's name, such as `offer.pdf`.")
    ] = "",
) -> Response:
    """By anybody who may see the request; the body is the file. PDF, PNG, JPEG, WebP, text, CSV, docx
    and xlsx without macros, by name, `Content-Type` and contents alike: 10 MiB each, 100 MiB a request.
    The same file under the same name again gets 200; where all of the request is confidential, and not
    for the caller, it is one more: the answer must not tell what is there."""
    caller = await caller_of(request)
    pool = services(request).pool
    await allowed(pool, caller, "see", request_id)
    content = await _checked(request, name)
    digest = await asyncio.to_thread(sha256, content)
    file = File(name, MEDIA_TYPES[files.ending(name)], digest.digest(), content)
    async with pool.acquire() as connection, connection.transaction():
        row, actor = await allowed(connection, caller, "see", request_id)
        keys = await sight.keys_for(connection, caller.reader, row)
        made = await attachments.add(connection, row, actor, file, known=sight.reads(keys))
        if made is None:
            raise errors.conflict(
                "too_many_files",
                f"the files of a request have at most {LARGEST_TOTAL} bytes together",
            )
    came, shown = made
    headers = {"Location": f"/v1/requests/{request_id}/attachments/{shown['id']}"}
    said = views.attachment(attachments.seen(shown, keys))
    return answer(said, 201 if came == "added" else 200, headers)


async def _checked(request: Request, name: str) -> bytes:
    """The body, a file of that name. Problem 413, 415 or 422."""
    if problem := files.name_problem(name):
        raise errors.invalid_parameter("name", problem)
    if problem := files.type_problem(name, request.headers.get("content-type", "")):
        raise errors.Problem(415, "wrong_media_type", problem)
    content = await request.body()
    if problem := await asyncio.to_thread(files.content_problem, name, content):
        raise errors.invalid(problem)
    return content


@router.get(
    "/{request_id}/attachments/{attachment_id}",
    summary="A file of a request",
    response_class=Response,
    responses={
        200: {
            "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
            "description": "The file as it was added, never to be shown in place.",
        }
    },
)
async def get_attachment(request: Request, request_id: UUID, attachment_id: UUID) -> Response:
    """For anybody who may see the request; where all of it is confidential, for whoever may see that."""
    caller = await caller_of(request)
    pool = services(request).pool
    about, _ = await allowed(pool, caller, "see", request_id)
    row = await attachments.content(pool, request_id, attachment_id)
    if row is None:
        raise errors.not_found("attachment")
    keys = await sight.keys_for(pool, caller.reader, about)
    content = attachments.opened(row, keys)
    if content is None:
        raise errors.forbidden("this file is confidential: it is for those whom its recipe names")
    name = attachments.seen(row, keys)["name"]
    headers = {**_SAFE, "Content-Disposition": _disposition(name)}
    media_type = row["media_type"]
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    return Response(content, 200, headers, media_type)


def _disposition(name: str) -> str:
    """RFC 6266; the plain name is for clients that do not know the other."""
    plain = "".join(char if char.isascii() and char not in "%;" else "_" for char in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
