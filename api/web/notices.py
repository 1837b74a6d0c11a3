"""Notifications: what requests told me, and that I have read it."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.web.pages import page
from api.web.visitors import PageRoute, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/notifications")
async def show_notifications(request: Request) -> Response:
    """The newest first, read or not."""
    cursor = request.query_params.get("cursor") or None
    found = await visitor(request).desk.get("/v1/notifications", state="all", cursor=cursor)
    return page(request, "notifications.html", notes=found["items"], older=found["next_cursor"])


@router.post("/notifications/read")
async def mark_read(request: Request) -> Response:
    """All that I was told until now."""
    await visitor(request).desk.post("/v1/notifications/read", {})
    return RedirectResponse("/notifications", 303)
