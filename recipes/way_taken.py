"""The way that a request took through its recipe: of each step what came of it, from the events of its chain."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from recipes.diagram import Chart, Node
from recipes.model import Json, Recipe

Mark = Literal["good", "bad", "passed", "now"]
"""How a step is drawn: it went on, it ended the request or failed, it was passed by, the request is there."""

_OUTCOMES: Mapping[str, tuple[Mark, str]] = {
    "approve": ("good", "approved"),
    "approved": ("good", "approved"),
    "done": ("good", "done"),
    "reject": ("bad", "rejected"),
    "rejected": ("bad", "rejected"),
    "failed": ("bad", "failed"),
    "expired": ("bad", "expired"),
}


@dataclass(frozen=True, slots=True)
class Way:
    """By the ids of steps what came of them, as a mark and in a word; `ended` is the request's final state."""

    steps: Mapping[str, tuple[Mark, str]] = field(default_factory=dict)
    ended: str | None = None


def way(recipe: Recipe, events: Iterable[tuple[str, Mapping[str, Json]]], now: str | None) -> Way:
    """From events (type and payload), the first one first; `now` is the step that the request is at."""
    order = [step.id for step in recipe.steps]
    steps: dict[str, tuple[Mark, str]] = {}
    ended: str | None = None
    for event_type, payload in events:
        if event_type == "step.skipped":
            steps[str(payload["step"])] = ("passed", "skipped")
        elif event_type == "step.completed":
            outcome = str(payload["outcome"])
            steps[str(payload["step"])] = _OUTCOMES.get(outcome, ("good", outcome))
        elif event_type == "request.rewound":
            # To the requester: all of it is looked at again. What stays approved says so again.
            back = order.index(payload["to"]) if payload["to"] in order else 0
            steps = {step: came for step, came in steps.items() if step in order[:back]}
        elif event_type == "request.finalized":
            ended = str(payload["state"])
    if now is not None and ended is None:
        steps[now] = ("now", "here now")
    return Way(steps, ended)


def marked(drawn: Chart, taken: Way) -> Chart:
    """The chart with what came of each step beside its name, and all of it said in the description."""
    nodes = tuple(_marked(node, taken) for node in drawn.nodes)
    told = [f"{node.box.title}." for node in nodes if node.mark is not None]
    if taken.ended is not None:
        told.append(f"The request is {taken.ended}.")
    description = (
        " ".join([drawn.description, "The way it took:", *told]) if told else drawn.description
    )
    return replace(drawn, nodes=nodes, description=description)


def _marked(node: Node, taken: Way) -> Node:
    came = taken.steps.get(node.id)
    if came is None:
        return node
    mark, word = came
    return replace(node, mark=mark, box=replace(node.box, title=f"{node.box.title}: {word}"))
