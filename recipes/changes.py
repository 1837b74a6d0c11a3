"""A request's state while a happening is applied to it: the ways it may change, each with its effects.

What changes when, and why, is `progress`; here nothing is decided. A change that storage must know
of leaves its effect, so that the state and what is written can't come apart.
"""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from recipes import outcomes
from recipes.asks import Assignment, IncidentKind, SeatAsk, Times
from recipes.effects import CloseTask, Effect, OpenTask, Record, SettleCommand
from recipes.findings import short
from recipes.happenings import ENGINE, Actor, Commanded, Decided
from recipes.model import ApprovalStep, Ballot, BusinessDays, Duration, Json, Level, Recipe, Step
from recipes.state import Closing, FixedSeat, Incident, Seat, State, Task, Vote

DETAIL_LIMIT = 300
"""How many characters an incident says at most: it goes into the audit and to people."""


class Changes:
    """The state as changed so far, and the effects of that. `now` is one moment for all of it."""

    def __init__(self, recipe: Recipe, state: State, now: datetime) -> None:
        self.recipe = recipe
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    # --- incidents ---

    def raise_incident(self, kind: IncidentKind, detail: str, seat: str | None) -> None:
        """The seat's one incident: it takes the place of another, and of the same it is none."""
        step, detail = self.step().id, short(detail, DETAIL_LIMIT)
        stands = next((i for i in self.state.incidents if i.seat == seat), None)
        if stands is not None and (stands.kind, stands.detail) == (kind, detail):
            return
        self.clear_incident(seat)
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

    def open_task(
        self,
        ask: SeatAsk,
        assignment: Assignment,
        times: Times | None,
        level: int = 0,
        *,
        by_hand: bool = False,
    ) -> None:
        """A task of `ask`'s seat, whose time begins now; `times` are those that `ask` asked for."""
        if times is None:
            due = self.due(ask.seat, level)
            remind = self.reminders(self.ballot(ask.seat), due)
        else:
            due, remind = times.due_at, times.remind_at
        number = self.state.tasks_opened + 1
        self.put_new(
            Task(
                id=numbered(self.state, number),
                seat=ask.seat,
                assignment=assignment,
                level=level,
                opened_at=self.now,
                due_at=due,
                remind_at=remind,
                ask=replace(ask, timing=None),
                by_hand=by_hand,
                due_by=None if times is None else times.by,
            )
        )

    def replace_task(self, task: Task, ask: SeatAsk, assignment: Assignment) -> None:
        """Give what is left of the task's time to others: it is closed, and another one opened."""
        number = self.state.tasks_opened + 1
        successor = replace(
            task,
            id=numbered(self.state, number),
            assignment=assignment,
            opened_at=self.now,
            ask=ask,
        )
        self.close_task(task, "reassigned", f"to {', '.join(assignment.people)}")
        self.put_new(successor)

    def put_new(self, task: Task) -> None:
        state, step, ballot = self.state, self.step(), self.ballot(task.seat)
        self.state = replace(
            state, state="pending", tasks_opened=state.tasks_opened + 1, tasks=(*state.tasks, task)
        )
        branch = ballot.id if isinstance(step, ApprovalStep) and step.type == "parallel" else None
        fixed = self.fixed_seat(task.seat) is not None and not (task.level or task.by_hand)
        offer, added = outcomes.offer(self.recipe, step, ballot), self.seat(task.seat).added
        self.effects.append(OpenTask(task, step.id, branch, offer, state.digest, fixed, added))

    def due(self, seat: str, level: int) -> datetime | None:
        """When a task of that level is due, where no business days count."""
        timer = level_of(self.ballot(seat), level)
        return None if timer is None else self.now + _plain(timer.after)

    def reminders(self, ballot: Ballot, due: datetime | None) -> tuple[datetime, ...]:
        moments: set[datetime] = set()
        for reminder in ballot.remind:
            if not reminder.before_due:
                moments.add(self.now + _plain(reminder.seconds))
            elif due is not None:
                moments.add(due - _plain(reminder.seconds))
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
        """What later expressions see of this decision as `steps.<id>`, and who decides no step that
        is `not_same_as` this one."""
        step = self.step().id
        result = self.state.results.get(step, {})
        people = [*result.get("decided_by", []), decision.actor.user]
        result = {
            **result,
            "decided_by": people,
            "decision": decision.decision,
            "comment": decision.comment,
        }
        whose = decision.actor.user, decision.actor.on_behalf_of
        deciders = [*self.state.deciders.get(step, ()), *(who for who in whose if who is not None)]
        self.state = replace(
            self.state,
            results={**self.state.results, step: result},
            deciders={**self.state.deciders, step: tuple(dict.fromkeys(deciders))},
        )

    def settle_command(
        self, command: Commanded, refusal: str | None = None, done: str = "tried again"
    ) -> None:
        """Applied, and what was `done`; or the refusal."""
        detail = refusal or done
        self.effects.append(
            SettleCommand(command.command_id, command.command, refusal is None, detail)
        )

    # --- looking up ---

    def step(self) -> Step:
        """The step the request is at; of a final one the callback."""
        if self.state.final:
            return self.recipe.callbacks(self.state.state)[self.state.called]
        return self.recipe.steps[self.state.position]

    def ballot(self, seat_key: str) -> Ballot:
        step = self.step()
        assert isinstance(step, ApprovalStep)
        seat = self.seat(seat_key)
        ballot = next(ballot for ballot in step.ballots if ballot.id == seat.ballot)
        return ballot if seat.added is None else _for_added(ballot, seat)

    def seat(self, key: str) -> Seat:
        return next(seat for seat in self.state.seats if seat.key == key)

    def fixed_seat(self, key: str) -> FixedSeat | None:
        """The seat as `resolve: at_submit` fixed it."""
        fixed = self.state.fixed.get(self.step().id, ())
        return next((seat for seat in fixed if seat.seat.key == key), None)

    def task_of(self, seat: str) -> Task | None:
        """The seat's open task."""
        return next((task for task in self.state.tasks if task.seat == seat), None)

    def scope(self) -> dict[str, Json]:
        """What an expression can name."""
        request: dict[str, Json] = {
            "id": self.state.request_id,
            "requester": self.state.requester,
            "workflow": self.recipe.workflow,
            "version": self.recipe.version,
            "submitted_at": self.state.submitted_at,
            "entity": self.state.entity and asdict(self.state.entity),
        }
        return {
            **self.state.inputs,
            "inputs": self.state.inputs,
            "employee": self.state.employee or {},
            "request": request,
            "steps": self.results(),
        }

    def results(self) -> dict[str, dict[str, Json]]:
        """Of a final request all steps have an outcome, also those that it did not come to or through:
        what is done after its end need not ask which these are."""
        known = self.state.results
        if not self.state.final:
            return known
        undone: dict[str, Json] = {"outcome": "not_done"}
        return known | {it.id: undone | known.get(it.id, {}) for it in self.recipe.steps}


def _for_added(ballot: Ballot, seat: Seat) -> Ballot:
    """What of a ballot holds for somebody who was added at one of its tasks."""
    return replace(
        ballot,
        approver=seat.reference,
        candidates=(),
        approvers=None,
        levels=(),
        remind=(),
        authority=None,
    )


def _plain(duration: Duration) -> timedelta:
    assert not isinstance(duration, BusinessDays), "these are asked for: `Questions.timing`"
    return timedelta(seconds=duration)


def numbered(state: State, number: int) -> str:
    """Ids follow from the request and the order of opening, so that a second try opens the same."""
    return str(uuid5(UUID(state.request_id), f"task:{number}"))


def level_of(ballot: Ballot, number: int) -> Level | None:
    """What happens to a task that was handed on `number` times; None once the levels are used up.

    Escalation goes on up the line, so it repeats. The same people are not asked again and again.
    """
    if number < len(ballot.levels):
        return ballot.levels[number]
    repeats = bool(ballot.levels) and ballot.levels[-1].action == "escalate"
    return ballot.levels[-1] if repeats else None
