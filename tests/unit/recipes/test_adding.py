"""Approvers who are added to a step by hand: when they are asked, what waits for them, who is refused."""

from dataclasses import replace
from typing import Any

import pytest

from recipes import progress
from recipes.adding import ADDED_LIMIT
from recipes.asks import Answer, Ask, AskApprover, AskEmployee, Assignment, Hop, Refusal
from recipes.effects import CloseTask, Effect, OpenTask, Record, SettleCommand
from recipes.happenings import (
    Actor,
    Commanded,
    Decided,
    Migration,
    Rechecked,
    Started,
    Ticked,
    Where,
)
from recipes.model import Recipe
from tests.unit.recipes.test_progress import NOW, go, new, no_answer, recipe, refusing

BOSS = recipe("{id: boss, approver: bob}")
EITHER = recipe(
    "{id: either, quorum: any, branches: [{id: a, approver: ann, timeout: 4h, on_timeout: approve},"
    " {id: b, approver: ben}]}"
)


def willing(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    """Everybody asked for, by their plain id."""

    def one(ask: Ask) -> Answer:
        if isinstance(ask, AskEmployee):
            return Answer(employee={"id": "alice", "manager": {"id": "bob"}})
        assert isinstance(ask, AskApprover)
        return Answer(assignment=Assignment(ask.reference.removeprefix("user:")))

    return tuple(map(one, asks))


class Play:
    """A request of `made`, by steps."""

    def __init__(self, made: Recipe, answer: Any = willing) -> None:
        self.recipe = made
        self.count = 0
        self.effects: tuple[Effect, ...] = ()
        self.state = new(made)
        self.befall(Started(), answer)

    def befall(self, happening: Any, answer: Any = willing, hours: float = 0) -> None:
        self.state, self.effects = go(self.recipe, self.state, happening, hours, answer)

    def add(self, to: str, where: Where, seat: str | None = None, answer: Any = willing) -> str:
        """Somebody, beside the first open task: what came of the command."""
        self.count += 1
        at = seat or self.state.tasks[0].seat
        self.befall(
            Commanded(
                str(self.count), "add_approver", Actor("bob"), NOW, "why", at, to, where=where
            ),
            answer,
        )
        [settled] = [effect for effect in self.effects if isinstance(effect, SettleCommand)]
        return settled.detail if settled.applied else f"refused: {settled.detail}"

    def decide(self, who: str, verdict: Any = "approve") -> None:
        task = next(task for task in self.state.tasks if task.assignment.user == who)
        self.befall(Decided(task.id, verdict, Actor(who), NOW))

    @property
    def asked(self) -> list[str | None]:
        return [task.assignment.user for task in self.state.tasks]

    def why_closed(self) -> list[str]:
        return [effect.why for effect in self.effects if isinstance(effect, CloseTask)]


def test_before() -> None:
    play = Play(BOSS)
    first = play.state.tasks[0].id
    assert play.add("dave", "before") == "added before: dave"
    assert play.asked == ["dave"]
    assert CloseTask(first, "boss", "superseded", "waits for dave, added by hand") in play.effects
    [opened] = [effect for effect in play.effects if isinstance(effect, OpenTask)]
    assert (opened.added, opened.task.seat) == (play.state.seats[1].added, "boss/+1")
    assert opened.task.assignment.chain == (Hop("added", "bob"),)
    [record] = [e for e in play.effects if isinstance(e, Record) and e.type == "approver.added"]
    assert (record.actor.user, record.payload) == (
        "bob",
        {
            "step": "boss",
            "seat": "boss/+1",
            "person": "dave",
            "where": "before",
            "comment": "why",
            "beside_seat": "boss",
        },
    )
    snapshot = progress.snapshot(BOSS, play.state)
    assert (snapshot["seats"], snapshot["added"]) == (
        {"boss": None, "boss/+1": None},
        {"boss/+1": "before"},
    )
    play.decide("dave")
    assert play.asked == ["bob"]
    assert play.state.state == "pending"
    play.decide("bob")
    assert play.state.state == "approved"
    [done] = [e for e in play.effects if isinstance(e, Record) and e.type == "step.completed"]
    assert done.payload["added"] == {"approvals": 1, "needed": 1}


def test_beside() -> None:
    play = Play(EITHER)
    assert play.add("dave", "beside") == "added beside: dave"
    assert play.asked == ["ann", "ben", "dave"]
    play.decide("ann")
    assert play.why_closed() == ["step either has the approvals that its recipe needs"]
    assert (play.asked, play.state.state) == (["dave"], "pending")
    play.decide("dave")
    assert play.state.state == "approved"


def test_after() -> None:
    play = Play(EITHER)
    assert play.add("dave", "after") == "added after: dave"
    assert play.add("erin", "beside") == "added beside: erin"
    assert play.asked == ["ann", "ben", "erin"]
    play.decide("ben")
    assert play.asked == ["erin"]
    play.decide("erin")
    assert play.asked == ["dave"]
    # Once it is their turn, whoever is added before or beside is asked before them again.
    assert play.add("fay", "beside") == "added beside: fay"
    assert play.why_closed() == ["waits for fay, added by hand"]
    assert play.asked == ["fay"]
    play.decide("fay")
    assert play.asked == ["dave"]
    assert play.add("gil", "after") == "added after: gil"
    assert play.asked == ["dave", "gil"]
    play.decide("gil")
    play.decide("dave")
    assert play.state.state == "approved"


def test_before_and_another_before() -> None:
    play = Play(EITHER)
    play.add("dave", "before")
    play.add("erin", "before")
    play.add("fay", "beside")
    assert play.asked == ["dave", "erin", "fay"]
    play.decide("dave")
    play.decide("fay")
    assert play.asked == ["erin"]
    play.decide("erin")
    assert play.asked == ["ann", "ben"]
    play.decide("ann")
    assert play.state.state == "approved"


@pytest.mark.parametrize("where", ["before", "beside"])
def test_a_reject_of_somebody_added_rejects(where: Where) -> None:
    play = Play(EITHER)
    play.add("dave", where)
    play.decide("dave", "reject")
    assert (play.state.state, play.state.reason) == ("rejected", "step either was rejected")


def test_what_the_recipe_cannot_reach_any_more_ends_it() -> None:
    play = Play(EITHER)
    play.add("dave", "beside")
    play.decide("ann", "reject")
    play.decide("ben", "reject")
    assert play.state.state == "rejected"
    assert play.why_closed() == ["step either is rejected"]


def test_time_runs_for_the_recipe_s_own_alone() -> None:
    play = Play(EITHER)
    play.add("dave", "after")
    play.befall(Ticked(), hours=4)
    assert play.asked == ["dave"]
    assert progress.next_wakeup(play.state) is None


def test_one_withdrawn_begins_its_time_anew() -> None:
    play = Play(EITHER)
    play.add("dave", "before")
    assert progress.next_wakeup(play.state) is None
    play.decide("dave")
    assert play.state.tasks[0].due_at is not None


def test_an_incident_of_a_seat_that_waits_is_none() -> None:
    def without_ben(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        refused = Answer(refusal=Refusal("NoApproverFound", "ben has left"))
        given = zip(asks, willing(asks), strict=True)
        return tuple(refused if ask.seat == "either/b" else answer for ask, answer in given)  # type: ignore[union-attr]

    play = Play(EITHER, without_ben)
    assert [incident.seat for incident in play.state.incidents] == ["either/b"]
    play.add("dave", "before")
    assert (play.asked, play.state.incidents) == (["dave"], ())
    play.decide("dave")
    assert play.asked == ["ann", "ben"]


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("alice", "alice is the requester: nobody decides their own request"),
        ("bob", "bob already has a seat in step boss"),
        ("dave", "dave already has a seat in step boss"),
        ("ann", "ann decided step first, and another person has to decide here"),
    ],
)
def test_whom_not(to: str, why: str) -> None:
    play = Play(
        recipe("{id: first, approver: ann}", "{id: boss, approver: bob, not_same_as: first}")
    )
    play.decide("ann")
    play.add("dave", "after")
    before = play.state
    assert play.add(to, "beside") == f"refused: {why}"
    assert (play.state.seats, play.state.tasks) == (before.seats, before.tasks)


