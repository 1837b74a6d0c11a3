"""Random recipes, decisions, timeouts, commands, directory changes and failures against the invariants
of the design: final is final, nobody is stuck in silence, every task is closed once, a task that is
taken from somebody is given to somebody, nobody decides twice who must not, votes are counted right.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter

from recipes import jobs, outcomes, progress, tally, timers
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
    Hop,
    Refusal,
    SeatAsk,
)
from recipes.business import Holiday
from recipes.effects import (
    CancelJob,
    CloseTask,
    EndJob,
    KeepApproval,
    Notify,
    OpenTask,
    RebindTask,
    Record,
    RemindTask,
    Resubmit,
    SettleCommand,
    StartJob,
    Transition,
)
from recipes.happenings import (
    Actor,
    Commanded,
    Decided,
    Happening,
    JobEnded,
    Migration,
    Rechecked,
    Started,
    Ticked,
    Together,
    Where,
)
from recipes.migration import judge
from recipes.model import ApprovalStep, Confidential, Quorum, Recipe, Step, dump, load
from recipes.parse import parse
from recipes.state import FINAL_STATES, FixedSeat, State
from tests.model.keeping import Memory
from tests.model.recipe_strategies import recipes
from tests.model.voting import asked_now, possible
from tests.workflow.ledger import CALENDARS, WORK

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_STATE: TypeAdapter[State] = TypeAdapter(State)
_TRANSITION: TypeAdapter[Transition] = TypeAdapter(Transition)

VERDICTS = st.sampled_from(("approve", "approve", "approve", "reject", "other"))
_FAILED = "it broke"
SOMEBODY = ("bob", "carol", "dave", "erin", "finance-1")
MANAGERS = {
    "id": "bob",
    "name": "Bob",
    "manager": {"id": "erin", "name": "Erin", "manager": {"id": "frank", "name": "Frank"}},
}


CHANGES = (
    "as it is",
    "one more",
    "one less",
    "others asked",
    "quorum",
    "branch gone",
    "branch more",
    "other inputs confidential",
    "visible to others",
)


def through_json(state: State) -> State:
    """The state as it is after a stay in a workflow's history."""
    return _STATE.validate_json(_STATE.dump_json(state))


