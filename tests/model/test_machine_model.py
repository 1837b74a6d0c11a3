"""Random state machines, actions, clocks and cancellations, against a second reading of the rules that
is small enough to be seen through: a dictionary of where each action leads."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from recipes import machine, progress, timers
from recipes.asks import Answer, Ask, AskTimes
from recipes.effects import Record, SettleCommand, Transition
from recipes.happenings import Actor, Commanded, Happening, Started, Ticked
from recipes.model import Machine, Recipe, dump, load
from recipes.parse import parse
from recipes.state import State
from tests.model.machine_strategies import machines
from tests.workflow.ledger import CALENDARS, answer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_STATE: TypeAdapter[State] = TypeAdapter(State)


def by_the_calendar(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    """A machine asks for nothing but times, and has them all at once."""
    assert all(isinstance(ask, AskTimes) for ask in asks)
    return tuple(answer(ask) for ask in asks)


class Machines(RuleBasedStateMachine):
    """One request of one random machine."""

    recipe: Recipe
    machine: Machine
    state: State

    @initialize(text=machines(), n=st.integers(0, 5))
    def submit(self, text: str, n: int) -> None:
        self.recipe = load(dump(parse(text).recipe))
        assert self.recipe.machine is not None
        self.machine = self.recipe.machine
        self.now = NOON
        self.numbers = itertools.count()
        self.where = self.machine.initial.id
        self.moves = 0
        timing = timers.deadline_timing(self.recipe, self.now)
        self.state = progress.initial(
            self.recipe,
            request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
            requester="alice",
            inputs={"n": n},
            submitted_at=self.now,
            digest="d" * 32,
            deadline=None if timing is None else CALENDARS.times(timing),
        )
        self.befall(Started())

    @rule(
        pick=st.integers(0, 9),
        who=st.sampled_from(("alice", "bob", "carol")),
        comment=st.sampled_from((None, "because")),
        behind=st.sampled_from((0, 0, 0, 1)),
        again=st.booleans(),
    )
    def fire(self, pick: int, who: str, comment: str | None, behind: int, again: bool) -> None:
        names = [*(action.id for action in self.machine.actions), "a99"]
        name, before = names[pick % len(names)], self.state
        told = Commanded(
            str(next(self.numbers)),
            "fire",
            Actor(who),
            self.now,
            comment,
            action=name,
            moves=before.moves - behind,
        )
        effects = self.befall(told)
        [settled] = [effect for effect in effects if isinstance(effect, SettleCommand)]
        assert settled.applied == (self.may(name, who, comment, before) and not behind)
        if settled.applied:
            action = self.machine.action(name)
            assert action is not None
            self.where = action.to
            self.moves += 1
        else:
            assert settled.detail
            assert replace(self.state, seq=before.seq, commands_seen=before.commands_seen) == before
        if again:
            after = progress.apply(self.recipe, self.state, told, self.now)
            assert after == Transition(self.state)

    def may(self, name: str, who: str, comment: str | None, before: State) -> bool:
        """The rules, read again."""
        fits = [
            action
            for action in self.machine.actions
            if action.id == name and action.enabled and before.status in action.sources
        ]
        enabled = {state.id for state in self.machine.states if state.enabled}
        return not before.final and any(
            action.to in enabled
            and not (action.not_requester and who == "alice")
            and not (action.require_comment and comment is None)
            for action in fits
        )

    @rule(hours=st.sampled_from((1, 3, 24, 100)))
    def wait(self, hours: int) -> None:
        until = self.now + timedelta(hours=hours)
        while (due := progress.next_wakeup(self.state)) is not None and due <= until:
            self.now = max(due, self.now)
            before = self.state
            self.follow(self.befall(Ticked()))
            assert self.state != before, "a wake-up that does nothing would wake up for ever"
        self.now = until

    @rule(hours=st.sampled_from((30, 300)))
    def oversleep(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.follow(self.befall(Ticked()))
        after = progress.apply(self.recipe, self.state, Ticked(), self.now)
        assert after == Transition(self.state)

    @rule(command=st.sampled_from(("cancel", "retry", "retry", "retry", "retry")))
    def command(self, command: str) -> None:
        told = Commanded(str(next(self.numbers)), command, Actor("alice"), self.now)  # type: ignore[arg-type]
        before = self.state
        [settled, *rest] = self.befall(told)
        assert isinstance(settled, SettleCommand)
        assert settled.applied == (command == "cancel" and not before.final)
        assert bool(rest) == settled.applied

    def follow(self, effects: tuple[object, ...]) -> None:
        """What timers fired: each move leads from where the one before it led."""
        for effect in effects:
            if isinstance(effect, Record) and effect.type == "action.fired":
                assert effect.payload["from"] == self.where
                assert machine.refusal(self.machine, self.where, effect.payload["action"]) is None
                self.where = effect.payload["to"]
                self.moves += 1

    def befall(self, happening: Happening) -> tuple[object, ...]:
        before = _STATE.validate_json(_STATE.dump_json(self.state))
        assert before == self.state
        after = progress.settle(self.recipe, self.state, happening, self.now, by_the_calendar)
        again = progress.settle(self.recipe, before, happening, self.now, by_the_calendar)
        assert again == after
        assert after.state.seq == self.state.seq + (after.state != self.state)
        if self.state.final:
            assert after.state.state == self.state.state
            assert after.state.status == self.state.status
        finals = [
            e for e in after.effects if isinstance(e, Record) and e.type == "request.finalized"
        ]
        assert len(finals) == (after.state.final and not self.state.final)
        self.state = after.state
        return after.effects

    @invariant()
    def it_is_where_its_moves_led(self) -> None:
        if not hasattr(self, "state"):
            return
        assert (self.state.status, self.state.moves) == (self.where, self.moves)
        here = self.machine.state(self.where)
        assert here.enabled
        assert not self.state.asks
        assert not self.state.tasks
        if here.final:
            assert self.state.state == here.outcome
        else:
            assert self.state.state in ("pending", "cancelled", "expired")

    @invariant()
    def nobody_is_stuck_where_something_leads_on(self) -> None:
        """A way out is open to somebody, or a clock runs; unless the recipe was warned of."""
        if not hasattr(self, "state") or self.state.final:
            return
        assert list(self.state.timers) == sorted(self.state.timers, key=lambda timer: timer.at)
        for timer in self.state.timers:
            assert timer.at > self.now
            assert timer.due_by is None or timer.due_by.calendar == "work"
            assert machine.refusal(self.machine, self.where, timer.fire) is None

    @invariant()
    def the_end_is_whole(self) -> None:
        if hasattr(self, "state") and self.state.final:
            assert progress.next_wakeup(self.state) is None


TestMachines = Machines.TestCase
TestMachines.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
