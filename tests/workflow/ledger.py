"""A commit activity over a dictionary: what storage promises, small enough to read.

It keeps the contract of `contract.messages.CommitResult`: once per seq, decisions first, and the
directory's answers from a plain mapping.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from temporalio import activity

from contract.messages import CommitInput, CommitResult, Committed
from contract.names import ACTIVITY_COMMIT
from recipes import business, progress
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
    Refusal,
    SeatAsk,
)
from recipes.effects import CloseTask, Effect, OpenTask, Transition
from recipes.happenings import Actor, Decided
from recipes.model import Recipe
from recipes.state import State
from storage.zones import zone

MANAGERS = {"alice": "bob", "bob": "grace", "grace": "zoe"}


WORK = business.Calendar(
    name="work",
    time_zone="Europe/Madrid",
    week=(0, 1, 2, 3, 4),
    opens=9 * 60,
    closes=18 * 60,
    covers=(date(2020, 1, 1), date(2040, 12, 31)),
)
CALENDARS = business.Calendars((WORK,), zone)
"""The one calendar there is. People are in New York."""


def answer(ask: Ask) -> Answer:
    """See `whom`; and when, where business days count."""
    if isinstance(ask, AskTimes):
        return Answer(times=CALENDARS.times(ask.timing))
    found = whom(ask)
    if isinstance(ask, AskEmployee | AskHolders | AskPeople) or ask.timing is None or found.refusal:
        return found
    return replace(found, times=CALENDARS.times(ask.timing, "America/New_York"))


def whom(ask: AskEmployee | SeatAsk | AskHolders | AskPeople) -> Answer:
    """alice reports to bob, bob to grace, grace to zoe; a role is held by somebody of its name."""
    match ask:
        case AskEmployee():
            manager = {"id": "bob", "manager": {"id": "grace", "manager": {"id": "zoe"}}}
            return Answer(employee={"id": "alice", "manager": manager})
        case AskManager(_, user) if user in MANAGERS:
            return Answer(assignment=Assignment(user=MANAGERS[user]))
        case AskManager(_, user):
            return Answer(refusal=Refusal("NoApproverFound", f"{user} has no manager to ask"))
        case AskCandidates(_, references):
            return Answer(assignment=Assignment(candidates=references))
        case AskApprover(_, reference, fixed=fixed):
            return Answer(assignment=Assignment(user=fixed or reference.removeprefix("user:")))
        case AskHolders(_, references, pool):
            if pool:
                return Answer(assignment=Assignment(candidates=references))
            return Answer(assignment=Assignment(user=references[0].removeprefix("user:")))
        case AskPeople(_, references):
            people = tuple(f"user:{name.rpartition(':')[2]}" for name in references)
            return Answer(assignment=Assignment(candidates=people))


@dataclass
class Ledger:
    """`decided` holds decisions by task; `commits` what was written, by request, in order."""

    recipe: Recipe
    answer: Callable[[Ask], Answer] = answer
    commits: dict[str, list[tuple[Committed, Transition]]] = field(default_factory=dict)
    decided: dict[str, Decided] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    before: Callable[[CommitInput], None] = lambda _: None
    after: Callable[[CommitInput], None] = lambda _: None

    @activity.defn(name=ACTIVITY_COMMIT)
    async def commit(self, asked: CommitInput) -> CommitResult:
        self.before(asked)
        written = self.commits.setdefault(asked.state.request_id, [])
        if asked.state.seq < len(written):
            stands, _ = written[asked.state.seq]
            return CommitResult(earlier=stands)
        transition = progress.apply(self.recipe, asked.state, asked.happening, asked.now)
        if transition.state == asked.state:
            return CommitResult()
        rounds: list[tuple[Answer, ...]] = []
        while transition.state.asks:
            rounds.append(tuple(self.answer(ask) for ask in transition.state.asks))
            transition = progress.then(self.recipe, transition, rounds[-1], asked.now)
        closing = [item.task_id for item in transition.effects if isinstance(item, CloseTask)]
        lost = tuple(self.decided[task] for task in closing if task in self.decided)
        if lost:
            return CommitResult(lost=lost)
        self.closed.update(closing)
        written.append((Committed(asked.happening, asked.now, tuple(rounds)), transition))
        self.recipe = progress.recipe_after(self.recipe, transition)
        self.after(asked)
        return CommitResult(answers=tuple(rounds))

    def state(self, request_id: str) -> State:
        return self.commits[request_id][-1][1].state

    def effects(self, request_id: str) -> list[Effect]:
        return [
            effect for _, change in self.commits.get(request_id, []) for effect in change.effects
        ]

    def open_tasks(self, request_id: str) -> list[OpenTask]:
        return [
            effect
            for effect in self.effects(request_id)
            if isinstance(effect, OpenTask)
            and effect.task.id not in self.closed
            and effect.task.id not in self.decided
        ]

    def decide(
        self, task_id: str, who: str, decision: str, at: datetime, to: str | None = None
    ) -> Decided:
        """The decide path: the first on an open task wins. ValueError for everybody else."""
        if task_id in self.closed or task_id in self.decided:
            raise ValueError("too late")
        made = Decided(task_id=task_id, decision=decision, actor=Actor(who), at=at, to=to)
        self.decided[task_id] = made
        return made
