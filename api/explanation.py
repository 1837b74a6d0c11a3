"""What an explanation says: seats, whom the directory gives for them, and what stands on record.

The questions are the recipe's (`recipes.supposing`), the answers the directory's as of one moment
(`storage.resolution`); no turn is taken here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from api.wording import Words, words
from contract import content
from contract.boxes import Keys
from recipes import supposing, tally
from recipes.asks import (
    Answer,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskManager,
    Assignment,
    Hop,
    Refusal,
    SeatAsk,
)
from recipes.expressions import ExpressionError
from recipes.model import ApprovalStep, Json, Recipe
from recipes.state import Seat, State
from storage import directory, explanations, resolution
from storage.approvers import TakeTurn
from storage.pool import Source
from storage.references import About

_CHAIN: TypeAdapter[tuple[Hop, ...]] = TypeAdapter(tuple[Hop, ...])
_ASK: TypeAdapter[SeatAsk] = TypeAdapter(SeatAsk)


class Turns:
    """A role's turns as they would be taken one after the other from now on; none is taken."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    async def take(self, source: Source, role: str) -> int:
        turn = self._next.get(role)
        if turn is None:
            turn = await directory.next_turn(source, role)
        self._next[role] = turn + 1
        return turn


@dataclass(frozen=True, slots=True)
class Found:
    """A seat, what was asked for it, and the answer; `task` is the one that stood there."""

    seat: str
    branch: str | None
    ask: SeatAsk | None
    answer: Answer
    task: Any = None


@dataclass(frozen=True, slots=True)
class StepFound:
    """A step as explained. `refusal` says why it has no seats."""

    applies: bool | None
    seats: tuple[Found, ...] = ()
    refusal: Refusal | None = None
    standing: Mapping[str, Any] = field(default_factory=dict)


async def explain_step(
    source: Source,
    recipe: Recipe,
    state: State,
    step: ApprovalStep,
    *,
    at: datetime,
    standing: Mapping[str, Any] | None = None,
) -> StepFound:
    """Who decides each seat of `step` for this request, as of `at`; `standing` are its open tasks."""
    standing = standing or {}
    about = About(state.requester, recipe.workflow, at)
    state = supposing.at_step(recipe, state, step)
    employee: dict[str, Json] | None = None
    if step.employee_paths:
        [known] = await resolution.answers(source, (AskEmployee(step.employee_paths),), about)
        if known.refusal is not None:
            return StepFound(None, refusal=known.refusal)
        employee = known.employee
    holds = supposing.applies(recipe, state, employee, at)
    try:
        supposed = supposing.suppose(recipe, state, employee, at)
    except ExpressionError as error:
        return StepFound(holds, refusal=Refusal("NoApproverFound", f"{step.id}: {error}"))
    turns, found = Turns(), list[Found]()
    for item in supposed:
        task = standing.get(item.seat)
        branch = item.ballot if step.type == "parallel" else None
        answer = await _answer(source, item, about, turns, task)
        found.append(Found(item.seat, branch, item.ask, answer, task))
    return StepFound(holds, _one_seat_each(step, state, found), standing=standing)


async def _answer(
    source: Source, item: supposing.Supposed, about: About, turns: Turns, task: Any
) -> Answer:
    if item.ask is None:
        nothing = Refusal("NoApproverFound", "what was asked for this task is not known any more")
        return Answer(refusal=item.refusal or nothing)
    if task is not None and isinstance(item.ask, AskApprover):
        # The turn that was taken gives what was given, unless the directory has changed meanwhile.
        turn = next((hop.turn for hop in chain_of(task) if hop.turn is not None), None)
        if turn is not None:
            again = replace(item.ask, keep=None)
            [answer] = await resolution.answers(source, (again,), about, _given(turn))
            if answer.assignment is not None and answer.assignment.same(assignment_of(task)):
                return answer
    [answer] = await resolution.answers(source, (item.ask,), about, turns.take)
    return answer


def _given(turn: int) -> TakeTurn:
    async def take(_: Source, __: str) -> int:
        return turn

    return take


