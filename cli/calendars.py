"""`countersign calendar ...`: the calendars that business days are counted on."""

from pathlib import Path
from typing import Annotated

import typer

from cli.caller import Caller, calling
from cli.options import AsJson, Limit
from cli.output import at, facts, say, table, when, write_json
from cli.recipes import read

app = typer.Typer(no_args_is_help=True, help="Calendars: which days and hours are business time.")


@app.command("import")
@calling
def import_calendars(
    files: Annotated[list[Path], typer.Argument(help="Calendar files (YAML or JSON).")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of them.")
    ] = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Import calendars (role admin). What says something new is a new version; running times stay."""
    api = caller.connect()
    path = "/v1/calendars?dry_run=true" if dry_run else "/v1/calendars"
    answers = []
    for file in files:
        found = api.post_yaml(path, read(file), file.name)
        answers.append(found)
        if as_json:
            continue
        calendar = f"{found['name']} version {found['version']}"
        if found["unchanged"]:
            say(f"{calendar} says so already, unchanged")
        else:
            say(f"would import {calendar}" if dry_run else f"imported {calendar}")
        older = found["on_older_versions"]
        if any(older.values()):
            tasks, requests = older["tasks"], older["requests"]
            say(f"on older versions, and staying so: {tasks} tasks, {requests} requests")
    if as_json:
        write_json(answers)


@app.command("list")
@calling
def list_calendars(
    limit: Limit = 200,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the calendars with the versions that count now."""
    found = list(caller.connect().items("/v1/calendars", limit))
    if as_json:
        write_json(found)
        return
    table(
        (
            "calendar",
            "version",
            "time zone",
            "week",
            "hours",
            "covers",
            "holidays",
            "imported (UTC)",
        ),
        (
            (
                item["name"],
                item["version"],
                item["time_zone"],
                ", ".join(item["week"]),
                item["hours"],
                f"{item['covers']['from']} to {item['covers']['to']}",
                len(item["holidays"]),
                at(item["imported_at"]),
            )
            for item in found
        ),
    )


@app.command()
@calling
def show(
    name: Annotated[str, typer.Argument(metavar="CALENDAR", help="Its name.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Default: the one that counts now.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show a calendar with its holidays."""
    found = caller.connect().get(f"/v1/calendars/{name}", version=version)
    if as_json:
        write_json(found)
        return
    facts(
        {
            "calendar": f"{found['name']} version {found['version']}",
            "versions": ", ".join(map(str, found["versions"])),
            "time zone": found["time_zone"],
            "week": ", ".join(found["week"]),
            "hours": found["hours"],
            "covers": f"{found['covers']['from']} to {found['covers']['to']}",
            "imported": when(found["imported_at"]),
            "by": found["imported_by"],
        }
    )
    table(("holiday", "name"), ((item["date"], item["name"]) for item in found["holidays"]))
