"""What differs between two versions of a recipe, by meaning: steps and branches by their ids, inputs by
their names, each key spelled as a recipe spells it. Comments, order of keys and other ways to write
the same leave no trace.

Whatever the recipe's tree holds is compared, also what it is given later: a field that has no spelling
of its own here is told as it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import Literal

from pydantic_core import to_json

from recipes import calendar
from recipes.model import (
    ApprovalStep,
    Ballot,
    BusinessDays,
    Confidential,
    Group,
    JobStep,
    Json,
    Level,
    Outcome,
    Quorum,
    Recipe,
    Reminder,
    Step,
    WaitStep,
)

_DERIVED = frozenset(
    {"workflow", "version", "steps", "inputs", "implied", "employee_paths"}
    | {"on_approved", "on_rejected", "on_cancelled", "on_expired"}
)
"""Fields that are told otherwise, or follow from others."""
_DURATIONS = frozenset({"deadline", "resubmit_within"})
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs, at `place`, such as `steps.boss.timeout`. None is nothing there."""

    place: str
    kind: Literal["added", "removed", "changed", "moved"]
    before: Json
    after: Json

    @property
    def text(self) -> str:
        """It in a few words."""
        if self.kind == "moved":
            return f"comes {self.after}, came {self.before}"
        if self.kind == "added":
            return f"is new: {_short(self.after)}"
        if self.kind == "removed":
            return f"is gone: {_short(self.before)}"
        return f"{_short(self.before)} becomes {_short(self.after)}"


def differences(old: Recipe, new: Recipe) -> tuple[Change, ...]:
    """Every difference, in the order in which recipes are written: keys, inputs, steps."""
    return (
        *_compared("", _keys(old), _keys(new)),
        *_compared("inputs", _inputs(old), _inputs(new)),
        *_steps("steps", old.steps, new.steps),
        *chain.from_iterable(
            _steps(f"on_{state}", old.callbacks(state), new.callbacks(state))
            for state in ("approved", "rejected", "cancelled", "expired")
        ),
    )


def spelled(step: Step) -> dict[str, Json]:
    """A step as a recipe spells it, but for its id; branches by their ids."""
    if isinstance(step, JobStep):
        return _job(step)
    if isinstance(step, WaitStep):
        found = _keys(step, "id", "seconds")
        return found | ({"for": calendar.text(step.seconds)} if step.seconds else {})
    if not isinstance(step, ApprovalStep):
        return _keys(step, "id")
    own = _keys(step, "id", "ballots", "on_reject")
    if step.on_reject is not None:
        own["on_reject"] = f"rewind:{step.on_reject}"
    if step.type == "approval":
        if step.ballots[0].approvers is None:
            del own["quorum"]  # one seat
        return own | ballot(step.ballots[0])
    if step.groups:
        own["groups"] = {group.id: _keys(group, "id") for group in step.groups}
    return own | {"branches": {each.id: ballot(each) for each in step.ballots}}


def _job(step: JobStep) -> dict[str, Json]:
    """Automatic work; what it has where nothing is said goes without saying."""
    plain = JobStep(step.id, step.run)
    found = _keys(step, "id", "inputs", "timeout", "retry", "on_failure")
    if step.inputs:
        found["with"] = step.inputs
    if step.timeout != plain.timeout:
        found["timeout"] = calendar.text(step.timeout)
    if step.retry != plain.retry:
        times = {name: calendar.text(getattr(step.retry, name)) for name in ("first", "most")}
        found["retry"] = {"attempts": step.retry.attempts, **times}
    if step.on_failure != plain.on_failure:
        found["on_failure"] = step.on_failure
    return found


def ballot(each: Ballot) -> dict[str, Json]:
    """Whom to ask and what happens meanwhile, as a recipe spells it, but for its id."""
    levels = each.levels
    found = _keys(each, "id", "levels", "outcomes")
    if each.outcomes:
        found["outcomes"] = {outcome.id: _outcome(outcome) for outcome in each.outcomes}
    if levels:
        found["timeout"] = calendar.text(levels[0].after)
        found["on_timeout"] = on_timeout(levels)
    return found


