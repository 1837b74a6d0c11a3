"""What a recipe means: `apply` turns a state and a happening into a new state and its effects.

ALL state changes of a request are here; nothing here knows a clock, a database or a network.

The rules
---------
* Steps run in order. A step whose `when` is false is skipped; an `action` ends the request; when
  the steps run out, the request is approved.
* An approval step has *seats*: one, one per branch, or one per person of its `approvers`. A seat
  casts one vote: `approve`, `reject` or `expired`. With n seats and a quorum of k the step is
  approved at k approvals; it fails as soon as fewer than k are still possible: with `rejected` if
  anybody rejected, else `expired`. Either way the tasks still open are superseded.
* Who decides is asked of the directory: `state.asks` holds the questions, and until an `Answered`
  brings the answers nothing else is applied. A refusal raises an incident on the seat; the request
  waits, other seats go on, and the command `retry` asks again.
* A task that is due does what its level says. An escalation replaces the task by one for the
  manager; where there is none the old task stays, and an incident says so.
* The first decision on a task counts. Storage arbitrates who was first, so a `Decided` is never
  refused here: if its task is not open any more, it was told twice.
* A final state is final. A command that comes later is refused with the reason.

      created --tasks--> pending --quorum / action--> approved | rejected
                            |--timeout: expire, deadline--> expired
                            '--cancel--> cancelled
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID, uuid5

from recipes import expressions
from recipes.expressions import ExpressionError
from recipes.model import ActionStep, ApprovalStep, Ballot, Json, Level, Recipe, Step, TimeoutAction
from recipes.state import (
    ENGINE,
    Actor,
    Answer,
    Answered,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskManager,
    Assignment,
    CloseTask,
    Closing,
    Commanded,
    Decided,
    Effect,
    FinalState,
    Happening,
    Incident,
    IncidentKind,
    OpenTask,
    Record,
    RemindTask,
    Seat,
    SettleCommand,
    Started,
    State,
    Task,
    Ticked,
    Transition,
    Vote,
)


def initial(
    recipe: Recipe,
    *,
    request_id: str,
    requester: str,
    inputs: dict[str, Json],
    submitted_at: datetime,
    digest: str,
) -> State:
    """The state of a request that was just submitted."""
    deadline = submitted_at + timedelta(seconds=recipe.deadline) if recipe.deadline else None
    return State(
        request_id=request_id,
        requester=requester,
        inputs=inputs,
        submitted_at=submitted_at,
        digest=digest,
        deadline_at=deadline,
    )


def apply(recipe: Recipe, state: State, happening: Happening, now: datetime) -> Transition:
    """What follows from `happening` befalling `state` at `now`.

    While `state.asks` is not empty only `Answered` may be applied. Any other happening counts
    `seq` up by one if it changes anything; a transition without effects and asks changed nothing.
    """
    run = _Run(recipe, state, now)
    if isinstance(happening, Answered):
        run.answered(happening.answers)
    else:
        if state.asks:
            raise ValueError("open asks must be answered first")
        run.befall(happening)
    after = run.transition()
    if not isinstance(happening, Answered) and after.state != state:
        return replace(after, state=replace(after.state, seq=state.seq + 1))
    return after


def settle(
    recipe: Recipe,
    state: State,
    happening: Happening,
    now: datetime,
    answer: Callable[[tuple[Ask, ...]], tuple[Answer, ...]],
) -> Transition:
    """`apply`, then answer asks until there are none: one whole transition."""
    whole = apply(recipe, state, happening, now)
    while whole.state.asks:
        whole = then(recipe, whole, answer(whole.state.asks), now)
    return whole


def then(
    recipe: Recipe, before: Transition, answers: tuple[Answer, ...], now: datetime
) -> Transition:
    """The transition `before`, carried on with the answers to its asks."""
    after = apply(recipe, before.state, Answered(answers), now)
    return Transition(after.state, before.effects + after.effects)


def next_wakeup(state: State) -> datetime | None:
    """When a `Ticked` will next have an effect; None while only people can move the request."""
    if state.final:
        return None
    moments = [state.deadline_at] if state.deadline_at else []
    for task in state.tasks:
        moments += [task.due_at] if task.due_at else []
        moments += task.remind_at[:1]
    return min(moments, default=None)


def has_opened(state: State, task_id: str) -> bool:
    """Whether the request, up to this state, opened that task; it may be closed by now."""
    return any(task_id == _task_id(state, n) for n in range(state.tasks_opened, 0, -1))


def step_of(recipe: Recipe, state: State) -> Step | None:
    """The step the request is at; None when it has run out of steps."""
    return recipe.steps[state.position] if state.position < len(recipe.steps) else None


def snapshot(recipe: Recipe, state: State) -> dict[str, Json]:
    """The state as audit rows carry it: enough to see where a request stood, no inputs."""
    step = None if state.final else step_of(recipe, state)
    return {
        "state": state.state,
        "seq": state.seq,
        "step": step.id if step else None,
        "seats": {seat.key: seat.vote for seat in state.seats},
        "open_tasks": [task.id for task in state.tasks],
        "incidents": [incident.kind for incident in state.incidents],
    }


class _Run:
    """One application in progress: a mutable copy of what changes, and the effects so far."""

    def __init__(self, recipe: Recipe, state: State, now: datetime) -> None:
        self.recipe = recipe
        self.state = state
        self.now = now
        self.effects: list[Effect] = []
        self.environment = expressions.environment(recipe)

    def transition(self) -> Transition:
        return Transition(self.state, tuple(self.effects))

    # --- happenings ---

    def befall(self, happening: Started | Decided | Commanded | Ticked) -> None:
        match happening:
            case Commanded():
                self.commanded(happening)
            case _ if self.state.final:
                pass
            case Started():
                self.advance()
            case Decided():
                self.decided(happening)
            case Ticked():
                self.ticked()
            case _:
                assert_never(happening)

    def decided(self, decision: Decided) -> None:
        task = next((task for task in self.state.tasks if task.id == decision.task_id), None)
        if task is None:
            return
        self.drop_task(task)
        self.clear_incident(task.seat)
        self.cast(task.seat, decision.decision, decision.actor)
        self.note_result(decision)
        self.advance()

    def commanded(self, command: Commanded) -> None:
        if command.command_id in self.state.commands_seen:
            return
        seen = (*self.state.commands_seen, command.command_id)
        self.state = replace(self.state, commands_seen=seen)
        if self.state.final:
            self.settle_command(command, f"the request is already {self.state.state}")
        elif command.command == "cancel":
            self.settle_command(command)
            self.finalize("cancelled", "cancelled", command.comment, command.actor)
        elif not self.state.incidents:
            self.settle_command(command, "the request has no incident to retry")
        else:
            self.settle_command(command)
            self.retry(command.actor)

    def ticked(self) -> None:
        if self.state.deadline_at is not None and self.state.deadline_at <= self.now:
            self.finalize("expired", "expired", "the deadline has passed")
            return
        for task in self.state.tasks:
            if _due(task, self.now):
                self.time_out(task)
            elif task.remind_at and task.remind_at[0] <= self.now:
                self.remind(task)
        self.advance()
        # What the votes above have not closed goes on to somebody else.
        overdue = [task for task in self.state.tasks if _due(task, self.now)]
        asks = [ask for task in overdue if (ask := self.hand_on(task)) is not None]
        if asks:
            self.state = replace(self.state, asks=tuple(asks))

    # --- time ---

    def remind(self, task: Task) -> None:
        later = tuple(moment for moment in task.remind_at if moment > self.now)
        self.put_task(replace(task, remind_at=later))
        self.effects.append(RemindTask(task.id, self.step().id))

    def time_out(self, task: Task) -> None:
        """Cast the vote that the task's level gives for it; an escalation casts none."""
        level = _level(self.ballot(task.seat), task.level)
        vote = _TIMEOUT_VOTES.get(level.action) if level else None
        if level and vote:
            self.close_task(task, "expired", f"timeout: {level.action}")
            self.cast(task.seat, vote, None)

    def hand_on(self, task: Task) -> Ask | None:
        """Ask whom an overdue task goes to next. It is not due again before the answer is known."""
        self.put_task(replace(task, due_at=None, remind_at=()))
        level = _level(self.ballot(task.seat), task.level)
        if level is None or level.to is None:
            return AskManager(task.seat, task.assignment.user or "")
        reference = self.reference(level.to, task.seat)
        return None if reference is None else AskApprover(task.seat, reference)

    # --- going on ---

    def advance(self) -> None:
        """Go on as far as possible: until a seat is undecided, an ask is open, or the end."""
        while not self.state.final and not self.state.asks:
            step = step_of(self.recipe, self.state)
            if step is None:
                self.finalize("approved", "approved", None)
            elif not self.state.entered:
                # A step that could not be entered waits for `retry`, whatever else happens.
                blocked = any(incident.seat is None for incident in self.state.incidents)
                if blocked or not self.enter(step):
                    return
            elif isinstance(step, ActionStep) or not self.complete(step):
                return

    def enter(self, step: Step) -> bool:
        """Begin `step`: False if it has to wait for the directory or for people."""
        if step.employee_paths and self.state.employee is None:
            self.state = replace(self.state, asks=(AskEmployee(step.employee_paths),))
            return False
        try:
            wanted = step.when is None or self.environment.condition(step.when, self.scope())
        except ExpressionError as error:
            self.raise_incident("ExpressionError", f"{step.id}.when: {error}", None)
            return False
        if not wanted:
            self.effects.append(Record("step.skipped", {"step": step.id, "when": step.when}))
            self.leave(step, "skipped")
        elif isinstance(step, ActionStep):
            self.effects.append(
                Record(
                    "step.completed", {"step": step.id, "outcome": step.action, "rule": step.when}
                )
            )
            final: FinalState = "approved" if step.action == "approve" else "rejected"
            self.finalize(final, f"action of step {step.id}", step.reason)
        else:
            return self.take_seats(step)
        return True

    def take_seats(self, step: ApprovalStep) -> bool:
        try:
            seats = [seat for ballot in step.ballots for seat in self.seats_of(step, ballot)]
        except ExpressionError as error:
            self.raise_incident("NoApproverFound", f"{step.id}: {error}", None)
            return False
        if step.quorum.kind == "count" and step.quorum.value > len(seats):
            detail = f"{step.id}: a quorum of {step.quorum.value} over {len(seats)} approvers"
            self.raise_incident("NoApproverFound", detail, None)
            return False
        self.state = replace(self.state, entered=True, seats=tuple(seats))
        self.ask_for(seats)
        return True

    def seats_of(self, step: ApprovalStep, ballot: Ballot) -> list[Seat]:
        own = step.id if step.type == "approval" else f"{step.id}/{ballot.id}"
        if ballot.approvers is None:
            return [Seat(own, ballot.id)]
        people = self.environment.render(ballot.approvers, self.scope())
        if not isinstance(people, list) or not people:
            raise ExpressionError(f"approvers must give a list of people, not {_kind(people)}")
        references = dict.fromkeys(_reference(person) for person in people)
        return [Seat(f"{own}/{n}", ballot.id, ref) for n, ref in enumerate(references, 1)]

    def ask_for(self, seats: list[Seat]) -> None:
        asks = [ask for seat in seats if (ask := self.ask_seat(seat)) is not None]
        self.state = replace(self.state, asks=tuple(asks))

    def ask_seat(self, seat: Seat) -> Ask | None:
        ballot = self.ballot(seat.key)
        if ballot.candidates:
            references = [self.reference(item, seat.key) for item in ballot.candidates]
            known = tuple(item for item in references if item is not None)
            return AskCandidates(seat.key, known) if len(known) == len(references) else None
        reference = seat.reference or self.reference(ballot.approver or "", seat.key)
        return None if reference is None else AskApprover(seat.key, reference)

    def reference(self, template: str, seat: str) -> str | None:
        """The reference a template gives; None after raising an incident on the seat."""
        try:
            return _reference(self.environment.render(template, self.scope()))
        except ExpressionError as error:
            self.raise_incident("NoApproverFound", f"{template}: {error}", seat)
            return None

    def answered(self, answers: tuple[Answer, ...]) -> None:
        asks, self.state = self.state.asks, replace(self.state, asks=())
        for ask, answer in zip(asks, answers, strict=True):
            if answer.refusal is not None:
                seat = None if isinstance(ask, AskEmployee) else ask.seat
                self.raise_incident(answer.refusal.kind, answer.refusal.detail, seat)
            elif isinstance(ask, AskEmployee):
                self.state = replace(self.state, employee=answer.employee or {})
            elif answer.assignment is not None:
                self.assign(ask.seat, answer.assignment)
        # A refused employee leaves the step unentered: only `retry` may ask again.
        if self.state.entered or self.state.employee is not None:
            self.advance()

    def assign(self, seat: str, assignment: Assignment) -> None:
        ballot = self.ballot(seat)
        replaced = next((task for task in self.state.tasks if task.seat == seat), None)
        level = 0
        if replaced is not None:
            level = replaced.level + 1
            self.close_task(replaced, "expired", "timeout: handed on")
        self.open_task(seat, ballot, assignment, level)

    def complete(self, step: ApprovalStep) -> bool:
        """Close the step if its result can no longer change."""
        votes = [seat.vote for seat in self.state.seats]
        needed = step.quorum.needed(len(votes))
        approvals = votes.count("approve")
        if approvals < needed and approvals + votes.count(None) >= needed:
            return False
        if approvals >= needed:
            outcome = "approved"
        else:
            outcome = "rejected" if "reject" in votes else "expired"
        for task in self.state.tasks:
            self.close_task(task, "superseded", f"step {step.id} is {outcome}")
        for seat in self.state.seats:
            self.clear_incident(seat.key)
        tally: dict[str, Json] = {"approvals": approvals, "needed": needed, "seats": len(votes)}
        self.effects.append(
            Record("step.completed", {"step": step.id, "outcome": outcome, **tally})
        )
        if outcome == "approved":
            self.leave(step, outcome)
        elif outcome == "rejected":
            self.finalize("rejected", f"step {step.id} was rejected", None)
        else:
            self.finalize("expired", f"step {step.id} expired", None)
        return True

    def leave(self, step: Step, outcome: str) -> None:
        result = {**self.state.results.get(step.id, {}), "outcome": outcome}
        self.state = replace(
            self.state,
            position=self.state.position + 1,
            entered=False,
            seats=(),
            employee=None,
            results={**self.state.results, step.id: result},
        )

    def finalize(self, to: FinalState, why: str, reason: str | None, actor: Actor = ENGINE) -> None:
        for task in self.state.tasks:
            self.close_task(task, _CLOSINGS[to], why)
        for incident in self.state.incidents:
            self.clear_incident(incident.seat)
        self.state = replace(self.state, state=to, reason=reason or why, asks=())
        payload: dict[str, Json] = {"state": to, "why": why, "reason": reason}
        self.effects.append(Record("request.finalized", payload, actor))

    # --- incidents ---

    def retry(self, actor: Actor) -> None:
        """Ask again whatever the directory refused, and evaluate again whatever failed."""
        incidents, seats = self.state.incidents, {seat.key: seat for seat in self.state.seats}
        asks: list[Ask] = []
        for incident in incidents:
            self.clear_incident(incident.seat, actor)
        for incident in incidents:
            if incident.seat is None:
                continue
            task = next((task for task in self.state.tasks if task.seat == incident.seat), None)
            ask = self.ask_seat(seats[incident.seat]) if task is None else self.hand_on(task)
            if ask is not None:
                asks.append(ask)
        if not self.state.entered:
            self.state = replace(self.state, employee=None)
        self.state = replace(self.state, asks=tuple(asks))
        self.advance()

    def raise_incident(self, kind: IncidentKind, detail: str, seat: str | None) -> None:
        step = self.step().id
        incident = Incident(kind, detail, step, seat, self.now)
        self.state = replace(self.state, incidents=(*self.state.incidents, incident))
        payload: dict[str, Json] = {"kind": kind, "detail": detail, "step": step, "seat": seat}
        self.effects.append(Record("incident.raised", payload))

    def clear_incident(self, seat: str | None, actor: Actor = ENGINE) -> None:
        for incident in self.state.incidents:
            if incident.seat == seat:
                payload: dict[str, Json] = {
                    "kind": incident.kind,
                    "step": incident.step,
                    "seat": seat,
                }
                self.effects.append(Record("incident.resolved", payload, actor))
        rest = tuple(incident for incident in self.state.incidents if incident.seat != seat)
        self.state = replace(self.state, incidents=rest)

    # --- tasks and seats ---

    def open_task(self, seat: str, ballot: Ballot, assignment: Assignment, level: int) -> None:
        number = self.state.tasks_opened + 1
        timer = _level(ballot, level)
        due = self.now + timedelta(seconds=timer.after) if timer else None
        task = Task(
            id=_task_id(self.state, number),
            seat=seat,
            assignment=assignment,
            level=level,
            opened_at=self.now,
            due_at=due,
            remind_at=self.reminders(ballot, due),
        )
        self.state = replace(
            self.state, state="pending", tasks_opened=number, tasks=(*self.state.tasks, task)
        )
        step = self.step()
        branch = ballot.id if isinstance(step, ApprovalStep) and step.type == "parallel" else None
        self.effects.append(
            OpenTask(task, step.id, branch, ballot.require_comment, self.state.digest)
        )

    def reminders(self, ballot: Ballot, due: datetime | None) -> tuple[datetime, ...]:
        moments: set[datetime] = set()
        for reminder in ballot.remind:
            if not reminder.before_due:
                moments.add(self.now + timedelta(seconds=reminder.seconds))
            elif due is not None:
                moments.add(due - timedelta(seconds=reminder.seconds))
        return tuple(sorted(m for m in moments if m > self.now and (due is None or m < due)))

    def close_task(self, task: Task, to: Closing, why: str) -> None:
        self.drop_task(task)
        self.effects.append(CloseTask(task.id, self.step().id, to, why))

    def drop_task(self, task: Task) -> None:
        rest = tuple(other for other in self.state.tasks if other.id != task.id)
        self.state = replace(self.state, tasks=rest)

    def put_task(self, task: Task) -> None:
        tasks = tuple(task if other.id == task.id else other for other in self.state.tasks)
        self.state = replace(self.state, tasks=tasks)

    def cast(self, key: str, vote: Vote, by: Actor | None) -> None:
        seats = (
            replace(seat, vote=vote, by=by) if seat.key == key else seat
            for seat in self.state.seats
        )
        self.state = replace(self.state, seats=tuple(seats))

    def note_result(self, decision: Decided) -> None:
        """What later expressions see of this decision as `steps.<id>`."""
        step = self.step().id
        result = self.state.results.get(step, {})
        people = [*result.get("decided_by", []), decision.actor.user]
        result = {**result, "decided_by": people, "comment": decision.comment}
        self.state = replace(self.state, results={**self.state.results, step: result})

    def settle_command(self, command: Commanded, refusal: str | None = None) -> None:
        detail = refusal or ("cancelled" if command.command == "cancel" else "tried again")
        self.effects.append(
            SettleCommand(command.command_id, command.command, refusal is None, detail)
        )

    # --- looking up ---

    def step(self) -> Step:
        return self.recipe.steps[self.state.position]

    def ballot(self, seat_key: str) -> Ballot:
        step = self.step()
        assert isinstance(step, ApprovalStep)
        seat = next(seat for seat in self.state.seats if seat.key == seat_key)
        return next(ballot for ballot in step.ballots if ballot.id == seat.ballot)

    def scope(self) -> dict[str, Json]:
        """What an expression can name."""
        request: dict[str, Json] = {
            "id": self.state.request_id,
            "requester": self.state.requester,
            "workflow": self.recipe.workflow,
            "version": self.recipe.version,
            "submitted_at": self.state.submitted_at,
        }
        return {
            **self.state.inputs,
            "inputs": self.state.inputs,
            "employee": self.state.employee or {},
            "request": request,
            "steps": self.state.results,
        }


