"""What would become of a request: the engine itself, run on suppositions, with a clock of its own.

`play` asks its questions to the directory by yielding them and is sent the answers, so that the same
code runs on the real directory (storage/simulation.py) and on one in memory. Nothing waits and nothing
is written: time jumps from one due moment or supposed decision to the next, and every change goes
through `progress`, as in a live request.

A supposition says what becomes of the tasks it fits: of several the first counts. Where none fits,
`otherwise` does. What is due at the moment of a decision happens before it. Where only an incident is
left it ends, as people would have to help; and where it is rewound to its requester. Who shares a task is asked when it opens; those who decide
for its members by delegation are not supposed to.
"""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import NAMESPACE_OID, uuid5

from pydantic_core import to_json

from recipes import progress, tally, timers
from recipes.asks import Answer, AskHolders, AskTimes, Times
from recipes.changes import level_of
from recipes.effects import CloseTask, Effect, Notify, Offer, OpenTask, Record, RemindTask, StartJob
from recipes.findings import short
from recipes.happenings import Actor, Answered, Decided, Happening, Started, Ticked
from recipes.jobs import supposed_end
from recipes.model import ApprovalStep, Ballot, Recipe, Step
from recipes.state import Incident, State, Task
from recipes.supposed import (
    WAIT,
    Asked,
    Simulated,
    StepPlayed,
    Supposed,
    Supposition,
    TaskPlayed,
)

MOST_MOVES = 1000
"""After so many happenings a simulation stops: more than any recipe has that comes to an end."""
_LONGEST = 300
"""Characters of what is told of inputs and messages."""
SUPPOSED_COMMENT = "(supposed)"
"""The comment of a supposed decision that needs one."""
_REQUEST_ID = str(uuid5(NAMESPACE_OID, "countersign:simulation"))

Playing: TypeAlias = Generator[Asked, tuple[Answer, ...], Simulated]


def play(recipe: Recipe, supposed: Supposed) -> Playing:
    """Run a request as supposed: yields questions, is sent answers, returns what became of it."""
    return _Play(recipe, supposed).run()


def initial(recipe: Recipe, supposed: Supposed, deadline: Times | None = None) -> State:
    return progress.initial(
        recipe,
        request_id=_REQUEST_ID,
        requester=supposed.requester,
        inputs=supposed.inputs,
        submitted_at=supposed.at,
        digest="",
        entity=supposed.entity,
        deadline=deadline,
    )


@dataclass(frozen=True, slots=True)
class _Deciding:
    """A decision that is to come."""

    task: Task
    rule: Supposition
    number: int | None
    who: str
    at: datetime


