"""A recipe as a picture, whichever kind it is of; with the way that a request took through it."""

from collections.abc import Iterable, Mapping

from recipes import diagram, diagram_svg, machine_chart, machine_svg, way_taken
from recipes.machine_chart import MachineWay
from recipes.model import Json, Recipe
from recipes.way_taken import Way

Events = Iterable[tuple[str, Mapping[str, Json]]]
"""The type and payload of each, the first one first."""


def svg(recipe: Recipe, taken: Way | MachineWay | None = None) -> str:
    """A whole SVG document: no program, no font and no script is needed to see it. `taken` as `way` gives it."""
    if recipe.machine is None:
        return diagram_svg.svg(recipe, taken if isinstance(taken, Way) else None)
    drawn = machine_chart.chart(recipe, recipe.machine)
    if isinstance(taken, MachineWay):
        drawn = machine_chart.marked(drawn, taken)
    return machine_svg.svg(drawn)


def mermaid(recipe: Recipe) -> str:
    """A Mermaid flowchart."""
    if recipe.machine is None:
        return diagram.mermaid(recipe)
    return machine_chart.mermaid(recipe, recipe.machine)


def way(recipe: Recipe, events: Events, at: str | None) -> Way | MachineWay:
    """The way of a request from its events; `at` is the step, or of a machine the state, that it is at."""
    if recipe.machine is None:
        return way_taken.way(recipe, events, at)
    return machine_chart.way(recipe.machine, events, at)
