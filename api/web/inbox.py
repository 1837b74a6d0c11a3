"""The inbox: what needs me, and the whole decision beside it."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web.desk import Desk
from api.web.pages import page
from api.web.visitors import PageRoute, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
async def show_inbox(request: Request) -> Response:
    """What needs me, the soonest due first."""
    return page(request, "panes.html", **await listing(visitor(request).desk), chosen=None)


async def listing(desk: Desk) -> dict[str, Any]:
    """What the left pane shows: also beside the page of one task. What I decided, and may undo, needs me no more."""
    waiting, banners = await asyncio.gather(
        desk.get("/v1/tasks", state="open", limit=50), desk.get("/v1/delayed")
    )
    decided = {each["task_id"] for each in banners["items"] if not each["refused"]}
    tasks = [task for task in waiting["items"] if task["id"] not in decided]
    return {"tasks": tasks, "banners": banners["items"]}
