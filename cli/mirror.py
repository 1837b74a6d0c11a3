"""`countersign org mirror ...`: the other system that the directory mirrors."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Failure, facts, say, when, write_json

app = typer.Typer(no_args_is_help=True, help="The HR system that the directory mirrors.")


@app.command()
@calling
def status(*, caller: Caller, as_json: AsJson = False) -> None:
    """Show how fresh the directory is and what is the matter if it can't be read (role admin)."""
    found = caller.connect().get("/v1/org/mirror")
    if as_json:
        write_json(found)
        return
    late = "passed: nobody is asked" if found["stale"] else None
    facts(
        {
            "source": found["source"],
            "people": found["people"],
            "read": when(found["synced_at"]) or "never yet",
            "counts until": when(found["stale_after"]),
            "that moment": late,
            "failing": found["failing"],
            "since": when(found["failing_since"]),
            "in doubt": found["doubts"],
        }
    )


@app.command()
@calling
def sync(
    most_gone: Annotated[
        int | None,
        typer.Option(min=0, help="Let so many people leave at once, where that is right."),
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Read the other system now (role admin). Exit code 1 if the directory stays as it is."""
    api = caller.connect()
    found = api.post("/v1/org/mirror/sync", {"most_gone": most_gone})
    if as_json:
        write_json(found)
    if "status" in found:
        say("it is being read: see countersign org mirror status")
        return
    if found["failing"] is not None:
        raise Failure(f"the directory stays as it is: {found['failing']}")
    if not as_json:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    changed = {name.replace("_", " "): count for name, count in found["changes"].items()}
    if changed or found["doubts"]:
        facts({"people": found["people"], **changed, "in doubt": found["doubts"]})
    else:
        say("nothing to change: all of it is so already")
