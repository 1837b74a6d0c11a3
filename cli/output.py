"""What the command line says: data on stdout, messages on stderr, and the exit codes."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from io import StringIO
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 240  # columns of what goes into a pipe, at least: nothing is cut there
_IDS = frozenset({"task", "request", "question", "attachment"})
_FIXED = _IDS | {"#", "due", "state"}  # columns that are never cut
_SHORT_ID = 8
_GAP = 3  # between columns
_LEGIBLE = 20  # columns of what may be cut, below which another column goes instead


class Exit(IntEnum):
    """What a command's exit code means. docs/cli.md documents them."""

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
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    least: Sequence[str] = (),
    wraps: Sequence[str] = (),
) -> None:
    """A table on stdout. Cells are texts; None is an empty one; a `Text` keeps its style.

    Into a pipe it goes whole. On a terminal too narrow for it ids are shortened, then the columns of
    `least` go, in that order; then those of `wraps` are wrapped and the others cut.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    kept = list(range(len(columns)))
    if sys.stdout.isatty():
        room = _data().width
        if _width(columns, cells, kept) > room:
            _shorten_ids(columns, cells)
        for name in least:
            if _width(columns, cells, kept, most=_LEGIBLE) > room:
                kept.remove(columns.index(name))
    room = _data().width if sys.stdout.isatty() else None
    widths = _shares({place: _widest(columns, cells, place) for place in kept}, columns, room)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place in kept:
        wrapped = columns[place] in wraps
        overflow = "fold" if wrapped else "ellipsis"
        shown.add_column(
            columns[place], overflow=overflow, no_wrap=not wrapped, width=widths[place]
        )
    for row in cells:
        shown.add_row(*(row[place] for place in kept))
    _print(shown, _width(columns, cells, kept))


def _shorten_ids(columns: Sequence[str], cells: list[list[Text]]) -> None:
    for place, name in enumerate(columns):
        if name in _IDS:
            for row in cells:
                row[place] = row[place][:_SHORT_ID]


def _width(
    columns: Sequence[str], cells: list[list[Text]], kept: Sequence[int], most: int = 10**6
) -> int:
    """Of the columns kept, the gaps included; of those that may be cut, `most` at most is counted."""
    widths = {place: _widest(columns, cells, place) for place in kept}
    return sum(
        2 + (width if _fixed(columns[p]) else min(width, most)) for p, width in widths.items()
    )


def _shares(widths: dict[int, int], columns: Sequence[str], room: int | None) -> dict[int, int]:
    """The columns' widths within `room`: the widest of those that may be cut gives first."""
    given = dict(widths)
    elastic = [place for place in given if not _fixed(columns[place])]
    while room is not None and elastic and sum(given.values()) + _GAP * len(given) > room:
        widest = max(elastic, key=lambda place: given[place])
        if given[widest] <= 1:
            break
        given[widest] -= 1
    return given


def _fixed(column: str) -> bool:
    return column in _FIXED or column.endswith("(UTC)")


def _widest(columns: Sequence[str], cells: list[list[Text]], place: int) -> int:
    lines = (line for row in cells for line in row[place].plain.splitlines())
    return max((cell_len(columns[place]), *(cell_len(line) for line in lines)))


def facts(pairs: Mapping[str, object]) -> None:
    """Names and values below each other on stdout; those without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        if value not in (None, "", []):
            grid.add_row(name, _cell(value))
    _print(grid, _WIDE)


def told(item: Mapping[str, Any], name: str) -> Any:
    """A member of an answer; `(withheld)` where it is confidential, and not for whoever asks."""
    return "(withheld)" if f"/{name}" in item.get("withheld", ()) else item[name]


def when(moment: str | None) -> str:
    """An RFC 3339 time of the API to the minute, such as `2026-11-21 04:13 UTC`."""
    return _parse(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else ""


def at(moment: str | None, *, seconds: bool = False) -> str:
    """The same for a column that says UTC: `11-21 04:13`, with the year if it is another."""
    if moment is None:
        return ""
    there = _parse(moment).astimezone(UTC)
    year = "" if there.year == datetime.now(UTC).year else "%Y-"
    return there.strftime(f"{year}%m-%d %H:%M{':%S' if seconds else ''}")


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
    return Console(highlight=False)


def _print(shown: Table, width: int) -> None:
    """On a terminal as it fits; into a pipe whole, without blanks at the ends of lines."""
    if sys.stdout.isatty():
        _data().print(shown)
        return
    page = StringIO()
    console = Console(
        highlight=False, width=max(width, _WIDE), color_system=None, file=page, legacy_windows=False
    )
    console.print(shown)
    write("\n".join(line.rstrip() for line in page.getvalue().splitlines()))
