"""`countersign delegation ...`: who decides while you are away."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from cli.caller import Caller, calling
from cli.client import full_id
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, facts, say, table, when, write_ids, write_json

app = typer.Typer(no_args_is_help=True, help="Let somebody else decide while you are away.")

TIMES = "A day (2026-12-24) or a time (2026-12-24T12:00), in this machine's time zone unless it says another."
_DAYS = (
    "A day (2026-12-24) where the directory has you, or a time (2026-12-24T12:00), in this machine's"
    " time zone unless it says another."
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@app.command("set")
@calling
def set_delegation(
    delegate: Annotated[str, typer.Argument(help="The person who decides instead.")],
    begins: Annotated[str | None, typer.Option("--from", help=f"{_DAYS} Default: now.")] = None,
    ends: Annotated[
        str | None,
        typer.Option("--to", help="Likewise; a day is the last one. Default: until you end it."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="all, workflow:NAME or role:NAME: what they decide instead.")
    ] = "all",
    reason: Annotated[
        str | None, typer.Option(help="Why: it is shown to both. For somebody else it is needed.")
    ] = None,
    delegator: Annotated[
        str | None, typer.Option(metavar="PERSON", help="As an administrator: for somebody else.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Let DELEGATE decide instead of you. It holds for what is assigned from then on."""
    body = {
        "delegate": delegate,
        "from": None if begins is None else _day_or_moment(begins),
        "to": None if ends is None else _day_or_moment(ends),
        "scope": scope,
        "reason": reason,
        "delegator": delegator,
    }
    made = caller.connect().post("/v1/org/delegations", body)
    if as_json:
        write_json(made)
        return
    _show(made)
    say(f"end it with: countersign delegation end {made['id']}")


@app.command("list")
@calling
def list_delegations(
    direction: Annotated[
        Literal["given", "received", "all"],
        typer.Option(help="Yours to others, or others' to you."),
    ] = "all",
    state: Annotated[
        Literal["active", "all"], typer.Option(help="Running or still to come; or the past, too.")
    ] = "active",
    person: Annotated[
        str | None, typer.Option(help="As an administrator or auditor: somebody else's.")
    ] = None,
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List delegations, the latest first."""
    api = caller.connect()
    path = "/v1/org/delegations"
    found = list(api.items(path, limit, direction=direction, state=state, person=person))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif not found:
        say("nobody decides for anybody else")
    else:
        table(
            ("id", "of", "to", "scope", "from", "until", "reason"),
            (
                (
                    item["id"],
                    item["delegator"],
                    item["delegate"],
                    item["scope"],
                    when(item["from"]) or "called off",
                    when(item["to"]),
                    item["reason"],
                )
                for item in found
            ),
        )


@app.command()
@calling
def end(
    delegation: Annotated[str, typer.Argument(metavar="DELEGATION", help="The delegation's id.")],
    reason: Annotated[
        str | None,
        typer.Option(help="Why. As an administrator, for somebody else's, it is needed."),
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """End a delegation now. Over already: exit code 3."""
    place = f"/v1/org/delegations/{full_id(delegation, 'delegation')}/end"
    ended = caller.connect().post(place, {"reason": reason})
    if as_json:
        write_json(ended)
    else:
        _show(ended)


def _show(delegation: dict[str, Any]) -> None:
    begins, ends = when(delegation["from"]), when(delegation["to"])
    facts(
        {
            "delegation": delegation["id"],
            "of": delegation["delegator"],
            "to": delegation["delegate"],
            "scope": delegation["scope"],
            "from": begins or "called off before it began",
            "until": ends or (begins and "it is ended"),
            "reason": delegation["reason"],
            "ended": _ended(delegation),
        }
    )


def _ended(delegation: dict[str, Any]) -> str | None:
    by, why = delegation["ended_by"], delegation["end_reason"]
    return by and (f"by {by}: {why}" if why else f"by {by}")


def _day_or_moment(text: str) -> str:
    """A day as it is: the API knows in which zone it is one."""
    found = moment(text)
    return text if _DAY.fullmatch(text) else found


def moment(text: str) -> str:
    """RFC 3339 for a day's beginning or a time, of the terminal's zone."""
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.astimezone()
    except (ValueError, OverflowError):
        raise Failure(f"{text!r} is neither a day nor a time", code=Exit.USAGE) from None
    return found.isoformat()
