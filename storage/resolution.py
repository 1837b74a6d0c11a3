"""Who decides, as of one moment: the answers to a transition's asks, and how each was found.

The rules, of which every one that was applied is a `Hop` of the answer:

* a role gives one of its members, in turn, those away only while everybody is; or the one it gave
  before, who keeps it; a person fixed at submission is asked in its place;
* whoever may not approve that much is stepped over, up their line of managers;
* whoever is away is decided for by their delegate, by the delegate's delegate and so on: up to five, and
  what the delegates may approve does not matter;
* nobody is asked about their own request, nor those who decided a step that this one must differ from;
  nor whoever has left. In a role the others are asked instead, else the line of whose decision it is is
  followed up. That holds for delegates, too.

Where business days count, the answer says when the task that it opens is due (`calendars`).

What has no answer is a `Refusal`, with the reason, never an exception. The worker asks here before it
opens a task, the API when it explains one (ADR 0006).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    AskPeople,
    AskTimes,
    Assignment,
    Hop,
    Refusal,
    SeatAsk,
)
from recipes.jobs import PEOPLE_LIMIT
from recipes.model import Json
from storage import approvers, calendars, directory
from storage.approvers import LINE_LIMIT, Question, TakeTurn
from storage.pool import Source
from storage.references import About, is_name, principals, readable, refusal, refused, shown

_LINE = re.compile(r"(?:\{\{\s*)?employee((?:\.manager)+)(?:\s*\}\})?")
_MOST_SHOWN = 3


async def answers(
    source: Source, asks: Sequence[Ask], about: About, take_turn: TakeTurn = directory.take_turn
) -> tuple[Answer, ...]:
    """The answers to `asks`, in their order.

    Whether the directory is too old comes with its answers, and no turn is taken then. Only where
    there may be none, or it is about a pool, that is asked by itself.
    """
    pools = any(isinstance(ask, AskCandidates | AskHolders | AskPeople) for ask in asks)
    unavailable = await _unavailable(source, about.at) if pools else None
    if unavailable is not None:
        return (unavailable,) * len(asks)
    try:
        found = [await _answer(source, ask, about, take_turn, current=True) for ask in asks]
    except directory.TooOld:
        unavailable = await _unavailable(source, about.at)
        if unavailable is None:  # it has just been read
            return await answers(source, asks, about, take_turn)
        return (unavailable,) * len(asks)
    if not pools and any(answer.refusal is not None for answer in found):
        unavailable = await _unavailable(source, about.at)
    return tuple(found) if unavailable is None else (unavailable,) * len(asks)


async def answer(
    source: Source, ask: Ask, about: About, take_turn: TakeTurn = directory.take_turn
) -> Answer:
    """The answer to one ask, however old the directory is."""
    return await _answer(source, ask, about, take_turn, current=False)


async def _answer(
    source: Source, ask: Ask, about: About, take_turn: TakeTurn, *, current: bool
) -> Answer:
    match ask:
        case AskEmployee(paths):
            return await _employee(source, paths, about, current=current)
        case AskHolders(_, references, True):
            return await _holders(source, references, about)
        case AskHolders(_, references):
            question = Question(source, about, delegations=0)
            return await approvers.approver(question, references[0], take_turn)
        case AskPeople(_, references):
            return await _people(source, references, about)
        case AskTimes():
            return await calendars.timed(source, ask, Answer())
        case _:
            found = await _seat(source, ask, about, take_turn, current=current)
            return await calendars.timed(source, ask, found)


async def _seat(
    source: Source, ask: SeatAsk, about: About, take_turn: TakeTurn, *, current: bool
) -> Answer:
    match ask:
        case AskManager(_, user, without, limit):
            question = Question(source, about, without, limit, current=current)
            return await approvers.above(question, user)
        case AskCandidates(_, references, without, seated):
            return await _candidates(source, references, about, without, seated)
        case AskApprover(_, reference, without, limit, keep, fixed):
            question = Question(source, about, without, limit, current=current)
            return await approvers.approver(question, reference, take_turn, keep, fixed)


async def approver(
    source: Source, reference: str, about: About, take_turn: TakeTurn = directory.take_turn
) -> Answer:
    """One live person for `user:x`, `role:x` or a bare name, never the requester."""
    return await answer(source, AskApprover("", reference), about, take_turn)


async def explain(source: Source, reference: str, about: About) -> Answer:
    """Whom `approver` would give, without a turn being taken; the manager line of the requester
    (`employee.manager.manager`, as a template or without braces) is followed here, too."""
    unavailable = await _unavailable(source, about.at)
    if unavailable is not None:
        return unavailable
    path = _LINE.fullmatch(reference.strip())
    if path is None:
        return await approver(source, reference, about, directory.next_turn)
    height = path[1].count(".manager")
    line = await directory.line(source, about.requester, about.at, min(height, LINE_LIMIT))
    if len(line) <= height:
        return refused(f"{shown(about.requester)} has nobody at employee{shown(path[1])}")
    passed = tuple(Hop("employee_manager", person.id) for person in line[1:])
    found = await approver(source, f"user:{line[-1].id}", about)
    if found.assignment is None:
        return found
    chain = (*passed, *found.assignment.chain)
    return Answer(assignment=replace(found.assignment, chain=chain))


# --- several people, and the requester -----------------------------------------------------------


async def _candidates(
    source: Source,
    references: tuple[str, ...],
    about: About,
    without: tuple[str, ...],
    seated: tuple[str, ...],
) -> Answer:
    found = await _pool(source, references, about.at)
    if isinstance(found, Refusal):
        return Answer(refusal=found)
    never = (about.requester, *without, *seated)
    if not await directory.anybody(source, about.at, found.people, found.roles, never):
        return found.nobody_but(without, seated)
    return Answer(assignment=Assignment(candidates=found.named, chain=found.chain))


async def _holders(source: Source, references: tuple[str, ...], about: About) -> Answer:
    found = await _pool(source, references, about.at)
    if isinstance(found, Refusal):
        return Answer(refusal=found)
    without = (about.requester,)
    held = await directory.holders(source, about.at, found.people, found.roles, without)
    if not held:
        return found.nobody_but()
    candidates = tuple(f"user:{name}" for name in held)
    return Answer(assignment=Assignment(candidates=candidates, chain=found.chain))


async def _people(source: Source, references: tuple[str, ...], about: About) -> Answer:
    """All who hold any of them, the requester too; what the directory does not have nobody holds."""
    found = _Pool(tuple(dict.fromkeys(await principals(source, references, about.at))))
    held = await directory.holders(source, about.at, found.people, found.roles, ())
    told = held[: PEOPLE_LIMIT + 1]  # that they are too many is all that has to be known
    return Answer(assignment=Assignment(candidates=tuple(f"user:{name}" for name in told)))


@dataclass(frozen=True, slots=True)
class _Pool:
    """The principals of a shared task, each once, in their order: kind and name."""

    principals: tuple[tuple[str, str], ...]

    @property
    def people(self) -> list[str]:
        return [name for kind, name in self.principals if kind == "user"]

    @property
    def roles(self) -> list[str]:
        return [name for kind, name in self.principals if kind == "role"]

    @property
    def named(self) -> tuple[str, ...]:
        return tuple(f"{kind}:{name}" for kind, name in self.principals)

    @property
    def chain(self) -> tuple[Hop, ...]:
        return tuple(
            Hop("candidates", user=name) if kind == "user" else Hop("candidates", role=name)
            for kind, name in self.principals
        )

    def nobody_but(self, without: tuple[str, ...] = (), seated: tuple[str, ...] = ()) -> Answer:
        others = " and those who decided before" if without else ""
        others += " and those with another part of this step" if seated else ""
        return refused(f"none of {', '.join(self.named)} can decide but the requester{others}")


async def _pool(source: Source, references: tuple[str, ...], at: datetime) -> _Pool | Refusal:
    """What `references` name, all of it known to the directory."""
    pool = _Pool(tuple(dict.fromkeys(await principals(source, references, at))))
    unknown = [f"{kind}:{name}" for kind, name in pool.principals if not is_name(name)]
    if not unknown:
        never = await directory.unknown(source, pool.people, pool.roles)
        unknown = [principal for principal in pool.named if principal in never]
    if not unknown:
        return pool
    listed = ", ".join(shown(principal) for principal in unknown[:_MOST_SHOWN])
    return refusal(f"the directory does not have {listed}")


async def _employee(
    source: Source, paths: tuple[str, ...], about: About, *, current: bool
) -> Answer:
    height = max(path.split(".").count("manager") for path in paths)
    line = await directory.employee(
        source, about.requester, about.at, min(height, LINE_LIMIT), current=current
    )
    if not line:
        return refused(f"the requester {shown(about.requester)} is not in the directory")
    tree: dict[str, Json] = {}
    for person in reversed(line):
        tree = person | ({"manager": tree} if tree else {})
    return Answer(employee=tree)


# --- why there is no answer ----------------------------------------------------------------------


async def _unavailable(source: Source, at: datetime) -> Answer | None:
    """The refusal of every ask while the mirror of another system's directory is too old."""
    stale = await directory.stale(source, at)
    if stale is None:
        return None
    since = (
        "never" if stale.synced_at is None else f"not since {stale.synced_at:%Y-%m-%d %H:%M} UTC"
    )
    why = f": {readable(stale.failing)}" if stale.failing else ""
    return refused(
        f"the directory at {readable(stale.source)} was read {since}{why}", "DirectoryUnavailable"
    )
