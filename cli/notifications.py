"""`countersign notifications`: what requests told you."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.options import AsJson, Ids, Limit
from cli.output import at, say, table, write_ids, write_json


@calling
def notifications(
    read: Annotated[
        bool, typer.Option("--read", help="They are read now: the next time only what is new.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that you have read before.")
    ] = False,
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List what requests told you, newest first."""
    api = caller.connect()
    state = "all" if everything else "unread"
    found = list(api.items("/v1/notifications", limit, state=state))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif found:
        _show(found)
    else:
        say("you were told nothing" if everything else "nothing is unread")
    if read and found:
        api.post("/v1/notifications/read", {"ids": [item["id"] for item in found]})


def show_unread(api: Api) -> None:
    """Below an inbox: that there is something to read."""
    found = list(api.items("/v1/notifications", 50, state="unread"))
    if found:
        many = f"{len(found)}{'' if len(found) < 50 else ' or more'}"
        say(f"{many} unread: countersign notifications --read")


def _show(found: list[dict[str, Any]]) -> None:
    table(
        ("request", "title", "when (UTC)", "message", "read"),
        (
            (it["request_id"], it["title"], at(it["sent_at"]), it["message"], at(it["read_at"]))
            for it in found
        ),
        wraps=("message",),
        least=("when (UTC)", "read"),
    )
