"""Whether a request in flight can go on with another version of its recipe, and as what.

The rules
---------
* What was decided stays decided; what is still to come follows the new version. So the step (of a
  state machine: the state) that a request is at must be there in the new version, of the same type.
* No step is left out in silence: one that is new, and comes before where the request is, would never
  be asked. Nor may a step that is still to come speak of one that never ran.
* A task whose part of the step is the same in both versions stays with whoever has it, with its time;
  only its digest is the new version's, so that nobody decides by what they saw of the old one. What
  differs is asked anew, and its time begins anew. What business days were counted on stays, too.
* A branch that was decided, or that somebody was added at by hand, cannot go; another one is closed.
* A request that waits for its requester can go: it is at no step. Approvals that may stay when it comes
  in again are those of steps that are the same in both versions.
* What is sealed stays sealed as it was, so both versions keep the same inputs confidential. Whom they
  are visible to may differ, and follows the new version.
* A job that runs goes on, where its step runs the same function; one that has failed is begun again, as
  the new version has it. A wait that is the same ends when it would have; else it begins anew.
* What cannot go on is refused with every reason there is, and stays where it is.

`judge` says it to those who only want to know, and to `Migrating`, which does it. Whether the inputs
fit the new version's schema is looked at by whoever takes the command: `Migration.seen` holds it to
these inputs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recipes import outcomes, tally, timers
from recipes.asks import DueBy, Times
from recipes.effects import RebindTask, Record
from recipes.happenings import Commanded, Migration
from recipes.inputs import sources
from recipes.mentions import mentions
from recipes.model import ApprovalStep, Ballot, JobStep, Machine, Recipe, Step, WaitStep
from recipes.rewinding import Rewinding
from recipes.state import Seat, State


@dataclass(frozen=True, slots=True)
class Judgement:
    """`refusals` are all the reasons why a request stays on its version; without any it can go. `notes`
    say what becomes of it."""

    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(
    old: Recipe, new: Recipe, state: State, now: datetime, times: Times | None = None
) -> Judgement:
    """What stands against `state`, of a request on `old`, going on with `new`; and what that means.
    `times` are its deadline's on `new`, if that counts business days (`timers.deadline_timing`)."""
    deadline, _ = deadline_of(old, new, state, times)
    refusals = [*_of_the_recipe(old, new, state)]
    if deadline is not None and deadline != state.deadline_at and deadline <= now:
        refusals.append(f"its deadline would have passed at {_told(deadline)}")
    notes: list[str] = []
    # What waits for its requester is at no step: it will run anew.
    if new.kind == old.kind and not state.final and state.state != "rewound":
        place = _Machine(old, new, state) if old.machine is not None else _Steps(old, new, state)
        refusals += place.refusals()
        notes += () if refusals else place.notes()
    if deadline != state.deadline_at and not refusals:
        notes.append(f"its deadline becomes {_told(deadline)}, was {_told(state.deadline_at)}")
    return Judgement(tuple(refusals), tuple(notes))


def deadline_of(
    old: Recipe, new: Recipe, state: State, times: Times | None
) -> tuple[datetime | None, DueBy | None]:
    """A running deadline moves only where the two versions differ in it."""
    if new.deadline == old.deadline:
        return state.deadline_at, state.deadline_by
    return timers.deadline(new, state.submitted_at, times)


def _of_the_recipe(old: Recipe, new: Recipe, state: State) -> Iterator[str]:
    if state.final:
        yield f"the request is already {state.state}"
    if new.workflow != old.workflow or new.version == old.version:
        yield f"{new.workflow} version {new.version} is no other version of {old.workflow}"
    if new.kind != old.kind:
        yield f"version {new.version} is of kind {new.kind}, and not {old.kind}"
    if new.entity is not None and new.entity.required and state.entity is None:
        yield f"version {new.version} is about an entity, and the request has none"
    if new.entity is None and state.entity is not None:
        yield f"version {new.version} is about no entity, and the request has one"
    if _confidential(new) != _confidential(old):
        kept, keeps = _told_confidential(old), _told_confidential(new)
        yield f"version {new.version} keeps {keeps} confidential, and the request {kept}"


