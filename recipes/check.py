"""Judges a whole recipe: what would never happen, never end, or never find anybody.

Steps run in the order they stand. What leads back is judged in `check_rewinding`: people turn every
loop.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain

from recipes import calendar
from recipes.check_calendar import check_calendar
from recipes.check_expressions import Expressions
from recipes.check_jobs import check_automatic
from recipes.check_rewinding import check_rewinding
from recipes.check_schema import check_schema, mended
from recipes.confidential import check_confidential
from recipes.draft import Draft, Placed, Template, templates
from recipes.model import (
    ActionStep,
    ApprovalStep,
    Ballot,
    BusinessDays,
    Duration,
    Level,
    Recipe,
    Reminder,
    Step,
)
from recipes.parse_machine import check_machine, who
from recipes.schema import properties
from recipes.source import Book, below
from recipes.starting import check_start
from recipes.templates import literal_length
from recipes.voting import check_voting

_ENDINGS = {"approve", "reject", "expire"}
_PLAIN = re.compile(r"(?:(?:role|user):)?[A-Za-z0-9][A-Za-z0-9_.@+-]*", re.ASCII)


def check(
    draft: Draft,
    book: Book,
    principals: frozenset[str] | None,
    calendars: frozenset[str] | None = None,
    functions: frozenset[str] | None = None,
) -> Recipe:
    """Write all that is wrong into the book, and complete the recipe with what its expressions tell.

    `principals` are the roles and people there are, `role:x` and `user:y`, `calendars` the names of
    those that are imported, `functions` those that tasks can run; None if unknown.
    """
    recipe = draft.recipe
    if recipe.inputs is not None:
        check_schema(recipe.inputs, book)
    sound = None if recipe.inputs is None else mended(recipe.inputs)
    if recipe.owner is None and not book.has("owner"):
        fix = "add `owner: some-role`"
        book.warning("", "nobody is told of incidents: `owner` is missing", fix)
    expressions = Expressions(draft, book, sound)
    complete = expressions.complete()
    check_start(recipe, principals, book)
    check_calendar(draft, calendars, book)
    _unique_steps(draft, book)
    _reachable(draft, expressions, book)
    check_rewinding(draft, sound, complete.implied, book)
    inputs = complete.implied if sound is None else tuple(properties(sound))
    check_confidential(draft, inputs, principals, book)
    before: list[Step] = []
    for placed in draft.steps:
        for ballot, path in placed.placed_ballots():
            _asks_somebody(ballot, path, placed, book)
            _not_the_same(ballot, path, before, draft, book)
            _times(ballot, path, recipe.deadline, book)
        _quorum(placed, book)
        check_voting(placed, book)
        if isinstance(placed.step, ApprovalStep) and placed.step.type == "parallel":
            _branches(placed, book)
        if principals is not None:
            _there(templates(placed), principals, book)
        before.append(placed.step)
    check_automatic(draft, expressions, functions, book)
    for placed in chain.from_iterable(draft.callbacks.values()):
        if principals is not None:
            _there(templates(placed), principals, book)
    if draft.machine is not None:
        check_machine(draft.machine, recipe.deadline, book)
        named = (who(action, path) for action, path in draft.machine.actions)
        if principals is not None:
            _there(chain.from_iterable(named), principals, book)
    if principals is not None and recipe.owner is not None:
        _owner(recipe.owner, principals, book)
    return complete


# --- the course of steps --------------------------------------------------------------------------


def _unique_steps(draft: Draft, book: Book) -> None:
    seen: dict[str, int] = {}
    for number, placed in enumerate(draft.every_step, 1):
        first = seen.setdefault(placed.step.id, number)
        if first != number and placed.step.id:
            message = f"two steps are called `{placed.step.id}`"
            book.error(below(placed.path, "id"), message, "give each step an id of its own")


def _reachable(draft: Draft, expressions: Expressions, book: Book) -> None:
    """Steps behind one that always ends the request, or whose condition is never true."""
    ended: str | None = None
    taken: dict[str, str] = {}
    for placed in draft.steps:
        step = placed.step
        always = expressions.constant(step.when) if step.when is not None else True
        same = taken.get(_flat(step.when)) if step.when is not None else None
        if ended is not None:
            message = f"is never reached: step `{ended}` always ends the request before"
            book.error(placed.path, message, f"give `{ended}` a `when`, or move it to the end")
        elif always is False:
            fix = "correct the condition, or delete the step"
            book.error(below(placed.path, "when"), "is never true: the step never runs", fix)
        elif same is not None:
            message = f"is never true: step `{same}` has ended the request where it holds"
            book.error(below(placed.path, "when"), message, "correct one of the two conditions")
        elif isinstance(step, ActionStep) and always:
            ended = step.id
        elif isinstance(step, ActionStep) and step.when is not None:
            taken[_flat(step.when)] = step.id


def _flat(source: str) -> str:
    return "".join(source.split())


# --- who is asked ---------------------------------------------------------------------------------


def _asks_somebody(ballot: Ballot, path: str, placed: Placed, book: Book) -> None:
    keys = [key for key in ("approver", "candidates", "approvers") if book.has(below(path, key))]
    if not keys:
        fix = 'add `approver: "{{ employee.manager }}"`, or `candidates: some-role`'
        book.error(path, "asks nobody: `approver` is missing", fix)
    elif len(keys) > 1:
        message = f"has {' and '.join(f'`{key}`' for key in keys)}"
        book.error(below(path, keys[1]), message, "keep one of them")
    if ballot.authority is not None and ballot.candidates:
        message = "has no effect: a shared task is not one person's to pass up the line"
        fix = "ask one `approver`, or delete `authority`"
        book.error(below(path, "authority"), message, fix)
    for index, level in enumerate(ballot.levels):
        if level.action == "escalate" and ballot.candidates:
            message = "`escalate` has no effect: a shared task has no one manager"
            fix = "write reassign:<role or person>"
            book.error(_level_path(path, index, book), message, fix)
    listed = isinstance(placed.step, ApprovalStep) and placed.step.type == "approval"
    if listed and book.has(below(path, "quorum")) and "approvers" not in keys:
        book.error(
            below(path, "quorum"),
            "has no effect: there is one task",
            "use `approvers`, or delete it",
        )


def _not_the_same(
    ballot: Ballot, path: str, before: Sequence[Step], draft: Draft, book: Book
) -> None:
    """`not_same_as` names steps that people have decided by then."""
    decided = [step.id for step in before if isinstance(step, ApprovalStep)]
    steps = {placed.step.id: placed.step for placed in draft.steps}
    known = f"earlier approvals are {', '.join(decided)}" if decided else "no approval is before it"
    for index, name in enumerate(ballot.not_same_as):
        if name in decided:
            continue
        listed = below(below(path, "not_same_as"), index)
        place = listed if book.has(listed) else below(path, "not_same_as")
        if name not in steps:
            close = get_close_matches(name, decided, n=1)
            fix = f"did you mean `{close[0]}`? {known}" if close else known
            book.error(place, f"no step is called `{name}`", fix)
        elif not isinstance(steps[name], ApprovalStep):
            what = "an action" if isinstance(steps[name], ActionStep) else "automatic"
            book.error(place, f"nobody decides step `{name}`: it is {what}", known)
        else:
            book.error(place, f"step `{name}` does not come before this one", known)


def _level_path(path: str, index: int, book: Book) -> str:
    listed = below(below(path, "on_timeout"), index)
    return listed if book.has(listed) else below(path, "on_timeout")


def _quorum(placed: Placed, book: Book) -> None:
    step = placed.step
    if not isinstance(step, ApprovalStep) or step.quorum.kind != "count":
        return
    listed = step.ballots[0].approvers if step.type == "approval" else None
    most = None if listed is None else literal_length(listed)
    if most is not None and step.quorum.value > most:
        message = f"{step.quorum.value} of {most} approvers can never approve"
        fix = f"write a number up to {most}, any, or all" if most else "list approvers"
        book.error(below(placed.path, "quorum"), message, fix)


def _branches(placed: Placed, book: Book) -> None:
    ballots = placed.placed_ballots()
    ids = Counter(ballot.id for ballot, _ in ballots)
    asked: dict[tuple[str | None, tuple[str, ...]], str] = {}
    for ballot, path in ballots:
        if ids[ballot.id] > 1:
            message = f"two branches are called `{ballot.id}`"
            book.error(below(path, "id"), message, "give each branch an id of its own")
        who = (_name(ballot.approver), tuple(map(str, map(_name, ballot.candidates))))
        other = asked.setdefault(who, path)
        if other != path and (ballot.approver or ballot.candidates):
            message = f"asks the same as {other}: one of the two is a formality"
            book.warning(path, message, "ask somebody else")


def _name(reference: str | None) -> str | None:
    return None if reference is None else "".join(reference.split())


def _there(references: Iterable[Template], principals: frozenset[str], book: Book) -> None:
    """Warn of references to nobody, and of a bare name that two have."""
    for template in references:
        text = "".join(template.text.split())
        if not _PLAIN.fullmatch(text):
            continue
        meant = {text} if ":" in text else {f"role:{text}", f"user:{text}"}
        if not meant & principals:
            fix = _nearest(text, principals)
            book.warning(template.path, f"`{text}` is nobody in the directory", fix)
        elif ":" not in text and meant <= principals:
            message = f"`{text}` is a role and a person; the role is taken"
            book.warning(template.path, message, f"write role:{text} or user:{text}")


def _owner(owner: str, principals: frozenset[str], book: Book) -> None:
    role = owner.strip().removeprefix("role:")
    if f"role:{role}" not in principals:
        message = f"`{owner}` is no role of the directory: nobody is told of incidents"
        book.warning("owner", message, _nearest(f"role:{role}", principals))


def _nearest(text: str, principals: frozenset[str]) -> str:
    bare = text.rpartition(":")[2]
    known = sorted(principals if ":" in text else {name.partition(":")[2] for name in principals})
    close = get_close_matches(text, known, n=1, cutoff=0.75)
    return f"did you mean `{close[0]}`?" if close else f"import `{bare}` first, or correct it"


# --- times ----------------------------------------------------------------------------------------


def _times(ballot: Ballot, path: str, deadline: Duration | None, book: Book) -> None:
    elapsed = 0  # at least
    ended: Level | None = None
    for index, level in enumerate(ballot.levels):
        place = _level_path(path, index, book)
        elapsed += level.after if isinstance(level.after, int) else 0
        if ended is not None:
            message = f"is never reached: `{ended.action}` before it closes the task"
            book.error(place, message, "delete it, or move it up")
        elif deadline is not None and (
            calendar.not_shorter(elapsed, deadline) or calendar.not_shorter(level.after, deadline)
        ):
            message = "never happens: the recipe's deadline comes first"
            book.error(place, message, "shorten the timeout, or lengthen the deadline")
        if level.action in _ENDINGS:
            ended = ended or level
    timed = bool(ballot.levels)
    for index, reminder in enumerate(ballot.remind):
        place = below(below(path, "remind"), index)
        if reminder.before_due and not timed and not book.has(below(path, "timeout")):
            book.error(
                place,
                "never happens: there is no `timeout`",
                "add `timeout`, or leave out `before`",
            )
        elif timed and all(_too_long(reminder, level.after) for level in ballot.levels):
            said = (
                "before the task opens" if reminder.before_due else "when the task is already due"
            )
            book.error(place, f"never happens: it is {said}", "make it shorter than the timeout")
        elif deadline is None or reminder.before_due:
            continue
        elif calendar.not_shorter(reminder.seconds, deadline):
            book.error(place, "never happens: the recipe's deadline comes first", "make it shorter")


def _too_long(reminder: Reminder, after: Duration) -> bool:
    """Whether it certainly never comes while a task waits that long."""
    if reminder.before_due and isinstance(reminder.seconds, BusinessDays):
        # Opened outside business time, `2bd before` the end of `2bd` is when that began to count.
        shorter = replace(reminder.seconds, days=reminder.seconds.days - 1)
        return calendar.not_shorter(shorter, after)
    return calendar.not_shorter(reminder.seconds, after)
