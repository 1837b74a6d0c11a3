"""A recipe of `kind: state_machine` as text: its states and actions read, and judged as a whole.

Refused: no states; no initial state, or two, or one that is final or disabled; an id twice; actions
from or to states that there are not, or out of a final one; timers that could never fire, or that lead
in a circle by themselves. Warned of: states that nothing leads to or out of, and no end.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import TypeVar

from recipes import calendar
from recipes.draft import PlacedMachine, Template
from recipes.fields import Fields
from recipes.model import (
    STEP_LIMIT,
    Duration,
    MachineAction,
    MachineOutcome,
    MachineState,
    MachineTimer,
)
from recipes.source import Book, Entries, Items, below

Made = TypeVar("Made")

STATE_KEYS = ("id", "name", "initial", "final", "enabled", "outcome", "timers")
ACTION_KEYS = (
    "id",
    "name",
    "enabled",
    "from",
    "to",
    "who",
    "not_requester",
    "require_comment",
)
_OUTCOMES: dict[str, MachineOutcome] = {"approved": "approved", "rejected": "rejected"}


# --- reading --------------------------------------------------------------------------------------


def read_machine(fields: Fields) -> PlacedMachine:
    """The machine that a recipe's entries `states` and `actions` spell."""
    states = _list(fields, "states", "a state", "- {id: draft, initial: true}", _state)
    actions = _list(
        fields, "actions", "an action", "- {id: submit, from: draft, to: done}", _action
    )
    return PlacedMachine(tuple(states), tuple(actions))


def _list(
    fields: Fields, key: str, what: str, example: str, make: Callable[[Fields], Made]
) -> Iterator[tuple[Made, str]]:
    node = fields.required(key, f"list {key}, each as `{example}`")
    if node is None:
        return
    if not isinstance(node, Items) or not node.items:
        fields.error(key, f"must be a list of {key}", f"begin with `{example}`")
        return
    if len(node.items) > STEP_LIMIT:
        message = f"lists {len(node.items)}; {STEP_LIMIT} are the most"
        fields.error(key, message, "split the recipe up")
    for index, item in enumerate(node.items):
        path = below(below(fields.path, key), index)
        if isinstance(item, Entries):
            yield make(Fields(item, path, fields.book)), path
        else:
            fields.book.error(path, f"must be {what}", f"write `{example}`")


def _state(fields: Fields) -> MachineState:
    fields.known(STATE_KEYS, "a state")
    final = fields.truth("final") is True
    if fields.node("outcome") is not None and not final:
        fields.error("outcome", "has no effect: the state is not final", "add `final: true`")
    return MachineState(
        id=fields.identifier("id") or "",
        name=fields.text("name"),
        initial=fields.truth("initial") is True,
        final=final,
        enabled=fields.truth("enabled") is not False,
        outcome=fields.choice("outcome", _OUTCOMES) or "approved",
        timers=_timers(fields),
    )


def _timers(fields: Fields) -> tuple[MachineTimer, ...]:
    if fields.node("timers") is None:
        return ()
    example = "- {after: 48h, fire: remind}"
    return tuple(timer for timer, _ in _list(fields, "timers", "a timer", example, _timer))


def _timer(fields: Fields) -> MachineTimer:
    fields.known(("after", "fire"), "a timer")
    fields.required("after", "add `after: 48h`")
    return MachineTimer(fields.duration("after") or 0, fields.identifier("fire") or "")


def _action(fields: Fields) -> MachineAction:
    fields.known(ACTION_KEYS, "an action")
    fields.required("from", "add `from: some_state`, or a list of states")
    return MachineAction(
        id=fields.identifier("id") or "",
        sources=tuple(dict.fromkeys(fields.texts("from"))),
        to=fields.identifier("to") or "",
        name=fields.text("name"),
        enabled=fields.truth("enabled") is not False,
        who=fields.texts("who"),
        not_requester=fields.truth("not_requester") is True,
        require_comment=fields.truth("require_comment") is True,
    )


def who(action: MachineAction, path: str) -> Iterator[Template]:
    """The references of an action: who may fire it."""
    for index, reference in enumerate(action.who):
        yield Template(below(below(path, "who"), index), reference, "person")


# --- judging --------------------------------------------------------------------------------------


def check_machine(machine: PlacedMachine, deadline: Duration | None, book: Book) -> None:
    """Write all that is wrong into the book."""
    _once(machine.states, "states", book)
    _once(machine.actions, "actions", book)
    _beginning(machine, book)
    states = {state.id: state for state, _ in machine.states}
    for action, path in machine.actions:
        _leads(action, path, states, book)
    for state, path in machine.states:
        for index, timer in enumerate(state.timers):
            place = below(below(path, "timers"), index)
            key, message, fix = _timer_problem(state, timer, machine, deadline)
            if message:
                book.error(below(place, key), message, fix)
    _circles(machine, book)
    if not book.failed:
        _reached(machine, states, book)


def _once(
    placed: Sequence[tuple[MachineState | MachineAction, str]], many: str, book: Book
) -> None:
    first: dict[str, str] = {}
    for item, path in placed:
        other = first.setdefault(item.id, path)
        if other != path and item.id:
            message = f"two {many} are called `{item.id}`; the first is {other}"
            book.error(below(path, "id"), message, "give each an id of its own")


