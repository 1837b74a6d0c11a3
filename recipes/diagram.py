"""A recipe of steps as a picture: what there is to draw, and as Mermaid text. `diagram_svg` draws it by itself.

The flow goes down, step after step. A step's `when` stands before it, with a way past it; from an
approval ways lead out for a rejection and, where time can do that, for an expiry; and back, where the
recipe says so. That everybody who is asked may request changes is said, but not drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from recipes import calendar, tally
from recipes.difference import on_timeout, quorum, spelled
from recipes.model import (
    REQUESTER,
    ActionStep,
    ApprovalStep,
    Ballot,
    Callback,
    JobStep,
    Json,
    NotifyStep,
    Recipe,
    Step,
    WaitStep,
)
from recipes.state import Seat

End = Literal["Approved", "Rejected", "Cancelled", "Expired"]
_ENDS: tuple[End, ...] = ("Approved", "Rejected", "Cancelled", "Expired")
_ACTIONS: dict[str, End] = {"approve": "Approved", "reject": "Rejected"}


@dataclass(frozen=True, slots=True)
class Box:
    """Something with a heading and lines below it."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Back:
    """A way back: on what, and `to` which step, or REQUESTER."""

    label: str
    to: str


@dataclass(frozen=True, slots=True)
class Node:
    """One step. `branches` are side by side in it; `out` are the ends it can lead to beside going on;
    `ends`: it never goes on. `mark` says what came of it in one request (`way_taken`)."""

    id: str
    box: Box
    when: str | None
    branches: tuple[Box, ...] = ()
    out: tuple[End, ...] = ()
    ends: bool = False
    back: tuple[Back, ...] = ()
    asks: bool = False
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What there is to draw. `description` says all of it in sentences, for those who can't see it."""

    title: str
    description: str
    nodes: tuple[Node, ...]
    deadline: str | None
    after: tuple[tuple[End, tuple[str, ...]], ...] = ()
    """By end: what is done after it, in words, in order."""


def chart(recipe: Recipe) -> Chart:
    nodes = tuple(_node(step) for step in recipe.steps)
    deadline = None if recipe.deadline is None else calendar.text(recipe.deadline)
    title = f"{recipe.workflow} version {recipe.version}"
    description = _description(nodes, deadline)
    if recipe.calendar is not None:
        description += f" Business days (bd) are those of the calendar {recipe.calendar}."
    if recipe.confidential is not None:
        what = ", ".join(recipe.confidential.fields or ("everything",))
        description += (
            f" Confidential: {what}; visible to {', '.join(recipe.confidential.visible_to)}."
        )
    after = tuple(after_ends(recipe))
    told = " ".join(f"Once {end.lower()}: {', then '.join(does)}." for end, does in after)
    description = f"{description} {told}".strip()
    return Chart(title, description, nodes, deadline, after)


def after_ends(recipe: Recipe) -> Iterator[tuple[End, tuple[str, ...]]]:
    for end in _ENDS:
        if found := recipe.callbacks(end.lower()):
            yield end, tuple(_callback(step) for step in found)


def _callback(step: Callback) -> str:
    when = "" if step.when is None else f" when {step.when}"
    return f"{step.name or step.id} {', '.join(_automatic(step))}{when}"


def mermaid(recipe: Recipe) -> str:
    """A Mermaid flowchart."""
    drawn = chart(recipe)
    lines = [
        "flowchart TD",
        f"  accTitle: {plain(drawn.title)}",
        f"  accDescr: {plain(drawn.description)}",
        '  submitted(["Submitted"])',
    ]
    used: dict[End, None] = {}
    before, label = ["submitted"], ""
    entries = {REQUESTER: "submitted"}
    for number, node in enumerate(drawn.nodes):
        entry = f"step{number}"
        ways: list[str] = []
        if node.when is not None:
            lines.append(f'  when{number}{{"{quoted(node.when)}"}}')
            lines += [f"  {each} --> when{number}" for each in before]
            before, label = [f"when{number}"], "|yes|"
            ways = [f"when{number} -- no"]
        lines += _step_lines(entry, node)
        lines += [f"  {each} -->{label} {entry}" for each in before]
        label = ""
        entries[node.id] = entry if node.when is None else f"when{number}"
        for end in node.out:
            used[end] = None
            lines.append(f"  {entry} -->|{end.lower()}| {end.lower()}")
        for back in node.back:
            lines.append(f'  {entry} -. "{quoted(back.label)}" .-> {entries[back.to]}')
        before = ways if node.ends else [*ways, entry]
    for each in before:
        used["Approved"] = None
        lines.append(f"  {each} --> approved")
    if drawn.deadline is not None:
        used["Expired"] = None
        lines.append(f'  submitted -. "after {drawn.deadline}" .-> expired')
    for end, does in drawn.after:
        used[end] = None
        lines += [
            f'  after_{end.lower()}["{"<br>".join(map(quoted, does))}"]',
            f"  {end.lower()} --> after_{end.lower()}",
        ]
    return "\n".join([*lines, *(f'  {end.lower()}(["{end}"])' for end in used)]) + "\n"


