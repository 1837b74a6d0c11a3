"""The files of a request, as the API gives them: nothing in them runs, and none is shown in place but pictures.

A PDF neither: browsers show one only in a frame that is not sandboxed, where it may hold forms and scripts of whoever
sent it, under our address. Its link says what it is and how big, and it opens in the reader's own viewer.
"""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web.desk import Refused
from api.web.visitors import PageRoute, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_KEPT = (
    "content-type",
    "content-disposition",
    "x-content-type-options",
    "content-security-policy",
    "cross-origin-resource-policy",
    "cache-control",
)


@router.get("/requests/{request_id:uuid}/files/{file_id:uuid}")
async def show_file(request: Request, request_id: UUID, file_id: UUID) -> Response:
    """A file, with the API's own words on how browsers are to treat it."""
    return await _passed_on(request, f"/v1/requests/{request_id}/attachments/{file_id}")


@router.get("/requests/{request_id:uuid}/diagram.svg")
async def show_diagram(request: Request, request_id: UUID) -> Response:
    """The recipe with the way that the request took."""
    return await _passed_on(request, f"/v1/requests/{request_id}/diagram.svg")


async def _passed_on(request: Request, path: str) -> Response:
    reply = await visitor(request).desk.call("GET", path)
    if reply.status != 200:
        raise Refused(reply.status, reply.json() or {})
    headers = {name: reply.headers[name] for name in _KEPT if name in reply.headers}
    return Response(reply.body, 200, headers)
