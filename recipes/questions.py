"""Whom a step asks: its seats, and the question to the directory that is open for each of them.

What an answer does is `seating`; when a seat is asked for, `progress`. A seat is asked for

* at first, or again while its task was asked for so: by the recipe's templates, as of today, or by
  what `resolve: at_submit` fixed;
* again later, when its task was handed on or somebody chose whom to ask: by its task's own question;
* when its task is overdue: by what its level says, a manager's line or a reference.

Each of them leaves out who decided a step of the ballot's `not_same_as` (`without`), and asks for
`authority`, if the ballot has it (`limit`).
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from recipes import authority, expressions, tally
from recipes.asks import AskApprover, AskCandidates, AskManager, Limit, SeatAsk, Timing
from recipes.changes import Changes, level_of
from recipes.expressions import ExpressionError
from recipes.findings import short
from recipes.model import ApprovalStep, Ballot, BusinessDays, Recipe
from recipes.references import kind, once, reference
from recipes.state import Seat, State, Task

APPROVERS_LIMIT = 100
"""How many people an `approvers` list may give."""


class Questions(Changes):
    """Changes that can ask: what the recipe's expressions give as of now."""

    def __init__(self, recipe: Recipe, state: State, now: datetime) -> None:
        super().__init__(recipe, state, now)
        self.environment = expressions.environment(recipe)

    def take_recipe(self, recipe: Recipe) -> None:
        """Go on with another version."""
        self.recipe = recipe
        self.environment = expressions.environment(recipe)

    # --- seats ---

    def seats_of(self, step: ApprovalStep) -> tuple[Seat, ...]:
        """The seats that the step has as of now. ExpressionError if it cannot have them."""
        seats = tuple(seat for ballot in step.ballots for seat in self._seats_of(step, ballot))
        if step.quorum.kind == "count" and step.quorum.value > len(seats):
            raise ExpressionError(f"a quorum of {step.quorum.value} over {len(seats)} approvers")
        return seats

    def _seats_of(self, step: ApprovalStep, ballot: Ballot) -> list[Seat]:
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

    def overdue(self, task: Task) -> bool:
        """Whether the task's time is up, and who has it next is yet to be found."""
        return task.due_at is None and level_of(self.ballot(task.seat), task.level) is not None

    # --- the question of a seat ---

    def timed(self, key: str) -> SeatAsk | None:
        """`question`, and when the task that its answer opens is due, if business days count."""
        ask = self.question(key)
        return None if ask is None else replace(ask, timing=self.timing(key))

    def timing(self, key: str) -> Timing | None:
        """What of the seat's next task counts business days; None if nothing does, and where it has a
        task whose time goes on."""
        task, ballot = self.task_of(key), self.ballot(key)
        if task is not None and not self.overdue(task):
            return None
        level = level_of(ballot, 0 if task is None else task.level + 1)
        after = None if level is None else level.after
        durations = [after, *(reminder.seconds for reminder in ballot.remind)]
        if not any(isinstance(duration, BusinessDays) for duration in durations):
            return None
        return Timing(self.recipe.calendar or "", self.now, after, ballot.remind)

    def question(self, key: str) -> SeatAsk | None:
        """The question that is open for a seat; None after raising an incident on it, and where a
        task of the earliest histories does not say what was asked for it."""
        ballot, task = self.ballot(key), self.task_of(key)
        if task is not None and self._says(task):
            return _again(task)
        try:
            limit = self.limit(ballot)
        except ExpressionError as error:
            self.raise_incident("ExpressionError", f"{ballot.id}.authority: {error}", key)
            return None
        found: list[str] = []
        for template in self.templates(key):
            try:
                found.append(reference(self.environment.render(template, self.scope())))
            except ExpressionError as error:
                self.raise_incident("NoApproverFound", f"{short(template)}: {error}", key)
                return None
        without = self.without(ballot)
        if task is not None and self.overdue(task):
            if found:
                return AskApprover(key, found[0], without, limit)
            given = task.assignment  # a delegate's task goes up the line of whose it is
            return AskManager(key, given.on_behalf_of or given.user or "", without, limit)
        if ballot.candidates:
            return AskCandidates(key, tuple(found), without, self.seated(key))
        fixed = self.fixed_seat(key)
        person = None if fixed is None else fixed.people[0]
        return AskApprover(key, found[0], without, limit, _turn_of(task, found[0]), person)

    def templates(self, key: str) -> tuple[str, ...]:
        """The texts that say whom to ask for a seat: at first, or whom its overdue task goes on to.
        None of them where it goes to the manager of its assignee."""
        ballot, task, fixed = self.ballot(key), self.task_of(key), self.fixed_seat(key)
        if task is not None and self.overdue(task):
            level = level_of(ballot, task.level)
            return () if level is None or level.to is None else (level.to,)
        if fixed is not None:
            return fixed.people if ballot.candidates else fixed.references
        return first_templates(ballot, self.seat(key))

    def reads_employee(self, key: str) -> bool:
        """Whether its question may: one that only looks so costs a question."""
        ballot, task = self.ballot(key), self.task_of(key)
        if task is not None and self._says(task):
            return False
        limit = ballot.authority
        sources = [] if limit is None else [limit.amount, limit.currency]
        sources += [template for template in self.templates(key) if "{{" in template]
        return any("employee" in source for source in sources)

    def without(self, ballot: Ballot) -> tuple[str, ...]:
        """Who decided a step of `not_same_as`, or on whose behalf that was done."""
        deciders = (self.state.deciders.get(step, ()) for step in ballot.not_same_as)
        return _once(person for people in deciders for person in people)

    def seated(self, key: str) -> tuple[str, ...]:
        """Who decided another seat of a step that needs several people, or is asked for it, and those
        for whom: none of them decides a shared task of it."""
        others = self.other_peoples(key)
        having = [(task.seat, task.assignment) for task in self.state.tasks]
        cast = [(seat.key, seat.by) for seat in self.state.seats if seat.by is not None]
        people = [(it.user, it.on_behalf_of) for seat, it in (*having, *cast) if seat in others]
        return _once(name for pair in people for name in pair if name is not None)

    def other_peoples(self, key: str) -> frozenset[str]:
        """The seats of the step that nobody has beside this one: all others where it needs several
        people, or this one was added (or is to be); else those that were added."""
        step, seats = self.step(), self.state.seats
        assert isinstance(step, ApprovalStep)
        recipes_own = any(seat.key == key and seat.added is None for seat in seats)
        everybody = not recipes_own or tally.several(step, seats)
        return frozenset(s.key for s in seats if s.key != key and (everybody or s.added))

    def limit(self, ballot: Ballot) -> Limit | None:
        """What the approver's own limit must cover. ExpressionError if that cannot be told."""
        if ballot.authority is None:
            return None
        return authority.limit(self.environment, ballot.authority, self.scope())

    def _says(self, task: Task) -> bool:
        """Whether a task's own question is the one to ask again."""
        return (task.level > 0 or task.by_hand) and not self.overdue(task)


