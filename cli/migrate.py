"""`countersign recipe migrate`: look at requests in flight, then move them to another version."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api, full_id
from cli.options import AsJson, Yes
from cli.output import Exit, Failure, say, table, write_json
from cli.recipes import Name, Version

_MOST = 200
"""How many requests one call takes."""


@calling
def migrate(
    workflow: Name,
    version: Version,
    to: Annotated[int, typer.Argument(metavar="TO", min=1, help="The version to move them to.")],
    comment: Annotated[str, typer.Option(metavar="WHY", help="Why, for the record of each.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--request", metavar="REQUEST", help="Just this one; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of each.")
    ] = False,
    yes: Yes = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Move requests in flight on a version to another one, as an administrator: shows a verdict for
    each, asks, and moves those that can. Exit code 3 if one was refused."""
    api = caller.connect()
    path = f"/v1/recipes/{workflow}/versions/{version}/migrate"
    body = {"to": to, "comment": comment}
    wanted = None if only is None else [full_id(one, "request") for one in only]
    found = _judged(api, path, body, wanted)
    possible = [item["request_id"] for item in found if item["outcome"] == "possible"]
    if dry_run or not possible:
        _show(found, as_json)
        _refuse(found)
        return
    if not as_json:
        _show(found, as_json)
    _ask(len(possible), to, yes=yes)
    moved: list[dict[str, Any]] = []
    for first in range(0, len(possible), _MOST):
        part = possible[first : first + _MOST]
        moved += api.post_long(path, body | {"requests": part})["items"]
    stayed = [item for item in found if item["outcome"] == "refused"]
    _report([*moved, *stayed], to, as_json)


def _judged(
    api: Api, path: str, body: dict[str, Any], wanted: Sequence[str] | None
) -> list[dict[str, Any]]:
    """A verdict for each request that is wanted; None: for all in flight."""
    if wanted is not None:
        parts = [list(wanted[n : n + _MOST]) for n in range(0, len(wanted), _MOST)]
        pages = [api.post_long(f"{path}?dry_run=true", body | {"requests": part}) for part in parts]
        return [item for page in pages for item in page["items"]]
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = api.post_long(f"{path}?dry_run=true&limit={_MOST}{cursor}", body)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def _show(found: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    table(
        ("request", "title", "requester", "at", "", "why"),
        (
            (
                item["request_id"],
                item["title"],
                item["requester"],
                item["step"],
                item["outcome"],
                "; ".join([*item["reasons"], *item["notes"]]),
            )
            for item in found
        ),
        wraps=("why",),
        least=("title",),
    )


def _ask(count: int, to: int, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("nothing was moved: there is nobody to ask", code=Exit.USAGE, fix="add --yes")
    if not typer.confirm(f"move {_counted(count)} to version {to}?", err=True):
        raise Failure("nothing was moved")


def _report(found: Sequence[dict[str, Any]], to: int, as_json: bool) -> None:
    if as_json:
        write_json(found)
    moved = sum(item["outcome"] == "moved" for item in found)
    recorded = sum(item["outcome"] == "recorded" for item in found)
    say(f"moved to version {to}: {_counted(moved)}")
    if recorded:
        say(f"recorded, and not known yet: {_counted(recorded)}")
    _refuse(found)


def _refuse(found: Sequence[dict[str, Any]]) -> None:
    refused = [item for item in found if item["outcome"] == "refused"]
    if refused:
        raise Failure(
            f"refused: {_counted(len(refused))}",
            code=Exit.CONFLICT,
            details=[f"{item['request_id']}: {'; '.join(item['reasons'])}" for item in refused],
        )


def _counted(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
