"""`countersign recipe backtest`: a candidate version on real past requests."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import facts, table, write, write_json
from cli.simulate import text_of

_LINES = {
    "requests": "requests",
    "same": "the same as before",
    "refused": "inputs refused",
    "route_changed": "another route",
    "state_changed": "another outcome",
    "approvers_added": "more people asked",
    "approvers_removed": "people not asked any more",
    "two_person_breaks": "two people before, now one or none",
    "new_incidents": "new incidents",
}


@calling
def backtest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The candidate (YAML).")],
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Requests submitted since then (RFC 3339).")
    ] = None,
    imported: Annotated[
        bool, typer.Option("--imported", help="Also those that another system had.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The newest, at most so many.")] = 200,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Try a recipe on past requests of its workflow (role admin or auditor). Nothing is written.

    Each goes through its own version and the candidate, with the directory as of its day, everybody
    approving at once.
    """
    body: dict[str, Any] = {**text_of(file), "limit": limit}
    body |= {"since": since} if since else {}
    body |= {"imported": True} if imported else {}
    found = caller.connect().post_long("/v1/recipes/backtest", body)
    if as_json:
        write_json(found)
        return
    summary = found["summary"]
    facts(
        {"candidate": f"{found['workflow']} v{found['version']}"}
        | {text: str(summary[name]) for name, text in _LINES.items()}
        | ({"withheld": f"{found['withheld']}, confidential"} if found.get("withheld") else {})
    )
    changed = [item for item in found["items"] if not item["same"]]
    if changed:
        write("")
        table(
            ("request", "title", "submitted as", "what changes"),
            (
                (item["request_id"], item["title"], f"v{item['version']}", _changes(item))
                for item in changed
            ),
            least=("submitted as",),
            wraps=("what changes",),
        )


def _changes(item: dict[str, Any]) -> str:
    """What changes for one request, in a few words."""
    told = [f"refused: {problem}" for problem in item["refused"]]
    after = item["after"]
    if item["two_person_break"]:
        told.append(f"two people before, now {after['people']}")
    told += [f"new: {who}" for who in item["added"]]
    told += [f"not asked: {who}" for who in item["removed"]]
    if item["state_changed"]:
        told.append(f"{item['before']['state']} becomes {after['state']}")
    if item["route_changed"]:
        told.append(f"route: {', '.join(after['steps'])}")
    told += [f"incident at {each['step']}: {each['detail']}" for each in item["new_incidents"]]
    return "; ".join(told)