def at_step(recipe: Recipe, state: State, step_id: str) -> tuple[Recipe, State]:
    """A recipe of that approval step alone, whatever its `when` says, and a request that is to begin
    with it: for asking who decides it, or would have decided it.

    It is asked as a live request is, by the same code:

        alone, before = at_step(recipe, state, "manager_approval")
        found = progress.apply(alone, before, Started(), now)
        while found.state.asks:
            found = progress.then(alone, found, answers_of(found.state.asks), now)

    Then the `OpenTask`s of `found.effects` have the assignments, one a seat, and the records
    `incident.raised` say why there are none. `state` is a live request's, whose results, deciders and
    seats fixed at submission count; or an `initial` one of any requester and inputs. A role's turn is
    taken or only read as the answers have it. ValueError if the recipe has no such approval step.
    """
    steps = (step for step in recipe.steps if step.id == step_id and isinstance(step, ApprovalStep))
    step = next(steps, None)
    if step is None:
        raise ValueError(f"the recipe has no approval step {step_id}")
    before = State(
        request_id=state.request_id,
        requester=state.requester,
        inputs=state.inputs,
        submitted_at=state.submitted_at,
        digest=state.digest,
        results=state.results,
        deciders=state.deciders,
        fixed=state.fixed,
        entity=state.entity,
    )
    return replace(recipe, steps=(replace(step, when=None),), resolve="at_step"), before


def first_templates(ballot: Ballot, seat: Seat) -> tuple[str, ...]:
    """The texts that say whom a seat is first asked of."""
    return ballot.candidates or (seat.reference or ballot.approver or "",)


def _again(task: Task) -> SeatAsk | None:
    if isinstance(task.ask, AskApprover):
        return replace(task.ask, keep=_turn_of(task, task.ask.reference))
    return task.ask


def _turn_of(task: Task | None, asked: str) -> str | None:
    """The member that a turn of the role `asked` gave to the task."""
    role = asked.removeprefix("role:")
    for hop in reversed(task.assignment.chain if task is not None else ()):
        if hop.role == role and (hop.turn is not None or hop.rule == "kept"):
            return hop.user
    return None


def _once(people: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(people))
