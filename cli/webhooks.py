"""`countersign webhook ...`: endpoints that are sent the events of the feed."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson, Ids
from cli.output import Exit, Failure, say, table, when, write, write_ids, write_json

app = typer.Typer(no_args_is_help=True, help="Webhooks: endpoints that are sent events.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, as the list says it.")]


@app.command()
@calling
def add(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Such as https://example.org/hook.")
    ],
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="A type of event, such as approval.request.finalized; as often as needed."
        ),
    ] = None,
    workflow: Annotated[
        list[str] | None, typer.Option(help="A recipe's name; as often as needed.")
    ] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Make a webhook, as an administrator: its secret is shown this once."""
    body = {
        "url": address,
        "types": event or None,
        "workflows": workflow or None,
        "description": description,
    }
    made = caller.connect().post("/v1/webhooks", body)
    if as_json:
        write_json(made)
        return
    write(made["secret"])
    say(f"webhook {made['id']} is sent events from now on")
    say("keep its secret now: nobody can show it again")


@app.command("list")
@calling
def list_webhooks(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    caller: Caller,
    ids: Ids = False,
    as_json: AsJson = False,
) -> None:
    """List the webhooks, the newest first, and how they fare."""
    found = list(caller.connect().items("/v1/webhooks", limit))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif not found:
        say("there are no webhooks")
    else:
        table(
            ("webhook", "address", "state", "behind", "parked", "dead", "last error"),
            (
                (
                    item["id"],
                    item["url"],
                    item["state"],
                    str(item["behind"]),
                    str(item["parked"]),
                    str(item["dead"]),
                    item["last_error"],
                )
                for item in found
            ),
            wraps=("address",),
        )


@app.command()
@calling
def show(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Show a webhook: what it is sent, and how it fares."""
    _show(caller.connect().get(f"/v1/webhooks/{webhook}"), as_json=as_json)


@app.command()
@calling
def rotate(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Replace a webhook's secret: the new one is shown this once, the old one signs beside it for a day."""
    made = caller.connect().post(f"/v1/webhooks/{webhook}/rotate", {})
    if as_json:
        write_json(made)
        return
    write(made["secret"])
    say("the secret before it counts for 24 hours more")


@app.command()
@calling
def pause(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Send a webhook nothing until it is resumed."""
    _show(caller.connect().post(f"/v1/webhooks/{webhook}/pause", {}), as_json=as_json)


@app.command()
@calling
def resume(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Go on where a webhook was paused."""
    _show(caller.connect().post(f"/v1/webhooks/{webhook}/resume", {}), as_json=as_json)


@app.command()
@calling
def remove(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Remove a webhook; what it has not taken is forgotten."""
    gone = caller.connect().delete(f"/v1/webhooks/{webhook}")
    if as_json:
        write_json(gone)
    else:
        say(f"webhook {gone['id']} is gone")


@app.command("test")
@calling
def send_test(webhook: WebhookId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Have a relay send a webhook a test message, and say what came of it."""
    found = caller.connect().post(f"/v1/webhooks/{webhook}/test", {})
    if as_json:
        write_json(found)
    elif found["outcome"] == "sent":
        say("it took the test")
    if found["outcome"] == "failed":
        raise Failure(f"it did not take the test: {found['error']}")
    if found["outcome"] == "waiting":
        raise Failure(
            "no relay has sent the test yet", code=Exit.UNAVAILABLE, fix="see that one runs"
        )


@app.command()
@calling
def dead(
    webhook: WebhookId,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the events that a webhook did not take for days, and is not sent any more."""
    found = list(caller.connect().items(f"/v1/webhooks/{webhook}/dead", limit))
    if as_json:
        write_json(found)
    elif not found:
        say("there are none")
    else:
        table(
            ("event", "type", "request", "attempts", "last tried", "error"),
            (
                (
                    item["event_id"],
                    item["type"],
                    item["request_id"],
                    str(item["attempts"]),
                    when(item["last_tried_at"]),
                    item["last_error"],
                )
                for item in found
            ),
        )


@app.command()
@calling
def resend(
    webhook: WebhookId,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[EVENT]", help="A dead event's id.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are dead.")] = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Send a webhook's dead events again: one, or --all."""
    if (event_id is None) is not everything:
        raise Failure("say which event, or --all", code=Exit.USAGE)
    body = {"event_id": event_id, "all": everything}
    found = caller.connect().post(f"/v1/webhooks/{webhook}/resend", body)
    if as_json:
        write_json(found)
    else:
        say(f"sent again: {found['resent']}")


def _show(found: Any, *, as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    for name in ("id", "url", "description", "state", "paused_why", "behind", "parked", "dead"):
        if found[name] not in (None, ""):
            write(f"{name + ':':<14}{found[name]}")
    for name in ("types", "workflows"):
        write(f"{name + ':':<14}{' '.join(found[name] or ['all'])}")
    for name in ("missed", "failures", "last_error"):
        if found[name]:
            write(f"{name + ':':<14}{found[name]}")
    for name in ("made_at", "last_delivered_at", "last_failed_at", "probe_at"):
        if found[name] is not None:
            write(f"{name + ':':<19}{when(found[name])}")
