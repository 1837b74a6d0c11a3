"""A decision while it waits to be sent, and what became of it: taken back, or not counted and taken note of."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.web.called import called
from api.web.desk import Refused
from api.web.names import ids_in
from api.web.pages import page
from api.web.visitors import PageRoute, local, texts_of, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/delayed/{delayed_id:uuid}")
async def show_delayed(request: Request, delayed_id: UUID) -> Response:
    """Its banner alone, for the page's script."""
    desk = visitor(request).desk
    found = await desk.get(f"/v1/delayed/{delayed_id}")
    names = await called(desk, ids_in(found))
    return page(request, "_banners.html", banners=[found], banner_names=names)


@router.post("/delayed/{delayed_id:uuid}/undo")
async def undo(request: Request, delayed_id: UUID) -> Response:
    """Back to the task, as if nothing had been decided."""
    undone = await visitor(request).desk.delete(f"/v1/delayed/{delayed_id}")
    return RedirectResponse(f"/tasks/{undone['task_id']}", 303)


@router.post("/delayed/{delayed_id:uuid}/dismiss")
async def dismiss(request: Request, delayed_id: UUID) -> Response:
    """Shown no more; twice is as good as once."""
    try:
        await visitor(request).desk.delete(f"/v1/delayed/{delayed_id}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
    return RedirectResponse(local((await texts_of(request)).get("next")), 303)