def _step_lines(entry: str, node: Node) -> Iterator[str]:
    text = "<br>".join(quoted(line) for line in (node.box.title, *node.box.lines))
    if not node.branches:
        yield f'  {entry}["{text}"]'
        return
    yield f'  subgraph {entry}["{text}"]'
    for number, branch in enumerate(node.branches):
        inner = "<br>".join(quoted(line) for line in (branch.title, *branch.lines))
        yield f'    {entry}_{number}["{inner}"]'
    yield "  end"


def quoted(text: str) -> str:
    """Text within the quotes of a Mermaid label: whatever could end it or mean markup is an entity."""
    special = '"#;<>&`|{}[]()\\'
    return "".join(f"#{ord(c)};" if c in special else c for c in plain(text))


def plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


# --- what a step says ----------------------------------------------------------------------------


def _node(step: Step) -> Node:
    title = step.name if step.name is not None else step.id
    if isinstance(step, ActionStep):
        end = _ACTIONS[step.action]
        reason = () if step.reason is None else (step.reason,)
        return Node(step.id, Box(title, reason), step.when, out=(end,), ends=True)
    if not isinstance(step, ApprovalStep):
        fails: tuple[End, ...] = ()
        if isinstance(step, JobStep) and step.on_failure == "reject":
            fails = ("Rejected",)
        return Node(step.id, Box(title, _automatic(step)), step.when, out=fails)
    actions = {level.action for ballot in step.ballots for level in ballot.levels}
    back = _ways_back(step)
    ends: tuple[End, ...] = ("Rejected",) if step.on_reject is None else ()
    out: tuple[End, ...] = (*ends, "Expired") if "expire" in actions else ends
    leads = tuple(f"{way.label}: back to {way.to}" for way in back)
    if step.type == "parallel":
        boxes = tuple(_branch(step, each) for each in step.ballots)
        box = Box(title, (*_needed(step), *leads))
        return Node(step.id, box, step.when, boxes, out, back=back, asks=True)
    [ballot] = step.ballots
    needed = () if ballot.approvers is None else (f"needs {quorum(step.quorum)} of them",)
    box = Box(title, (*_ballot(ballot), *needed, *leads))
    return Node(step.id, box, step.when, out=out, back=back, asks=True)


def _ways_back(step: ApprovalStep) -> tuple[Back, ...]:
    """Those that the recipe names: a rejection, and outcomes of its own."""
    found = [] if step.on_reject is None else [Back("rejected", step.on_reject)]
    outcomes = [outcome for ballot in step.ballots for outcome in ballot.outcomes]
    found += [Back(outcome.name, outcome.to) for outcome in outcomes if outcome.to is not None]
    return tuple(dict.fromkeys(found))


def _branch(step: ApprovalStep, ballot: Ballot) -> Box:
    lines = list(_ballot(ballot))
    weight = step.weights.get(ballot.id)
    lines += [] if weight is None else [f"counts {weight}"]
    lines += ["may veto"] if ballot.id in step.veto else []
    lines += [f"in group {group.id}" for group in step.groups if ballot.id in group.branches]
    return Box(ballot.name or ballot.id, tuple(lines))