def _confidential(recipe: Recipe) -> frozenset[str] | None:
    """The inputs that are; None: all that people wrote is."""
    rule = recipe.confidential
    named = () if rule is None else rule.fields
    return None if named is None else frozenset(named)


def _told_confidential(recipe: Recipe) -> str:
    names = _confidential(recipe)
    return "everything" if names is None else ", ".join(sorted(names)) or "nothing"


# --- steps ---------------------------------------------------------------------------------------


class _Steps:
    """A request of steps, held against another version."""

    def __init__(self, old: Recipe, new: Recipe, state: State) -> None:
        self.state = state
        self.new = new
        self.step = old.steps[state.position]
        self.position = position_of(new, self.step)

    def refusals(self) -> Iterator[str]:
        if self.position is None:
            yield f"it is at step {self.step.id}, which version {self.new.version} does not have"
            return
        for step in self.new.steps[: self.position]:
            if step.id not in self.state.results:
                yield f"step {step.id} is new before where it is, and would never be asked"
        yield from self._unknown_steps(self.new.steps[self.position :])
        if self.state.entered:
            here = self.new.steps[self.position]
            yield from _seats_kept(self.step, here, self.state, self.new.version)
        job, there = self.state.job, self.new.steps[self.position]
        run = there.run if isinstance(there, JobStep) else None
        if job is not None and job.failure is None and job.run != run:
            yield f"step {job.step} runs {job.run}, and does not in version {self.new.version}"

    def _unknown_steps(self, coming: Sequence[Step]) -> Iterator[str]:
        """Steps to come that speak of one that has not run, and will not."""
        ids = {step.id for step in coming}
        for step in coming:
            for name in dict.fromkeys(_named_by(step)):
                if name not in ids and name not in self.state.results:
                    yield f"step {step.id} speaks of step {name}, which it did not go through"

    def notes(self) -> Iterator[str]:
        """Of a request that can go."""
        assert self.position is not None
        here = self.new.steps[self.position]
        anew = changed_seats(self.step, here, self.state.seats)
        for task in self.state.tasks:
            if task.seat in anew:
                yield f"{', '.join(task.assignment.people)} at {task.seat}: asked anew"
        for seat in gone_seats(self.step, here, self.state.seats):
            yield f"{seat} is closed: version {self.new.version} does not have it"
        for seat in new_seats(self.step, here, self.state.seats):
            yield f"{seat.key} is new, and asked"


def position_of(new: Recipe, step: Step) -> int | None:
    """Where a step of another version stands in `new`; None if it is not there."""
    return next((n for n, other in enumerate(new.steps) if other.id == step.id), None)


def _named_by(step: Step) -> Iterator[str]:
    """The other steps that a step speaks of."""
    for source in sources(step):
        for mention in mentions(source):
            if mention.root == "steps" and mention.path:
                yield mention.path[0]
    if isinstance(step, ApprovalStep):
        for ballot in step.ballots:
            yield from ballot.not_same_as


def _seats_kept(old: Step, new: Step, state: State, version: int) -> Iterator[str]:
    """Why a step that has been entered cannot go on as the other version has it."""
    decided = {seat.ballot for seat in state.seats if seat.vote is not None and not seat.added}
    added = {seat.ballot for seat in state.seats if seat.added}
    if not isinstance(new, ApprovalStep) or not isinstance(old, ApprovalStep):
        if new.type != old.type:
            yield f"step {old.id} is another type of step in version {version}"
    elif afresh(old, new):
        if decided:
            yield f"step {old.id} asks in another way in version {version}, and has been voted on"
        if added:
            yield f"step {old.id} asks in another way in version {version}, and people were added to it"
    else:
        for name in sorted(added - _ballots(new).keys()):
            yield f"somebody was added at branch {name} of step {old.id}, which is gone"
        for name in sorted(decided - _ballots(new).keys()):
            yield f"branch {name} of step {old.id} has been decided, and is gone"
        kept = [seat for seat in state.seats if seat.ballot in _ballots(new)]
        seats = (*kept, *new_seats(old, new, state.seats))
        for bloc in tally.blocs(new, seats):
            if bloc.needed > bloc.total:
                yield f"step {old.id} has a quorum of {bloc.needed} over {bloc.total}"
        if tally.several(new, seats):
            yield from _twice(old, new, state, version)


