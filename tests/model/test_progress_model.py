"""Random recipes, decisions, timeouts, commands and directory failures against the invariants of the
design: final is final, nobody is stuck in silence, every task is closed once, votes are counted right.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter

from recipes import progress
from recipes.model import ApprovalStep, Recipe, dump, load
from recipes.parse import parse
from recipes.state import (
    FINAL_STATES,
    Actor,
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    Assignment,
    CloseTask,
    Commanded,
    Decided,
    Happening,
    OpenTask,
    Record,
    Refusal,
    RemindTask,
    SettleCommand,
    Started,
    State,
    Ticked,
    Transition,
)
from tests.model.recipe_strategies import recipes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_STATE: TypeAdapter[State] = TypeAdapter(State)
_TRANSITION: TypeAdapter[Transition] = TypeAdapter(Transition)

MANAGERS = {
    "id": "bob",
    "name": "Bob",
    "manager": {"id": "erin", "name": "Erin", "manager": {"id": "frank", "name": "Frank"}},
}


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
        self.settled: set[str] = set()
        self.open: dict[str, OpenTask] = {}
        self.closed: set[str] = set()
        self.state = progress.initial(
            self.recipe,
            request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
            requester="alice",
            inputs={"n": n},
            submitted_at=self.now,
            digest="d" * 32,
        )
        assert self.state.state == "created"
        self.befall(Started())

    # --- what happens ---

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 50), verdict=st.sampled_from(("approve", "approve", "reject")))
    def decide(self, pick: int, verdict: str) -> None:
        task_id = sorted(self.open)[pick % len(self.open)]
        who = self.open[task_id].task.assignment.user or "somebody"
        self.decided_in_storage(task_id)
        decision = Decided(task_id, verdict, Actor(who), self.now, "because")  # type: ignore[arg-type]
        self.befall(decision)
        self.nothing_from(decision)

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

    @rule(reliable=st.sampled_from((1.0, 0.0)))
    def directory_changes(self, reliable: float) -> None:
        self.reliable = reliable

    # --- the world around ---

    def befall(self, happening: Happening) -> None:
        before = through_json(self.state)
        assert before == self.state
        answers: list[tuple[Answer, ...]] = []
        after = progress.settle(self.recipe, self.state, happening, self.now, self.asking(answers))
        again = progress.settle(self.recipe, before, happening, self.now, replaying(answers))
        assert again == after, "the same happening and answers gave something else"
        assert _TRANSITION.validate_json(_TRANSITION.dump_json(after)) == after
        self.carry_out(after)
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
        if self.random.random() >= self.reliable:
            return Answer(refusal=Refusal("DirectoryUnavailable", "not today"))
        match ask:
            case AskEmployee(paths):
                assert all(path.startswith("manager") for path in paths)
                return Answer(employee={"id": "alice", "name": "Alice", "manager": MANAGERS})
            case AskCandidates(_, references):
                return Answer(assignment=Assignment(candidates=references))
            case AskManager(_, user):
                assert user, "a shared task has no manager"
                return Answer(assignment=Assignment(user=f"{user}-above"[:40]))
            case AskApprover(_, reference):
                return Answer(assignment=Assignment(user=reference.split(":")[-1]))
            case AskHolders(_, references, pool):
                held = references if pool else (references[0].split(":")[-1],)
                return Answer(
                    assignment=Assignment(None if pool else held[0], held if pool else ())
                )

    def carry_out(self, transition: Transition) -> None:
        opened = self.state.tasks_opened
        for effect in transition.effects:
            match effect:
                case OpenTask(task):
                    opened += 1
                    assert task.id not in self.open
                    assert task.id not in self.closed
                    self.open[task.id] = effect
                case CloseTask(task_id):
                    self.decided_in_storage(task_id)
                case SettleCommand(command_id):
                    assert command_id not in self.settled
                    self.settled.add(command_id)
                case RemindTask(task_id):
                    assert task_id in self.open
                case Record("step.completed", payload) if "needed" in payload:
                    self.count_again(transition)
                case Record():
                    pass
        assert opened == transition.state.tasks_opened

    def decided_in_storage(self, task_id: str) -> None:
        assert task_id in self.open, "closed twice, or never opened"
        self.closed.add(task_id)
        del self.open[task_id]

    def count_again(self, transition: Transition) -> None:
        """A completed step's outcome, from the votes it records."""
        for effect in transition.effects:
            if isinstance(effect, Record) and effect.type == "step.completed":
                payload = effect.payload
                if "needed" not in payload:
                    continue
                enough = payload["approvals"] >= payload["needed"]
                assert (payload["outcome"] == "approved") == enough
                assert 1 <= payload["needed"] <= payload["seats"]

    # --- what is always so ---

    @invariant()
    def nobody_is_stuck(self) -> None:
        if not hasattr(self, "state") or self.state.final:
            return
        assert not self.state.asks
        waiting = self.state.tasks or self.state.incidents
        assert waiting, "no open task and no incident: silence"
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
        for seat in self.state.seats:
            if seat.vote is None:
                assert seat.key in tasks or seat.key in troubled
            else:
                assert seat.key not in tasks
                assert seat.key not in troubled

    @invariant()
    def several_approvals_are_several_peoples(self) -> None:
        if not hasattr(self, "state") or not self.state.entered or self.state.final:
            return
        step = progress.step_of(self.recipe, self.state)
        assert isinstance(step, ApprovalStep)
        voted = {seat.key: seat.by.user for seat in self.state.seats if seat.by}
        asked = {task.seat: task.assignment.user for task in self.state.tasks}
        people = [who for who in {**voted, **asked}.values() if who not in (None, "somebody")]
        alone = step.quorum.needed(len(self.state.seats)) == 1
        assert alone or len(people) == len(set(people))

    @invariant()
    def facts_of_the_directory_are_not_kept(self) -> None:
        if hasattr(self, "state"):
            assert self.state.employee is None
            assert self.state.unasked == ()

    @invariant()
    def the_vote_is_open(self) -> None:
        """Of all ways the undecided could vote, one approves the step and one does not."""
        if not hasattr(self, "state") or self.state.final or not self.state.entered:
            return
        step = progress.step_of(self.recipe, self.state)
        assert isinstance(step, ApprovalStep)
        votes = [seat.vote for seat in self.state.seats]
        undecided = votes.count(None)
        passed = set()
        for rest in itertools.product((True, False), repeat=undecided):
            approvals = votes.count("approve") + sum(rest)
            kind, value = step.quorum.kind, step.quorum.value
            needed = {"any": 1.0, "all": float(len(votes)), "count": float(value)}.get(
                kind, value * len(votes) / 100
            )
            passed.add(approvals >= needed)
        assert passed == {True, False}

    @invariant()
    def the_end_is_whole(self) -> None:
        if not hasattr(self, "state") or not self.state.final:
            return
        assert self.state.state in FINAL_STATES
        assert not self.open
        assert not self.state.tasks
        assert not self.state.incidents
        assert progress.next_wakeup(self.state) is None


def replaying(answers: list[tuple[Answer, ...]]) -> Callable[[tuple[Ask, ...]], tuple[Answer, ...]]:
    given = iter(answers)
    return lambda _: next(given)


TestRequests = Requests.TestCase
TestRequests.settings = settings(
    max_examples=300, stateful_step_count=25, deadline=None, derandomize=False
)