def _one_seat_each(step: ApprovalStep, state: State, found: Sequence[Found]) -> tuple[Found, ...]:
    """Where several people are needed, or were added, nobody has two seats: the later one is refused, as
    live; a task that stands has its seat first."""
    decided = [seat.by.user for seat in state.seats if seat.by is not None]
    undecided = [Seat(item.seat, item.branch or step.id) for item in found]
    added = any(seat.added for seat in state.seats)
    voted = (seat for seat in state.seats if seat.vote)
    if not added and not tally.several(step, [*voted, *undecided]):
        return tuple(found)
    taken, kept = set(decided), list[Found]()
    standing = {
        each.task["assignee"]: each.seat
        for each in found
        if each.task is not None
        and each.answer.assignment is not None
        and each.task["assignee"] == each.answer.assignment.user
    }
    for each in found:
        item, given = each, each.answer.assignment
        user = None if given is None else given.user
        if user is not None and (user in taken or standing.get(user, each.seat) != each.seat):
            detail = f"{user} already has a seat in step {step.id}"
            item = replace(item, answer=Answer(refusal=Refusal("NoApproverFound", detail)))
        elif user is not None:
            taken.add(user)
        kept.append(item)
    return tuple(kept)


def chain_of(task: Any) -> tuple[Hop, ...]:
    """How a stored task was assigned."""
    return _CHAIN.validate_python(task["chain"])


def assignment_of(task: Any) -> Assignment:
    """A stored task's assignment."""
    return Assignment(
        task["assignee"],
        tuple(task["candidates"] or ()),
        task["role"],
        task["on_behalf_of"],
        tuple(task["via"]),
        chain_of(task),
    )


def stored_ask(task: Any) -> SeatAsk | None:
    """The question whose answer a stored task's assignment is, by the member who had the turn."""
    if task["ask"] is None:
        return None
    ask = _ASK.validate_python(task["ask"])
    if not isinstance(ask, AskApprover):
        return ask
    given = [hop.user for hop in chain_of(task) if hop.turn is not None or hop.rule == "kept"]
    return replace(ask, keep=given[0]) if given else ask


def asked(ask: SeatAsk | None) -> str | None:
    """What was asked for, in a word or two: `role:hr`, `the manager of bob`."""
    match ask:
        case AskApprover(_, reference):
            return reference
        case AskManager(_, user):
            return f"the manager of {user}"
        case AskCandidates(_, references):
            return ", ".join(references)
        case None:
            return None


def people(answer: Answer, said: Words) -> dict[str, Json]:
    """An answer as JSON: who, how that was found, or why nobody."""
    given = answer.assignment or Assignment()
    return {
        "user": given.user,
        "candidates": list(given.candidates) or None,
        "role": given.role,
        "on_behalf_of": given.on_behalf_of,
        "via": list(given.via),
        "chain": said.chain(given.chain),
        "refusal": None if answer.refusal is None else asdict(answer.refusal),
    }


async def _chosen(source: Source, request_id: UUID, task: Any) -> Any:
    """The command by which somebody chose who has the task, if one did."""
    at = task["opened_at"]
    if any(hop.rule == "added" for hop in chain_of(task)):
        people = [person for person in (task["assignee"], task["on_behalf_of"]) if person]
        return await explanations.added(source, request_id, people, at)
    return await explanations.reassigned(source, request_id, task["seat"], at)


async def wording(
    source: Source,
    found: Sequence[Answer | Assignment],
    request_id: UUID | None,
    task: Any = None,
    keys: Keys | None = None,
) -> Words:
    """The words for these; with a task, also why somebody gave it to whom it is with, if that can be
    seen with these keys of its request."""
    chains = [
        given.chain
        for given in (item.assignment if isinstance(item, Answer) else item for item in found)
        if given is not None
    ]
    reason = None
    if task is not None and request_id is not None:
        row = await _chosen(source, request_id, task)
        reason = None if row is None else content.shown_text(row["comment"], keys)
    return await words(source, chains, reason)