def _needed(step: ApprovalStep) -> tuple[str, ...]:
    """What each of its quorums needs."""
    seats = [Seat(ballot.id, ballot.id) for ballot in step.ballots]
    lines: list[str] = []
    for part in tally.blocs(step, seats):
        weighed = part.total != len(part.seats)
        what = f"a weight of {part.total}" if weighed else f"{part.total}"
        whose = "" if part.group is None else f"group {part.group} "
        lines.append(f"{whose}needs {quorum(part.quorum)} of {what}")
    return tuple(lines)


def _automatic(step: Step) -> tuple[str, ...]:
    """What an automatic step does, a line each."""
    match step:
        case JobStep():
            continues = ("goes on if it fails",) if step.on_failure == "continue" else ()
            return (f"runs {step.run}", *continues)
        case WaitStep(until=str(until)):
            return (f"waits until {until}",)
        case WaitStep():
            return (f"waits {calendar.text(step.seconds or 0)}",)
        case NotifyStep():
            return (f"tells {', '.join(map(bare, step.to))}",)
        case _:  # a kind of step that is not known here: by its keys
            return tuple(f"{key}: {_said(value)}" for key, value in spelled(step).items())


def _ballot(ballot: Ballot) -> tuple[str, ...]:
    """Whom it asks, and what happens while they don't answer, a line each."""
    lines: list[str] = []
    if ballot.candidates:
        lines.append(f"asks any of {', '.join(map(bare, ballot.candidates))}")
    elif ballot.approvers is not None:
        lines.append(f"asks each of {bare(ballot.approvers)}")
    else:
        lines.append(f"asks {bare(ballot.approver or '')}")
    if ballot.authority is not None:
        lines.append(
            f"whose limit covers {ballot.authority.amount} {ballot.authority.currency.strip(chr(39))}"
        )
    if ballot.not_same_as:
        lines.append(f"not who decided {', '.join(ballot.not_same_as)}")
    if ballot.remind:
        lines.append(f"reminds {_said(_reminders(ballot))}")
    if ballot.levels:
        told = on_timeout(ballot.levels)
        actions = told if isinstance(told, list) else [told]
        first = calendar.text(ballot.levels[0].after)
        for number, action in enumerate(actions):
            after = action["after"] if isinstance(action, dict) else first
            what = action["action"] if isinstance(action, dict) else action
            lines.append(f"{'after' if number == 0 else 'then after'} {after}: {what}")
    ends = [it for it in ballot.outcomes if it.counts_as != "rewind"]
    if ends:
        lines.append(f"also offers {', '.join(f'{it.name} ({it.counts_as})' for it in ends)}")
    if ballot.show:
        lines.append(f"shows {', '.join(ballot.show)}")
    for needed, what in ((ballot.require_comment, "comment"), (ballot.require_reason, "reason")):
        if needed:
            lines.append(f"{what} needed to {' or '.join(needed)}")
    return tuple(lines)


def _reminders(ballot: Ballot) -> list[str]:
    return [
        f"{calendar.text(each.seconds)} before"
        if each.before_due
        else f"after {calendar.text(each.seconds)}"
        for each in ballot.remind
    ]


def bare(reference: str) -> str:
    """A reference without the braces of a template that is nothing but an expression."""
    text = reference.strip()
    whole = text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1
    return text[2:-2].strip() if whole else text


def _said(value: Json) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _description(nodes: tuple[Node, ...], deadline: str | None) -> str:
    """The flow in sentences."""
    told: list[str] = []
    for number, node in enumerate(nodes, 1):
        parts = [f"Step {number}, {node.box.title}"]
        parts += [f"only when {node.when}"] if node.when is not None else []
        parts += node.box.lines
        parts += [f"{each.title}: {', '.join(each.lines)}" for each in node.branches]
        ends = f"ends as {node.out[0].lower()}" if node.ends else None
        out = " or ".join(end.lower() for end in node.out)
        parts.append(ends or (f"may end as {out}" if out else "goes on"))
        told.append("; ".join(parts) + ".")
    if any(node.asks for node in nodes):
        told.append("Whoever is asked may request changes instead: then it goes back.")
    if not nodes or not nodes[-1].ends or nodes[-1].when is not None:
        told.append("After the last step the request is approved.")
    if deadline is not None:
        told.append(f"It expires {deadline} after its submission.")
    return " ".join(told)
