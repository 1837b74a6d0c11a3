"""A state machine as an SVG picture of its own layout.

One column of states, each with the actions that lead out of it as rows inside. From the right of a row a way leads down to
a state that comes later, from its left one up to a state that came before; ways to the same state share a rail, so
that none is hidden behind another and no label is ever in the way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recipes.diagram import Box
from recipes.machine_chart import ActionRow, MachineChart, StateBox
from recipes.sheet import END_WIDTH, PAD, Heading, Sheet, height_of, lines_of

_WIDE = 400
_EDGE = 24
_RAIL = 14
_GAP = 30
_ROW_GAP = 8
_ENTRY = 24
"""How far below the top of a state ways lead into it."""


@dataclass(slots=True)
class _Rail:
    """What leads to one state on one side: at which heights it begins, and where it ends."""

    to: int
    begins: list[tuple[int, ActionRow]] = field(default_factory=list)

    @property
    def span(self) -> tuple[int, int]:
        heights = [self.to, *(y for y, _ in self.begins)]
        return min(heights), max(heights)


def svg(drawn: MachineChart) -> str:
    """The picture, a whole SVG document."""
    return _Drawing(drawn).drawn()


class _Drawing(Sheet):
    """`tops` are the heights of states, `rows` those of the actions in them; known before anything is drawn."""

    def __init__(self, drawn: MachineChart) -> None:
        super().__init__()
        self.chart = drawn
        self.tops: dict[str, int] = {}
        self.rows: dict[tuple[str, str], int] = {}
        y = 20 + 30 + _GAP
        for state in drawn.states:
            self.tops[state.id] = y
            inside = y + height_of(_state_lines(state))
            for row in state.rows:
                self.rows[state.id, row.id] = inside
                inside += height_of(_row_lines(row)) + _ROW_GAP
            y = inside + (PAD - _ROW_GAP if state.rows else 0) + _GAP
        self.bottom = y - _GAP
        self.right_rails, self.left_rails = self.rails()
        self.right_lanes, self.left_lanes = _lanes(self.right_rails), _lanes(self.left_rails)
        self.left = _EDGE + _RAIL * (_count(self.left_lanes) + 1)
        self.right = self.left + _WIDE

    def rails(self) -> tuple[dict[str, _Rail], dict[str, _Rail]]:
        """Those at the right and those at the left, by the state that they lead to."""
        right: dict[str, _Rail] = {}
        left: dict[str, _Rail] = {}
        for state in self.chart.states:
            for row in state.rows:
                if row.to == state.id:
                    continue  # it stays there, says the row
                to = self.tops[row.to]
                side = right if to > self.tops[state.id] else left
                middle = self.rows[state.id, row.id] + height_of(_row_lines(row)) // 2
                side.setdefault(row.to, _Rail(to + _ENTRY)).begins.append((middle, row))
        return right, left

    def drawn(self) -> str:
        middle = (self.left + self.right) // 2
        self.end(middle - END_WIDTH // 2, 20, "Submitted")
        self.path(f"M{middle} 50V{50 + _GAP - 2}")
        self.tip(middle, 50 + _GAP, "down")
        if self.chart.deadline is not None:
            self.note(middle + 12, 50 + 19, f"expires after {self.chart.deadline}")
        for state in self.chart.states:
            self.state(state)
        for to, rail in self.right_rails.items():
            self.rail(rail, self.right, _RAIL * (self.right_lanes[to] + 1))
        for to, rail in self.left_rails.items():
            self.rail(rail, self.left, -_RAIL * (self.left_lanes[to] + 1))
        y = self.bottom
        for end, does in self.chart.after:
            lines = lines_of(Box(f"Once {end.lower()}", does), _WIDE - 2 * PAD)
            y += _GAP // 2
            self.rect("inner", (self.left, y), (_WIDE, height_of(lines)))
            self.written(self.left + PAD, y, lines)
            y += height_of(lines)
        width = self.right + _RAIL * (_count(self.right_lanes) + 1) + _EDGE
        return self.document(self.chart.title, self.chart.description, width, y + 20)

    def state(self, state: StateBox) -> None:
        top = self.tops[state.id]
        lines = _state_lines(state)
        height = height_of(lines) + sum(height_of(_row_lines(it)) + _ROW_GAP for it in state.rows)
        height += PAD - _ROW_GAP if state.rows else 0
        kind = "box" if state.mark is None else f"box {state.mark}"
        self.rect(kind if state.enabled else f"{kind} passed", (self.left, top), (_WIDE, height))
        self.written(self.left + PAD, top, lines)
        for row in state.rows:
            y = self.rows[state.id, row.id]
            written = _row_lines(row)
            kind = "inner took" if row.took else "inner"
            kind += "" if row.enabled else " passed"
            size = (_WIDE - 2 * PAD, height_of(written))
            self.rect(kind, (self.left + PAD, y), size, 4)
            self.written(self.left + 2 * PAD, y, written)

    def rail(self, rail: _Rail, side: int, away: int) -> None:
        """The ways on one rail, `away` from the `side` of the column; those that were taken on top."""
        inside = side - PAD if away > 0 else side + PAD
        arrow = side + 2 if away > 0 else side - 2
        for y, row in sorted(rail.begins, key=lambda it: (it[1].took, it[1].enabled, it[0])):
            kind = "way took" if row.took else "way"
            kind += "" if row.enabled else " dash"
            self.path(f"M{inside} {y}H{side + away}V{rail.to}H{arrow}", kind)
        heading: Heading = "left" if away > 0 else "right"
        took = any(row.took for _, row in rail.begins)
        self.tip(side, rail.to, heading, "tip arrived" if took else "tip")


def _lanes(rails: Mapping[str, _Rail]) -> dict[str, int]:
    """The lane of each rail, the shortest nearest to the column; those that share one do not touch."""
    lanes: list[list[tuple[int, int]]] = []
    found: dict[str, int] = {}
    for to, rail in sorted(rails.items(), key=lambda it: it[1].span[1] - it[1].span[0]):
        top, bottom = rail.span
        free = (
            number
            for number, used in enumerate(lanes)
            if all(bottom < begin or end < top for begin, end in used)
        )
        lane = next(free, len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append((top, bottom))
        found[to] = lane
    return found


def _count(lanes: Mapping[str, int]) -> int:
    return max(lanes.values(), default=-1) + 1


def _state_lines(state: StateBox) -> list[tuple[str, str]]:
    return lines_of(state.box, _WIDE - 2 * PAD)


def _row_lines(row: ActionRow) -> list[tuple[str, str]]:
    return lines_of(row.box, _WIDE - 4 * PAD)
