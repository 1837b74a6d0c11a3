"""`countersign recipe simulate`: which people a request would ask, on which path, when."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.caller import Caller, calling
from cli.inputs import About, InputsFile, Texts, Values, given_inputs, parse_entity
from cli.options import AsJson
from cli.output import Exit, Failure, at, facts, say, table, when, write, write_json
from cli.recipes import read

_SUPPOSITION = re.compile(
    r"(?P<where>[^=]+)=(?P<decision>[a-z][a-z0-9_]*)(?::(?P<to>[a-z][a-z0-9_]*))?"
    r"(?:@(?P<after>[0-9A-Za-z]+))?"
)
_SUPPOSE_FIX = (
    "write WHERE=approve, =reject, =wait or another outcome, =request_changes:STEP, with @2h for later;"
    " WHERE is STEP, STEP/BRANCH, user:PERSON or STEP/user:PERSON"
)


@calling
def simulate(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A published workflow, or a recipe file.")
    ],
    values: Values = None,
    inputs: Texts = None,
    inputs_file: InputsFile = None,
    version: Annotated[int | None, typer.Option(min=1, help="Default: the one in use.")] = None,
    entity: About = None,
    requester: Annotated[str | None, typer.Option(help="Whose request. Default: yours.")] = None,
    moment: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="When it is submitted (RFC 3339). Default: now."),
    ] = None,
    suppose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHERE=WHAT",
            help="boss=reject, boss=wait, hr/legal=approve@2h, user:bob=wait. The first that fits.",
        ),
    ] = None,
    otherwise: Annotated[
        str, typer.Option(help="What becomes of all other tasks: approve, reject or wait.")
    ] = "approve",
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP=JSON", help="""charge='{"id": "c-1"}': what a task gives."""),
    ] = None,
    fails: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP=WHY", help="charge='card declined': a task that fails."),
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Simulate a request: whom it would ask, on which path, when. Nothing is written.

    A file need not be published (role admin or auditor). `wait` lets time pass, so that timeouts come.
    """
    if otherwise not in ("approve", "reject", "wait"):
        raise Failure(f"--otherwise is approve, reject or wait, not {otherwise}", code=Exit.USAGE)
    body: dict[str, Any] = {
        "inputs": given_inputs(values or [], inputs_file, inputs or []),
        "decisions": [_supposition(text) for text in suppose or []],
        "otherwise": otherwise,
    }
    body |= {"outputs": {step: _json(text) for step, text in map(_pair, output)}} if output else {}
    body |= {"fails": dict(map(_pair, fails))} if fails else {}
    body |= {"requester": requester} if requester else {}
    body |= {"at": moment} if moment else {}
    body |= {"entity": parse_entity(entity)} if entity else {}
    api = caller.connect()
    if is_file(recipe):
        if version is not None:
            raise Failure("--version goes with a published workflow", code=Exit.USAGE)
        source = text_of(Path(recipe))
        found = api.post("/v1/recipes/simulate", body | source)
    else:
        number = version or api.get(f"/v1/recipes/{recipe}")["version"]
        found = api.post(f"/v1/recipes/{recipe}/versions/{number}/simulate", body)
    if as_json:
        write_json(found)
    else:
        _show(found, suppose or [])


def _pair(text: str) -> tuple[str, str]:
    """`STEP=SOMETHING`. Failure (usage) if it is not that."""
    step, equals, what = text.partition("=")
    if not (step and equals and what):
        fix = "write STEP=JSON for an output, STEP=WHY for a failure"
        raise Failure(f"{text!r} says nothing of a step", code=Exit.USAGE, fix=fix)
    return step, what


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"{text!r} is no JSON: {error}", code=Exit.USAGE) from None


def is_file(recipe: str) -> bool:
    """Whether a file is meant, not the name of a workflow."""
    return re.fullmatch(r"[a-z][a-z0-9_]{0,62}", recipe) is None


def text_of(path: Path) -> dict[str, str]:
    """A recipe file as the API takes it within a body. Failure (usage) if it can't be read."""
    try:
        return {"recipe": read(path).decode(), "file": path.name}
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8", code=Exit.USAGE) from None