def _twice(old: Step, step: ApprovalStep, state: State, version: int) -> Iterator[str]:
    """People who keep two seats of a step that several must decide from now on."""
    left = (*changed_seats(old, step, state.seats), *gone_seats(old, step, state.seats))
    asked = {it.seat: it.assignment.user for it in state.tasks if it.seat not in left}
    voted = {seat.key: seat.by.user for seat in state.seats if seat.by is not None}
    for person, count in Counter((asked | voted).values()).items():
        if person is not None and count > 1:
            yield f"{person} has {count} parts of step {step.id}, for several people in version {version}"


def afresh(old: Step, new: Step) -> bool:
    """Whether a step is to be entered anew: its seats cannot be told from the recipe alone."""
    if not isinstance(new, ApprovalStep) or not isinstance(old, ApprovalStep):
        return True
    lists = any(ballot.approvers is not None for ballot in (*old.ballots, *new.ballots))
    return new.type != old.type or (lists and new.ballots != old.ballots)


def changed_seats(old: Step, new: Step, seats: Sequence[Seat]) -> tuple[str, ...]:
    """Undecided seats whose part of the step is another one in the new version."""
    if afresh(old, new):
        return tuple(seat.key for seat in seats)
    before, after = _ballots(old), _ballots(new)
    undecided = (seat for seat in seats if seat.vote is None and seat.ballot in after)
    return tuple(seat.key for seat in undecided if before[seat.ballot] != after[seat.ballot])


def gone_seats(old: Step, new: Step, seats: Sequence[Seat]) -> tuple[str, ...]:
    """Seats that the new version does not have."""
    if afresh(old, new):
        return ()
    return tuple(seat.key for seat in seats if seat.ballot not in _ballots(new))


def new_seats(old: Step, new: Step, seats: Sequence[Seat]) -> tuple[Seat, ...]:
    """Seats of branches that the old version does not have, for a step that has been entered."""
    if afresh(old, new) or not seats:
        return ()
    known = {seat.ballot for seat in seats}
    return tuple(Seat(f"{new.id}/{name}", name) for name in _ballots(new) if name not in known)


def _ballots(step: Step) -> dict[str, Ballot]:
    return {ballot.id: ballot for ballot in step.ballots} if isinstance(step, ApprovalStep) else {}


# --- state machines ------------------------------------------------------------------------------


class _Machine:
    """A request of a state machine, held against another version."""

    def __init__(self, old: Recipe, new: Recipe, state: State) -> None:
        assert old.machine is not None
        assert new.machine is not None
        self.old: Machine = old.machine
        self.new: Machine = new.machine
        self.version = new.version
        self.state = state
        self.status = state.status or ""

    def refusals(self) -> Iterator[str]:
        here = next((it for it in self.new.states if it.id == self.status), None)
        if here is None:
            yield f"it is in state {self.status}, which version {self.version} does not have"
        elif here.final:
            yield f"it is in state {self.status}, which ends a request in version {self.version}"

    def notes(self) -> Iterator[str]:
        if timers_differ(self.old, self.new, self.state):
            yield f"the timers of state {self.status} begin anew"


# --- doing it ------------------------------------------------------------------------------------


def moved(old: Recipe, state: State, migration: Migration) -> State:
    """The state with what follows from the other version alone: its digest and its deadline."""
    at, by = deadline_of(old, migration.recipe, state, migration.deadline)
    return replace(state, digest=migration.digest, deadline_at=at, deadline_by=by)