class _Play:
    """One simulation in progress."""

    def __init__(self, recipe: Recipe, supposed: Supposed) -> None:
        self.recipe = recipe
        self.supposed = supposed
        self.state = initial(recipe, supposed)
        self.now = supposed.at
        self.path: list[StepPlayed] = []
        self.tasks: dict[str, TaskPlayed] = {}
        self.offers: dict[str, Offer] = {}
        self.used: set[int] = set()
        self.spent: set[int] = set()
        self.rewound = False

    def run(self) -> Playing:
        timing = timers.deadline_timing(self.recipe, self.now)
        if timing is not None:
            [answer] = yield Asked((AskTimes(timing),), self.now)
            self.state = initial(self.recipe, self.supposed, answer.times)
        yield from self.befall(Started(), self.supposed.at)
        moves = 0
        while not self.state.final and moves < MOST_MOVES:
            decision = self.next_decision()
            due = self.next_due()
            if due is not None and (decision is None or due <= decision.at):
                yield from self.befall(Ticked(), max(due, self.now))
            elif decision is not None:
                yield from self.decide(decision)
            else:
                break
            moves += 1
        return self.outcome(stopped=moves >= MOST_MOVES)

    def next_due(self) -> datetime | None:
        """What time brings next. With an incident it is not its deadline: people would help before."""
        due = progress.next_wakeup(self.state)
        alone = all(task.due_at is None and not task.remind_at for task in self.state.tasks)
        return None if alone and self.state.incidents else due

    def outcome(self, *, stopped: bool) -> Simulated:
        state = self.state
        step = None if state.final else progress.step_of(self.recipe, state)
        reached = {visit.step for visit in self.path}
        waiting = dict.fromkeys(person for task in state.tasks for person in task.assignment.people)
        if state.state == "rewound":
            waiting = {state.requester: None}
        return Simulated(
            state=state.state,
            reason=state.reason,
            at=self.supposed.at,
            ended_at=self.now if state.final else None,
            deadline_at=state.deadline_at,
            step=step.id if step else None,
            path=tuple(self.path),
            not_reached=tuple(s.id for s in self.recipe.steps if s.id not in reached),
            waiting_for=tuple(waiting),
            incidents=state.incidents,
            unused=tuple(n for n in range(len(self.supposed.decisions)) if n not in self.used),
            stopped=stopped,
            deadline_by=state.deadline_by,
        )

    # --- what happens ---

    def befall(
        self, happening: Happening, now: datetime
    ) -> Generator[Asked, tuple[Answer, ...], None]:
        """One whole transition, and whoever shares the tasks that it opened; then the end of a job that
        it began."""
        yield from self.befalls(happening, now)
        while (job := self.state.job) is not None and job.failure is None:
            supposed = self.supposed
            ended = supposed_end(job, supposed.outputs, supposed.fails, now)
            yield from self.befalls(ended, now)

    def befalls(
        self, happening: Happening, now: datetime
    ) -> Generator[Asked, tuple[Answer, ...], None]:
        self.now = now
        whole = progress.apply(self.recipe, self.state, happening, now)
        self.took(whole.state, whole.effects)
        while self.state.asks:
            answers = yield Asked(self.state.asks, now)
            whole = progress.apply(self.recipe, self.state, Answered(answers), now)
            self.took(whole.state, whole.effects)
        pools = [
            AskHolders(task.seat, task.assignment.candidates, pool=True)
            for task in self.state.tasks
            if task.assignment.candidates and not self.tasks[task.id].could_decide
        ]
        if pools:
            answers = yield Asked(tuple(pools), now)
            holders = {ask.seat: a for ask, a in zip(pools, answers, strict=True)}
            for task in self.state.tasks:
                found = holders[task.seat].assignment if task.seat in holders else None
                if found is not None:
                    barred = task.ask.without if task.ask is not None else ()
                    people = (name.removeprefix("user:") for name in found.candidates)
                    self.tasks[task.id].could_decide = tuple(p for p in people if p not in barred)

    def decide(self, deciding: _Deciding) -> Generator[Asked, tuple[Answer, ...], None]:
        task, rule, assignment = deciding.task, deciding.rule, deciding.task.assignment
        seen = self.tasks[task.id]
        seen.closing, seen.closed_at = "decided", deciding.at
        seen.decision, seen.decided_by = rule.decision, deciding.who
        seen.comment_required = rule.decision in self.offers[task.id].require_comment
        comment = rule.comment
        if comment is None and seen.comment_required:
            comment = SUPPOSED_COMMENT
        actor = Actor(deciding.who, assignment.role, assignment.on_behalf_of, assignment.via)
        told = Decided(task.id, rule.decision, actor, deciding.at, comment, to=rule.to)
        self.rewound = False
        yield from self.befall(told, deciding.at)
        if self.rewound and deciding.number is not None:
            self.spent.add(deciding.number)

    # --- who decides what, when ---

    def next_decision(self) -> _Deciding | None:
        """The earliest of the decisions that are supposed on the open tasks."""
        found = (self.decision_on(task) for task in self.state.tasks)
        coming = [deciding for deciding in found if deciding is not None]
        return min(coming, key=lambda deciding: deciding.at, default=None)

    def decision_on(self, task: Task) -> _Deciding | None:
        """What the first supposition that fits says; None if nobody decides it."""
        people = self.people(task)
        step, branch = self.place(task)
        for number, rule in enumerate(self.supposed.decisions):
            if rule.step not in {None, step} or rule.branch not in {None, branch}:
                continue
            if rule.who is not None and rule.who not in people:
                continue
            if number in self.spent or not self.offered(task, rule):
                continue
            self.used.add(number)
            if rule.decision != WAIT:
                if not people:
                    return None
                return self.deciding(task, rule, number, rule.who or people[0])
            if rule.who is None or task.assignment.user is not None:
                return None
            people = [person for person in people if person != rule.who]
        if self.supposed.otherwise == WAIT or not people:
            return None
        return self.deciding(task, Supposition(self.supposed.otherwise), None, people[0])

    def deciding(self, task: Task, rule: Supposition, number: int | None, who: str) -> _Deciding:
        moment = max(task.opened_at + timedelta(seconds=rule.after), self.now)
        return _Deciding(task, rule, number, who, moment)

    def offered(self, task: Task, rule: Supposition) -> bool:
        """Whether the task can be decided so, as far as no words are needed for it."""
        offer = self.offers[task.id]
        ids = {outcome.id for outcome in offer.outcomes}
        return rule.decision in {WAIT, *ids} and rule.to in {None, *offer.rewind_to}

    def people(self, task: Task) -> list[str]:
        """Who may decide it, first to last."""
        if task.assignment.user is not None:
            return [task.assignment.user]
        taken = self.taken(task)
        return [person for person in self.tasks[task.id].could_decide if person not in taken]

    def taken(self, task: Task) -> set[str | None]:
        """Who has another part of a step that needs several people: a shared task is not for them."""
        step = self.step()
        if not tally.several(step, self.state.seats):
            return set()
        people: set[str | None] = set()
        for other in self.state.tasks:
            if other.seat != task.seat:
                people |= {other.assignment.user, other.assignment.on_behalf_of}
        for seat in self.state.seats:
            if seat.by is not None:
                people |= {seat.by.user, seat.by.on_behalf_of}
        return people

    # --- what is seen ---

    def took(self, state: State, effects: tuple[Effect, ...]) -> None:
        self.state = state
        for effect in effects:
            self.note(effect)

    def note(self, effect: Effect) -> None:
        match effect:
            case OpenTask():
                self.note_task(effect)
            case CloseTask(task_id, _, to, why):
                seen = self.tasks[task_id]
                seen.closing, seen.closed_at, seen.why = to, self.now, why
            case RemindTask(task_id):
                self.tasks[task_id].reminded_at.append(self.now)
            case StartJob(job):
                inputs = to_json(job.inputs).decode() if job.inputs else "nothing"
                self.visit(job.step).does = f"runs {job.run} with {short(inputs, _LONGEST)}"
            case Notify(step, people, message):
                told = ", ".join(people) or "nobody"
                self.visit(step).does = f"tells {told}: {short(message, _LONGEST)}"
            case Record("step.waiting", payload):
                self.visit(payload["step"]).does = f"waits until {payload['until']}"
            case Record("step.skipped", payload):
                self.visit(payload["step"]).outcome = "skipped"
                self.visits_end(payload["step"])
            case Record("step.completed", payload):
                self.visit(payload["step"]).outcome = payload["outcome"]
                self.visits_end(payload["step"])
            case Record("request.rewound", payload):
                self.rewound = True
                # The last visit, which a rejection has ended already.
                visit = next(it for it in reversed(self.path) if it.step == payload["step"])
                visit.outcome, visit.completed_at = f"rewound to {payload['to']}", self.now
            case Record("incident.raised", payload):
                incident = Incident(
                    payload["kind"], payload["detail"], payload["step"], payload["seat"], self.now
                )
                self.visit(payload["step"]).incidents.append(incident)
            case _:
                pass

    def note_task(self, opened: OpenTask) -> None:
        task, given = opened.task, opened.task.assignment
        level = level_of(self.ballot(task), task.level)
        when_due = None
        if task.due_at is not None and level is not None:
            when_due = level.action if level.to is None else f"{level.action}:{level.to}"
        seen = TaskPlayed(
            seat=task.seat,
            branch=opened.branch,
            level=task.level,
            assignee=given.user,
            candidates=given.candidates,
            could_decide=(),
            role=given.role,
            on_behalf_of=given.on_behalf_of,
            via=given.via,
            chain=given.chain,
            opened_at=task.opened_at,
            due_at=task.due_at,
            when_due=when_due,
            due_by=task.due_by,
        )
        self.tasks[task.id] = seen
        self.offers[task.id] = opened.offer
        self.visit(opened.step).tasks.append(seen)

    def visit(self, step_id: str) -> StepPlayed:
        """The step as the request is at it now: a new one if it had left it."""
        for visit in reversed(self.path):
            if visit.step == step_id and visit.completed_at is None:
                return visit
        step = next(step for step in self.recipe.every_step if step.id == step_id)
        visit = StepPlayed(step.id, step.name, step.type, step.when, self.now)
        self.path.append(visit)
        return visit

    def visits_end(self, step_id: str) -> None:
        self.visit(step_id).completed_at = self.now

    # --- looking up ---

    def step(self) -> ApprovalStep:
        """The approval step that the request is at: it has tasks."""
        step = self.recipe.steps[self.state.position]
        assert isinstance(step, ApprovalStep)
        return step

    def ballot(self, task: Task) -> Ballot:
        return _ballot(self.recipe, task.seat)

    def place(self, task: Task) -> tuple[str, str | None]:
        """The step, and of a parallel one the branch, that a task belongs to."""
        step = self.step()
        branch = self.ballot(task).id if step.type == "parallel" else None
        return step.id, branch


def _ballot(recipe: Recipe, seat: str) -> Ballot:
    """The ballot of a seat by its key: `step`, `step/branch`, and with `approvers` `/n` after it."""
    step_id, *rest = seat.split("/")
    step: Step = next(step for step in recipe.steps if step.id == step_id)
    assert isinstance(step, ApprovalStep)
    if step.type == "approval":
        return step.ballots[0]
    return next(ballot for ballot in step.ballots if ballot.id == rest[0])
