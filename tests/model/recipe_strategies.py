"""Random recipes that `parse` accepts, as YAML text, over a typed input `n`, and `m` that is only shown."""

import json
from typing import Any

import yaml
from hypothesis import strategies as st

from recipes.parse import RecipeInvalid, parse

HOURS = (1, 4, 24, 96)
PEOPLE = ("bob", "carol", "dave")

_approver = st.sampled_from(
    (
        "{{ employee.manager }}",
        "{{ employee.manager.manager }}",
        "{{ n > 2 ? 'bob' : 'carol' }}",
        "role:finance",
        "user:dave",
        "bob",
    )
)
_candidates = st.sampled_from(
    (["role:finance"], ["bob", "carol"], ["{{ employee.manager }}", "role:hr"])
)
_people = st.sampled_from(
    (
        "{{ ['bob', 'carol', 'dave'] }}",
        "{{ [employee.manager, 'role:finance'] }}",
        "{{ n > 3 ? [] : ['bob', 'carol'] }}",
    )
)
_quorum = st.sampled_from(("any", "all", "1%", "34%", "60%", "100%", 1, 2))
_currency = st.sampled_from(("EUR", "n > 4 ? 'eur' : 'CHF'"))
BUSINESS = ("1bd", "2bd", "1bd at 09:00", "2bd at 17:30 in assignee zone")
_after = st.sampled_from((*(f"{hours}h" for hours in HOURS), *BUSINESS))
_remind = st.sampled_from(
    (["1h"], ["1h before"], ["2h", "1h before"], ["1bd before"], ["1h", "1bd at 08:00 before"])
)


@st.composite
def _clock(draw: st.DrawFn, shared: bool) -> dict[str, Any]:
    """`timeout`, `on_timeout` and `remind`, or nothing. A shared task is never escalated."""
    keys: dict[str, Any] = {}
    if draw(st.booleans()):
        passing = ["reassign:role:finance", "reassign:{{ employee.manager }}"]
        passing += [] if shared else ["escalate"]
        levels: list[Any] = draw(st.lists(st.sampled_from(passing), max_size=2))
        levels += draw(st.lists(st.sampled_from(("approve", "reject", "expire")), max_size=1))
        levels = levels or [passing[-1]]
        later = [{"after": draw(_after), "action": action} for action in levels[1:]]
        keys["timeout"] = draw(st.sampled_from(("4h", "24h", "96h", *BUSINESS)))
        keys["on_timeout"] = [levels[0], *later] if len(levels) > 1 else levels[0]
        keys["remind"] = draw(_remind)
    if draw(st.booleans()):
        keys["require_comment"] = ["reject"]
    return keys


@st.composite
def _fit(draw: st.DrawFn, shared: bool, earlier: list[str]) -> dict[str, Any]:
    """`not_same_as` and `authority`, or nothing. A shared task asks for no limit."""
    keys: dict[str, Any] = {}
    if earlier and draw(st.booleans()):
        keys["not_same_as"] = draw(st.lists(st.sampled_from(earlier), min_size=1, unique=True))
    if not shared and draw(st.integers(0, 3)) == 0:
        amount = draw(st.sampled_from(("n", "n * 2.5", "n - 1", "60 / n", "size(employee.id)")))
        keys["authority"] = {"amount": amount, "currency": draw(_currency)}
    return keys


@st.composite
def _choices(draw: st.DrawFn, earlier: list[str]) -> dict[str, Any]:
    """`outcomes` and `show`, or nothing."""
    keys: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        back = {"id": "back", "as": "rewind", "to": draw(st.sampled_from(("requester", *earlier)))}
        own = [{"id": "fine", "as": "approve"}, {"id": "never", "as": "reject"}, back]
        keys["outcomes"] = draw(st.lists(st.sampled_from(own), min_size=1, unique_by=str))
    if draw(st.booleans()):
        keys["show"] = draw(st.sampled_from((["m"], ["n"], ["n", "m"])))
    return keys


@st.composite
def _ballot(draw: st.DrawFn, earlier: list[str]) -> dict[str, Any]:
    shared = draw(st.booleans())
    who = {"candidates": draw(_candidates)} if shared else {"approver": draw(_approver)}
    fit = draw(_fit(shared, earlier))
    return {**who, **draw(_clock(shared)), **fit, **draw(_choices(earlier))}


_KINDS = ("action", "approval", "approvers", "parallel", "parallel", "task", "wait", "notify")
_value = st.sampled_from(("{{ n }}", "{{ 60 / (n - 2) }}", "{{ employee.manager.id }}", 3, None))
_to = st.sampled_from(
    ("role:finance", "user:alice", "{{ employee.manager }}", "{{ n > 2 ? '' : 'bob' }}")
)


@st.composite
def _task(draw: st.DrawFn, on_failure: tuple[str, ...]) -> dict[str, Any]:
    task: dict[str, Any] = {"run": "reckon", "with": {"a": [draw(_value)], "b": draw(_value)}}
    if draw(st.booleans()):
        task["on_failure"] = draw(st.sampled_from(on_failure))
    if draw(st.booleans()):
        task["output"] = {"type": "integer"}
    return task


@st.composite
def _notify(draw: st.DrawFn) -> dict[str, Any]:
    message = draw(st.sampled_from(("it is {{ n }}", "{{ 60 / (n - 1) }}", "{{ employee.name }}")))
    return {"to": draw(st.lists(_to, min_size=1, max_size=2)), "message": message}