def _beginning(machine: PlacedMachine, book: Book) -> None:
    """Exactly one initial state, in which something can happen."""
    initial = [(state, path) for state, path in machine.states if state.initial]
    if machine.states and not initial:
        first = machine.states[0][0].id or "the first one"
        fix = f"add `initial: true` to one state, such as `{first}`"
        book.error("states", "no state is initial: a request could not begin", fix)
    for _, path in initial[1:]:
        message = f"is a second initial state, after `{initial[0][0].id}`"
        book.error(below(path, "initial"), message, "keep `initial: true` on one of them")
    for state, path in initial:
        if state.final:
            message = "is initial and final: a request would end as it begins"
            book.error(below(path, "final"), message, "make another state final")
        if not state.enabled:
            message = "is initial and disabled: a request could not begin"
            book.error(below(path, "enabled"), message, "enable it, or begin elsewhere")


def _leads(action: MachineAction, path: str, states: dict[str, MachineState], book: Book) -> None:
    for index, source in enumerate(action.sources):
        listed = below(below(path, "from"), index)
        place = listed if book.has(listed) else below(path, "from")
        if source not in states:
            book.error(place, f"there is no state `{source}`", _nearest(source, states))
        elif states[source].final:
            message = f"`{source}` is a final state: nothing leads out of it"
            book.error(place, message, f"take it from the list, or `final` from `{source}`")
    if action.to and action.to not in states:
        message = f"there is no state `{action.to}`"
        book.error(below(path, "to"), message, _nearest(action.to, states))


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    named = [one for one in known if one]
    return f"did you mean `{close[0]}`?" if close else f"there are {', '.join(named) or 'none'}"


def _timer_problem(
    state: MachineState, timer: MachineTimer, machine: PlacedMachine, deadline: Duration | None
) -> tuple[str, str, str]:
    """Why a timer can never fire its action: key, message and fix. Empty texts if it can."""
    actions = {action.id: action for action, _ in machine.actions}
    disabled = {other.id for other, _ in machine.states if not other.enabled}
    action = actions.get(timer.fire)
    if state.final:
        return "fire", "never happens: the state is final", "delete the timer"
    if action is None:
        return "fire", f"there is no action `{timer.fire}`", _nearest(timer.fire, actions)
    if state.id not in action.sources:
        fix = f"add `{state.id}` to its `from`, or fire another one"
        return "fire", f"never happens: `{action.id}` does not lead out of `{state.id}`", fix
    if not action.enabled:
        return "fire", f"never happens: `{action.id}` is disabled", "enable it"
    if action.to in disabled:
        fix = f"enable `{action.to}`, or delete the timer"
        return "fire", f"never happens: `{action.id}` leads into a disabled state", fix
    if deadline is not None and calendar.not_shorter(timer.after, deadline):
        fix = "make it shorter, or the deadline longer"
        return "after", "never happens: the recipe's deadline comes first", fix
    return "", "", ""


def _circles(machine: PlacedMachine, book: Book) -> None:
    """Timers that lead back to where they began, with nobody doing anything."""
    after: dict[str, list[str]] = {}
    leads = {action.id: action.to for action, _ in machine.actions}
    for state, _ in machine.states:
        targets = [leads.get(timer.fire) for timer in state.timers]
        after[state.id] = [it for it in targets if it is not None and it != state.id]
    for state, path in machine.states:
        way = _way_back(state.id, after)
        if way is not None:
            message = f"timers lead in a circle by themselves: {' -> '.join(way)}"
            fix = "let one of these moves be somebody's action"
            book.error(below(path, "timers"), message, fix)
            return


def _way_back(start: str, after: dict[str, list[str]]) -> list[str] | None:
    """The way from `start` to `start`, if there is one."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for target in after.get(way[-1], ()):
            if target == start:
                return [*way, target]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def _reached(machine: PlacedMachine, states: dict[str, MachineState], book: Book) -> None:
    """Warn of states that no request comes into or, though they are not final, out of."""
    leads = {state.id: [] for state, _ in machine.states}
    for action, _ in machine.actions:
        if action.enabled and states[action.to].enabled:
            for source in action.sources:
                leads[source].append(action.to)
    reached = [state.id for state, _ in machine.states if state.initial]
    for here in reached:
        reached += [there for there in dict.fromkeys(leads[here]) if there not in reached]
    for state, path in machine.states:
        if not state.enabled:
            continue
        if state.id not in reached:
            message = f"`{state.id}` is never reached: no action leads there from the initial state"
            book.warning(path, message, "add an action that does, or delete it")
        elif not state.final and set(leads[state.id]) <= {state.id}:
            message = f"nothing leads out of `{state.id}`: a request in it is stuck"
            book.warning(path, message, "add an action from it, or `final: true`")
    if not any(state.final and state.id in reached for state in states.values()):
        message = "no final state can be reached: a request never ends, unless it is cancelled"
        book.warning("states", message, "make one of them `final: true`")