def test_refusals() -> None:
    play = Play(BOSS)
    assert play.add("dave", "beside", "boss/+1") == (
        "refused: nothing is waiting to be decided at boss/+1"
    )
    play.befall(Commanded("x", "add_approver", Actor("bob"), NOW, None, "boss", "dave"))
    [settled] = play.effects
    assert settled == SettleCommand(
        "x", "add_approver", False, "it does not say whom to add, and where"
    )
    play.befall(Commanded("y", "add_approver", Actor("bob"), NOW, to="dave", where="after"))
    assert play.effects[0].applied is False  # type: ignore[union-attr]
    assert play.add("dave", "beside", answer=refusing) == "refused: nobody"
    for given in ("zoe", "bob"):
        said = "dave cannot be asked here" if given == "zoe" else "bob already has a seat"
        behalf = None if given == "zoe" else "dave"

        def other(_: Any, given: str = given, behalf: str | None = behalf) -> tuple[Answer, ...]:
            return (Answer(assignment=Assignment(given, on_behalf_of=behalf)),)

        assert said in play.add("dave", "beside", answer=other)
    assert play.add("dave", "beside", answer=no_answer) == ("refused: dave cannot be asked here")
    play.decide("bob")
    assert play.add("dave", "after", "boss") == "refused: the request is already approved"


