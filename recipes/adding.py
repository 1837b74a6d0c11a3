"""Approvers whom somebody adds to a step by hand: before, beside or after those of its recipe.

Each has a seat of its own, and the step needs every one of them beside what its recipe needs (`tally`).

* Whoever is added `before` is asked at once. The recipe's open tasks are withdrawn, and asked again
  when nobody added before is undecided any more.
* `beside`: asked at once, whatever else is open.
* `after`: asked once all the others have approved, the recipe's quorum being reached. What of the
  recipe is undecided then is asked no more.
* Nobody is added who is the requester, has another seat of the step, or decided a step that the task
  is `not_same_as`. Their delegations are followed. Nobody has an added seat and another one.
* An added seat has no levels, reminders or limits: it waits. All else of a seat holds for it.
"""

from dataclasses import replace

from recipes import tally
from recipes.asks import Answer, AskApprover, Assignment
from recipes.effects import Record
from recipes.happenings import Commanded, Where
from recipes.model import ApprovalStep
from recipes.seating import Seating
from recipes.state import Added, Seat

ADDED_LIMIT = 20
"""How many approvers a step takes beside those of its recipe."""


class Adding(Seating):
    """Seats that are added, and whose turn it is."""

    # --- the command ---

    def add(self, command: Commanded) -> None:
        """Ask whether the person chosen can decide; refuse where that is known."""
        refusal = self.why_not_add(command)
        if refusal is not None or command.seat is None:
            self.settle_command(command, refusal)
            return
        number = 1 + sum(seat.added is not None for seat in self.state.seats)
        without = self.without(self.ballot(command.seat))
        ask = AskApprover(f"{self.step().id}/+{number}", f"user:{command.to}", without)
        self.state = replace(self.state, asks=(ask,), adding=command)

    def why_not_add(self, command: Commanded) -> str | None:
        """What speaks against adding that person there, before anybody is asked."""
        if command.seat is None or self.task_of(command.seat) is None:
            return f"nothing is waiting to be decided at {command.seat}"
        if command.to is None or command.where is None:
            return "it does not say whom to add, and where"
        if sum(seat.added is not None for seat in self.state.seats) >= ADDED_LIMIT:
            return f"step {self.step().id} has {ADDED_LIMIT} added approvers: no more fit"
        refusal = self.why_not_person(command.seat, command.to)
        if refusal is not None:
            return refusal
        waiting = [seat.person for seat in self.undecided("before", "beside", "after")]
        if command.to in waiting or self.has_another_seat(command.to, _NEW):
            return self.crowded(command.to)
        return None

    def added(self, command: Commanded, answers: tuple[Answer, ...]) -> None:
        """Give the person chosen, or who decides for them, a seat; refused, nothing changes."""
        [ask], [answer] = self.state.asks, answers
        assert isinstance(ask, AskApprover)
        self.state = replace(self.state, asks=(), adding=None)
        given = answer.assignment or Assignment()
        user, behalf = given.user, given.on_behalf_of
        if answer.refusal is not None:
            self.settle_command(command, answer.refusal.detail)
        elif user is None or command.to not in (user, behalf):
            self.settle_command(command, f"{command.to} cannot be asked here")
        elif self.has_another_seat(user, ask.seat):
            self.settle_command(command, self.crowded(user))
        else:
            self.seat_added(command, ask, given)
            whom = f"{user} on behalf of {behalf}" if behalf is not None else user
            self.settle_command(command, done=f"added {command.where}: {whom}")

    def seat_added(self, command: Commanded, ask: AskApprover, given: Assignment) -> None:
        assert command.seat is not None
        assert command.where is not None
        ballot = self.seat(command.seat).ballot
        added = Added(command.where, command.actor.user, command.comment)
        seat = Seat(ask.seat, ballot, ask.reference, added=added)
        self.state = replace(self.state, seats=(*self.state.seats, seat))
        payload = {
            "step": self.step().id,
            "seat": seat.key,
            "person": command.to,
            "where": command.where,
            "comment": command.comment,
            "beside_seat": command.seat,
        }
        self.effects.append(Record("approver.added", payload, command.actor))
        if seat.key in self.turn():
            self.open_task(ask, self.as_added(seat.key, given), None)

    # --- whose turn it is ---

    def turn(self) -> list[str]:
        """The undecided seats that are asked now."""
        step, seats = self.step(), self.state.seats
        assert isinstance(step, ApprovalStep)
        settled = tally.of_recipe(step, seats) is not None
        comes = {
            None: not settled and not self.undecided("before"),
            "before": True,
            "beside": True,
            "after": settled and not self.undecided("before", "beside"),
        }
        return [s.key for s in seats if s.vote is None and comes[s.where]]

    def take_turns(self) -> None:
        """Withdraw what has to wait, or is needed no more, and ask those whose turn has come."""
        if not any(seat.where for seat in self.state.seats):
            return
        turn = self.turn()
        for task in self.state.tasks:
            if task.seat not in turn:
                self.close_task(task, "superseded", self.why_not_now(self.seat(task.seat)))
        for incident in self.state.incidents:
            if incident.seat not in turn:
                self.clear_incident(incident.seat)
        for task in self.state.tasks:
            # Somebody who shared another task decided that one at the same instant.
            user = task.assignment.user
            if user is not None and self.has_another_seat(user, task.seat):
                self.raise_incident("NoApproverFound", self.crowded(user), task.seat)
        asked = {task.seat for task in self.state.tasks}
        asked |= {incident.seat for incident in self.state.incidents if incident.seat is not None}
        self.ask_for([key for key in turn if key not in asked])

    def undecided(self, *where: Where) -> list[Seat]:
        """The undecided seats that were added there."""
        return [s for s in self.state.seats if s.vote is None and s.where in where]

    def why_not_now(self, seat: Seat) -> str:
        """Why a seat's task is withdrawn."""
        awaited = (
            self.undecided("before") if seat.added is None else self.undecided("before", "beside")
        )
        if not awaited:
            return f"step {self.step().id} has the approvals that its recipe needs"
        people = (other.person for other in awaited)
        return f"waits for {', '.join(people)}, added by hand"


_NEW = "+"
"""The seat of somebody who is to be added."""
