"""For those who run the house: what is open, incidents, recipes, and how long things take."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.services import services
from api.web import plots
from api.web.called import called
from api.web.desk import Desk, Refused
from api.web.excerpts import Line, excerpt
from api.web.names import Names, ids_in
from api.web.pages import page
from api.web.people import person_named
from api.web.plots import Bar
from api.web.visitors import PageRoute, form_of, texts_of, visitor
from contract import words

router = APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)

_PERIODS = {"30": "30 days", "90": "90 days", "365": "a year"}


@router.get("")
async def overview(request: Request) -> Response:
    """How much there is of everything, and what needs people."""
    desk = visitor(request).desk
    stats, waiting = await asyncio.gather(desk.get("/v1/stats"), desk.get("/v1/incidents", limit=5))
    return page(request, "admin/overview.html", stats=stats, incidents=waiting["items"])


@router.get("/incidents")
async def list_incidents(request: Request) -> Response:
    """What waits for people, the oldest request first."""
    return await _incidents(request)


@router.post("/incidents/{request_id}/retry")
async def retry(request: Request, request_id: str) -> Response:
    """Try again what became an incident."""
    said = (await texts_of(request)).get("comment")
    try:
        await visitor(request).desk.post(
            f"/v1/requests/{request_id}/retry", {"comment": said} if said else {}
        )
    except Refused as refused:
        return await _incidents(request, refused)
    return RedirectResponse("/admin/incidents?done=retry", 303)


@router.post("/incidents/{request_id}/reassign")
async def reassign(request: Request, request_id: str) -> Response:
    """Give a seat that nobody sits on to somebody."""
    said = await texts_of(request)
    desk = visitor(request).desk
    try:
        body = {
            "seat": said.get("seat", ""),
            "to": await person_named(desk, said.get("to", ""), "/to"),
            "comment": said.get("comment") or "",
        }
        await desk.post(f"/v1/requests/{request_id}/reassign", body)
    except Refused as refused:
        return await _incidents(request, refused, said | {"request_id": request_id})
    return RedirectResponse("/admin/incidents?done=reassign", 303)


async def _incidents(
    request: Request, refused: Refused | None = None, said: dict[str, str] | None = None
) -> Response:
    asked = request.query_params
    desk = visitor(request).desk
    found = await desk.get(
        "/v1/incidents", workflow=asked.get("workflow"), cursor=asked.get("cursor")
    )
    return page(
        request,
        "admin/incidents.html",
        200 if refused is None else refused.status,
        incidents=found["items"],
        names=await called(desk, ids_in(found)),
        next_cursor=found["next_cursor"],
        refused=refused,
        said=said or {},
        wrong={} if refused is None else refused.at(),
        done=asked.get("done"),
    )


# --- recipes --------------------------------------------------------------------------------------


@router.get("/recipes")
async def list_recipes(request: Request) -> Response:
    """Workflows, the version in use of each, and how many requests are in flight on which."""
    found = await visitor(request).desk.get(
        "/v1/recipes", limit=100, cursor=request.query_params.get("cursor")
    )
    return page(
        request, "admin/recipes.html", recipes=found["items"], next_cursor=found["next_cursor"]
    )


@router.get("/recipes/new")
async def new_version(request: Request) -> Response:
    """A new recipe, or with `from` a new version of one."""
    source, name = "", request.query_params.get("from")
    if name is not None:
        source = (await visitor(request).desk.get(f"/v1/recipes/{name}"))["source"]
    return page(request, "admin/upload.html", source=source, problems=[], checked=False, detail="")


@router.post("/recipes/new")
async def upload(request: Request) -> Response:
    """Check a recipe, or publish it. What is wrong is shown where it is; what was typed stays."""
    form = await form_of(request)
    file, typed = form.get("file"), form.get("source")
    name, raw = "recipe.yaml", str(typed or "").replace("\r\n", "\n").encode()
    if isinstance(file, UploadFile) and file.filename:
        name, raw = file.filename, await file.read()
    publish = form.get("do") == "publish"
    desk = visitor(request).desk
    reply = await desk.call(
        "POST",
        "/v1/recipes" if publish else "/v1/recipes/check",
        raw,
        {
            "content-type": "application/yaml",
            "x-file-name": name.encode("ascii", "replace").decode(),
        },
    )
    said = reply.json()
    if publish and reply.status < 300:
        where = f"/admin/recipes/{said['workflow']}?version={said['version']}&published=1"
        return RedirectResponse(where, 303)
    source = raw.decode("utf-8", "replace")
    found = said.get("problems") or said.get("errors") or []
    return page(
        request,
        "admin/upload.html",
        200 if reply.status < 300 else reply.status,
        source=source,
        problems=[_located(source, each) for each in found],
        checked=reply.status < 300 and bool(said.get("valid")),
        detail=said.get("detail", "") if reply.status >= 300 else "",
    )


def _located(source: str, problem: dict[str, Any]) -> dict[str, Any]:
    line, column = problem.get("line"), problem.get("column")
    lines: list[Line] = []
    if isinstance(line, int) and isinstance(column, int):
        lines = excerpt(source, line, column, problem["message"])
    return {"severity": "error", "fix": "", "path": "", **problem, "lines": lines}


@router.get("/recipes/{name}")
async def show_recipe(
    request: Request, name: str, version: int | None = None, against: int | None = None
) -> Response:
    """One version: its text, its picture, what it differs in, and the requests in flight on it."""
    desk = visitor(request).desk
    place = f"/v1/recipes/{name}" + (f"/versions/{version}" if version else "")
    shown = await desk.get(place)
    number = shown["version"]
    flying, changes = await asyncio.gather(
        desk.get(f"/v1/recipes/{name}/versions/{number}/requests", limit=50),
        _changes(desk, name, shown, against),
    )
    return page(
        request,
        "admin/recipe.html",
        recipe=shown,
        flying=flying,
        names=await called(desk, ids_in(shown, flying)),
        changes=changes,
        published="published" in request.query_params,
        temporal=_temporal(request),
    )


def _temporal(request: Request) -> str | None:
    """Where the Temporal Web UI shows workflows; they have the ids of their requests."""
    settings = services(request).settings
    base, namespace = settings.temporal_ui_url, settings.temporal_namespace
    return None if base is None else f"{base.rstrip('/')}/namespaces/{namespace}/workflows"


async def _changes(
    desk: Desk, name: str, shown: dict[str, Any], against: int | None
) -> dict[str, Any] | None:
    """What the version differs in from `against`, or from the one before; None if there is none before."""
    if against is None and not [each for each in shown["versions"] if each < shown["version"]]:
        return None
    found: dict[str, Any] = await desk.get(
        f"/v1/recipes/{name}/diff", **{"from": against, "to": shown["version"]}
    )
    return found


@router.get("/recipes/{name}/versions/{version}/diagram.svg")
async def picture(request: Request, name: str, version: int) -> Response:
    """The version as a picture."""
    reply = await visitor(request).desk.call(
        "GET", f"/v1/recipes/{name}/versions/{version}/diagram.svg"
    )
    kept = ("content-type", "content-security-policy")
    headers = {each: reply.headers[each] for each in kept if each in reply.headers}
    return Response(reply.body, reply.status, headers)


@router.post("/recipes/{name}/versions/{version}/{switch}")
async def switch_version(request: Request, name: str, version: int, switch: str) -> Response:
    """Take no new requests any more, or again."""
    said = await texts_of(request)
    place = f"/v1/recipes/{name}/versions/{version}"
    if switch == "disable":
        await visitor(request).desk.post(f"{place}/disable", {"reason": said.get("reason", "")})
    else:
        await visitor(request).desk.post(f"{place}/enable", {})
    return RedirectResponse(f"/admin/recipes/{name}?version={version}", 303)


# --- reports --------------------------------------------------------------------------------------


@router.get("/reports")
async def report(request: Request) -> Response:
    """Cycle times, steps and approvers, as plots and tables."""
    desk = visitor(request).desk
    asked = request.query_params
    days = asked.get("days", "90")
    days = days if days in _PERIODS else "90"
    since = datetime.now(UTC) - timedelta(days=int(days))
    workflow = asked.get("workflow") or None
    found = await desk.get("/v1/reports", since=since.isoformat(), workflow=workflow)
    names = await called(desk, ids_in(found))
    recipes = await desk.get("/v1/recipes", limit=200)
    return page(
        request,
        "admin/reports.html",
        report=found,
        names=names,
        workflows=[each["workflow"] for each in recipes["items"]],
        workflow=workflow,
        days=days,
        periods=_PERIODS,
        ended=plots.bars("Requests that ended, by week", _ended(found["weeks"])),
        took=plots.bars("Time to the end, by week", _took(found["weeks"])),
        steps=plots.bars("Time that steps waited", _waited(found["steps"])),
        ran_out=plots.bars("Times that ran out, by step", _ran_out(found["steps"])),
        approvers=plots.bars("Time that approvers took", _took_each(found["approvers"], names)),
        overdue=plots.bars("Overdue now, by approver", _overdue(found["approvers"], names)),
    )


def _ended(weeks: list[dict[str, Any]]) -> list[Bar]:
    return [
        Bar(_day(each["week"]), each["requests"], f"{_day(each['week'])}: {each['requests']}")
        for each in weeks
    ]


def _took(weeks: list[dict[str, Any]]) -> list[Bar]:
    return [Bar(_day(each["week"]), each["p50"], _said(each), each["p90"]) for each in weeks]


def _waited(steps: list[dict[str, Any]]) -> list[Bar]:
    slowest = sorted(steps, key=lambda each: -(each["p90"] or 0))[:8]
    return [Bar(_short(each["step"]), each["p50"], _said(each), each["p90"]) for each in slowest]


def _ran_out(steps: list[dict[str, Any]]) -> list[Bar]:
    most = sorted(steps, key=lambda each: -each["expired"])[:8]
    return [
        Bar(
            _short(each["step"]),
            each["expired"],
            f"{each['step']}: {each['expired']} times, {each['escalated']} of them escalated",
            each["escalated"],
        )
        for each in most
        if each["expired"]
    ]


def _took_each(approvers: list[dict[str, Any]], names: Names) -> list[Bar]:
    slowest = sorted(approvers, key=lambda each: -(each["p90"] or 0))[:8]
    return [
        Bar(
            _short(names.of(each["person"])),
            each["p50"],
            _said(each, names.of(each["person"])),
            each["p90"],
        )
        for each in slowest
        if each["decided"]
    ]


def _overdue(approvers: list[dict[str, Any]], names: Names) -> list[Bar]:
    return [
        Bar(
            _short(names.of(each["person"])),
            each["overdue"],
            f"{names.of(each['person'])}: {each['overdue']} overdue",
        )
        for each in approvers[:8]
        if each["overdue"]
    ]


def _short(label: str) -> str:
    """As much of it as there is room for under a bar."""
    return label if len(label) <= 12 else f"{label[:11]}…"


def _said(item: dict[str, Any], name: str | None = None) -> str:
    name = name or item.get("step") or _day(item["week"])
    return f"{name}: half within {words.seconds(item['p50'])}, nine of ten within {words.seconds(item['p90'])}"


def _day(moment: str) -> str:
    at = words.moment(moment)
    return f"{at.day} {at:%b}"
