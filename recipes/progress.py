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
  waits, other seats go on, and the command `retry` asks again. A seat has one incident at most.
* What expressions see as `employee` is asked afresh in every transition that reads it; seats that
  wait for it are `state.unasked` meanwhile.
* Several approvals are several people's: where a step needs more than one, a seat whose task would
  go to somebody who has another of its seats, by a task or by a vote, gets an incident instead.
* A task that is due does what its level says. An escalation replaces the task by one for the
  manager; where there is none the old task stays, and an incident says so.
* The first decision on a task counts. Storage arbitrates who was first, so a `Decided` is never
  refused here: if its task is not open any more, it was told twice.
* A final state is final. A command that comes later is refused with the reason.

      created --tasks--> pending --quorum / action--> approved | rejected
                            |--timeout: expire, deadline--> expired
                            '--cancel--> cancelled
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from recipes import expressions
from recipes.changes import Changes, level_of, numbered
from recipes.expressions import ExpressionError
from recipes.findings import short
from recipes.model import ActionStep, ApprovalStep, Ballot, Json, Recipe, Step, TimeoutAction
from recipes.references import kind, once, reference
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
    Closing,
    Commanded,
    Decided,
    FinalState,
    Happening,
    Record,
    RemindTask,
    Seat,
    Started,
    State,
    Task,
    Ticked,
    Transition,
    Vote,
)

APPROVERS_LIMIT = 100
"""How many people an `approvers` list may give."""


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
    return any(task_id == numbered(state, n) for n in range(state.tasks_opened, 0, -1))


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