def migrated(old: Recipe, migration: Migration, command: Commanded) -> Record:
    """What the audit trail says of it."""
    payload = {
        "from": old.version,
        "to": migration.recipe.version,
        "recipe_sha256": migration.sha256,
        "digest": migration.digest,
        "comment": command.comment,
    }
    return Record("request.migrated", payload, command.actor)


def why_not(old: Recipe, state: State, migration: Migration | None, now: datetime) -> str | None:
    """Every reason why the command is refused, in one sentence; None if it is not."""
    if migration is None:
        return "it does not say to which version"
    if state.digest != migration.seen:
        return "the request is not the one that was judged: look again"
    refusals = judge(old, migration.recipe, state, now, migration.deadline).refusals
    return "; ".join(refusals) or None


def timers_differ(old: Machine, new: Machine, state: State) -> bool:
    """Whether the timers of the state a machine is in begin anew: else they go on as they run."""
    status = state.status or ""
    return new.state(status).timers != old.state(status).timers


class Migrating(Rewinding):
    """Seats and their questions, carried over to another version of the recipe."""

    def __init__(self, recipe: Recipe, state: State, now: datetime) -> None:
        super().__init__(recipe, state, now)
        self.migration: Migration | None = None

    def migrate(self, command: Commanded) -> bool:
        """Go on with the command's version, or refuse; whether the request is to advance by it."""
        wanted = command.migration
        refused = why_not(self.recipe, self.state, wanted, self.now)
        if refused is not None or wanted is None:
            self.settle_command(command, refused)
            return False
        self.settle_command(command, done=f"moved to version {wanted.recipe.version}")
        self.effects.append(migrated(self.recipe, wanted, command))
        if self.state.state == "rewound":
            self._take_over(wanted)
        else:
            self._carry(self.step(), wanted)
        return True

    def _carry(self, step: Step, wanted: Migration) -> None:
        """Close what is not there any more, or is another; keep the rest; ask who is missing."""
        position = position_of(wanted.recipe, step)
        assert position is not None, "what has no counterpart is refused: `judge`"
        here, seats = wanted.recipe.steps[position], self.state.seats
        anew, gone = changed_seats(step, here, seats), gone_seats(step, here, seats)
        troubled = [it.seat for it in self.state.incidents if it.seat is not None]
        for key in (*anew, *gone):
            task = self.task_of(key)
            if task is not None:
                self.close_task(task, "superseded", f"moved to version {wanted.recipe.version}")
        for seat in (*gone, *troubled, None):
            self.clear_incident(seat)
        waits = isinstance(here, WaitStep) and here == step
        entered = self.state.entered and (waits or not afresh(step, here))
        kept = [seat for seat in seats if seat.key not in gone] if entered else []
        added = new_seats(step, here, seats)
        self._take_over(wanted)
        self.state = replace(self.state, position=position, entered=entered, seats=(*kept, *added))
        if not waits:
            self.state = replace(self.state, waits_until=None)
        back = outcomes.rewind_to(wanted.recipe, here)
        self.effects += [RebindTask(it.id, here.id, wanted.digest, back) for it in self.state.tasks]
        waiting = dict.fromkeys((*anew, *troubled, *(seat.key for seat in added)))
        turn = self.turn() if entered and isinstance(here, ApprovalStep) else []
        self.ask_for([key for key in waiting if key in turn])

    def _take_over(self, wanted: Migration) -> None:
        """What `resolve: at_submit` fixed, and what was approved, stays for steps that are the same in both
        versions."""
        same = {step.id for step in self.recipe.steps if step in wanted.recipe.steps}
        fixed = {name: seats for name, seats in self.state.fixed.items() if name in same}
        approvals = tuple(it for it in self.state.approvals if it.step in same)
        self.state = replace(
            moved(self.recipe, self.state, wanted), fixed=fixed, approvals=approvals
        )
        self.take_recipe(wanted.recipe)
        self.migration = wanted


def _told(moment: datetime | None) -> str:
    return "none" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