class Requests(RuleBasedStateMachine):
    """One request of one random recipe. `reliable` is how likely the directory answers."""

    recipe: Recipe
    state: State

    @initialize(
        text=recipes(),
        n=st.integers(0, 5),
        random=st.randoms(use_true_random=False),
        reliable=st.sampled_from((1.0, 1.0, 0.6)),
    )
    def submit(self, text: str, n: int, random: Random, reliable: float) -> None:
        self.recipe = load(dump(parse(text).recipe))
        self.random = random
        self.reliable = reliable
        self.now = NOON
        self.commands = itertools.count()
        self.settled: dict[str, bool] = {}
        self.open: dict[str, OpenTask] = {}
        self.closed: set[str] = set()
        self.moved: dict[str, str] = {}
        self.away: dict[str, str] = {}
        self.deciders: dict[str, set[str]] = {}
        self.fixed: dict[str, tuple[FixedSeat, ...]] = {}
        self.calendars = CALENDARS
        timing = timers.deadline_timing(self.recipe, self.now)
        self.memory = Memory(self.recipe)
        self.running: str | None = None
        self.keys: dict[str, str] = {}
        self.state = progress.initial(
            self.recipe,
            request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
            requester="alice",
            inputs={"n": n, "m": 0},
            submitted_at=self.now,
            digest="d" * 32,
            deadline=None if timing is None else CALENDARS.times(timing),
        )
        assert (self.state.deadline_at is None) == (self.recipe.deadline is None)
        assert self.state.state == "created"
        self.befall(Started())
        self.fixed = self.state.fixed
        assert not (self.fixed and self.recipe.resolve == "at_step")

    # --- what happens ---

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 50), verdict=VERDICTS)
    def decide(self, pick: int, verdict: str) -> None:
        decision = self.decision(sorted(self.open)[pick % len(self.open)], verdict)
        self.befall(decision)
        self.nothing_from(decision)

    def decision(self, task_id: str, verdict: str) -> Decided:
        """It stands in storage: an approval, or any other outcome that the task offers."""
        offer = self.open[task_id].offer
        counts_as = {outcome.id: outcome.counts_as for outcome in offer.outcomes}
        if verdict == "other":
            verdict = self.random.choice(list(counts_as))
        to = self.random.choice(offer.rewind_to) if verdict == "request_changes" else None
        assert outcomes.refusal(offer, verdict, "because", None, to) is None
        if counts_as[verdict] == "approve":
            self.memory.approve(self.open[task_id], self.state.inputs)
        given = self.open[task_id].task.assignment
        actor = Actor(given.user or "somebody", None, given.on_behalf_of)
        people = {actor.user, given.on_behalf_of or actor.user}
        self.deciders.setdefault(self.open[task_id].step, set()).update(people)
        self.decided_in_storage(task_id)
        return Decided(task_id, verdict, actor, self.now, "because", to=to)

    @precondition(lambda self: len(self.open) > 1)
    @rule(
        picks=st.lists(st.integers(0, 50), min_size=2, max_size=4),
        verdicts=st.lists(VERDICTS, min_size=4, max_size=4),
    )
    def decide_together(self, picks: list[int], verdicts: list[str]) -> None:
        """Several stand in storage before the workflow hears of one: all of them count."""
        tasks = sorted(self.open)
        chosen = list(dict.fromkeys(tasks[pick % len(tasks)] for pick in picks))
        made = tuple(
            self.decision(task_id, verdict)
            for task_id, verdict in zip(chosen, verdicts, strict=False)
        )
        self.befall(Together(made))
        self.nothing_from(Together(made))
        self.nothing_from(made[0])

    @precondition(lambda self: self.running)
    @rule(how=st.sampled_from(("done", "done", "not fitting", "failed")))
    def job_ends(self, how: str) -> None:
        before = self.state
        job = before.job
        assert job is not None
        self.nothing_from(JobEnded(job.id, self.now, 1, again=job.again + 1))
        output = {"done": 1, "not fitting": {"no": "integer"}}.get(how)
        failure = _FAILED if how == "failed" else None
        self.running = None
        ended = JobEnded(job.id, self.now, output, failure, again=job.again)
        self.befall(ended)
        self.nothing_from(ended)
        if before.final:
            assert (self.state.state, self.state.reason) == (before.state, before.reason)

    @rule(hours=st.sampled_from((1, 3, 24, 100)))
    def wait(self, hours: int) -> None:
        """Time passes as the workflow lets it: from one wake-up to the next."""
        until = self.now + timedelta(hours=hours)
        while (due := progress.next_wakeup(self.state)) is not None and due <= until:
            self.now = max(due, self.now)
            before = self.state
            self.befall(Ticked())
            assert self.state != before, "a wake-up that does nothing would wake up for ever"
        self.now = until

    @rule(hours=st.sampled_from((0, 30, 300)))
    def oversleep(self, hours: int) -> None:
        """No worker ran for a while: all that was due is due at once."""
        self.now += timedelta(hours=hours)
        self.befall(Ticked())
        self.nothing_from(Ticked())

    @rule(command=st.sampled_from(("cancel", "retry", "retry", "retry")), again=st.booleans())
    def command(self, command: str, again: bool) -> None:
        if command == "cancel" and self.random.random() < 0.7:
            return
        number = str(next(self.commands))
        told = Commanded(number, command, Actor("alice"), self.now)  # type: ignore[arg-type]
        self.befall(told)
        assert number in self.settled
        if again:
            self.nothing_from(told)

    @rule(n=st.integers(-1, 5), m=st.integers(0, 1), again=st.booleans())
    def resubmit(self, n: int, m: int, again: bool) -> None:
        """With the `n` that it had, where that is -1."""
        inputs = {"n": self.state.inputs["n"] if n < 0 else n, "m": m}
        number, revision = str(next(self.commands)), self.state.revision
        waited = self.state.state == "rewound"
        told = Commanded(
            number, "resubmit", Actor("alice"), self.now, inputs=inputs, digest=f"{n} {m}"
        )
        self.befall(told)
        assert self.settled[number] == waited
        assert self.state.revision == revision + waited
        if waited:
            assert (self.state.inputs, self.state.digest) == (inputs, f"{n} {m}")
            self.fixed = self.state.fixed
        if again:
            self.nothing_from(told)

    @rule(reliable=st.sampled_from((1.0, 0.0)))
    def directory_fails_or_is_back(self, reliable: float) -> None:
        self.reliable = reliable

    @rule(who=st.sampled_from(SOMEBODY), other=st.sampled_from(SOMEBODY))
    def somebody_leaves(self, who: str, other: str) -> None:
        """Or is back, where they are the same."""
        self.moved[who] = other

    @rule(who=st.sampled_from(SOMEBODY), other=st.sampled_from(SOMEBODY))
    def somebody_is_away(self, who: str, other: str) -> None:
        self.away[who] = other

    @rule(free=st.integers(1, 20))
    def the_calendar_changes(self, free: int) -> None:
        """For what is timed from now on; see `times_stay`."""
        day = Holiday((self.now + timedelta(days=free)).date(), "free")
        self.calendars = replace(CALENDARS, known=(replace(WORK, holidays=(day,)),))

    @invariant()
    def times_stay(self) -> None:
        """A task is due when it was to be when it opened, or its time is up and it goes on."""
        for task in self.state.tasks if hasattr(self, "state") else ():
            opened = self.open[task.id].task
            assert task.due_at in (opened.due_at, None)
            assert task.due_by == opened.due_by
            assert opened.due_at is None or opened.due_at > opened.opened_at
            assert set(task.remind_at) <= set(opened.remind_at)

    @rule(late=st.booleans())
    def recheck(self, late: bool) -> None:
        told = Rechecked(tuple(self.closed if late else self.open), self.now)
        steps_before = self.state.position, self.state.entered
        self.befall(told)
        if self.reliable not in (0.0, 1.0) or steps_before != (
            self.state.position,
            self.state.entered,
        ):
            return
        # Told again, with nothing changed in between, it finds nothing to change.
        again = Rechecked(tuple(self.closed if late else self.open), self.now)
        after = progress.settle(self.recipe, self.state, again, self.now, self.asking([]))
        assert after.effects == ()
        assert replace(after.state, seq=self.state.seq) == self.state

    @rule(pick=st.integers(0, 50), to=st.sampled_from((*SOMEBODY, "alice")), again=st.booleans())
    def reassign(self, pick: int, to: str, again: bool) -> None:
        seats = [*(seat.key for seat in self.state.seats), "nowhere"]
        seat, number = seats[pick % len(seats)], str(next(self.commands))
        told = Commanded(number, "reassign", Actor("root"), self.now, "because", seat, to)
        before = self.state
        self.befall(told)
        applied = self.settled[number]
        given = [task.assignment for task in self.state.tasks if task.seat == seat]
        if applied:
            assert to != "alice"
            assert to in {given[0].user, given[0].on_behalf_of}
        else:
            assert (before.tasks, before.incidents) == (self.state.tasks, self.state.incidents)
        if again:
            self.nothing_from(told)

    @rule(how=st.sampled_from(CHANGES), again=st.booleans())
    def migrate(self, how: str, again: bool) -> None:
        """The request is moved to another version, if that can be."""
        wanted = changed(self.recipe, how, self.random)
        number, before = str(next(self.commands)), self.state
        migration = Migration(wanted, "sha", f"digest of {wanted.version}", before.digest)
        told = Commanded(number, "migrate", Actor("root"), self.now, "because", migration=migration)
        judged = judge(self.recipe, wanted, before, self.now)
        self.befall(told)
        assert self.settled[number] == (not judged.refusals)
        assert how != "other inputs confidential" or judged.refusals
        if judged.refusals:
            assert (before.tasks, before.incidents) == (self.state.tasks, self.state.incidents)
        else:
            assert self.recipe == wanted
            assert self.state.digest == migration.digest
            assert self.state.fixed.items() <= self.fixed.items()
            if self.state.round == before.round:
                assert self.state.results.keys() >= before.results.keys()
            self.fixed = self.state.fixed
            if how == "as it is" and not self.state.final:
                troubled = {incident.seat for incident in before.incidents}
                kept = {task.id for task in before.tasks if task.seat not in troubled}
                assert kept <= {task.id for task in self.state.tasks}
        if again:
            self.nothing_from(told)

    @rule(
        pick=st.integers(0, 50),
        to=st.sampled_from((*SOMEBODY, "gil", "alice")),
        where=st.sampled_from(("before", "beside", "after")),
        again=st.booleans(),
    )
    def add_approver(self, pick: int, to: str, where: Where, again: bool) -> None:
        seats = [*(task.seat for task in self.state.tasks), "nowhere"]
        seat, number = seats[pick % len(seats)], str(next(self.commands))
        told = Commanded(
            number, "add_approver", Actor("root"), self.now, "because", seat, to, where=where
        )
        before = self.state
        self.befall(told)
        if self.settled[number]:
            *others, new = self.state.seats
            assert tuple(others) == before.seats
            assert (new.where, new.person, new.vote) == (where, to, None)
            assert to != "alice"
            given = [task.assignment for task in self.state.tasks if task.seat == new.key]
            assert not given or to in {given[0].user, given[0].on_behalf_of}
            assert given or where == "after"
        else:
            kept = (before.seats, before.tasks, before.incidents)
            assert kept == (self.state.seats, self.state.tasks, self.state.incidents)
        if again:
            self.nothing_from(told)

    # --- the world around ---

    def befall(self, happening: Happening) -> None:
        before = through_json(self.state)
        assert before == self.state
        answers: list[tuple[Answer, ...]] = []
        after = progress.settle(self.recipe, self.state, happening, self.now, self.asking(answers))
        again = progress.settle(self.recipe, before, happening, self.now, replaying(answers))
        assert again == after, "the same happening and answers gave something else"
        assert _TRANSITION.validate_json(_TRANSITION.dump_json(after)) == after
        self.memory.migrate(progress.recipe_after(self.recipe, after))
        self.carry_out(after)
        self.recipe = progress.recipe_after(self.recipe, after)
        rewinds = [
            e for e in after.effects if isinstance(e, Record) and e.type == "request.rewound"
        ]
        assert after.state.round == self.state.round + len(rewinds)
        assert after.state.seq == self.state.seq + (after.state != self.state)
        if self.state.final:
            assert after.state.state == self.state.state, "a final state is final"
        self.state = after.state

    def nothing_from(self, happening: Happening) -> None:
        """The same thing told twice counts once."""
        quiet: list[tuple[Answer, ...]] = []
        after = progress.settle(self.recipe, self.state, happening, self.now, self.asking(quiet))
        assert after == Transition(self.state, ())
        assert not quiet

    def asking(
        self, answers: list[tuple[Answer, ...]]
    ) -> Callable[[tuple[Ask, ...]], tuple[Answer, ...]]:
        def answer(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
            answers.append(tuple(self.answer(ask) for ask in asks))
            return answers[-1]

        return answer

    def answer(self, ask: Ask) -> Answer:
        """Whom the directory gives; and when, where business days count."""
        if isinstance(ask, AskTimes):
            # Business days of a `wait`: those of tasks are asked for with whom they are for.
            if self.random.random() >= self.reliable:
                return Answer(refusal=Refusal("DirectoryUnavailable", "not today"))
            return Answer(times=self.calendars.times(ask.timing))
        found = self.whom(ask)
        if (
            isinstance(ask, AskEmployee | AskHolders | AskPeople)
            or ask.timing is None
            or found.refusal
        ):
            return found
        assert ask.timing.since == self.now
        return replace(found, times=self.calendars.times(ask.timing, "America/New_York"))

    def whom(self, ask: AskEmployee | SeatAsk | AskHolders | AskPeople) -> Answer:
        if self.random.random() >= self.reliable:
            return Answer(refusal=Refusal("DirectoryUnavailable", "not today"))
        match ask:
            case AskEmployee(paths):
                assert all(path.startswith(("manager", "id", "name")) for path in paths)
                return Answer(employee={"id": "alice", "name": "Alice", "manager": MANAGERS})
            case AskCandidates(_, references):
                return Answer(assignment=Assignment(candidates=references))
            case AskManager(_, user, without):
                assert user, "a shared task has no manager"
                return self.person(f"{user}-above"[:40], without, ())
            case AskApprover(_, reference, without, limit, keep, fixed):
                assert limit is None or re.fullmatch(r"[0-9]+(\.[0-9]+)?", limit.amount)
                name = fixed or reference.split(":")[-1]
                if fixed is None and reference.startswith("role:"):
                    name = keep or f"{name}-{self.random.randint(1, 3)}"
                    turn = Hop("kept" if keep else "round_robin", name, reference[5:], 0)
                    return self.person(name, without, (turn,))
                return self.person(name, without, ())
            case AskPeople(_, references):
                people = tuple(f"user:{name.rpartition(':')[2]}" for name in references)
                return Answer(assignment=Assignment(candidates=people))
            case AskHolders(_, references, pool):
                held = references if pool else (references[0].split(":")[-1],)
                return Answer(
                    assignment=Assignment(None if pool else held[0], held if pool else ())
                )

    def person(self, name: str, without: tuple[str, ...], chain: tuple[Hop, ...]) -> Answer:
        """Who is there for `name` by now, and may decide; or their delegate."""
        name = self.moved.get(name, name)
        while name in without:
            name += "+"
        delegate = self.away.get(name, name)
        if delegate == name or delegate in without:
            return Answer(assignment=Assignment(name, chain=chain))
        chain = (*chain, Hop("delegation", delegate, delegation=f"{name} to {delegate}"))
        return Answer(assignment=Assignment(delegate, on_behalf_of=name, chain=chain))

    def carry_out(self, transition: Transition) -> None:
        opened = self.state.tasks_opened
        successors = {e.task.seat for e in transition.effects if isinstance(e, OpenTask)}
        for effect in transition.effects:
            match effect:
                case OpenTask(task):
                    opened += 1
                    assert task.id not in self.open
                    assert task.id not in self.closed
                    self.open[task.id] = effect
                case CloseTask(task_id, _, to):
                    seat = self.open[task_id].task.seat
                    self.decided_in_storage(task_id)
                    assert to != "reassigned" or seat in successors, "taken, and given to nobody"
                case SettleCommand(command_id, _, applied):
                    assert command_id not in self.settled
                    self.settled[command_id] = applied
                case RemindTask(task_id) | RebindTask(task_id):
                    assert task_id in self.open
                case Resubmit(number, inputs):
                    assert number == self.state.revision + 1
                    assert self.state.state == "rewound"
                    assert inputs == transition.state.inputs
                case KeepApproval():
                    self.memory.keep(effect, transition.state.inputs)
                case Record("request.rewound", payload):
                    self.memory.rewind(payload["to"])
                case StartJob() | EndJob() | CancelJob() | Notify():
                    self.carry_out_automatic(effect)
                case Record("step.completed"):
                    self.count_again(transition)
                case Record(_, payload):
                    assert self.recipe.confidential is None or _FAILED not in str(payload)
        assert opened == transition.state.tasks_opened

    def carry_out_automatic(self, effect: StartJob | EndJob | CancelJob | Notify) -> None:
        match effect:
            case StartJob(job):
                assert self.running is None, "one thing after the other"
                assert self.keys.setdefault(job.key, job.id) == job.id
                assert list(self.keys.values()).count(job.id) == 1
                self.running = job.id
            case EndJob(_, _, failure):
                assert self.running is None
                assert failure is None or failure
            case CancelJob(job):
                assert self.running == job.id
            case Notify(_, people, message):
                assert len(set(people)) == len(people)
                assert message

    def decided_in_storage(self, task_id: str) -> None:
        assert task_id in self.open, "closed twice, or never opened"
        self.closed.add(task_id)
        del self.open[task_id]

    def count_again(self, transition: Transition) -> None:
        """A completed step's outcome, from the votes it records."""
        for effect in transition.effects:
            if isinstance(effect, Record) and effect.type == "step.completed":
                payload = effect.payload
                counts = [*payload.get("groups", {}).values()]
                counts += [payload] if "needed" in payload else []
                counts += [payload["added"] | {"seats": 20}] if "added" in payload else []
                if not counts:
                    continue
                enough = all(count["approvals"] >= count["needed"] for count in counts)
                vetoed = "vetoed_by" in payload
                assert (payload["outcome"] == "approved") == (enough and not vetoed)
                for count in counts:
                    assert 1 <= count["needed"] <= count.get("weight", count["seats"])

    # --- what is always so ---

    @invariant()
    def what_a_job_said_stays_with_it(self) -> None:
        """Where anything is confidential; else people are told why they are needed."""
        for incident in self.state.incidents if hasattr(self, "state") else ():
            if incident.kind == "JobFailed":
                told = incident.detail == _FAILED or "does not fit" in incident.detail
                assert told == (self.recipe.confidential is None)

    @invariant()
    def nobody_is_stuck(self) -> None:
        if not hasattr(self, "state") or self.state.final:
            return
        assert not self.state.asks
        waiting = self.state.tasks or self.state.incidents
        if self.state.state == "rewound":
            assert not waiting
            assert not self.open
            assert not self.state.seats
            assert (self.state.resubmit_by is None) == (self.recipe.resubmit_within is None)
            return
        assert self.state.resubmit_by is None
        assert waiting or self.running or self.state.waits_until, "silence"
        assert self.state.waits_until is None or self.state.waits_until > self.now
        assert {task.id for task in self.state.tasks} == set(self.open)
        for task in self.state.tasks:
            assert task.due_at is None or task.due_at > self.now
            assert all(moment > self.now for moment in task.remind_at)

    @invariant()
    def every_undecided_seat_is_somebodys(self) -> None:
        if not hasattr(self, "state") or self.state.final:
            return
        tasks = [task.seat for task in self.state.tasks]
        assert len(tasks) == len(set(tasks)), "two tasks for one seat"
        troubled = [incident.seat for incident in self.state.incidents]
        assert len(troubled) == len(set(troubled)), "two incidents for one place"
        if not self.state.seats:
            return
        step = progress.step_of(self.recipe, self.state)
        assert isinstance(step, ApprovalStep)
        asked = asked_now(step, self.state.seats)
        for seat in self.state.seats:
            assert (seat.key in asked) == (seat.key in tasks or seat.key in troubled)

    @invariant()
    def several_approvals_are_several_peoples(self) -> None:
        if not hasattr(self, "state") or not self.state.seats or self.state.final:
            return
        step = progress.step_of(self.recipe, self.state)
        assert isinstance(step, ApprovalStep)
        voted = {seat.key: seat.by.user for seat in self.state.seats if seat.by}
        asked = {task.seat: task.assignment.user for task in self.state.tasks}
        people = {
            seat.key: who
            for seat in self.state.seats
            if (who := {**voted, **asked}.get(seat.key)) not in (None, "somebody")
        }
        added = {seat.key for seat in self.state.seats if seat.added}
        several = tally.several(step, self.state.seats)
        for one, other in itertools.combinations(people, 2):
            if several or added & {one, other}:
                assert people[one] != people[other]

    @invariant()
    def who_decided_before_is_not_asked(self) -> None:
        if not hasattr(self, "state") or self.state.final:
            return
        step = progress.step_of(self.recipe, self.state)
        for task in self.state.tasks:
            assert isinstance(step, ApprovalStep)
            seat = next(seat for seat in self.state.seats if seat.key == task.seat)
            ballot = next(ballot for ballot in step.ballots if ballot.id == seat.ballot)
            assert task.ask is not None
            for earlier in ballot.not_same_as:
                deciders = self.deciders.get(earlier, set())
                assert deciders <= set(task.ask.without)
                given = task.assignment
                assert not deciders & {given.user, given.on_behalf_of}
            if ballot.authority is not None and not task.by_hand and not seat.added:
                assert not isinstance(task.ask, AskCandidates)
                assert task.ask.limit is not None

    @invariant()
    def what_was_fixed_stays(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.state.fixed == self.fixed
        assert self.state.reassigning is None
        assert self.state.adding is None
        fixed = {seat.seat.key: seat for seats in self.fixed.values() for seat in seats}
        for task in self.state.tasks:
            if task.seat in fixed and not task.level and not task.by_hand:
                people = fixed[task.seat].people
                ask = task.ask
                assert not isinstance(ask, AskApprover) or (ask.fixed,) == people
                assert not isinstance(ask, AskCandidates) or ask.references == people

    @invariant()
    def facts_of_the_directory_are_not_kept(self) -> None:
        if hasattr(self, "state"):
            assert self.state.employee is None
            assert self.state.unasked == ()

    @invariant()
    def the_vote_is_open(self) -> None:
        """Of all ways the undecided could vote, one approves the step and one does not."""
        if not hasattr(self, "state") or self.state.final or not self.state.seats:
            return
        step = progress.step_of(self.recipe, self.state)
        assert isinstance(step, ApprovalStep)
        assert possible(step, self.state.seats) == {True, False}

    @invariant()
    def the_end_is_whole(self) -> None:
        if not hasattr(self, "state") or not self.state.final:
            return
        assert self.state.state in FINAL_STATES
        assert not self.open
        assert not self.state.tasks
        assert progress.next_wakeup(self.state) is None

    @invariant()
    def what_is_done_after_the_end_is_done_or_waits(self) -> None:
        """For its job, or for people; in order, and not before a job that was cancelled has ended."""
        if not hasattr(self, "state"):
            return
        state = self.state
        assert (self.running is not None) == (state.job is not None and state.job.failure is None)
        if not state.final:
            assert state.called == 0
            return
        callbacks = self.recipe.callbacks(state.state)
        assert jobs.over(self.recipe, state) or self.running or state.incidents
        assert not (jobs.over(self.recipe, state) and state.incidents)
        assert state.called <= len(callbacks)
        assert all(step.id in state.results for step in callbacks[: state.called])
        assert not any(step.id in state.results for step in callbacks[state.called :])


def replaying(answers: list[tuple[Answer, ...]]) -> Callable[[tuple[Ask, ...]], tuple[Answer, ...]]:
    given = iter(answers)
    return lambda _: next(given)


def changed(recipe: Recipe, how: str, random: Random) -> Recipe:
    """The next version of a recipe, which differs in one thing."""
    steps = list(recipe.steps)
    place = random.randrange(len(steps))
    step = steps[place]
    match how:
        case "one more":
            steps.insert(place, replace(step, id=f"more_{recipe.version}"))
        case "one less" if len(steps) > 1:
            del steps[place]
        case "others asked" | "quorum" | "branch gone" | "branch more":
            steps[place] = _changed_step(step, how, recipe.version)
        case "other inputs confidential":
            recipe = replace(recipe, confidential=Confidential(("hr",), ("n",)))
        case "visible to others" if recipe.confidential is not None:
            rule = replace(recipe.confidential, visible_to=(f"role_{recipe.version}",))
            recipe = replace(recipe, confidential=rule)
        case _:
            pass
    return replace(recipe, version=recipe.version + 1, steps=tuple(steps))


def _changed_step(step: Step, how: str, version: int) -> Step:
    if not isinstance(step, ApprovalStep):
        return step
    first, *rest = step.ballots
    if how == "others asked" and first.approver is not None:
        return replace(step, ballots=(replace(first, approver="user:zoe"), *rest))
    if how == "quorum" and step.type == "parallel":
        return replace(step, quorum=Quorum("any"))
    plain = not (step.groups or step.veto or step.weights or step.quorum.kind == "count")
    if how == "branch gone" and rest and plain:
        return replace(step, ballots=tuple(rest))
    if how == "branch more" and step.type == "parallel":
        new = replace(first, id=f"more_{version}")
        return replace(step, ballots=(*step.ballots, new))
    return step


TestRequests = Requests.TestCase
TestRequests.settings = settings(
    max_examples=300, stateful_step_count=25, deadline=None, derandomize=False
)
