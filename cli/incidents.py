"""`countersign incident list`: what waits for people, for those who can help."""

from typing import Annotated, Any

import typer
from rich.text import Text

from cli.caller import Caller, calling
from cli.client import Api
from cli.options import AsJson, Limit
from cli.output import at, say, table, write, write_json

_INBOX = 50

app = typer.Typer(no_args_is_help=True, help="What waits for people who can put it right.")


@app.command("list")
@calling
def list_incidents(
    workflow: Annotated[str | None, typer.Option(help="One workflow's alone.")] = None,
    kind: Annotated[str | None, typer.Option(help="One kind alone, such as NoApproverFound.")] = (
        None
    ),
    limit: Limit = 50,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the incidents of recipes whose owner role you hold (administrators: all of them)."""
    api = caller.connect()
    found = list(api.items("/v1/incidents", limit, workflow=workflow, kind=kind))
    if as_json:
        write_json(found)
    elif not found:
        say("no request waits for people to put something right")
    else:
        show_incidents(found)


def show_incidents(found: list[dict[str, Any]]) -> None:
    table(
        ("request", "title", "requester", "seat", "what is wrong", "since (UTC)"),
        (
            (
                item["request_id"],
                item["title"],
                item["requester"],
                item["seat"] or item["step"],
                Text(f"{item['kind']}: ", style="red") + Text(item["detail"]),
                at(item["since"]),
            )
            for item in found
        ),
        least=("requester", "since (UTC)"),
        wraps=("what is wrong",),
    )
    actions = {action for item in found for action in item["actions"]}
    if "retry" in actions:
        say("put the cause right, then: countersign request retry REQUEST")
    if "reassign" in actions:
        say("or: countersign reassign --request REQUEST --seat SEAT --to PERSON --reason WHY")


def show_helpable(api: Api) -> None:
    """Under an inbox: the incidents that its person can do something about, if there are any."""
    found = [item for item in api.items("/v1/incidents", _INBOX) if item["actions"]]
    if found:
        write("")
        say("incidents that need you:")
        show_incidents(found)