class _Run(Changes):
    """One application in progress: what happens to the request, step by step, by the rules above."""

    def __init__(self, recipe: Recipe, state: State, now: datetime) -> None:
        super().__init__(recipe, state, now)
        self.environment = expressions.environment(recipe)

    def transition(self) -> Transition:
        # Facts of the directory are true now; a later transition asks again.
        if not self.state.asks:
            self.state = replace(self.state, employee=None)
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
        # What the votes above have not closed goes on to somebody else, and is not due again before
        # it is known to whom.
        overdue = [task for task in self.state.tasks if _due(task, self.now)]
        for task in overdue:
            self.put_task(replace(task, due_at=None, remind_at=()))
        self.ask_for([task.seat for task in overdue])

    # --- time ---

    def remind(self, task: Task) -> None:
        later = tuple(moment for moment in task.remind_at if moment > self.now)
        self.put_task(replace(task, remind_at=later))
        self.effects.append(RemindTask(task.id, self.step().id))

    def time_out(self, task: Task) -> None:
        """Cast the vote that the task's level gives for it; an escalation casts none."""
        level = level_of(self.ballot(task.seat), task.level)
        vote = _TIMEOUT_VOTES.get(level.action) if level else None
        if level and vote:
            self.close_task(task, "expired", f"timeout: {level.action}")
            self.cast(task.seat, vote, None)

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
        self.ask_for([seat.key for seat in seats])
        return True

    def seats_of(self, step: ApprovalStep, ballot: Ballot) -> list[Seat]:
        own = step.id if step.type == "approval" else f"{step.id}/{ballot.id}"
        if ballot.approvers is None:
            return [Seat(own, ballot.id)]
        people = self.environment.render(ballot.approvers, self.scope())
        if not isinstance(people, list) or not people:
            raise ExpressionError(f"approvers must give a list of people, not {kind(people)}")
        if len(people) > APPROVERS_LIMIT:
            raise ExpressionError(f"approvers gives {len(people)}, more than {APPROVERS_LIMIT}")
        references = once([reference(person) for person in people])
        return [Seat(f"{own}/{n}", ballot.id, ref) for n, ref in enumerate(references, 1)]

    # --- whom to ask ---

    def ask_for(self, seats: Sequence[str]) -> None:
        """Ask who decides for these seats; those that read `employee` wait until it is known."""
        if not seats:
            return
        asks: list[Ask] = []
        unasked: list[str] = []
        paths = self.step().employee_paths
        unknown = paths and self.state.employee is None
        for key in seats:
            if unknown and any(map(_reads_employee, self.templates(key))):
                unasked.append(key)
            elif (ask := self.ask_seat(key)) is not None:
                asks.append(ask)
        if unasked:
            asks.insert(0, AskEmployee(paths))
        if asks:
            self.state = replace(self.state, asks=tuple(asks), unasked=tuple(unasked))

    def templates(self, key: str) -> tuple[str, ...]:
        """The texts that say whom to ask for a seat: at first, or whom its overdue task goes on to.
        None of them where it goes to the manager of its assignee."""
        ballot, task = self.ballot(key), self.task_of(key)
        if task is not None:
            level = level_of(ballot, task.level)
            return () if level is None or level.to is None else (level.to,)
        return ballot.candidates or (self.seat(key).reference or ballot.approver or "",)

    def ask_seat(self, key: str) -> Ask | None:
        """The question that is open for a seat; None after raising an incident on it."""
        task = self.task_of(key)
        found: list[str] = []
        for template in self.templates(key):
            try:
                found.append(reference(self.environment.render(template, self.scope())))
            except ExpressionError as error:
                self.raise_incident("NoApproverFound", f"{short(template)}: {error}", key)
                return None
        if task is None and self.ballot(key).candidates:
            return AskCandidates(key, tuple(found))
        if task is not None and not found:
            given = task.assignment  # a delegate's task goes up the line of whose it is
            return AskManager(key, given.on_behalf_of or given.user or "")
        return AskApprover(key, found[0])

    def answered(self, answers: tuple[Answer, ...]) -> None:
        asks, unasked = self.state.asks, self.state.unasked
        self.state = replace(self.state, asks=(), unasked=())
        for ask, answer in zip(asks, answers, strict=True):
            if answer.refusal is not None:
                # Without seats that wait for the employee, it is the step that cannot be entered.
                waiting = unasked or (None,)
                for seat in waiting if isinstance(ask, AskEmployee) else (ask.seat,):
                    self.raise_incident(answer.refusal.kind, answer.refusal.detail, seat)
            elif isinstance(ask, AskEmployee):
                self.state = replace(self.state, employee=answer.employee or {})
            elif answer.assignment is not None:
                self.assign(ask.seat, answer.assignment)
        if self.state.employee is not None:
            self.ask_for(unasked)
        self.advance()

    def assign(self, seat: str, assignment: Assignment) -> None:
        if assignment.user is not None and self.has_another_seat(assignment.user, seat):
            detail = f"{assignment.user} already has a seat in step {self.step().id}"
            self.raise_incident("NoApproverFound", detail, seat)
            return
        replaced, level = self.task_of(seat), 0
        if replaced is not None:
            level = replaced.level + 1
            self.close_task(replaced, "expired", "timeout: handed on")
        self.open_task(seat, self.ballot(seat), assignment, level)

    def has_another_seat(self, user: str, seat: str) -> bool:
        """Whether `user` would count twice among several people needed. With one needed, nobody does."""
        step = self.step()
        assert isinstance(step, ApprovalStep)
        if step.quorum.needed(len(self.state.seats)) == 1:
            return False
        holders = {task.seat: task.assignment.user for task in self.state.tasks}
        holders |= {other.key: other.by.user for other in self.state.seats if other.by}
        return any(holder == user and other != seat for other, holder in holders.items())

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
        troubled = dict.fromkeys(incident.seat for incident in self.state.incidents)
        for seat in troubled:
            self.clear_incident(seat, actor)
        self.ask_for([seat for seat in troubled if seat is not None])
        self.advance()


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


def _due(task: Task, now: datetime) -> bool:
    return task.due_at is not None and task.due_at <= now


def _reads_employee(template: str) -> bool:
    """Whether it may: one that only looks so costs a question."""
    return "{{" in template and "employee" in template