def on_timeout(levels: Sequence[Level]) -> Json:
    """One action, or the list of levels with their times where these differ from the first."""
    told: list[Json] = [
        _action(level)
        if level.after == levels[0].after
        else {"after": calendar.text(level.after), "action": _action(level)}
        for level in levels
    ]
    return told[0] if len(told) == 1 else told


# --- two trees side by side ----------------------------------------------------------------------


def _compared(place: str, old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        where = f"{place}.{name}" if place else name
        if name not in new:
            yield Change(where, "removed", old[name], None)
        elif name not in old:
            yield Change(where, "added", None, new[name])
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            yield from _compared(where, old[name], new[name])
        elif old[name] != new[name]:
            yield Change(where, "changed", old[name], new[name])


def _steps(within: str, old: Sequence[Step], new: Sequence[Step]) -> Iterator[Change]:
    before = {step.id: step for step in old}
    after = {step.id: step for step in new}
    for step in old:
        if step.id not in after:
            yield Change(f"{within}.{step.id}", "removed", spelled(step), None)
    moved = _moved([s.id for s in old if s.id in after], [s.id for s in new if s.id in before])
    for step in new:
        place = f"{within}.{step.id}"
        if step.id not in before:
            position = _position(new, step.id)
            yield Change(place, "added", None, {"comes": position, **spelled(step)})
            continue
        if step.id in moved:
            yield Change(place, "moved", _position(old, step.id), _position(new, step.id))
        yield from _compared(place, spelled(before[step.id]), spelled(step))


def _moved(old: list[str], new: list[str]) -> set[str]:
    """Those of the same ids that have changed places with others; as few as explain it."""
    blocks = SequenceMatcher(a=old, b=new, autojunk=False).get_matching_blocks()
    stayed = {old[block.a + offset] for block in blocks for offset in range(block.size)}
    return set(old) - stayed


def _position(steps: Sequence[Step], step_id: str) -> str:
    ids = [step.id for step in steps]
    index = ids.index(step_id)
    return "first" if index == 0 else f"after {ids[index - 1]}"


# --- how a recipe spells it ----------------------------------------------------------------------


def _keys(node: Recipe | Step | Ballot | Group, *without: str) -> dict[str, Json]:
    """The fields of a node that say something, spelled."""
    found: dict[str, Json] = {}
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in _DERIVED or field.name in without or value in (None, (), {}):
            continue
        found[field.name] = calendar.text(value) if field.name in _DURATIONS else _value(value)
    return found


def _value(value: Json) -> Json:
    match value:
        case tuple():
            return [_value(item) for item in value]
        case Quorum():
            return quorum(value)
        case BusinessDays():
            return calendar.text(value)
        case Confidential(roles, names):
            said = "everything" if names is None else _value(names)
            return {"visible_to": _value(roles), "fields": said}
        case Reminder():
            return f"{calendar.text(value.seconds)}{' before' if value.before_due else ''}"
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def _outcome(outcome: Outcome) -> dict[str, Json]:
    told: dict[str, Json] = {"name": outcome.name, "as": outcome.counts_as}
    return told if outcome.to is None else {**told, "to": outcome.to}


def quorum(wanted: Quorum) -> Json:
    if wanted.kind == "percent":
        return f"{wanted.value}%"
    return wanted.value if wanted.kind == "count" else wanted.kind


def _action(level: Level) -> str:
    return level.action if level.to is None else f"{level.action}:{level.to}"


def _inputs(recipe: Recipe) -> dict[str, Json]:
    """The inputs by name, each with whether it is required; other keywords of the schema as they are."""
    if recipe.inputs is None:
        return dict.fromkeys(recipe.implied, "anything, required")
    schema = dict(recipe.inputs)
    required = schema.pop("required", [])
    members = schema.pop("properties", {})
    schema.pop("type", None)
    found: dict[str, Json] = {}
    for name in dict.fromkeys((*members, *required)):
        member = members.get(name, True)
        told = member if isinstance(member, dict) else {"allowed": member}
        found[name] = {**told, "required": name in required}
    return found | {f"({keyword})": value for keyword, value in schema.items()}


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
