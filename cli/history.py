"""`countersign import ...`: the past of other systems."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, facts, say, write_json

app = typer.Typer(no_args_is_help=True, help="Import the past of another system.")

_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
}
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@app.callback()
def group() -> None:
    """With a callback, `history` stays a command of its own."""


@app.command()
@calling
def history(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, JSON or JSON lines; - is stdin.")
    ],
    *,
    source: Annotated[
        str, typer.Option(metavar="NAME", help="The system that had them, such as hr-portal.")
    ],
    file_format: Annotated[
        Literal["csv", "json", "jsonl"] | None,
        typer.Option("--format", help="Default: by the file's suffix."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be imported.")
    ] = False,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Import requests as they ended elsewhere, all of the file or nothing (role admin)."""
    kind = file_format or _SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise Failure(
            f"the format of {file} is not known",
            code=Exit.USAGE,
            fix="say --format csv, json or jsonl",
        )
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", code=Exit.USAGE) from None
    asked = {"source": source} | ({"dry_run": "true"} if dry_run else {})
    api = caller.connect()
    found = api.post_file("/v1/imports", body, _MEDIA_TYPES[kind], file.name, asked)
    if as_json:
        write_json(found)
    else:
        _told(found)


def _told(found: dict[str, Any]) -> None:
    for warning in found["warnings"]:
        row = f"row {warning['row']}, " if warning.get("row") else ""
        place = warning.get("column") or warning.get("pointer") or ""
        say(f"warning: {row}{place}{': ' if row or place else ''}{warning['message']}")
    facts(
        {
            "import": found["id"],
            "source": found["source"],
            "requests": str(found["requests"]),
            "decisions": str(found["decisions"]),
            "there already": str(found["already"]),
            "sha256 of the file": found["sha256"],
        }
    )
    if found["again"]:
        say("this file was imported before: nothing is different now")
    elif found["dry_run"]:
        say("a dry run: nothing was written")
