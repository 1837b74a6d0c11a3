"""A recipe as an SVG picture of its own layout: no program, no font and no script is needed to see it.

One column goes down. The ways past steps and the ways back run at its left, the ways out to its right. Colours follow
the reader's dark or light mode; `title` and `desc` say all of it to those who can't see it.
"""

from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from recipes.diagram import Box, Chart, Node, chart
from recipes.model import REQUESTER, Recipe
from recipes.way_taken import Way, marked

_WIDTH = 720
_LEFT, _RIGHT = 90, 550
_MIDDLE = (_LEFT + _RIGHT) // 2
_RAIL = 45
_BACK_RAIL = 18
_END_LEFT, _END_WIDTH = 600, 100
_LINE = 18
_PAD = 12
_GAP = 34
_CHAR = 7.1
"""How wide a character of 13 px is, about."""
_MOST_LINES = 5
_STYLE = """
svg{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
.page{fill:#fff}.box,.end{fill:#f4f6f8;stroke:#57606a}.inner{fill:#fff;stroke:#8c959f}
.when{fill:#fff8c5;stroke:#7d4e00}.way{fill:none;stroke:#57606a;stroke-width:1.5}
.dash{stroke-dasharray:5 4}.tip{fill:#57606a}.good,.bad,.now{stroke-width:2.5}
.good{stroke:#1a7f37;fill:#eaf7ed}.bad{stroke:#b42318;fill:#fdeceb}.now{stroke:#0969da;fill:#e8f2fe}
.passed{stroke-dasharray:4 4;fill:#fff}text{fill:#1f2328}.head{font-weight:600}.note{fill:#4d555d}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117}.box,.end{fill:#161b22;stroke:#9198a1}.inner{fill:#0d1117;stroke:#7d8590}
.when{fill:#332701;stroke:#d4a72c}.way{stroke:#9198a1}.tip{fill:#9198a1}
.good{stroke:#3fb950;fill:#12261a}.bad{stroke:#f85149;fill:#2d1516}.now{stroke:#58a6ff;fill:#10233a}.passed{fill:#0d1117}
text{fill:#e6edf3}.note{fill:#b1bac4}
}"""


def svg(recipe: Recipe, taken: Way | None = None) -> str:
    """The picture, a whole SVG document; with the way that a request took."""
    drawn = chart(recipe)
    return _Drawing(drawn if taken is None else marked(drawn, taken)).document()


