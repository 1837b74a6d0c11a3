"""What follows of itself: steps are entered, completed and left, until something is awaited or the request ends."""

from dataclasses import replace

from recipes import tally
from recipes.asks import AskEmployee
from recipes.effects import Record
from recipes.expressions import ExpressionError
from recipes.happenings import ENGINE, Actor
from recipes.jobs import Jobs, at_hand
from recipes.model import ActionStep, ApprovalStep, JobStep, Json, NotifyStep, Step, WaitStep
from recipes.state import Closing, FinalState


class Advancing(Jobs):
    """The ways on, by the rules of `progress`."""

    def advance(self) -> None:
        """Go on as far as possible: until a seat is undecided, a job runs or has failed, a time is to
        come, an ask is open, it waits for its requester, or everything is done."""
        while not self.state.asks and not self.working and self.state.state != "rewound":
            step = at_hand(self.recipe, self.state)
            if step is None:
                if self.state.final:
                    return
                self.finalize("approved", "approved", None)
            elif self.state.final or not self.state.entered:
                # A step that could not be entered waits for `retry`, whatever else happens.
                blocked = any(incident.seat is None for incident in self.state.incidents)
                if blocked or not self.enter(step):
                    return
            elif not self.complete(step):
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
            return self.begin_step(step)
        return True

    def begin_step(self, step: ApprovalStep | JobStep | WaitStep | NotifyStep) -> bool:
        """Seats are taken, a job is started, a time begins; False if people are needed for that."""
        try:
            match step:
                case ApprovalStep():
                    return self.take_seats(step)
                case JobStep():
                    self.begin_job(step)
                case WaitStep():
                    self.begin_wait(step)
                case _:
                    self.ask_whom(step)
        except ExpressionError as error:
            self.raise_incident("ExpressionError", f"{step.id}: {error}", None)
            return False
        return True

    def complete(self, step: Step) -> bool:
        """Close the step if its result can no longer change, or its time has come."""
        if isinstance(step, WaitStep):
            over = self.waited()
            if over:
                self.completed(step, "done")
            return over
        return isinstance(step, ApprovalStep) and self.count(step)

    def count(self, step: ApprovalStep) -> bool:
        found = tally.result(step, self.state.seats)
        if found is None:
            self.take_turns()
            return False
        outcome = found.outcome
        for task in self.state.tasks:
            self.close_task(task, "superseded", f"step {step.id} is {outcome}")
        for seat in self.state.seats:
            self.clear_incident(seat.key)
        self.effects.append(
            Record("step.completed", {"step": step.id, "outcome": outcome, **found.count})
        )
        if outcome == "approved":
            self.leave(step, outcome)
        elif outcome == "rejected" and step.on_reject is not None:
            self.rewind(step.on_reject, f"step {step.id} was rejected")
        elif outcome == "rejected":
            self.finalize("rejected", f"step {step.id} was rejected", None)
        else:
            self.finalize("expired", f"step {step.id} expired", None)
        return True

    def completed(self, step: Step, outcome: str) -> None:
        self.effects.append(Record("step.completed", {"step": step.id, "outcome": outcome}))
        self.leave(step, outcome)

    def leave(self, step: Step, outcome: str) -> None:
        result = {**self.state.results.get(step.id, {}), "outcome": outcome}
        results = {**self.state.results, step.id: result}
        if self.state.final:
            called = self.state.called + 1
            self.state = replace(
                self.state, called=called, job=None, employee=None, results=results
            )
            return
        self.state = replace(
            self.state,
            position=self.state.position + 1,
            entered=False,
            seats=(),
            job=None,
            employee=None,
            results=results,
        )

    def finalize(self, to: FinalState, why: str, reason: str | None, actor: Actor = ENGINE) -> None:
        for task in self.state.tasks:
            self.close_task(task, _CLOSINGS[to], why)
        for incident in self.state.incidents:
            self.clear_incident(incident.seat)
        self.stop_job(why)
        self.state = replace(
            self.state,
            state=to,
            reason=reason or why,
            asks=(),
            employee=None,
            waits_until=None,
            resubmit_by=None,
        )
        payload: dict[str, Json] = {"state": to, "why": why, "reason": reason}
        self.effects.append(Record("request.finalized", payload, actor))


_CLOSINGS: dict[FinalState, Closing] = {
    "approved": "superseded",
    "rejected": "superseded",
    "cancelled": "cancelled",
    "expired": "expired",
}
