"""`countersign session end`: signs somebody out of the pages everywhere."""

from typing import Annotated

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import say, when, write_json

app = typer.Typer(no_args_is_help=True, help="Sessions of people who signed in to the pages.")


@app.callback()
def session() -> None:
    """More may come: one command alone would be called by the group's name."""


@app.command("end")
@calling
def end_sessions(
    person: Annotated[str, typer.Argument(help="Whose: their id.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Sign somebody out everywhere, as an administrator: their roles count as they are at the next sign-in."""
    ended = caller.connect().post("/v1/sessions/end", {"person": person})
    if as_json:
        write_json(ended)
    else:
        say(f"sessions of {ended['person']} from before {when(ended['before'])} count no more")
