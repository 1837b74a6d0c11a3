"""`countersign api-key ...`: keys with which services sign in."""

from typing import Annotated

import typer

from cli.caller import Caller, calling
from cli.options import AsJson, Ids
from cli.output import say, table, when, write, write_ids, write_json

app = typer.Typer(no_args_is_help=True, help="API keys, with which services sign in.")


@app.command()
@calling
def new(
    service: Annotated[str, typer.Argument(help="Whose: such as erp. It acts as svc.erp.")],
    scope: Annotated[list[str], typer.Option(help="What it opens; as often as needed.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[int, typer.Option(help="How long it counts: 366 at most.")] = 90,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Make a key, as an administrator: it is shown this once."""
    body = {"service": service, "scopes": scope, "description": description, "days": days}
    made = caller.connect().post("/v1/keys", body)
    if as_json:
        write_json(made)
        return
    write(made["key"])
    say(f"key {made['id']} of {made['caller']} counts until {when(made['expires_at'])}")
    say("keep it now: nobody can show it again")


@app.command("list")
@calling
def list_keys(
    ended: Annotated[
        bool, typer.Option("--ended", help="Those that expired or were revoked, too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    caller: Caller,
    ids: Ids = False,
    as_json: AsJson = False,
) -> None:
    """List the keys, the newest first, as an administrator."""
    api = caller.connect()
    found = list(api.items("/v1/keys", limit, ended="true" if ended else None))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif not found:
        say("there are no keys")
    else:
        table(
            ("key", "service", "scopes", "state", "expires", "last used", "made by"),
            (
                (
                    item["id"],
                    item["service"],
                    " ".join(item["scopes"]),
                    item["state"],
                    when(item["expires_at"]),
                    item["last_used_at"] and when(item["last_used_at"]),
                    item["made_by"],
                )
                for item in found
            ),
            wraps=("scopes",),
        )


@app.command()
@calling
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as the list says it.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Revoke a key, as an administrator: the next call with it is refused."""
    revoked = caller.connect().post(f"/v1/keys/{key}/revoke", {})
    if as_json:
        write_json(revoked)
    else:
        say(f"key {revoked['id']} of {revoked['caller']} counts no more")