_CLOSINGS: dict[FinalState, Closing] = {
    "approved": "superseded",
    "rejected": "superseded",
    "cancelled": "cancelled",
    "expired": "expired",
}
_TIMEOUT_VOTES: dict[TimeoutAction, Vote] = {
    "approve": "approve",
    "reject": "reject",
    "expire": "expired",
}


def _task_id(state: State, number: int) -> str:
    """Ids follow from the request and the order of opening, so that a second try opens the same."""
    return str(uuid5(UUID(state.request_id), f"task:{number}"))


def _due(task: Task, now: datetime) -> bool:
    return task.due_at is not None and task.due_at <= now


def _level(ballot: Ballot, number: int) -> Level | None:
    """What happens to a task that was handed on `number` times; None once the levels are used up.

    Escalation goes on up the line, so it repeats. The same people are not asked again and again.
    """
    if number < len(ballot.levels):
        return ballot.levels[number]
    repeats = bool(ballot.levels) and ballot.levels[-1].action == "escalate"
    return ballot.levels[-1] if repeats else None


def _reference(value: Json) -> str:
    """A reference from what a template gave: text as it stands, or a person of the directory."""
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        return f"user:{value['id']}"
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ExpressionError(f"gives {_kind(value)} instead of a person or a role")


def _kind(value: Json) -> str:
    if value is None:
        return "nobody"
    return "an empty text" if value == "" else f"a {type(value).__name__}"
