"""Who sits where: seats are taken, and what the directory answers becomes tasks and incidents.

Which question is open for a seat is `questions`; when it is asked, `progress`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskEmployee,
    AskHolders,
    AskPeople,
    AskTimes,
    Assignment,
    Hop,
    SeatAsk,
    Times,
)
from recipes.expressions import ExpressionError
from recipes.happenings import Actor, Commanded
from recipes.keeping import Keeping
from recipes.model import ApprovalStep
from recipes.state import Task

_Given: TypeAlias = dict[str, tuple[SeatAsk, Assignment]]
"""By seat: a question, and the assignment that answers it."""


class Seating(Keeping):
    """Questions, and what their answers do."""

    def take_seats(self, step: ApprovalStep) -> bool:
        fixed = self.state.fixed.get(step.id, ())
        try:
            seats = tuple(seat.seat for seat in fixed) or self.seats_of(step)
        except ExpressionError as error:
            self.raise_incident("NoApproverFound", f"{step.id}: {error}", None)
            return False
        self.state = replace(self.state, entered=True, seats=seats)
        self.keep_approvals()
        self.ask_for([seat.key for seat in self.state.seats if seat.vote is None])
        return True

    def ask_for(self, seats: Sequence[str]) -> None:
        """Ask who decides for these seats; those that read `employee` wait until it is known."""
        if not seats:
            return
        asks: list[Ask] = []
        unasked: list[str] = []
        paths = self.step().employee_paths
        unknown = paths and self.state.employee is None
        for key in seats:
            if unknown and self.reads_employee(key):
                unasked.append(key)
            elif (ask := self.timed(key)) is not None:
                asks.append(ask)
        if unasked:
            asks.insert(0, AskEmployee(paths))
        if asks:
            self.state = replace(self.state, asks=tuple(asks), unasked=tuple(unasked))

    def take_answers(self, answers: tuple[Answer, ...]) -> None:
        """The answers to `state.asks`, in their order."""
        asks, unasked, command = self.state.asks, self.state.unasked, self.state.reassigning
        self.state = replace(self.state, asks=(), unasked=(), reassigning=None)
        if command is not None:
            (ask,), (answer,) = asks, answers
            assert isinstance(ask, AskApprover)
            self.reassigned(command, ask, answer)
        elif self.fixing:
            self.fix_further(asks, answers)
        else:
            self.seat_people(asks, answers, unasked)

    # --- tasks ---

    def seat_people(
        self, asks: tuple[Ask, ...], answers: tuple[Answer, ...], unasked: tuple[str, ...]
    ) -> None:
        rechecked = self.rechecked_of(asks, answers)
        self.move(rechecked)
        for ask, answer in zip(asks, answers, strict=True):
            assert not isinstance(ask, AskTimes | AskPeople), "these are no seats'"
            if answer.refusal is not None:
                # Without seats that wait for the employee, it is the step that cannot be entered.
                waiting = unasked or (None,)
                for seat in waiting if isinstance(ask, AskEmployee) else (ask.seat,):
                    self.raise_incident(answer.refusal.kind, answer.refusal.detail, seat)
            elif isinstance(ask, AskEmployee):
                self.clear_incident(None)
                self.state = replace(self.state, employee=answer.employee or {})
            elif answer.assignment is not None and ask.seat not in rechecked:
                assert not isinstance(ask, AskHolders)
                self.assign(ask, answer.assignment, answer.times)
        if self.state.employee is not None:
            self.ask_for(unasked)

    def assign(self, ask: SeatAsk, assignment: Assignment, times: Times | None) -> None:
        """Seat somebody where nobody was asked yet, or where a task is handed on."""
        seat, user = ask.seat, assignment.user
        if user is not None and self.has_another_seat(user, seat):
            self.raise_incident("NoApproverFound", self.crowded(user), seat)
            return
        self.clear_incident(seat)
        replaced = self.task_of(seat)
        if replaced is None:
            self.open_task(ask, self.as_added(seat, assignment), times)
        else:
            self.close_task(replaced, "expired", "timeout: handed on")
            self.open_task(ask, assignment, times, replaced.level + 1)

    def rechecked_of(self, asks: tuple[Ask, ...], answers: tuple[Answer, ...]) -> _Given:
        """The answers about tasks that somebody has and that are not overdue."""
        found: _Given = {}
        for ask, answer in zip(asks, answers, strict=True):
            others = AskEmployee | AskHolders | AskTimes | AskPeople
            if isinstance(ask, others) or answer.assignment is None:
                continue
            task = self.task_of(ask.seat)
            if task is not None and not self.overdue(task):
                given = self.as_added(task.seat, answer.assignment)
                found[ask.seat] = ask, _as_chosen(task, given) if task.by_hand else given
        return found

    def as_added(self, seat: str, given: Assignment) -> Assignment:
        """With a chain that begins with who added the seat, if somebody did."""
        added = self.seat(seat).added
        if added is None:
            return given
        return replace(given, chain=(Hop("added", added.by), *given.chain))

    def move(self, rechecked: _Given) -> None:
        """Give tasks to those whose they are by now. All at once: what one leaves, another may take."""
        going: dict[str, str | None] = {}
        for seat, (_, assignment) in rechecked.items():
            task = self.task_of(seat)
            assert task is not None
            if task.assignment.same(assignment):
                self.clear_incident(seat)
            else:
                going[seat] = assignment.user
        while (seat := self.one_too_many(going)) is not None:
            self.raise_incident("NoApproverFound", self.crowded(going.pop(seat)), seat)
        for seat in going:
            task = self.task_of(seat)
            assert task is not None
            self.clear_incident(seat)
            self.replace_task(task, *rechecked[seat])

    def one_too_many(self, going: Mapping[str, str | None]) -> str | None:
        """A seat whose task would go to somebody who has, or is to get, another; the last of them."""
        for seat, user in reversed(list(going.items())):
            if user is not None and self.has_another_seat(user, seat, going):
                return seat
        return None

    def has_another_seat(
        self, user: str, seat: str, going: Mapping[str, str | None] | None = None
    ) -> bool:
        """Whether `user` has a seat that nobody has beside this one. `going` says who is to have a seat in
        place of who has it."""
        others = self.other_peoples(seat)
        holders = {task.seat: task.assignment.user for task in self.state.tasks}
        holders |= {other.key: other.by.user for other in self.state.seats if other.by}
        holders |= going or {}
        return any(holder == user and other in others for other, holder in holders.items())

    def crowded(self, user: str | None) -> str:
        return f"{user} already has a seat in step {self.step().id}"

    # --- by hand ---

    def reassign(self, command: Commanded) -> None:
        """Ask whether the person chosen can decide; refuse where that is known."""
        refusal = self.why_not(command)
        if refusal is not None or command.seat is None:
            self.settle_command(command, refusal)
            return
        without = self.without(self.ballot(command.seat))
        timing = self.timing(command.seat)
        ask = AskApprover(command.seat, f"user:{command.to}", without, timing=timing)
        self.state = replace(self.state, asks=(ask,), reassigning=command)

    def why_not(self, command: Commanded) -> str | None:
        """What speaks against giving that seat to that person, before anybody is asked."""
        waiting = {it.seat for it in (*self.state.tasks, *self.state.incidents)}
        if command.seat is None or command.seat not in waiting:
            return f"nothing is waiting to be decided at {command.seat}"
        if command.to is None:
            return "it does not say to whom"
        task = self.task_of(command.seat)
        if task is not None and task.assignment.user == command.to:
            return f"it is {command.to}'s already"
        refusal = self.why_not_person(command.seat, command.to)
        if refusal is None and self.has_another_seat(command.to, command.seat):
            return self.crowded(command.to)
        return refusal

    def why_not_person(self, seat: str, person: str) -> str | None:
        """Why somebody may decide nothing of the seat's ballot."""
        if person == self.state.requester:
            return f"{person} is the requester: nobody decides their own request"
        for step in self.ballot(seat).not_same_as:
            if person in self.state.deciders.get(step, ()):
                return f"{person} decided step {step}, and another person has to decide here"
        return None

    def reassigned(self, command: Commanded, ask: AskApprover, answer: Answer) -> None:
        """Give the seat to whom was chosen, or who decides for them; refused, nothing changes."""
        given = answer.assignment or Assignment()
        user, behalf = given.user, given.on_behalf_of
        if answer.refusal is not None:
            self.settle_command(command, answer.refusal.detail)
        elif user is None or command.to not in (user, behalf):
            self.settle_command(command, f"{command.to} cannot be asked here")
        elif self.has_another_seat(user, ask.seat):
            self.settle_command(command, self.crowded(user))
        else:
            by = Hop("reassigned", command.actor.user)
            chosen = replace(given, chain=(by, *given.chain))
            self.give(ask, chosen, answer.times, command.actor)
            whom = f"{user} on behalf of {behalf}" if behalf is not None else user
            self.settle_command(command, done=f"reassigned to {whom}")

    def give(self, ask: SeatAsk, assignment: Assignment, times: Times | None, actor: Actor) -> None:
        self.clear_incident(ask.seat, actor)
        task = self.task_of(ask.seat)
        if task is None:
            self.open_task(ask, assignment, times, by_hand=True)
        elif self.overdue(task):
            # Somebody handed it on in place of its level.
            self.close_task(task, "reassigned", f"to {assignment.user}")
            self.open_task(ask, assignment, times, task.level + 1, by_hand=True)
        else:
            self.replace_task(replace(task, by_hand=True), ask, assignment)


def _as_chosen(task: Task, given: Assignment) -> Assignment:
    """With a chain that begins with who chose."""
    return replace(given, chain=(*task.assignment.chain[:1], *given.chain))
