"""Problems shown where they are: the lines of a source around them, and a caret."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a source text, and, under one with a problem, where: `caret` counts from 0."""

    number: int
    text: str
    caret: int | None = None
    message: str = ""


def excerpt(source: str, line: int, column: int, message: str, around: int = 2) -> list[Line]:
    """The lines around a problem (`line` and `column` count from 1), the one with it marked."""
    lines = source.splitlines()
    first, last = max(1, line - around), min(len(lines), line + around)
    return [
        Line(
            number,
            lines[number - 1],
            column - 1 if number == line else None,
            message if number == line else "",
        )
        for number in range(first, last + 1)
    ]