def test_whoever_decides_for_them_is_asked() -> None:
    play = Play(BOSS)

    def away(_: Any) -> tuple[Answer, ...]:
        return (Answer(assignment=Assignment("erin", on_behalf_of="dave")),)

    assert play.add("dave", "beside", answer=away) == "added beside: erin on behalf of dave"
    assert play.asked == ["bob", "erin"]


def test_no_more_than_so_many() -> None:
    play = Play(BOSS)
    for number in range(ADDED_LIMIT):
        assert play.add(f"p{number}", "after") == f"added after: p{number}"
    assert play.add("one-more", "after") == (
        "refused: step boss has 20 added approvers: no more fit"
    )


def test_they_are_asked_anew_and_reassigned_like_others() -> None:
    play = Play(BOSS)
    play.add("dave", "before")
    [task] = play.state.tasks

    def moved(_: Any) -> tuple[Answer, ...]:
        return (Answer(assignment=Assignment("erin", on_behalf_of="dave")),)

    play.befall(Rechecked((task.id,), NOW), moved)
    assert play.asked == ["erin"]
    assert play.state.tasks[0].assignment.chain == (Hop("added", "bob"),)
    waiting = Commanded("r0", "reassign", Actor("root"), NOW, "why", "boss", "gil")
    play.befall(waiting)
    assert play.effects == (
        SettleCommand("r0", "reassign", False, "nothing is waiting to be decided at boss"),
    )
    play.befall(Commanded("r1", "reassign", Actor("root"), NOW, "why", "boss/+1", "gil"))
    assert play.asked == ["gil"]
    play.befall(Rechecked((play.state.tasks[0].id,), NOW), moved)
    assert play.asked == ["erin"]
    assert play.state.tasks[0].assignment.chain[0] == Hop("reassigned", "root")
    play.decide("erin")
    assert play.asked == ["bob"]


def test_where_nobody_is_found_later_an_incident_says_so() -> None:
    play = Play(BOSS)
    play.add("dave", "after")
    [task] = play.state.tasks
    gone = (Answer(refusal=Refusal("NoApproverFound", "dave has left")),)

    def left(_: Any) -> tuple[Answer, ...]:
        return gone

    play.befall(Decided(task.id, "approve", Actor("bob"), NOW), left)
    [incident] = play.state.incidents
    assert (incident.detail, incident.seat, play.asked) == ("dave has left", "boss/+1", [])
    play.befall(Commanded("r", "retry", Actor("root"), NOW))
    assert (play.asked, play.state.incidents) == (["dave"], ())
    play.decide("dave")
    assert play.state.state == "approved"


def test_who_shared_a_task_and_decided_it_at_the_same_instant() -> None:
    play = Play(recipe("{id: pool, approver: bob}", "{id: end, approver: zoe}"))
    play.add("dave", "beside")
    own = next(task for task in play.state.tasks if task.seat == "pool")
    play.befall(Decided(own.id, "approve", Actor("dave"), NOW))
    [incident] = play.state.incidents
    assert (incident.seat, incident.detail) == (
        "pool/+1",
        "dave already has a seat in step pool",
    )
    play.befall(Commanded("r", "reassign", Actor("root"), NOW, "why", "pool/+1", "erin"))
    play.decide("erin")
    assert play.asked == ["zoe"]


def test_the_employee_is_asked_for_again_where_the_recipe_needs_them() -> None:
    play = Play(recipe('{id: a, approver: "{{ employee.manager }}"}'))
    play.add("dave", "before")
    play.decide("dave")
    assert play.asked == ["bob"]


LIST = "{id: a, approvers: \"{{ ['ann', 'ben'] }}\"}"
TWO = "{id: a, branches: [{id: x, approver: ann}, {id: y, approver: ben}]}"


@pytest.mark.parametrize(
    ("before", "after", "asked", "why"),
    [
        (TWO, TWO, ["dave"], "moved to version 2"),
        # Another approver at the branch: who was added there is asked anew, whoever waits is not.
        (TWO, TWO.replace("ann", "cy"), ["dave"], "moved to version 2"),
        (TWO, TWO.replace("id: x", "id: z"), ["dave"], "somebody was added at branch x of step a"),
        (LIST, LIST.replace("ben", "cy"), ["dave"], "people were added to it"),
    ],
)
def test_another_version(before: str, after: str, asked: list[str], why: str) -> None:
    play = Play(recipe(before))
    play.add("dave", "before")
    wanted = replace(recipe(after), version=2)
    migration = Migration(wanted, "sha", "digest", play.state.digest)
    play.befall(Commanded("m", "migrate", Actor("root"), NOW, "better", migration=migration))
    [settled] = [effect for effect in play.effects if isinstance(effect, SettleCommand)]
    assert why in settled.detail
    assert play.asked == asked
    if not settled.applied:
        return
    play.recipe = wanted
    play.decide("dave")
    assert play.asked == [wanted.steps[0].ballots[0].approver, "ben"]  # type: ignore[union-attr]
