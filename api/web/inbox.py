"""The inbox: what needs me, what waits for others, what is mine and what is done; and the decision beside it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.web import rows
from api.web.called import called
from api.web.desk import Desk, Refused
from api.web.names import Names, ids_in
from api.web.pages import page
from api.web.rows import Place, Row
from api.web.visitors import PageRoute, texts_of, visitor

router = APIRouter(include_in_schema=False, route_class=PageRoute)

LISTS = {"needs": "Needs me", "waiting": "Waiting on others", "mine": "Mine", "done": "Done"}
_NARROWS = {
    "needs": ("q", "workflow", "requester", "due", "shared", "claimed"),
    "waiting": ("q", "workflow"),
    "mine": ("q", "workflow"),
    "done": ("q", "workflow", "requester"),
}
"""To what each list can be narrowed."""
_PAGE = 50
_FEW = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """Which list, narrowed to what, from which place on: from the page's address."""

    view: str = "needs"
    narrowed: Mapping[str, str] = field(default_factory=dict)
    cursor: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        """What is not known is left out: an old link shows its list all the same."""
        view = query.get("view", "needs")
        view = view if view in LISTS else "needs"
        said = {name: query.get(name, "").strip() for name in _NARROWS[view]}
        narrowed = {name: value for name, value in said.items() if value}
        return cls(view, narrowed, query.get("cursor") or None)

    @property
    def suffix(self) -> str:
        """The query that asks for this list."""
        said = {} if self.view == "needs" else {"view": self.view}
        return _query({**said, **self.narrowed})

    def older(self, cursor: str) -> str:
        return "/" + _query({"view": self.view, **self.narrowed, "cursor": cursor})


def _query(said: Mapping[str, str]) -> str:
    return f"?{urlencode(said)}" if said else ""


@router.get("/")
async def show_inbox(request: Request) -> Response:
    """The list that the address names; what needs me, the soonest due first, if it names none."""
    shown = await listing(visitor(request).desk, request.query_params)
    return page(request, "panes.html", **shown, chosen=None)


async def listing(
    desk: Desk, query: Mapping[str, str] | None = None, chosen: str | None = None
) -> dict[str, Any]:
    """What the left pane shows: also beside the page of one task, which is `chosen`. `tasks` are those of
    what needs me, if that is the list. What I decided, and may undo, needs me no more."""
    asked = Asked.of(query or {})
    found, counts, saved, banners = await asyncio.gather(
        _found(desk, asked),
        desk.get("/v1/me/counts"),
        desk.get("/v1/me/filters"),
        desk.get("/v1/delayed"),
    )
    questions, changing = await _first(desk, counts) if asked == Asked() else ([], [])
    names = await called(desk, ids_in(found["items"], questions, changing, banners))
    decided = {each["task_id"] for each in banners["items"] if not each["refused"]}
    items = [each for each in found["items"] if each["id"] not in decided]
    place = Place(desk.caller.id, asked.suffix, chosen)
    return {
        "asked": asked,
        "lists": LISTS,
        "counts": counts | {"needs_me": max(0, counts["needs_me"] - len(decided))},
        "saved": saved["items"],
        "saved_links": {each["id"]: _link(each) for each in saved["items"]},
        "first": [
            *(rows.question(each, names) for each in questions),
            *(rows.request(each, names) for each in changing),
        ],
        "rows": [_row(asked.view, each, names, place) for each in items],
        "tasks": items if asked.view == "needs" else [],
        "banners": banners["items"],
        "banner_names": names,
        "older": None if found["next_cursor"] is None else asked.older(found["next_cursor"]),
        "list_problem": found.get("wrong"),
    }


async def _found(desk: Desk, asked: Asked) -> Any:
    """A page of the list; empty, and what is `wrong`, where the API cannot narrow it so."""
    tasks, mine = "/v1/tasks", "/v1/requests"
    paging = {"limit": _PAGE, "cursor": asked.cursor}
    try:
        match asked.view:
            case "waiting":
                return await desk.get(mine, mine=True, open=True, **paging, **asked.narrowed)
            case "mine":
                return await desk.get(mine, mine=True, **paging, **asked.narrowed)
            case "done":
                return await desk.get(tasks, state="closed", **paging, **asked.narrowed)
        return await desk.get(tasks, brief=True, **paging, **asked.narrowed)
    except Refused as refusal:
        if refusal.status != 422:
            raise
        return {"items": list[Any](), "next_cursor": None, "wrong": refusal.detail}


async def _first(desk: Desk, counts: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """What else needs me: questions, and requests that I am to change. Mostly there are none."""
    asking = counts["questions"] and desk.get("/v1/questions", limit=_FEW)
    changing = counts["to_resubmit"] and desk.get(
        "/v1/requests", mine=True, state="rewound", limit=_FEW
    )
    return await asyncio.gather(_items(asking), _items(changing))


async def _items(answer: Any) -> list[Any]:
    return (await answer)["items"] if answer else []


def _row(view: str, item: Mapping[str, Any], names: Names, place: Place) -> Row:
    match view:
        case "needs":
            return rows.open_task(item, names, place)
        case "done":
            return rows.closed_task(item, names, place)
    return rows.request(item, names)


def _link(saved: Mapping[str, Any]) -> str:
    """Where a saved filter leads."""
    said = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in saved["narrowed"].items()
        if value is not None
    }
    return "/" + _query({"view": saved["list"], **said})


# --- filters that people save -----------------------------------------------------------------------


@router.post("/filters")
async def save_filter(request: Request) -> Response:
    """Save what the list is narrowed to, under a name."""
    typed = await texts_of(request)
    asked = Asked.of(typed)
    desk = visitor(request).desk
    body = {"name": typed.get("name", ""), "list": asked.view, "narrowed": _typed(asked)}
    try:
        await desk.post("/v1/me/filters", body)
    except Refused as refusal:
        if refusal.status not in (409, 422):
            raise
        shown = await listing(desk, typed)
        said = refusal.at().get("/name") or refusal.detail
        return page(
            request,
            "panes.html",
            refusal.status,
            **shown,
            chosen=None,
            save_problem=said,
            save_name=typed.get("name", ""),
        )
    return RedirectResponse("/" + _query({"view": asked.view, **asked.narrowed}), 303)


def _typed(asked: Asked) -> dict[str, Any]:
    """As the API takes it."""
    yes_or_no = {"true": True, "false": False}
    return {name: yes_or_no.get(value, value) for name, value in asked.narrowed.items()}


@router.post("/filters/{filter_id}/remove")
async def remove_filter(request: Request, filter_id: str) -> Response:
    """Remove a saved filter; one that is gone already is gone."""
    try:
        await visitor(request).desk.delete(f"/v1/me/filters/{filter_id}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
    return RedirectResponse("/", 303)
