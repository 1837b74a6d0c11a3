"""`countersign actions` and `countersign fire`: what a state machine can do, and doing it."""

from typing import Annotated

import typer
from rich.text import Text

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import say, table, write_json
from cli.requests import RequestId, request_id
from cli.showing import show_answer


@calling
def actions(request: RequestId, *, caller: Caller, as_json: AsJson = False) -> None:
    """List the actions of a state machine: those that you can fire now, and why not the others."""
    api = caller.connect()
    found = api.get(f"/v1/requests/{request_id(api, request)}/actions")
    if as_json:
        write_json(found)
        return
    say(f"it is in {found['status']}, after {found['moves']} moves")
    table(
        ("action", "name", "to", "for", "can be fired"),
        (
            (
                item["id"],
                item["name"],
                item["to"],
                item["who"] or "anybody who sees it",
                Text("yes", style="green") if item["available"] else item["why_not"],
            )
            for item in found["items"]
        ),
        least=("name", "for"),
        wraps=("can be fired",),
    )


@calling
def fire(
    request: RequestId,
    action: Annotated[str, typer.Argument(help="The action's id: `actions` lists them.")],
    comment: Annotated[str | None, typer.Option(help="Why, on the record.")] = None,
    moves: Annotated[
        int | None, typer.Option(help="Refused if it has made more moves than these.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Fire an action of a state machine. Too late, or not possible now, is exit code 3."""
    api = caller.connect()
    body: dict[str, object] = {"comment": comment}
    if moves is not None:
        body["moves"] = moves
    answer = api.post(f"/v1/requests/{request_id(api, request)}/actions/{action}", body)
    show_answer(api, answer, as_json=as_json, named=request)