class _Drawing:
    """A picture in progress: `y` is how far down it has come."""

    def __init__(self, drawn: Chart) -> None:
        self.chart = drawn
        self.parts: list[str] = []
        self.y = 20
        self.entries = {REQUESTER: (_MIDDLE - _END_WIDTH // 2, self.y + 15)}

    def document(self) -> str:
        self.end(_MIDDLE - _END_WIDTH // 2, self.y, "Submitted")
        if self.chart.deadline is not None:
            self.right_way(self.y + 15, "Expired", f"after {self.chart.deadline}", dashed=True)
        self.y += 30
        joins = False
        for node in self.chart.nodes:
            joins = self.node(node)
        # The last way on leads to the end, unless there is none.
        if joins or not self.chart.nodes or not self.chart.nodes[-1].ends:
            self.down(_GAP)
            self.end(_MIDDLE - _END_WIDTH // 2, self.y, "Approved")
            self.y += 30
        for end, does in self.chart.after:
            self.y += _GAP // 2
            self.box(Box(f"Once {end.lower()}", does))
        height = self.y + 20
        title, description = _text(self.chart.title), _text(self.chart.description)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            f' width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title desc">'
            f'<title id="title">{title}</title><desc id="desc">{description}</desc>'
            f'<style>{_STYLE}</style><rect class="page" width="{_WIDTH}" height="{height}"/>'
        )
        return head + "\n".join(self.parts) + "</svg>\n"

    def node(self, node: Node) -> bool:
        """A step with its condition before it and its ways out. Whether a way past it joins below."""
        past: int | None = None
        if node.when is not None:
            self.down(_GAP)
            past = self.condition(node.when)
            self.note(_MIDDLE + 8, self.y + 20, "yes")
        self.down(_GAP)
        top = self.y
        self.entries[node.id] = (_LEFT, top + 10 if past is None else past)
        self.step(node)
        for number, to in enumerate(dict.fromkeys(back.to for back in node.back)):
            self.way_back(top + 22 + number * 10, *self.entries[to])
        for number, end in enumerate(node.out):
            label = "" if node.ends else end.lower()
            self.right_way(top + 20 + number * 40, end, label)
        self.y = max(self.y, top + 40 * len(node.out))
        if past is not None:
            if node.ends:
                self.y += 16
            else:
                self.way(f"M{_MIDDLE} {self.y}V{self.y + 16}", tip=False)
                self.y += 16
            self.way(f"M{_LEFT} {past}H{_RAIL}V{self.y}H{_MIDDLE}", tip=False)
            self.note(_RAIL + 6, past - 6, "no")
        return past is not None

    def condition(self, when: str) -> int:
        """The height at which the way past begins."""
        lines = _wrapped(f"when {when}", _RIGHT - _LEFT - 40)
        height = len(lines) * _LINE + 2 * _PAD
        middle = self.y + height // 2
        points = (
            f"{_LEFT},{middle} {_LEFT + 18},{self.y} {_RIGHT - 18},{self.y} {_RIGHT},{middle}"
            f" {_RIGHT - 18},{self.y + height} {_LEFT + 18},{self.y + height}"
        )
        self.parts.append(f'<polygon class="when" points="{points}"/>')
        for number, line in enumerate(lines):
            self.text(_MIDDLE, self.y + _PAD + 13 + number * _LINE, line, "middle")
        self.y += height
        return middle

    def step(self, node: Node) -> None:
        lines = _lines(node.box, _RIGHT - _LEFT - 2 * _PAD)
        rows = [node.branches[n : n + 2] for n in range(0, len(node.branches), 2)]
        inside = (_RIGHT - _LEFT - 3 * _PAD) // 2
        heights = [max(_height(_lines(box, inside - 2 * _PAD)) for box in row) for row in rows]
        height = _height(lines) + sum(heights) + _PAD * len(rows)
        size = f'width="{_RIGHT - _LEFT}" height="{height}"'
        kind = "box" if node.mark is None else f"box {node.mark}"
        self.parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{self.y}" rx="6" {size}/>')
        self.written(_LEFT + _PAD, self.y, lines)
        y = self.y + _height(lines)
        for row, tall in zip(rows, heights, strict=True):
            for place, box in enumerate(row):
                x = _LEFT + _PAD + place * (inside + _PAD)
                size = f'width="{inside}" height="{tall}"'
                self.parts.append(f'<rect class="inner" x="{x}" y="{y}" rx="4" {size}/>')
                self.written(x + _PAD, y, _lines(box, inside - 2 * _PAD))
            y += tall + _PAD
        self.y += height

    def box(self, box: Box) -> None:
        lines = _lines(box, _RIGHT - _LEFT - 2 * _PAD)
        size = f'width="{_RIGHT - _LEFT}" height="{_height(lines)}"'
        self.parts.append(f'<rect class="inner" x="{_LEFT}" y="{self.y}" rx="6" {size}/>')
        self.written(_LEFT + _PAD, self.y, lines)
        self.y += _height(lines)

    def written(self, x: int, y: int, lines: list[tuple[str, str]]) -> None:
        for number, (kind, line) in enumerate(lines):
            self.text(x, y + _PAD + 13 + number * _LINE, line, kind=kind)

    # --- small things ---

    def down(self, by: int) -> None:
        self.way(f"M{_MIDDLE} {self.y}V{self.y + by - 2}")
        self.y += by

    def right_way(self, y: int, end: str, label: str, *, dashed: bool = False) -> None:
        begin = _MIDDLE + _END_WIDTH // 2 if dashed else _RIGHT
        self.way(f"M{begin} {y}H{_END_LEFT - 2}", dashed=dashed)
        self.note(begin + 6, y - 5, label if dashed else "")
        self.end(_END_LEFT, y - 15, end)

    def way_back(self, y: int, x: int, to: int) -> None:
        """From the left of a box at `y` up to the left of what is at `x`, `to`."""
        self.way(f"M{_LEFT} {y}H{_BACK_RAIL}V{to}H{x - 2}", tip=False, dashed=True)
        self.parts.append(f'<path class="tip" d="M{x} {to}l-8 -5v10z"/>')

    def end(self, x: int, y: int, text: str) -> None:
        size = f'width="{_END_WIDTH}" height="30"'
        self.parts.append(f'<rect class="end" x="{x}" y="{y}" rx="15" {size}/>')
        self.text(x + _END_WIDTH // 2, y + 20, text, "middle", "head")

    def way(self, path: str, *, tip: bool = True, dashed: bool = False) -> None:
        kind = "way dash" if dashed else "way"
        self.parts.append(f'<path class="{kind}" d="{path}"/>')
        if tip:
            self.parts.append(f'<path class="tip" d="{_tip(path)}"/>')

    def note(self, x: int, y: int, text: str) -> None:
        if text:
            self.text(x, y, text, kind="note")

    def text(self, x: int, y: int, text: str, anchor: str = "start", kind: str = "") -> None:
        look = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}"{look}>{_text(text)}</text>'
        )


def _tip(path: str) -> str:
    """The arrow head at the end of a way that goes down or right: `M10 20V90`, `M10 20H90`."""
    begin, _, at = path[1:].partition("V" if "V" in path else "H")
    x, y = (int(number) for number in begin.split())
    if "V" in path:
        return f"M{x} {int(at) + 2}l-5 -8h10z"
    return f"M{int(at) + 2} {y}l-8 -5v10z"


def _lines(box: Box, room: int) -> list[tuple[str, str]]:
    """Its heading and its lines as they fit, each with its class."""
    head = [("head", line) for line in _wrapped(box.title, room)]
    return head + [("note", line) for text in box.lines for line in _wrapped(text, room)]


def _height(lines: list[tuple[str, str]]) -> int:
    return len(lines) * _LINE + 2 * _PAD


def _wrapped(text: str, room: int) -> list[str]:
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


def _text(text: str) -> str:
    """Text as XML holds it: what it can't is a replacement character."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
