"""Moving requests in flight to another version: what stays, what is asked anew, what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes import migration, progress
from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    Assignment,
    Refusal,
)
from recipes.effects import (
    CloseTask,
    Effect,
    OpenTask,
    RebindTask,
    Record,
    SettleCommand,
    Transition,
)
from recipes.happenings import Actor, Commanded, Decided, Happening, Migration, Started, Ticked
from recipes.model import Recipe
from recipes.parse import parse
from recipes.state import Entity, State

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = Actor("root", "admin")


def recipe(version: int, *steps: str, more: str = "") -> Recipe:
    head = f"workflow: w\nversion: {version}\nowner: x\n{more}inputs: {{properties: {{n: {{type: integer}}}}}}\n"
    return parse(head + "steps:\n" + "".join(f"  - {step}\n" for step in steps)).recipe


def machine(version: int, states: str, actions: str, more: str = "") -> Recipe:
    return parse(
        f"workflow: w\nversion: {version}\nowner: x\nkind: state_machine\n{more}"
        f"inputs: {{type: object}}\nstates: [{states}]\nactions: [{actions}]\n"
    ).recipe


def new(made: Recipe, entity: Entity | None = None) -> State:
    return progress.initial(
        made,
        request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
        requester="alice",
        inputs={"n": 1},
        submitted_at=NOW,
        digest=f"v{made.version}",
        entity=entity,
    )


def willing(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    def one(ask: Ask) -> Answer:
        match ask:
            case AskEmployee():
                return Answer(employee={"id": "alice", "manager": {"id": "bob"}})
            case AskCandidates(_, references) | AskHolders(_, references, True):
                return Answer(assignment=Assignment(candidates=references))
            case AskHolders(_, references):
                return Answer(assignment=Assignment(references[0].removeprefix("user:")))
            case AskApprover(_, reference, fixed=fixed):
                return Answer(assignment=Assignment(fixed or reference.removeprefix("user:")))
            case _:
                return Answer(assignment=Assignment("above"))

    return tuple(one(ask) for ask in asks)


def unwilling(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    return tuple(Answer(refusal=Refusal("NoApproverFound", "nobody")) for _ in asks)


def go(
    made: Recipe, state: State, happening: Happening, hours: float = 0, answer: Any = willing
) -> Transition:
    return progress.settle(made, state, happening, NOW + timedelta(hours=hours), answer)


def begun(made: Recipe, answer: Any = willing, entity: Entity | None = None) -> State:
    return go(made, new(made, entity), Started(), answer=answer).state


def decide(made: Recipe, state: State, who: str, verdict: Any = "approve") -> State:
    task = next(task for task in state.tasks if task.assignment.user == who)
    return go(made, state, Decided(task.id, verdict, Actor(who), NOW)).state


def to(made: Recipe, state: State, number: int = 1) -> Commanded:
    wanted = Migration(made, f"sha{made.version}", f"v{made.version}", state.digest)
    return Commanded(str(number), "migrate", ROOT, NOW, "a better one", migration=wanted)


def migrate(
    old: Recipe, state: State, wanted: Recipe, hours: float = 1, answer: Any = willing
) -> Transition:
    after = go(old, state, to(wanted, state), hours, answer)
    assert after.migration is not None
    assert after.state.digest == f"v{wanted.version}"
    assert (
        SettleCommand("1", "migrate", True, f"moved to version {wanted.version}") in after.effects
    )
    return after


def refused(old: Recipe, state: State, wanted: Recipe, hours: float = 1) -> str:
    """Why; the state is as it was but for the command that was seen."""
    after = go(old, state, to(wanted, state), hours)
    assert after.migration is None
    [settled] = after.effects
    assert isinstance(settled, SettleCommand)
    assert not settled.applied
    assert replace(after.state, seq=state.seq, commands_seen=()) == replace(state, commands_seen=())
    judged = migration.judge(old, wanted, state, NOW + timedelta(hours=hours))
    assert "; ".join(judged.refusals) == settled.detail
    return settled.detail


def notes(old: Recipe, state: State, wanted: Recipe) -> tuple[str, ...]:
    judged = migration.judge(old, wanted, state, NOW)
    assert judged.refusals == ()
    return judged.notes


def closed(effects: tuple[Effect, ...]) -> list[str]:
    return [effect.task_id for effect in effects if isinstance(effect, CloseTask)]


def opened(effects: tuple[Effect, ...]) -> list[str | None]:
    return [e.task.assignment.user for e in effects if isinstance(e, OpenTask)]


BOSS = "{id: boss, approver: user:bob, timeout: 48h, on_timeout: escalate}"


def test_what_is_the_same_stays_with_its_time_and_is_bound_anew() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, BOSS, "{id: cfo, approver: user:frank}")
    state = begun(old)
    assert notes(old, state, wanted) == ()
    after = migrate(old, state, wanted)
    assert after.state.tasks == state.tasks
    assert [e for e in after.effects if not isinstance(e, SettleCommand | Record)] == [
        RebindTask(state.tasks[0].id, "boss", "v2", ("requester", "boss"))
    ]
    [told] = [e for e in after.effects if isinstance(e, Record)]
    assert (told.type, told.actor) == ("request.migrated", ROOT)
    assert told.payload == {
        "from": 1,
        "to": 2,
        "recipe_sha256": "sha2",
        "digest": "v2",
        "comment": "a better one",
    }
    further = decide(wanted, after.state, "bob")
    assert [task.assignment.user for task in further.tasks] == ["frank"]


def test_what_differs_is_asked_anew_and_its_time_begins_anew() -> None:
    old = recipe(1, BOSS)
    wanted = recipe(2, "{id: boss, approver: user:carol, timeout: 24h, on_timeout: reject}")
    state = begun(old)
    assert notes(old, state, wanted) == ("bob at boss: asked anew",)
    after = migrate(old, state, wanted)
    assert closed(after.effects) == [state.tasks[0].id]
    [task] = after.state.tasks
    assert (task.assignment.user, task.due_at) == ("carol", NOW + timedelta(hours=25))
    assert not any(isinstance(e, RebindTask) for e in after.effects)
    assert [e.digest for e in after.effects if isinstance(e, OpenTask)] == ["v2"]


def test_nobody_to_ask_anew_is_an_incident_and_not_a_dead_end() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, "{id: boss, approver: user:carol}")
    after = migrate(old, begun(old), wanted, answer=unwilling)
    assert after.state.tasks == ()
    assert [incident.seat for incident in after.state.incidents] == ["boss"]
    helped = go(wanted, after.state, Commanded("2", "retry", ROOT, NOW), 2)
    assert opened(helped.effects) == ["carol"]


def test_the_step_it_is_at_must_be_there() -> None:
    old = recipe(1, BOSS)
    assert refused(old, begun(old), recipe(2, "{id: other, approver: user:bob}")) == (
        "it is at step boss, which version 2 does not have"
    )


def test_a_step_that_would_be_left_out_is_refused() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, "{id: legal, approver: user:leo}", BOSS)
    assert refused(old, begun(old), wanted) == (
        "step legal is new before where it is, and would never be asked"
    )


def test_steps_that_ran_may_have_gone_or_moved() -> None:
    old = recipe(1, "{id: legal, approver: user:leo}", BOSS)
    state = decide(old, begun(old), "leo")
    after = migrate(old, state, recipe(2, BOSS, "{id: end, action: approve}"))
    assert after.state.position == 0
    assert after.state.tasks == state.tasks
    again = migrate(old, state, recipe(3, "{id: legal, when: n > 5, approver: user:zoe}", BOSS))
    assert again.state.position == 1


def test_steps_to_come_speak_of_each_other() -> None:
    old = recipe(1, BOSS)
    end = "{id: end, when: \"steps.boss.outcome == 'approved' && 'bob' in steps.boss.decided_by\", action: reject}"
    wanted = recipe(2, BOSS, end)
    after = migrate(old, begun(old), wanted)
    assert decide(wanted, after.state, "bob").state == "rejected"


def test_a_step_that_skipped_counts_as_gone_through() -> None:
    old = recipe(1, "{id: legal, when: n > 5, approver: user:leo}", BOSS)
    speaks = "{id: end, when: \"steps.legal.outcome == 'skipped'\", action: reject}"
    after = migrate(old, begun(old), recipe(2, "{id: legal, approver: user:leo}", BOSS, speaks))
    assert (
        decide(recipe(2, "{id: legal, approver: user:leo}", BOSS, speaks), after.state, "bob").state
        == "rejected"
    )


@pytest.mark.parametrize(
    "last",
    [
        "{id: end, when: \"steps.legal.outcome == 'approved'\", action: approve}",
        "{id: end, approver: user:eve, not_same_as: [legal]}",
    ],
)
def test_steps_to_come_cannot_speak_of_one_that_never_ran(last: str) -> None:
    old = recipe(1, BOSS)
    wanted = recipe(2, "{id: legal, approver: user:leo}", BOSS, last)
    assert refused(old, begun(old), wanted) == (
        "step legal is new before where it is, and would never be asked;"
        " step end speaks of step legal, which it did not go through"
    )


BOARD = "{id: board, type: parallel, quorum: all, branches: [%s]}"
ANN, BEN, CY = (f"{{id: {name}, approver: user:{name}}}" for name in ("ann", "ben", "cy"))
ANN_ELSE = "{id: ann, approver: user:anton}"


def board(version: int, *branches: str) -> Recipe:
    return recipe(version, BOARD % ", ".join(branches))


def test_branches_come_go_and_change() -> None:
    old, wanted = board(1, ANN, BEN), board(2, ANN_ELSE, CY)
    state = begun(old)
    assert notes(old, state, wanted) == (
        "ann at board/ann: asked anew",
        "board/ben is closed: version 2 does not have it",
        "board/cy is new, and asked",
    )
    after = migrate(old, state, wanted)
    assert len(closed(after.effects)) == 2
    assert opened(after.effects) == ["anton", "cy"]
    assert [seat.key for seat in after.state.seats] == ["board/ann", "board/cy"]


def test_what_was_decided_stays_decided() -> None:
    old, wanted = board(1, ANN, BEN), board(2, ANN_ELSE, BEN, CY)
    state = decide(old, begun(old), "ann")
    after = migrate(old, state, wanted)
    assert opened(after.effects) == ["cy"]
    assert after.state.seats[0] == state.seats[0]
    assert [e.task_id for e in after.effects if isinstance(e, RebindTask)] == [state.tasks[0].id]


def test_a_branch_that_was_decided_cannot_go() -> None:
    old = board(1, ANN, BEN)
    state = decide(old, begun(old), "ann")
    assert refused(old, state, board(2, BEN, CY)) == (
        "branch ann of step board has been decided, and is gone"
    )


def test_a_branch_that_goes_may_settle_the_step() -> None:
    old = board(1, ANN, BEN)
    after = migrate(
        old, decide(old, begun(old), "ann"), board(2, ANN, "{id: ben, approver: user:ben}")
    )
    assert after.state.state == "pending"
    settled = migrate(
        old,
        decide(old, begun(old), "ann"),
        recipe(2, BOARD.replace("quorum: all", "quorum: any") % f"{ANN}, {CY}"),
    )
    assert settled.state.state == "approved"


def test_another_type_of_step_begins_anew_unless_it_was_voted_on() -> None:
    old = board(1, ANN, BEN)
    wanted = recipe(2, "{id: board, candidates: [role:x]}")
    after = migrate(old, begun(old), wanted)
    assert len(closed(after.effects)) == 2
    assert [task.assignment.candidates for task in after.state.tasks] == [("role:x",)]
    state = decide(old, begun(old), "ann")
    assert refused(old, state, wanted) == (
        "step board asks in another way in version 2, and has been voted on"
    )
    assert refused(old, begun(old), recipe(2, "{id: board, action: approve}")) == (
        "step board is another type of step in version 2"
    )


LIST = (
    "{id: board, approvers: \"{{ n == 1 ? ['ann', 'ben'] : ['ann', 'ben', 'cy'] }}\", quorum: %s}"
)


def test_a_list_of_people_is_asked_anew_as_a_whole_unless_it_was_voted_on() -> None:
    old, wanted = recipe(1, LIST % "all"), recipe(2, "{id: board, approvers: \"{{ ['cy'] }}\"}")
    after = migrate(old, begun(old), wanted)
    assert opened(after.effects) == ["cy"]
    assert len(closed(after.effects)) == 2
    voted = decide(old, begun(old), "ann")
    assert refused(old, voted, wanted) == (
        "step board asks in another way in version 2, and has been voted on"
    )
    same = migrate(old, voted, recipe(2, LIST % "all", "{id: end, action: reject}"))
    assert same.state.tasks == voted.tasks
    either = migrate(old, voted, recipe(2, LIST % "any"))
    assert either.state.state == "approved"
    assert refused(old, voted, recipe(2, LIST % 3)) == ("step board has a quorum of 3 over 2")
    single = recipe(3, "{id: board, approver: user:cy}")
    assert opened(migrate(old, begun(old), single).effects) == ["cy"]


def test_several_people_are_not_one() -> None:
    both = f"{ANN}, {ANN.replace('id: ann', 'id: also')}"
    old = recipe(1, BOARD.replace("quorum: all", "quorum: any") % both)
    assert refused(old, begun(old), board(2, both)) == (
        "ann has 2 parts of step board, for several people in version 2"
    )


@pytest.mark.parametrize(
    "also", ["{id: more, approver: user:zoe}", "{id: also, approver: user:zoe}"]
)
def test_a_part_that_goes_or_is_asked_anew_is_nobodys(also: str) -> None:
    both = f"{ANN}, {ANN.replace('id: ann', 'id: also')}"
    old = recipe(1, BOARD.replace("quorum: all", "quorum: any") % both)
    after = migrate(old, begun(old), board(2, f"{ANN}, {also}"))
    assert sorted(task.assignment.user or "" for task in after.state.tasks) == ["ann", "zoe"]


def test_an_incident_is_tried_again_by_the_new_version() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, "{id: boss, approver: user:carol}")
    stuck = begun(old, unwilling)
    assert [incident.seat for incident in stuck.incidents] == ["boss"]
    after = migrate(old, stuck, wanted)
    assert after.state.incidents == ()
    assert opened(after.effects) == ["carol"]


def test_a_step_that_could_not_be_entered_is_tried_again() -> None:
    old = recipe(1, "{id: boss, when: 1 / (n - 1) == 1, approver: user:bob}")
    stuck = begun(old)
    assert [incident.seat for incident in stuck.incidents] == [None]
    assert notes(old, stuck, recipe(2, BOSS)) == ()
    assert opened(migrate(old, stuck, recipe(2, BOSS)).effects) == ["bob"]
    ended = migrate(old, stuck, recipe(2, "{id: boss, action: approve}"))
    assert ended.state.state == "approved"


def test_an_escalation_that_found_nobody_keeps_its_task() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, BOSS, "{id: end, action: approve}")
    late = go(old, begun(old), Ticked(), 49, unwilling).state
    assert len(late.tasks) == len(late.incidents) == 1
    after = migrate(old, late, wanted, 50)
    assert [task.level for task in after.state.tasks] == [1]
    assert after.state.incidents == ()


def test_what_was_fixed_at_submission_stays_where_the_step_is_the_same() -> None:
    steps = ("{id: a, approver: role:x}", "{id: b, approver: role:y}")
    old = recipe(1, *steps, more="resolve: at_submit\n")
    state = begun(old)
    assert state.fixed.keys() == {"a", "b"}
    wanted = recipe(2, steps[0], "{id: b, approver: role:z}", more="resolve: at_submit\n")
    assert migrate(old, state, wanted).state.fixed.keys() == {"a"}


def test_deadlines_move_only_where_they_differ() -> None:
    old = recipe(1, BOSS, more="deadline: 30d\n")
    state = begun(old)
    same = recipe(2, BOSS, "{id: end, action: approve}", more="deadline: 30d\n")
    assert migrate(old, state, same).state.deadline_at == state.deadline_at
    longer = recipe(2, BOSS, more="deadline: 60d\n")
    assert notes(old, state, longer) == (
        "its deadline becomes 2026-05-01T12:00:00Z, was 2026-04-01T12:00:00Z",
    )
    assert migrate(old, state, longer).state.deadline_at == NOW + timedelta(days=60)
    assert notes(old, state, recipe(2, BOSS)) == (
        "its deadline becomes none, was 2026-04-01T12:00:00Z",
    )
    assert migrate(old, state, recipe(2, BOSS)).state.deadline_at is None
    shorter = recipe(2, BOSS, more="deadline: 3d\n")
    assert refused(old, state, shorter, 100) == (
        "its deadline would have passed at 2026-03-05T12:00:00Z"
    )


def test_what_it_is_about_must_fit() -> None:
    plain = recipe(1, BOSS)
    about = recipe(2, BOSS, more="entity: required\n")
    assert refused(plain, begun(plain), about) == (
        "version 2 is about an entity, and the request has none"
    )
    state = begun(about, entity=Entity("booking", "4711"))
    assert refused(about, state, plain) == "version 1 is about no entity, and the request has one"
    assert migrate(plain, begun(plain), recipe(2, BOSS, more="entity: optional\n")).migration


def test_kinds_workflows_and_versions_must_fit() -> None:
    old = recipe(1, BOSS)
    state = begun(old)
    other = machine(2, "{id: a, initial: true}, {id: b, final: true}", "{id: go, from: a, to: b}")
    assert refused(old, state, other) == "version 2 is of kind state_machine, and not approval"
    assert refused(old, state, old) == "w version 1 is no other version of w"


def test_what_has_ended_stays() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, BOSS)
    state = decide(old, begun(old), "bob")
    after = go(old, state, to(wanted, state))
    assert after.effects == (
        SettleCommand("1", "migrate", False, "the request is already approved"),
    )
    assert migration.judge(old, wanted, state, NOW).refusals == ("the request is already approved",)


def test_what_was_judged_must_be_what_is_there() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, BOSS)
    state = begun(old)
    other = replace(state, digest="other")
    after = go(old, state, to(wanted, other))
    [settled] = after.effects
    assert settled == SettleCommand(
        "1", "migrate", False, "the request is not the one that was judged: look again"
    )
    nowhere = go(old, state, Commanded("2", "migrate", ROOT, NOW))
    assert nowhere.effects == (
        SettleCommand("2", "migrate", False, "it does not say to which version"),
    )


def test_told_twice_it_moves_once() -> None:
    old, wanted = recipe(1, BOSS), recipe(2, BOSS)
    state = begun(old)
    after = migrate(old, state, wanted)
    assert go(wanted, after.state, to(wanted, state)) == Transition(after.state)


# --- state machines ------------------------------------------------------------------------------

STATES = "{id: draft, initial: true, timers: [{after: %s, fire: go}]}, {id: done, final: true}"
GO = "{id: go, from: draft, to: done}"


def test_a_machine_goes_on_in_its_state() -> None:
    old = machine(1, STATES % "3d", GO)
    state = begun(old)
    same = machine(2, STATES % "3d", GO + ", {id: again, from: draft, to: draft}")
    assert notes(old, state, same) == ()
    after = go(old, state, to(same, state), 5)
    assert (after.state.status, after.state.timers) == ("draft", state.timers)
    assert after.migration is not None
    assert after.state.seq == state.seq + 1
    other = machine(2, STATES % "1d", GO, more="deadline: 9d\n")
    assert notes(old, state, other) == (
        "the timers of state draft begin anew",
        "its deadline becomes 2026-03-11T12:00:00Z, was none",
    )
    after = go(old, state, to(other, state), 5)
    assert [timer.at for timer in after.state.timers] == [NOW + timedelta(hours=29)]


def test_a_machine_in_a_state_that_is_not_there_stays() -> None:
    old = machine(1, STATES % "3d", GO)
    gone = machine(
        2, "{id: new, initial: true}, {id: done, final: true}", "{id: go, from: new, to: done}"
    )
    assert refused(old, begun(old), gone) == "it is in state draft, which version 2 does not have"
    final = machine(
        2, "{id: new, initial: true}, {id: draft, final: true}", "{id: go, from: new, to: draft}"
    )
    assert refused(old, begun(old), final) == (
        "it is in state draft, which ends a request in version 2"
    )


def test_what_waits_for_its_requester_goes_and_runs_anew() -> None:
    keep = "keep_approvals: unaffected\n"
    same = "{id: first, approver: bob, show: [n]}"
    old = recipe(1, same, "{id: gone, approver: carol}", BOSS.replace("bob", "dave"), more=keep)
    wanted = recipe(2, same, "{id: new, approver: erin}", more=keep)
    state = begun(old)
    for who in ("bob", "carol"):
        state = decide(old, state, who)
    state = decide(old, state, "dave", "request_changes")
    assert state.state == "rewound"
    assert notes(old, state, wanted) == ()
    after = migrate(old, state, wanted)
    assert (after.state.state, after.state.tasks) == ("rewound", ())
    assert [it.step for it in after.state.approvals] == ["first"]
    assert not [e for e in after.effects if isinstance(e, RebindTask)]
    said: Any = {"inputs": {"n": 1}, "digest": "v2 again"}
    stale = Commanded("r1", "resubmit", Actor("alice"), NOW, seen="v1", **said)
    refused_it = go(wanted, after.state, stale)
    assert refused_it.state.state == "rewound"
    assert [e.detail for e in refused_it.effects if isinstance(e, SettleCommand)] == [
        "the request was moved to another version: look again"
    ]
    again = Commanded("r2", "resubmit", Actor("alice"), NOW, seen="v2", **said)
    came_in = go(wanted, after.state, again)
    assert opened(came_in.effects) == ["erin"]


def test_who_meant_a_step_that_has_gone_meant_to_send_it_back() -> None:
    old = recipe(1, "{id: first, approver: bob}", BOSS)
    wanted = recipe(2, BOSS)
    state = decide(old, begun(old), "bob")
    task = state.tasks[0].id
    after = migrate(old, state, wanted)
    back = Decided(task, "request_changes", Actor("bob"), NOW, "no", to="first")
    assert go(wanted, after.state, back).state.state == "rewound"
