"""Approving like tasks together: what exactly is shown first, pinned by digests; then a result for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.web.called import called
from api.web.desk import Desk, Refused
from api.web.names import Names, ids_in
from api.web.pages import page
from api.web.visitors import PageRoute, form_of, visitor
from contract import facts, words
from contract.facts import Facts

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_MOST = 200
_DECISION = "approve"


@dataclass(frozen=True, slots=True)
class Like:
    """Tasks of one step of one version of a workflow. `lines` are what each is about; `sums` of their amounts,
    as label and text; `needs_comment` says whether one has to be given."""

    workflow: str
    step: str
    tasks: list[dict[str, Any]]
    lines: dict[str, Facts]
    sums: list[tuple[str, str]]
    needs_comment: bool


@router.get("/bulk")
async def preview(request: Request) -> Response:
    """What would be approved of the tasks chosen."""
    ids = [each for each in map(_uuid, request.query_params.getlist("task")) if each is not None]
    if not ids:
        return RedirectResponse("/", 303)
    return await _preview(request, ids[:_MOST])


async def _preview(
    request: Request,
    ids: Sequence[UUID],
    refusal: str | None = None,
    comment: str = "",
) -> Response:
    desk = visitor(request).desk
    body = {"decision": _DECISION, "filter": {"task_ids": [str(each) for each in ids]}}
    found = await desk.post("/v1/decisions/preview", body)
    need_reason = set(found["need_reason"])
    tasks = [each for each in found["tasks"] if each["id"] not in need_reason]
    likes = await _alike(desk, tasks, set(found["need_comment"]))
    shown = {each["id"] for each in tasks}
    return page(
        request,
        "bulk.html",
        200 if refusal is None else 422,
        likes=likes,
        left_out=sum(1 for each in ids if str(each) not in shown),
        alone=len(need_reason),
        refusal=refusal,
        comment=comment,
        names=await called(desk, ids_in(tasks)),
    )


async def _alike(desk: Desk, tasks: Sequence[dict[str, Any]], need_comment: set[str]) -> list[Like]:
    """By workflow, version and step, in the order in which they came."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for task in tasks:
        groups.setdefault((task["workflow"], task["version"], task["step"]), []).append(task)
    made = list[Like]()
    for (workflow, version, step), alike in groups.items():
        recipe = await desk.get(f"/v1/recipes/{workflow}/versions/{version}")
        schema = recipe["inputs"]
        lines = {
            each["id"]: facts.facts(
                schema, each["inputs"], show=each["show"], withheld=each["withheld"]
            )
            for each in alike
        }
        needs = any(each["id"] in need_comment for each in alike)
        made.append(Like(workflow, step, alike, lines, sums(alike, lines), needs))
    return made


def sums(tasks: Sequence[Mapping[str, Any]], lines: Mapping[str, Facts]) -> list[tuple[str, str]]:
    """The sum of each key number and amount, amounts by their currency: `Amount`, `7,200.00 EUR`. Nothing for
    what is hidden in one of them."""
    totals: dict[tuple[str, str], Decimal] = {}
    counted = Counter[str]()
    labels = dict[str, str]()
    for task in tasks:
        for fact in lines[task["id"]].key:
            if fact.number is None:
                continue
            key = (fact.name, fact.paid_in)
            totals[key] = totals.get(key, Decimal(0)) + Decimal(str(fact.number))
            counted[fact.name] += 1
            labels[fact.name] = fact.label
    return [
        (
            labels[name],
            f"{words.amount(float(total))} {paid_in}" if paid_in else words.plain(_plain(total)),
        )
        for (name, paid_in), total in totals.items()
        if counted[name] == len(tasks)
    ]


def _plain(total: Decimal) -> int | float:
    return int(total) if total == total.to_integral_value() else float(total)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one: approved, or why not."""

    title: str
    href: str
    done: bool
    said: str


@router.post("/bulk")
async def approve(request: Request) -> Response:
    """Approve what the preview showed: each as if it were alone, with a result for each."""
    form = await form_of(request)
    items, comment = _pinned(form), str(form.get("comment") or "").strip()
    if not items:
        return RedirectResponse("/", 303)
    if form.get("needs_comment") and not comment:
        ids = [UUID(each["task_id"]) for each in items]
        return await _preview(request, ids, "These need a comment.", comment)
    more = {"comment": comment} if comment else {}
    try:
        found = await visitor(request).desk.post(
            "/v1/decisions", {"items": [{**each, **more} for each in items]}
        )
    except Refused as refusal:
        if refusal.status != 422:
            raise
        ids = [UUID(each["task_id"]) for each in items]
        return await _preview(request, ids, refusal.detail, comment)
    titles = {str(each): str(form.get(f"title-{each}") or each) for each in _ids(items)}
    names = await called(visitor(request).desk, ids_in(found))
    outcomes = [_outcome(each, titles, names) for each in found["items"]]
    return page(request, "bulked.html", outcomes=outcomes, decided=found["decided"])


def _pinned(form: FormData) -> list[dict[str, str]]:
    """What the preview's form says: `id:digest` of each."""
    found = list[dict[str, str]]()
    for text in form.getlist("item")[:_MOST]:
        task_id, _, digest = str(text).partition(":")
        if _uuid(task_id) is not None and digest:
            found.append({"task_id": task_id, "decision": _DECISION, "digest": digest})
    return found


def _ids(items: Sequence[Mapping[str, str]]) -> list[str]:
    return [each["task_id"] for each in items]


def _outcome(result: Mapping[str, Any], titles: Mapping[str, str], names: Names) -> Outcome:
    task, problem = result["task"], result["problem"]
    task_id = str(result["task_id"])
    title = task["title"] if task else titles.get(task_id, task_id)
    if problem is None:
        return Outcome(title, f"/tasks/{task_id}", True, "Approved")
    return Outcome(title, f"/tasks/{task_id}", False, said(problem, names))


def said(problem: Mapping[str, Any], names: Names) -> str:
    """Why one was not approved."""
    match str(problem["type"]).rpartition(":")[2]:
        case "already_decided":
            winner = problem["winner"]
            return f"{names.of(winner['user'])} was first: {words.label(winner['decision'])}"
        case "digest_mismatch":
            return "Changed since you looked: open it and look again"
    return words.sentence(str(problem["detail"]))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
