"""A recipe as an SVG picture of its own layout: no program, no font and no script is needed to see it.

One column goes down. The ways past steps and the ways back run at its left, the ways out to its right. Colours follow
the reader's dark or light mode; `title` and `desc` say all of it to those who can't see it.
"""

from recipes.diagram import Box, Chart, Node, chart
from recipes.model import REQUESTER, Recipe
from recipes.sheet import END_WIDTH, LINE, PAD, Sheet, height_of, lines_of, wrapped
from recipes.way_taken import Way, marked

_WIDTH = 720
_LEFT, _RIGHT = 90, 550
_MIDDLE = (_LEFT + _RIGHT) // 2
_RAIL = 45
_BACK_RAIL = 18
_END_LEFT = 600
_GAP = 34


def svg(recipe: Recipe, taken: Way | None = None) -> str:
    """The picture, a whole SVG document; with the way that a request took."""
    drawn = chart(recipe)
    return _Drawing(drawn if taken is None else marked(drawn, taken)).drawn()


class _Drawing(Sheet):
    """A picture in progress: `y` is how far down it has come."""

    def __init__(self, drawn: Chart) -> None:
        super().__init__()
        self.chart = drawn
        self.y = 20
        self.entries = {REQUESTER: (_MIDDLE - END_WIDTH // 2, self.y + 15)}

    def drawn(self) -> str:
        self.end(_MIDDLE - END_WIDTH // 2, self.y, "Submitted")
        if self.chart.deadline is not None:
            self.right_way(self.y + 15, "Expired", f"after {self.chart.deadline}", dashed=True)
        self.y += 30
        joins = False
        for node in self.chart.nodes:
            joins = self.node(node)
        # The last way on leads to the end, unless there is none.
        if joins or not self.chart.nodes or not self.chart.nodes[-1].ends:
            self.down(_GAP)
            self.end(_MIDDLE - END_WIDTH // 2, self.y, "Approved")
            self.y += 30
        for end, does in self.chart.after:
            self.y += _GAP // 2
            self.box(Box(f"Once {end.lower()}", does))
        return self.document(self.chart.title, self.chart.description, _WIDTH, self.y + 20)

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
                self.path(f"M{_MIDDLE} {self.y}V{self.y + 16}")
                self.y += 16
            self.path(f"M{_LEFT} {past}H{_RAIL}V{self.y}H{_MIDDLE}")
            self.note(_RAIL + 6, past - 6, "no")
        return past is not None

    def condition(self, when: str) -> int:
        """The height at which the way past begins."""
        lines = wrapped(f"when {when}", _RIGHT - _LEFT - 40)
        height = len(lines) * LINE + 2 * PAD
        middle = self.y + height // 2
        points = (
            f"{_LEFT},{middle} {_LEFT + 18},{self.y} {_RIGHT - 18},{self.y} {_RIGHT},{middle}"
            f" {_RIGHT - 18},{self.y + height} {_LEFT + 18},{self.y + height}"
        )
        self.parts.append(f'<polygon class="when" points="{points}"/>')
        for number, line in enumerate(lines):
            self.text(_MIDDLE, self.y + PAD + 13 + number * LINE, line, "middle")
        self.y += height
        return middle

    def step(self, node: Node) -> None:
        lines = lines_of(node.box, _RIGHT - _LEFT - 2 * PAD)
        rows = [node.branches[n : n + 2] for n in range(0, len(node.branches), 2)]
        inside = (_RIGHT - _LEFT - 3 * PAD) // 2
        heights = [max(height_of(lines_of(box, inside - 2 * PAD)) for box in row) for row in rows]
        height = height_of(lines) + sum(heights) + PAD * len(rows)
        kind = "box" if node.mark is None else f"box {node.mark}"
        self.rect(kind, (_LEFT, self.y), (_RIGHT - _LEFT, height))
        self.written(_LEFT + PAD, self.y, lines)
        y = self.y + height_of(lines)
        for row, tall in zip(rows, heights, strict=True):
            for place, box in enumerate(row):
                x = _LEFT + PAD + place * (inside + PAD)
                self.rect("inner", (x, y), (inside, tall), 4)
                self.written(x + PAD, y, lines_of(box, inside - 2 * PAD))
            y += tall + PAD
        self.y += height

    def box(self, box: Box) -> None:
        lines = lines_of(box, _RIGHT - _LEFT - 2 * PAD)
        self.rect("inner", (_LEFT, self.y), (_RIGHT - _LEFT, height_of(lines)))
        self.written(_LEFT + PAD, self.y, lines)
        self.y += height_of(lines)

    # --- small things ---

    def down(self, by: int) -> None:
        self.path(f"M{_MIDDLE} {self.y}V{self.y + by - 2}")
        self.y += by
        self.tip(_MIDDLE, self.y, "down")

    def right_way(self, y: int, end: str, label: str, *, dashed: bool = False) -> None:
        begin = _MIDDLE + END_WIDTH // 2 if dashed else _RIGHT
        self.path(f"M{begin} {y}H{_END_LEFT - 2}", "way dash" if dashed else "way")
        self.tip(_END_LEFT, y, "right")
        self.note(begin + 6, y - 5, label if dashed else "")
        self.end(_END_LEFT, y - 15, end)

    def way_back(self, y: int, x: int, to: int) -> None:
        """From the left of a box at `y` up to the left of what is at `x`, `to`."""
        self.path(f"M{_LEFT} {y}H{_BACK_RAIL}V{to}H{x - 2}", "way dash")
        self.tip(x, to, "right")
