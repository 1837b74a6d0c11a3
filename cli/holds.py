"""`countersign audit hold ...`: what must not be deleted, whatever its age."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, say, table, when, write_json

app = typer.Typer(no_args_is_help=True, help="Legal holds on the audit trail.")

Why = Annotated[str, typer.Option(help="Why; it is on record.")]


@app.command("set")
@calling
def set_hold(
    reason: Why,
    request: Annotated[str | None, typer.Option(help="Of a request: its whole id.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Of a workflow.")] = None,
    month: Annotated[str | None, typer.Option(help="Of a month: 2026-05.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Keep what there is of a request, a workflow or a month, as an auditor or administrator."""
    given = {"request_id": request, "workflow": workflow, "month": month}
    about = {name: value for name, value in given.items() if value is not None}
    if len(about) != 1:
        raise Failure("say one of --request, --workflow and --month", code=Exit.USAGE)
    made = caller.connect().post("/v1/audit/holds", {**about, "reason": reason})
    if as_json:
        write_json(made)
    else:
        say(f"{_about(made)} is held; countersign audit hold end {made['id']} ends it")


@app.command("list")
@calling
def list_holds(
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended, too.")] = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the holds, as an auditor or administrator."""
    api = caller.connect()
    found = api.get("/v1/audit/holds", ended="true" if ended else None)["items"]
    if as_json:
        write_json(found)
    elif not found:
        say("nothing is held")
    else:
        table(
            ("hold", "of", "reason", "set", "by", "ended"),
            (
                (
                    item["id"],
                    _about(item),
                    item["reason"],
                    when(item["set_at"]),
                    item["set_by"],
                    item["ended_at"] and f"{when(item['ended_at'])}: {item['end_reason']}",
                )
                for item in found
            ),
            wraps=("reason",),
        )


@app.command("end")
@calling
def end_hold(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="The hold's whole id.")],
    reason: Why,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """End a hold, as an auditor or administrator."""
    ended = caller.connect().post(f"/v1/audit/holds/{hold}/end", {"reason": reason})
    if as_json:
        write_json(ended)
    else:
        say(f"{_about(ended)} is held no longer by this")


def _about(item: dict[str, Any]) -> str:
    if item["request_id"]:
        return f"request {item['request_id']}"
    return f"workflow {item['workflow']}" if item["workflow"] else f"month {item['month']}"