def _supposition(text: str) -> dict[str, str]:
    """`STEP/BRANCH/user:PERSON=approve@2h`, of which the places may be left out."""
    match = _SUPPOSITION.fullmatch(text)
    if match is None:
        raise Failure(f"{text!r} is no supposition", code=Exit.USAGE, fix=_SUPPOSE_FIX)
    places = match["where"].split("/")
    people = [place.removeprefix("user:") for place in places if place.startswith("user:")]
    named = [place for place in places if not place.startswith("user:")]
    if len(people) > 1 or len(named) > 2 or not all((*people, *named)):
        raise Failure(f"{text!r} is no supposition", code=Exit.USAGE, fix=_SUPPOSE_FIX)
    found = {"decision": match["decision"]}
    found |= dict(zip(("step", "branch"), named, strict=False))
    found |= {"who": people[0]} if people else {}
    return found | {key: match[key] for key in ("to", "after") if match[key]}


def _show(found: dict[str, Any], suppose: list[str]) -> None:
    facts(
        {
            "recipe": f"{found['workflow']} v{found['version']}",
            "requester": found["requester"],
            "submitted": when(found["at"]),
            "state": _state(found),
            "reason": found["reason"],
            "ended": when(found["ended_at"]),
            "deadline": when(found["deadline_at"]),
            "step": found["step"],
            "status": found.get("status"),
            "waiting for": found["waiting_for"],
            "not reached": found["not_reached"],
        }
    )
    for incident in found["incidents"]:
        say(f"incident, step {incident['step']}: {incident['kind']}: {incident['detail']}")
    for pointer in found["unused"]:
        number = int(pointer.rpartition("/")[2])
        say(f"fitted no task: --suppose {suppose[number]}")
    if found["stopped"]:
        say("it comes to no end: stopped after 1000 moves")
    write("")
    if found.get("status") is not None:
        _show_actions(found["actions"])
        return
    table(
        ("step", "asked (UTC)", "who", "why them", "due (UTC)", "then", "outcome"),
        [row for step in found["path"] for row in _rows(step)],
        least=("then", "due (UTC)"),
        wraps=("who", "why them", "outcome"),
    )


def _show_actions(actions: list[dict[str, Any]]) -> None:
    """What leads on from where a state machine's request would begin."""
    table(
        ("action", "leads to", "for", "who", "by itself (UTC)"),
        (
            (
                action["id"],
                action["to"],
                ", ".join(action["who"]) or "whoever may see it",
                action["nobody"] or ", ".join(action["could_fire"]),
                at(action["fires_at"]),
            )
            for action in actions
        ),
        least=("by itself (UTC)",),
        wraps=("for", "who"),
    )


def _state(found: dict[str, Any]) -> Text:
    style = {"approved": "green", "rejected": "red", "expired": "red"}.get(found["state"], "")
    state = Text(found["state"], style=style)
    return state + Text(" (incident)", style="bold red") if found["incidents"] else state


def _rows(step: dict[str, Any]) -> list[tuple[object, ...]]:
    """A step that asks nobody is one line; else there is one for every task."""
    rows: list[tuple[object, ...]] = [_row(step, task) for task in step["tasks"]]
    if not rows or step["type"] == "action":
        outcome = step["outcome"] or "waits"
        why = f"when {step['when']}" if step["when"] and outcome != "waits" else None
        why = step.get("does") or why
        rows = [(step["step"], at(step["at"]), None, why, None, None, outcome)]
    for item in step["incidents"]:
        rows.append((step["step"], at(item["at"]), None, item["detail"], None, None, item["kind"]))
    return rows


def _row(step: dict[str, Any], task: dict[str, Any]) -> tuple[object, ...]:
    name = f"{step['step']}/{task['branch']}" if task["branch"] else step["step"]
    who = task["assignee"] or f"{', '.join(task['could_decide'])} ({', '.join(task['candidates'])})"
    chain = "; ".join(hop["text"] for hop in task["chain"])
    outcome = task["why"] or task["state"]
    if task["decision"]:
        outcome = f"{task['decision']} by {task['decided_by']} {at(task['closed_at'])}"
    return name, at(task["opened_at"]), who, chain, at(task["due_at"]), task["when_due"], outcome
