"""A state machine as a picture: what there is to draw, and as Mermaid text. `machine_svg` draws it by itself.

Its states in the order in which they can be reached, those that end it last; in each state the actions that lead
out of it, with who may fire them and what its timers fire by themselves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from recipes import calendar
from recipes.diagram import Box, End, after_ends, bare, plain, quoted
from recipes.model import Json, Machine, MachineAction, MachineState, Recipe
from recipes.way_taken import Mark


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action as it leads out of one state; `took`: one request went this way."""

    id: str
    box: Box
    to: str
    enabled: bool = True
    took: bool = False


@dataclass(frozen=True, slots=True)
class StateBox:
    """One state. `mark` says what came of it in one request."""

    id: str
    box: Box
    rows: tuple[ActionRow, ...]
    enabled: bool = True
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class MachineChart:
    """What there is to draw; the first state is where a request begins. `description` says all of it in
    sentences, for those who can't see it."""

    title: str
    description: str
    states: tuple[StateBox, ...]
    deadline: str | None
    after: tuple[tuple[End, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class MachineWay:
    """How often a request came into each state, and left which by which action; where it is; `ended` is its
    final state."""

    visits: Mapping[str, int] = field(default_factory=dict)
    fired: Mapping[tuple[str, str], int] = field(default_factory=dict)
    status: str | None = None
    ended: str | None = None


def chart(recipe: Recipe, machine: Machine) -> MachineChart:
    states = tuple(_state(machine, state) for state in _in_order(machine))
    deadline = None if recipe.deadline is None else calendar.text(recipe.deadline)
    after = tuple(after_ends(recipe))
    told = [f"It begins in {states[0].box.title}.", *map(_sentence, states)]
    told += [] if deadline is None else [f"It expires {deadline} after its submission."]
    told += [f"Once {end.lower()}: {', then '.join(does)}." for end, does in after]
    title = f"{recipe.workflow} version {recipe.version}"
    return MachineChart(title, " ".join(told), states, deadline, after)


def mermaid(recipe: Recipe, machine: Machine) -> str:
    """A Mermaid flowchart."""
    drawn = chart(recipe, machine)
    entries = {state.id: f"state{number}" for number, state in enumerate(drawn.states)}
    lines = [
        "flowchart TD",
        f"  accTitle: {plain(drawn.title)}",
        f"  accDescr: {plain(drawn.description)}",
        '  submitted(["Submitted"])',
        "  submitted --> state0",
    ]
    for state in drawn.states:
        text = "<br>".join(map(quoted, (state.box.title, *state.box.lines)))
        lines.append(f'  {entries[state.id]}["{text}"]')
        for row in state.rows:
            label = "<br>".join(map(quoted, (row.box.title, *row.box.lines[1:])))
            way = "-->" if row.enabled else "-.->"
            lines.append(f'  {entries[state.id]} {way}|"{label}"| {entries[row.to]}')
    if drawn.deadline is not None:
        lines.append(f'  submitted -. "after {drawn.deadline}" .-> expired(["Expired"])')
    return "\n".join(lines) + "\n"


def way(
    machine: Machine, events: Iterable[tuple[str, Mapping[str, Json]]], status: str | None
) -> MachineWay:
    """From events (type and payload), the first one first; `status` is the state that the request is in."""
    visits = {machine.initial.id: 1}
    fired: dict[tuple[str, str], int] = {}
    ended: str | None = None
    for event_type, payload in events:
        if event_type == "action.fired":
            action, source, to = (str(payload[name]) for name in ("action", "from", "to"))
            fired[source, action] = fired.get((source, action), 0) + 1
            if to != source:
                visits[to] = visits.get(to, 0) + 1
        elif event_type == "request.finalized":
            ended = str(payload["state"])
    return MachineWay(visits, fired, status or machine.initial.id, ended)


def marked(drawn: MachineChart, taken: MachineWay) -> MachineChart:
    """The chart with what came of each state and action beside its name, and all of it said in the description."""
    states = tuple(_marked(state, taken) for state in drawn.states)
    told = [f"{state.box.title}." for state in states if state.mark is not None]
    told += [
        f"{row.box.title}, from {plain_state.box.title}."
        for plain_state, state in zip(drawn.states, states, strict=True)
        for row in state.rows
        if row.took
    ]
    told += [] if taken.ended is None else [f"The request is {taken.ended}."]
    return replace(
        drawn,
        states=states,
        description=" ".join([drawn.description, "The way it took:", *told]),
    )


def _marked(state: StateBox, taken: MachineWay) -> StateBox:
    rows = tuple(_fired(row, taken.fired.get((state.id, row.id), 0)) for row in state.rows)
    visits = taken.visits.get(state.id, 0)
    if state.id == taken.status:
        mark, word = _here(taken.ended)
        word += f", for the {_th(visits)} time" if visits > 1 else ""
    elif visits:
        mark, word = "good", f"was here{_times(visits)}"
    else:
        return replace(state, rows=rows)
    title = f"{state.box.title}: {word}"
    return replace(state, rows=rows, mark=mark, box=replace(state.box, title=title))


def _here(ended: str | None) -> tuple[Mark, str]:
    if ended is None:
        return "now", "here now"
    return ("good" if ended == "approved" else "bad"), f"{ended} here"


def _fired(row: ActionRow, count: int) -> ActionRow:
    if count == 0:
        return row
    title = f"{row.box.title}: fired{_times(count)}"
    return replace(row, took=True, box=replace(row.box, title=title))


def _times(count: int) -> str:
    return {1: "", 2: " twice"}.get(count, f" {count} times")


def _th(count: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{'th' if count % 100 in (11, 12, 13) else ending}"


# --- what a state says ---------------------------------------------------------------------------


def _in_order(machine: Machine) -> list[MachineState]:
    """As they can be reached, step by step; then those that can't; then those that end it."""
    order = [machine.initial.id]
    for here in order:
        leads = (action.to for action in machine.actions if here in action.sources)
        order += [to for to in dict.fromkeys(leads) if to not in order]
    reached = [machine.state(name) for name in order]
    every = [*reached, *(state for state in machine.states if state.id not in order)]
    return sorted(every, key=lambda state: state.final)


def _state(machine: Machine, state: MachineState) -> StateBox:
    lines = [] if state.enabled else ["disabled: nothing leads into it"]
    if state.final:
        lines.append(f"final: the request is {state.outcome}")
    rows = tuple(
        _row(machine, state, action) for action in machine.actions if state.id in action.sources
    )
    return StateBox(state.id, Box(state.name or state.id, tuple(lines)), rows, state.enabled)


def _row(machine: Machine, state: MachineState, action: MachineAction) -> ActionRow:
    to = machine.state(action.to)
    leads = "stays there" if action.to == state.id else f"to {to.name or to.id}"
    lines = [leads, f"by {_listed(map(_whom, action.who)) or 'anybody who may see it'}"]
    lines += ["not by its requester"] if action.not_requester else []
    lines += ["with a comment"] if action.require_comment else []
    lines += [
        f"by itself after {calendar.text(timer.after)}"
        for timer in state.timers
        if timer.fire == action.id
    ]
    lines += [] if action.enabled else ["disabled"]
    box = Box(action.name or action.id, tuple(lines))
    return ActionRow(action.id, box, action.to, action.enabled and to.enabled)


def _whom(reference: str) -> str:
    """Whom a reference names, shorter where it is nothing but one expression: `user:{{ reviewer }}`."""
    named = bare(reference.removeprefix("user:")) if "{{" in reference else reference
    return "its requester" if named == "request.requester" else named


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)


def _sentence(state: StateBox) -> str:
    """A state and its actions in a sentence."""
    leads = (f"{row.box.title} {', '.join(row.box.lines)}" for row in state.rows)
    return "; ".join([f"State {state.box.title}", *state.box.lines, *leads]) + "."
