"""The inbox: what needs me, and the whole decision beside it."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web.pages import page
from api.web.visitors import PageRoute, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def show_inbox(request: Request) -> Response:
    """What needs me, the soonest due first."""
    desk = visitor(request).desk
    waiting = await desk.get("/v1/tasks", state="open", limit=50)
    return page(request, "inbox.html", tasks=waiting["items"])
