"""`countersign message ...`: what did not get through, and who people are in Slack."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import full_id
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, at, say, table, write_ids, write_json

app = typer.Typer(no_args_is_help=True, help="Messages by mail and Slack, as an administrator.")


@app.command("dead")
@calling
def dead(
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List messages that were given up, the newest first, and what the other side said."""
    found = list(caller.connect().items("/v1/messages", limit))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif found:
        table(
            ("message", "to", "by", "made (UTC)", "tells of", "why"),
            (
                (
                    it["id"],
                    it["person"],
                    it["channel"],
                    at(it["made_at"]),
                    ", ".join(it["kinds"]),
                    it["last_error"],
                )
                for it in found
            ),
            wraps=("why",),
        )
    else:
        say("none was given up")


@app.command("resend")
@calling
def resend(
    message: Annotated[
        str | None,
        typer.Argument(metavar="MESSAGE", help="Its id; see `countersign message dead`."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Try again a message that was given up, or all."""
    if everything == (message is not None):
        raise Failure("say which MESSAGE, or --all", code=Exit.USAGE)
    which = "" if message is None else f"/{full_id(message, 'message')}"
    answer = caller.connect().post(f"/v1/messages{which}/resend", {})
    if as_json:
        write_json(answer)
    else:
        count = answer["resent"]
        say(f"{count} message{'' if count == 1 else 's'} will be tried again")


@app.command("slack")
@calling
def slack(
    person: Annotated[
        str | None, typer.Argument(metavar="PERSON", help="Without one: list who is known.")
    ] = None,
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Their member ID in Slack: U02ABCDEF.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="What PERSON presses in Slack does nothing any more.")
    ] = False,
    limit: Limit = 200,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Say who somebody is in Slack, whose buttons then decide as they; or list who is known."""
    api = caller.connect()
    if person is None:
        found = list(api.items("/v1/slack/people", limit))
        _list(found, as_json=as_json)
        return
    if forget == (user is not None):
        raise Failure("say who PERSON is (USER), or --forget", code=Exit.USAGE)
    if user is not None:
        answer = api.post("/v1/slack/people", {"person": person, "slack_user": user})
        done = f"{person} is {user} in Slack"
    else:
        answer = api.delete(f"/v1/slack/people/{person}")
        done = f"who {person} is in Slack is " + (
            "forgotten" if answer["forgotten"] else "not known here"
        )
    if as_json:
        write_json(answer)
    else:
        say(done)


def _list(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(found)
    elif found:
        table(
            ("person", "in Slack", "as said by", "since (UTC)"),
            (
                (
                    it["person"],
                    it["slack_user"],
                    it["named_by"] or "mail address",
                    at(it["named_at"]),
                )
                for it in found
            ),
        )
    else:
        say(
            "nobody is known yet: people are found by their mail address when they are first told something"
        )
