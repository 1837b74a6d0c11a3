"""The way that a request would take, in words: whom each step would ask, how long they have, what is left out. Pure:
from what the API says of a simulation, in which everybody agrees at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any

from api.web.names import Names
from contract import words

_ENDS = {
    "approved": "Then it is approved.",
    "rejected": "Then it is rejected.",
    "cancelled": "Then it is cancelled.",
    "expired": "Then it has expired.",
}
_PLAIN = frozenset(("person", "candidates"))
"""Rules that say no more than who is asked."""
_LATE = {
    "escalate": "then their manager is asked",
    "approve": "then it counts as approved",
    "reject": "then it is rejected",
    "expire": "then the request expires",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asked, in words; `why` is how they were found."""

    who: str
    has: str
    due_at: str | None
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that comes, or one that does not: `skipped` says why."""

    name: str
    does: str | None
    asked: tuple[Person, ...]
    skipped: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """`end` says what it comes to; `stuck`: not to an end, as things are. `choices`: one of the steps comes, not all
    of them in turn."""

    steps: tuple[Step, ...]
    end: str
    stuck: bool
    heading: str = "Who will be asked"
    choices: bool = False


def people(simulated: Mapping[str, Any]) -> list[str]:
    """The ids of all whom it would ask."""
    tasks = [task for step in simulated["path"] for task in step["tasks"]]
    found = [
        person
        for task in tasks
        for person in (task["assignee"], task["on_behalf_of"], *task["could_decide"], *task["via"])
        if person is not None
    ]
    first = chain.from_iterable(action["could_fire"] for action in simulated["actions"])
    return list(dict.fromkeys((*found, *first)))


def beginning(
    simulated: Mapping[str, Any], names: Names, states: Sequence[Mapping[str, Any]]
) -> Preview:
    """Of a state machine, in words: where it begins, and who can go on from there; `states` as the recipe has
    them."""
    called = {state["id"]: state["name"] or words.label(state["id"]) for state in states}
    steps = tuple(
        Step(
            action["name"] or words.label(action["id"]),
            f"leads to {called[action['to']]}",
            () if action["nobody"] else (_firing(action, names, simulated["at"]),),
            None,
            (action["nobody"],) if action["nobody"] else (),
        )
        for action in simulated["actions"]
    )
    stuck = not any(step.asked for step in steps)
    end = f"It begins as {called[simulated['status']]}."
    end += " Nobody could go on from there." if stuck else " From there people choose its way."
    return Preview(steps, end, stuck, "Who can go on first", choices=True)


def _firing(action: Mapping[str, Any], names: Names, at: str) -> Person:
    people = [names.of(person) for person in action["could_fire"]]
    has = ""
    if action["fires_at"] is not None:
        has = (
            f"or by itself after {words.span(words.moment(action['fires_at']) - words.moment(at))}"
        )
    return Person(_listed(people) if people else "Whoever may see it", has, None, ())


def preview(simulated: Mapping[str, Any], names: Names, steps: Sequence[Any]) -> Preview:
    """In words; `names` by id, `steps` as the recipe has them."""
    path = tuple(_step(step, names) for step in simulated["path"] if _told(step))
    stuck = bool(simulated["incidents"]) or simulated["stopped"]
    later = [
        step["name"] or words.label(step["id"])
        for step in steps
        if step["id"] in simulated["not_reached"]
    ]
    if stuck:
        end = "It would wait there until somebody helps."
        if later:
            end += f" Not reached: {', '.join(later)}."
        return Preview(path, end, stuck=True)
    return Preview(path, _ENDS.get(simulated["state"], "Then it waits."), stuck=False)


def _told(step: Mapping[str, Any]) -> bool:
    """Not of a step that only ends the request."""
    return step["type"] != "action" or step["outcome"] == "skipped"


def _step(step: Mapping[str, Any], names: Names) -> Step:
    skipped = None
    if step["outcome"] == "skipped":
        skipped = f"only if {step['when']}" if step["when"] else "not needed"
    first = [task for task in step["tasks"] if task["level"] == 0] or step["tasks"]
    return Step(
        step["name"] or words.label(step["step"]),
        step["does"],
        tuple(_person(task, names) for task in first),
        skipped,
        tuple(incident["detail"] for incident in step["incidents"]),
    )


def _person(task: Mapping[str, Any], names: Names) -> Person:
    return Person(
        _who(task, names),
        _has(task, names),
        task["due_at"],
        tuple(hop["text"] for hop in task["chain"] if hop["rule"] not in _PLAIN),
    )


def _who(task: Mapping[str, Any], names: Names) -> str:
    if task["assignee"] is None:
        could = [names.of(person) for person in task["could_decide"]]
        whose = " or ".join(map(names.of, task["candidates"]))
        if whose.startswith("anyone "):
            whose = f"A{whose[1:]}"
        return f"{whose}: {_listed(could)}" if could else whose
    who = names.of(task["assignee"])
    instead = task["on_behalf_of"]
    return who if instead is None else f"{who}, on behalf of {names.of(instead)}"


def _has(task: Mapping[str, Any], names: Names) -> str:
    """How long they have, and what comes then."""
    if task["due_at"] is None:
        return ""
    length: timedelta = words.moment(task["due_at"]) - words.moment(task["opened_at"])
    action, _, to = (task["when_due"] or "").partition(":")
    then = f"then {names.of(to)} is asked" if action == "reassign" else _LATE.get(action, "")
    return f"has {words.span(length)}" + (f", {then}" if then else "")


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    shown = first[:4]
    if len(first) > len(shown):
        return f"{', '.join(shown)} and {len(first) - len(shown) + 1} others"
    return f"{', '.join(shown)} or {last}" if shown else last
