"""What the command line says: data on stdout, messages on stderr, and the exit codes."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for scripts.")]

Ids = Annotated[bool, typer.Option("--ids", help="The ids alone, one a line.")]

_WIDE = 240  # columns of a table that goes into a pipe: nothing is cut there


class Exit(IntEnum):
    """What a command's exit code means. The README documents them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFLICT = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5


class Failure(Exception):
    """The command ends here: `message` says what is wrong, `details` where, `fix` what to do."""

    def __init__(
        self,
        message: str,
        *,
        code: Exit = Exit.FAILED,
        details: Sequence[str] = (),
        fix: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = tuple(details)
        self.fix = fix


def say(message: str) -> None:
    """A message to the person; never data."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - this is where messages go out


def fail(failure: Failure) -> None:
    """Show a failure on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(failure.message))
    for detail in failure.details:
        console.print(Text(f"  {detail}"))
    if failure.fix:
        console.print(Text("  fix: ", style="bold") + Text(failure.fix))


def write(text: str) -> None:
    """Text as data on stdout."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def write_json(value: Any) -> None:
    """A JSON value as data on stdout."""
    write(json.dumps(value, indent=2, ensure_ascii=False))


def write_ids(items: Iterable[Mapping[str, Any]]) -> None:
    """The items' ids on stdout, one a line."""
    for item in items:
        write(item["id"])


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table on stdout. Cells are texts; None is an empty one; a `Text` keeps its style."""
    shown = Table(
        *columns,
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    for column in shown.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in {"task", "request", "id"}
    for row in rows:
        shown.add_row(*(_cell(cell) for cell in row))
    _data().print(shown)


def facts(pairs: Mapping[str, object]) -> None:
    """Names and values below each other on stdout; those without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        if value not in (None, "", []):
            grid.add_row(name, _cell(value))
    _data().print(grid)


def when(moment: str | None) -> str:
    """An RFC 3339 time of the API as the terminal's own time zone reads it, to the minute."""
    if moment is None:
        return ""
    return _parse(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def due(moment: str | None) -> Text:
    """When something is due, from now: `in 3 h`, `2 d ago` (red)."""
    if moment is None:
        return Text("")
    seconds = (_parse(moment) - datetime.now(UTC)).total_seconds()
    if seconds < 0:
        return Text(f"{_span(-seconds)} ago", style="red")
    return Text(f"in {_span(seconds)}", style="yellow" if seconds < 3600 * 4 else "")


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _parse(moment: str) -> datetime:
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("")
    if isinstance(value, list):
        return Text(", ".join(str(item) for item in value))
    return Text(str(value))


def _data() -> Console:
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_WIDE, color_system=None)
