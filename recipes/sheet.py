"""A picture in progress as SVG: boxes with text, ways and arrow heads, and how wide text is, about.

No program, no font and no script is needed to see it. Colours follow the reader's dark or light mode; `title` and
`desc` say all of it to those who can't see it.
"""

from typing import Literal
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from recipes.diagram import Box

LINE = 18
PAD = 12
END_WIDTH = 100
_CHAR = 7.1
"""How wide a character of 13 px is, about."""
_MOST_LINES = 5
STYLE = """
svg{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
.page{fill:#fff}.box,.end{fill:#f4f6f8;stroke:#57606a}.inner{fill:#fff;stroke:#8c959f}
.when{fill:#fff8c5;stroke:#7d4e00}.way{fill:none;stroke:#57606a;stroke-width:1.5}
.dash{stroke-dasharray:5 4}.tip{fill:#57606a}.good,.bad,.now{stroke-width:2.5}
.took{stroke:#0969da;stroke-width:2.5}.arrived{fill:#0969da}
.good{stroke:#1a7f37;fill:#eaf7ed}.bad{stroke:#b42318;fill:#fdeceb}.now{stroke:#0969da;fill:#e8f2fe}
.passed{stroke-dasharray:4 4;fill:#fff}text{fill:#1f2328}.head{font-weight:600}.note{fill:#4d555d}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117}.box,.end{fill:#161b22;stroke:#9198a1}.inner{fill:#0d1117;stroke:#7d8590}
.when{fill:#332701;stroke:#d4a72c}.way{stroke:#9198a1}.tip{fill:#9198a1}
.good{stroke:#3fb950;fill:#12261a}.bad{stroke:#f85149;fill:#2d1516}.now{stroke:#58a6ff;fill:#10233a}.passed{fill:#0d1117}
.took{stroke:#58a6ff}.arrived{fill:#58a6ff}
text{fill:#e6edf3}.note{fill:#b1bac4}
}"""

Heading = Literal["down", "right", "left"]
_TIPS = {"down": "l-5 -8h10z", "right": "l-8 -5v10z", "left": "l8 -5v10z"}


class Sheet:
    """What is drawn so far; all measures are pixels, from the top left."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def document(self, title: str, description: str, width: int, height: int) -> str:
        """A whole SVG document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-labelledby="title desc">'
            f'<title id="title">{xml_text(title)}</title>'
            f'<desc id="desc">{xml_text(description)}</desc>'
            f'<style>{STYLE}</style><rect class="page" width="{width}" height="{height}"/>'
        )
        return head + "\n".join(self.parts) + "</svg>\n"

    def rect(self, kind: str, at: tuple[int, int], size: tuple[int, int], corner: int = 6) -> None:
        """From its top left; the size is width and height."""
        (x, y), (width, height) = at, size
        measures = f'width="{width}" height="{height}"'
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" rx="{corner}" {measures}/>')

    def written(self, x: int, y: int, lines: list[tuple[str, str]]) -> None:
        """Lines from the top of a box at `y`, each with its class."""
        for number, (kind, line) in enumerate(lines):
            self.text(x, y + PAD + 13 + number * LINE, line, kind=kind)

    def end(self, x: int, y: int, text: str) -> None:
        """Where it begins or ends."""
        self.rect("end", (x, y), (END_WIDTH, 30), 15)
        self.text(x + END_WIDTH // 2, y + 20, text, "middle", "head")

    def path(self, path: str, kind: str = "way") -> None:
        self.parts.append(f'<path class="{kind}" d="{path}"/>')

    def tip(self, x: int, y: int, heading: Heading, kind: str = "tip") -> None:
        """The arrow head of a way that ends at this point."""
        self.path(f"M{x} {y}{_TIPS[heading]}", kind)

    def note(self, x: int, y: int, text: str) -> None:
        if text:
            self.text(x, y, text, kind="note")

    def text(self, x: int, y: int, text: str, anchor: str = "start", kind: str = "") -> None:
        look = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}"{look}>{xml_text(text)}</text>'
        )


def lines_of(box: Box, room: int) -> list[tuple[str, str]]:
    """Its heading and its lines as they fit, each with its class."""
    head = [("head", line) for line in wrapped(box.title, room)]
    return head + [("note", line) for text in box.lines for line in wrapped(text, room)]


def height_of(lines: list[tuple[str, str]]) -> int:
    return len(lines) * LINE + 2 * PAD


def wrapped(text: str, room: int) -> list[str]:
    """Lines of at most `room` pixels, about; what is too long for so many ends in dots."""
    most = int(room / _CHAR)
    text = text[: most * (_MOST_LINES + 1)]  # a word may be as long as a file
    lines: list[str] = []
    line = ""
    for word in text.split() or [""]:
        left = word
        if line and _wide(line) + 1 + _wide(left) > most:
            lines.append(line)
            line = ""
        while _wide(left) > most:
            cut = next(n for n in range(min(len(left), most), 0, -1) if _wide(left[:n]) <= most)
            lines.append(left[:cut])
            left = left[cut:]
        line = f"{line} {left}" if line else left
    lines.append(line)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1][: most - 1]}…"]
    return lines


def _wide(text: str) -> int:
    """In columns of a terminal, as an estimate of what a font makes of it."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def xml_text(text: str) -> str:
    """Text as XML holds it: what it can't is a replacement character."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
