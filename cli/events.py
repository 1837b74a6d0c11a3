"""`countersign event send`: what another system would send when something happens to an entity."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.inputs import InputsFile, Texts, given_inputs, parse_entity
from cli.options import AsJson, Ids
from cli.output import say, table, write_ids, write_json

app = typer.Typer(no_args_is_help=True, help="Start what listens to an event.")


@app.callback()
def events() -> None:
    """Start what listens to an event."""


@app.command()
@calling
def send(
    name: Annotated[
        str,
        typer.Argument(metavar="EVENT", help="Its name, such as booking.cancellation_requested."),
    ],
    entity: Annotated[
        str, typer.Option(metavar="TYPE:ID", help="What it happened to, such as booking:4711.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Inputs: refund=5 reason='a trip'."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="PERSON", help="On whose initiative. Default: yours.")
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Of the same id the first event counts."),
    ] = None,
    inputs: Texts = None,
    inputs_file: InputsFile = None,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Send an event: a request of every workflow that listens is made, or none where one refuses.

    For others (--by) with the role `events` or `admin`.
    """
    about = parse_entity(entity)
    body: dict[str, Any] = {
        "event": name,
        "entity_type": about["type"],
        "entity_id": about["id"],
        "inputs": given_inputs(values or [], inputs_file, inputs or []),
    }
    body |= {"initiated_by": by} if by else {}
    body |= {"event_id": event_id} if event_id else {}
    found = caller.connect().post("/v1/events", body)
    if as_json:
        write_json(found)
        return
    if not found["requests"]:
        say(f"received, but no recipe in use listens to {name}")
        return
    if ids:
        write_ids(found["requests"])
        return
    say(f"received as {found['event_id']}")
    table(
        ("request", "workflow", "version"),
        ((item["id"], item["workflow"], item["version"]) for item in found["requests"]),
    )