_wait = st.sampled_from(
    (
        {"for": "5h"},
        {"for": "96h"},
        {"for": "2bd"},
        {"for": "1bd at 09:00"},
        {"until": "request.submitted_at + duration('30h')"},
        {"until": "n > 3 ? '2020-01-01' : '2026-03-05T12:00:00+01:00'"},
        {"until": "n > 4 ? 'soon' : '2026-03-04'"},
    )
)


@st.composite
def callbacks(draw: st.DrawFn, key: str) -> list[dict[str, Any]]:
    """What is done after the end, for one of the keys; maybe nothing."""
    found: list[dict[str, Any]] = []
    for number in range(draw(st.sampled_from((0, 0, 1, 2)))):
        step = draw(_task(("incident", "continue")) if draw(st.booleans()) else _notify())
        when = {"when": f"60 / (n - {number}) > 0"} if draw(st.booleans()) else {}
        found.append({"id": f"{key}_{number}", **when, **step})
    return found


@st.composite
def _step(draw: st.DrawFn, number: int, earlier: list[str]) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"step_{number}"}
    kind = draw(st.sampled_from(_KINDS))
    if kind == "action":
        return {
            **step,
            "when": f"n == {number}",
            "action": draw(st.sampled_from(("approve", "reject"))),
        }
    if draw(st.booleans()):
        step["when"] = draw(st.sampled_from((f"n > {number}", f"60 / (n - {number}) > 0")))
    if kind == "task":
        return {**step, **draw(_task(("incident", "reject", "continue")))}
    if kind == "wait":
        return {**step, **draw(_wait)}
    if kind == "notify":
        return {**step, **draw(_notify())}
    if kind == "approval":
        return {**step, **draw(_ballot(earlier))}
    if kind == "approvers":
        quorum = {"quorum": draw(_quorum)} if draw(st.booleans()) else {}
        rest = {**draw(_clock(shared=False)), **draw(_fit(False, earlier))}
        rest |= draw(_choices(earlier))
        return {**step, "approvers": draw(_people), **quorum, **rest}
    branches = draw(st.lists(_ballot(earlier), min_size=2, max_size=4))
    step |= {"branches": branches, "quorum": draw(_quorum)}
    return {**step, **draw(_voting(len(branches)))} if draw(st.booleans()) else step


@st.composite
def _voting(draw: st.DrawFn, branches: int) -> dict[str, Any]:
    """`quorum`, and some of `weights`, `veto` and `groups`, as far as `parse` finds that they matter."""
    ids = [str(number) for number in range(1, branches + 1)]
    some = st.lists(st.sampled_from(ids), min_size=1, unique=True)
    keys: dict[str, Any] = {"quorum": draw(_quorum)}
    if draw(st.booleans()):
        keys["weights"] = draw(st.dictionaries(st.sampled_from(ids), st.integers(1, 4), min_size=1))
    if draw(st.booleans()):
        keys["veto"] = draw(some)
    if draw(st.booleans()):
        keys["groups"] = [{"id": "g", "branches": draw(some), "quorum": draw(_quorum)}]
    asked = [{"approver": f"user:person-{branch}"} for branch in ids]
    return keys if _accepted({"id": "a", "branches": asked, **keys}) else {}


def _accepted(step: dict[str, Any]) -> bool:
    alone = {"workflow": "random", "version": 1, "owner": "admins", "steps": [step]}
    try:
        parse(yaml.safe_dump(json.loads(json.dumps(alone))))
    except RecipeInvalid:
        return False
    return True


_ASKING = {"approver", "candidates", "approvers", "branches"}


@st.composite
def recipes(draw: st.DrawFn) -> str:
    steps: list[dict[str, Any]] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        earlier = [step["id"] for step in steps if _ASKING & step.keys()]
        step = draw(_step(number, earlier))
        if _ASKING & step.keys() and draw(st.integers(0, 3)) == 0:
            # Where time rejects, a way back to a step may never end: that is refused.
            timed = '"reject"' in json.dumps(step).replace('"require_comment": ["reject"]', "")
            back = ["rewind"] if timed else ["rewind", *(f"rewind:{it}" for it in earlier)]
            step["on_reject"] = draw(st.sampled_from(back))
        steps.append(step)
    recipe: dict[str, Any] = {
        "workflow": "random",
        "version": 1,
        "owner": "admins",
        "inputs": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}},
        },
        "calendar": "work",
        "steps": steps,
        "resolve": draw(st.sampled_from(("at_step", "at_submit"))),
    }
    if draw(st.booleans()):
        recipe["deadline"] = draw(st.sampled_from(("20d", "9bd", "15bd at 12:00")))
        recipe["on_deadline"] = draw(st.sampled_from(("expire", "approve", "reject")))
    if any(_ASKING & step.keys() for step in steps):
        recipe["keep_approvals"] = draw(st.sampled_from(("none", "unaffected", "unaffected")))
        if draw(st.booleans()):
            recipe["resubmit_within"] = "3d"
    for key in ("on_approved", "on_rejected", "on_cancelled", "on_expired"):
        if found := draw(callbacks(key)):
            recipe[key] = found
    if draw(st.integers(0, 3)) == 0:
        # A message that says `n` is refused where that is confidential, too.
        some = draw(st.booleans()) or '"message": "' in json.dumps(recipe)
        recipe["confidential"] = {"visible_to": ["hr"], **({"fields": ["m"]} if some else {})}
    # Through JSON, so that no two places share a list: YAML would write an alias.
    return yaml.safe_dump(json.loads(json.dumps(recipe)), sort_keys=False)
