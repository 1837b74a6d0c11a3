"""State machines: which are refused and with which words, and what firing an action does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes import inputs, machine, progress
from recipes.effects import Record, SettleCommand, Transition
from recipes.expressions import ExpressionError
from recipes.happenings import (
    ENGINE,
    Actor,
    Commanded,
    Decided,
    Happening,
    Rechecked,
    Started,
    Ticked,
)
from recipes.model import Machine, MachineAction, Recipe, dump, load
from recipes.parse import parse
from recipes.state import State
from tests.unit.recipes.test_parse import problems_of, warnings_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEAD = """workflow: w
version: 1
owner: admins
kind: state_machine
inputs: {type: object, properties: {reader: {type: string}}, required: [reader]}
"""
STATES = """states:
  - {id: draft, initial: true}
  - {id: review}
  - {id: parked, enabled: false}
  - {id: done, final: true}
  - {id: dropped, final: true, outcome: rejected}
"""
ACTIONS = """actions:
  - {id: submit, from: draft, to: review}
  - {id: remark, from: [review], to: review, require_comment: true}
  - {id: pass, from: review, to: done, not_requester: true, who: ["user:{{ reader }}", "{{ employee.manager }}"]}
  - {id: drop, from: [draft, review], to: dropped, who: role:admins}
  - {id: park, from: review, to: parked}
  - {id: skip, from: draft, to: done, enabled: false}
"""
GOOD = HEAD + STATES + ACTIONS


def recipe(text: str = GOOD) -> Recipe:
    made = parse(text).recipe
    assert load(dump(made)) == made
    return made


def states(made: Recipe) -> Machine:
    assert made.machine is not None
    return made.machine


def action(made: Recipe, name: str) -> MachineAction:
    found = states(made).action(name)
    assert found is not None
    return found


# --- definitions ----------------------------------------------------------------------------------

# Each: what stands instead of what, then place "line:column path", a part of message and fix.
REFUSED: dict[str, tuple[str, str, str, str, str]] = {
    "no initial state": (
        "draft, initial: true",
        "draft",
        "7:3 states",
        "no state is initial",
        "add `initial: true` to one state, such as `draft`",
    ),
    "two initial states": (
        "{id: review}",
        "{id: review, initial: true}",
        "8:27 states[1].initial",
        "is a second initial state, after `draft`",
        "keep",
    ),
    "a state twice": (
        "{id: review}",
        "{id: draft}",
        "8:10 states[1].id",
        "two states are called `draft`",
        "an id of its own",
    ),
    "an action twice": (
        "id: remark",
        "id: submit",
        "14:10 actions[1].id",
        "two actions are called `submit`",
        "an id of its own",
    ),
    "from a state that is not there": (
        "from: [draft, review]",
        "from: [draft, reviw]",
        "16:30 actions[3].from[1]",
        "there is no state `reviw`",
        "did you mean `review`?",
    ),
    "from one state that is not there": (
        "submit, from: draft",
        "submit, from: xyz",
        "13:24 actions[0].from",
        "there is no state `xyz`",
        "there are draft, review, parked, done, dropped",
    ),
    "to a state that is not there": (
        "to: review}",
        "to: revue}",
        "13:35 actions[0].to",
        "there is no state `revue`",
        "did you mean `review`?",
    ),
    "out of a final state": (
        "from: [draft, review]",
        "from: [draft, done]",
        "16:30 actions[3].from[1]",
        "`done` is a final state: nothing leads out of it",
        "take it from the list",
    ),
    "an initial state that is final": (
        "initial: true}",
        "initial: true, final: true}",
        "7:39 states[0].final",
        "would end as it begins",
        "another",
    ),
    "an initial state that is disabled": (
        "initial: true}",
        "initial: true, enabled: false}",
        "7:41 states[0].enabled",
        "could not begin",
        "enable it",
    ),
    "an outcome of a state that is not final": (
        "{id: review}",
        "{id: review, outcome: approved}",
        "8:27 states[1].outcome",
        "the state is not final",
        "final: true",
    ),
    "what is neither true nor false": (
        "enabled: false}\n  - {id: done",
        "enabled: off please}\n  - {id: done",
        "9:27 states[2].enabled",
        "must be true or false",
        "write `enabled: true`",
    ),
    "an unknown key": (
        "outcome: rejected",
        "outcom: rejected",
        "11:32 states[4].outcom",
        "unknown key `outcom` in a state",
        "did you mean `outcome`?",
    ),
    "no from": (
        "id: submit, from: draft",
        "id: submit",
        "13:5 actions[0]",
        "`from` is missing",
        "add `from: some_state`",
    ),
    "a state that is a word": (
        "- {id: review}",
        "- review",
        "8:5 states[1]",
        "must be a state",
        "write `- {id: draft, initial: true}`",
    ),
    "somebody who can be nobody": (
        "who: role:admins",
        "who: [role:admins, a b]",
        "16:71 actions[3].who[1]",
        "`a b` names nobody",
        "write role:name",
    ),
    "an unknown name in an expression": (
        "{{ reader }}",
        "{{ writer }}",
        "15:76 actions[2].who[0]",
        "unknown name `writer`",
        "declare `writer`",
    ),
    "steps": (
        "kind: state_machine",
        "kind: state_machine\nsteps: []",
        "5:1 steps",
        "unknown key `steps` in a state machine",
        "did you mean `states`?",
    ),
    "an unknown kind": (
        "kind: state_machine",
        "kind: state_mashine",
        "4:7 kind",
        "`state_mashine` is not possible here",
        "did you mean `state_machine`?",
    ),
    "no kind": ("kind: state_machine\n", "", "1:1 ", "`kind` is missing", "add `kind:"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    there, instead, at, says, fix = REFUSED[name]
    assert GOOD.count(there) >= 1
    found = problems_of(GOOD.replace(there, instead, 1))
    places = [f"{each.line}:{each.column} {each.path}" for each in found]
    assert at in places
    problem = found[places.index(at)]
    assert problem.severity == "error"
    assert says in problem.message
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", "states", "`states` is missing"),
        ("states: []\n", "states", "must be a list of states"),
        ("states: {}\n", "states", "must be a list of states"),
        ("states:\n", "states", "must be a list of states"),
    ],
)
def test_there_must_be_states(text: str, at: str, says: str) -> None:
    problem = problems_of(HEAD + text + ACTIONS)[0]
    assert (problem.path or at, problem.severity) == (at, "error")
    assert says in problem.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = GOOD.replace("draft, initial: true", "done").replace("to: review}", "to: x}", 1)
    text = text.replace("who: role:admins", "who: '{{ nobody }}'")
    assert [problem.path for problem in problems_of(text)] == [
        "states",
        "states[3].id",
        "actions[0].from",
        "actions[0].to",
        "actions[3].from[0]",
        "actions[3].who",
        "actions[5].from",
    ]


def test_there_is_a_limit() -> None:
    many = "".join(f"  - {{id: s{n}}}\n" for n in range(201))
    text = HEAD + STATES + many + ACTIONS
    assert "lists 206; 200 are the most" in problems_of(text)[0].message


def timer(state: str, *timers: str, more: str = "") -> str:
    listed = f"{{id: {state}, timers: [{', '.join(timers)}]}}"
    return GOOD.replace(f"{{id: {state}}}", listed) + more


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        (timer("review", "{fire: drop}"), "states[1].timers[0]", "`after` is missing"),
        (timer("review", "{after: 2h}"), "states[1].timers[0]", "`fire` is missing"),
        (timer("review", "{after: 2h, fire: dro}"), "states[1].timers[0].fire", "no action `dro`"),
        (timer("review", "{after: 2h, fire: submit}"), "states[1].timers[0].fire", "not lead out"),
        (timer("review", "{after: 2h, fire: park}"), "states[1].timers[0].fire", "a disabled state"),
        (
            GOOD.replace("initial: true", "initial: true, timers: [{after: 2h, fire: skip}]"),
            "states[0].timers[0].fire",
            "`skip` is disabled",
        ),
        (
            GOOD.replace("done, final: true", "done, final: true, timers: [{after: 2h, fire: x}]"),
            "states[3].timers[0].fire",
            "the state is final",
        ),
        (
            timer("review", "{after: 2h, fire: drop}").replace("kind:", "deadline: 2h\nkind:"),
            "states[1].timers[0].after",
            "deadline comes first",
        ),
        (
            timer("review", "{after: 2h, fire: back}", more="  - {id: back, from: review, to: draft}\n")
            .replace("initial: true", "initial: true, timers: [{after: 1h, fire: submit}]"),
            "states[0].timers",
            "circle by themselves: draft -> review -> draft",
        ),
    ],
)  # fmt: skip
def test_a_timer_that_would_never_fire_or_for_ever(text: str, at: str, says: str) -> None:
    problem = problems_of(text)[0]
    assert (problem.path, problem.severity) == (at, "error")
    assert says in problem.message


def test_a_diamond_of_timers_is_no_circle() -> None:
    more = """  - {id: left, from: review, to: one}
  - {id: right, from: review, to: two}
  - {id: down, from: [one, two], to: three}
  - {id: out, from: three, to: done}
"""
    fires = ", ".join(f"{{after: {n}h, fire: {name}}}" for n, name in ((1, "left"), (2, "right")))
    text = GOOD.replace("{id: review}", f"{{id: review, timers: [{fires}]}}") + more
    below = "".join(
        f"  - {{id: {s}, timers: [{{after: 1h, fire: down}}]}}\n" for s in ("one", "two")
    )
    text = text.replace("actions:", f"{below}  - {{id: three}}\nactions:")
    assert parse(text).warnings == ()


def test_states_out_of_reach_and_dead_ends_are_warned_of() -> None:
    more = "  - {id: island}\n  - {id: pit}\n"
    fall = "  - {id: fall, from: review, to: pit}\n  - {id: turn, from: pit, to: pit}\n"
    text = HEAD + STATES + more + ACTIONS + fall
    assert warnings_of(text) == [
        "states[5]: `island` is never reached: no action leads there from the initial state",
        "states[6]: nothing leads out of `pit`: a request in it is stuck",
    ]


def test_a_machine_without_an_end_is_warned_of() -> None:
    text = f"{HEAD}states: [{{id: a, initial: true}}, {{id: b}}]\n"
    text += "actions: [{id: there, from: a, to: b}, {id: back, from: b, to: a}]\n"
    [warning] = warnings_of(text)
    assert warning.startswith("states: no final state can be reached")


def test_names_of_nobody_are_warned_of() -> None:
    there = frozenset({"role:admins", "user:bob"})
    assert warnings_of(GOOD, there) == []
    [warning] = warnings_of(
        GOOD.replace("who: role:admins", "who: [role:admins, role:admin]"), there
    )
    assert warning == "actions[3].who[1]: `role:admin` is nobody in the directory"


def test_an_untyped_machine_requires_what_its_actions_read() -> None:
    text = GOOD.replace(HEAD.splitlines()[4] + "\n", "")
    made = parse(text).recipe
    assert made.implied == ("reader",)
    [problem] = inputs.validate(made, {})
    assert problem.message == "input `reader` is missing; it is used by action pass"


# --- running --------------------------------------------------------------------------------------


def new(made: Recipe) -> State:
    return progress.initial(
        made,
        request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
        requester="alice",
        inputs={"reader": "rita"},
        submitted_at=NOW,
        digest="",
    )


def begun(made: Recipe) -> State:
    return progress.apply(made, new(made), Started(), NOW).state


def fire(name: str, number: int = 1, who: str = "bob", **more: Any) -> Commanded:
    return Commanded(str(number), "fire", Actor(who), NOW, action=name, **more)


def after(made: Recipe, state: State, *happenings: Happening, now: datetime = NOW) -> Transition:
    transition = Transition(state)
    for happening in happenings:
        transition = progress.apply(made, transition.state, happening, now)
    return transition


def refused(transition: Transition) -> str:
    [settled] = transition.effects
    assert isinstance(settled, SettleCommand)
    assert not settled.applied
    return settled.detail


def test_it_begins_in_its_initial_state() -> None:
    made = recipe()
    state = begun(made)
    assert (state.state, state.status, state.seq, state.moves) == ("pending", "draft", 1, 0)
    assert progress.next_wakeup(state) is None
    assert progress.step_of(made, state) is None
    assert progress.snapshot(made, state)["status"] == "draft"
    assert "status" not in progress.snapshot(made, new(made))


def test_an_action_moves_it_and_is_recorded() -> None:
    made = recipe()
    moved = after(made, begun(made), fire("submit", comment="please"))
    assert (moved.state.status, moved.state.moves, moved.state.state) == ("review", 1, "pending")
    assert moved.effects == (
        SettleCommand("1", "fire", True, "moved to review"),
        Record(
            "action.fired",
            {"action": "submit", "from": "draft", "to": "review", "comment": "please", "moves": 1},
            Actor("bob"),
        ),
    )


@pytest.mark.parametrize(("last", "state"), [("pass", "approved"), ("drop", "rejected")])
def test_a_final_state_ends_it_with_its_outcome(last: str, state: str) -> None:
    made = recipe()
    ended = after(made, begun(made), fire("submit"), fire(last, 2))
    assert ended.state.state == state
    assert ended.state.reason == f"final state {ended.state.status}"
    assert isinstance(ended.effects[-1], Record)
    assert ended.effects[-1].type == "request.finalized"
    assert refused(after(made, ended.state, fire("submit", 3))) == f"the request is already {state}"
    assert after(made, ended.state, Ticked(), now=NOW + timedelta(days=1)).state == ended.state


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fly", "there is no action `fly`"),
        ("skip", "action `skip` is disabled"),
        ("pass", "action `pass` leads out of `review`; the request is in `draft`"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, says: str) -> None:
    made = recipe()
    tried = after(made, begun(made), fire(name))
    assert refused(tried) == says
    assert replace(tried.state, seq=1, commands_seen=()) == begun(made)


def test_an_action_into_a_disabled_state_is_refused() -> None:
    made = recipe()
    tried = after(made, begun(made), fire("submit"), fire("park", 2))
    assert refused(tried).startswith(
        "action `park` leads into `parked`, which is disabled; bob moved"
    )


def test_refusals_to_those_who_only_ask() -> None:
    of = states(recipe())
    assert machine.refusal(of, "done", "drop") == "`done` is a final state: nothing leads out of it"
    assert machine.refusal(of, None, "submit") == "the request has not begun yet"
    assert [door.id for door in machine.doors(of, "review")] == ["remark", "pass", "drop"]


def test_the_second_of_two_at_once_is_told_who_was_first() -> None:
    """Though the action would fit again: it was aimed at what is no longer so."""
    made = recipe()
    state = begun(made)
    behalf = replace(fire("drop", 1, moves=0), actor=Actor("carol", "admins", "dave"))
    first = after(made, state, fire("submit", 1, moves=0))
    second = after(made, first.state, fire("drop", 2, "carol", moves=0))
    assert refused(second) == (
        "it has moved since you saw it, and is in `review`; bob moved it there by `submit` at"
        " 2026-03-02T12:00:00Z"
    )
    other = after(made, state, behalf, fire("submit", 2, moves=0))
    assert refused(other) == "the request is already rejected"
    assert machine.told(other.state.moved).startswith("; carol on behalf of dave moved")


def test_a_command_told_twice_counts_once() -> None:
    made = recipe()
    once = after(made, begun(made), fire("submit"), fire("remark", 2, comment="x"))
    assert after(made, once.state, fire("remark", 2, comment="x")) == Transition(once.state)


def test_who_is_looked_at_again_as_far_as_it_can_be() -> None:
    made = recipe()
    state = after(made, begun(made), fire("submit", who="alice")).state
    own = fire("pass", 2, "alice")
    says = "action `pass` is not for the requester, nor on their behalf"
    assert refused(after(made, state, own)) == says
    behalf = replace(own, actor=Actor("bob", on_behalf_of="alice"))
    assert refused(after(made, state, behalf)) == says
    assert refused(after(made, state, fire("remark", 2, comment=" "))).endswith("needs a comment")


def test_cancel_and_the_other_commands() -> None:
    made = recipe()
    state = begun(made)
    ended = after(made, state, Commanded("1", "cancel", Actor("alice"), NOW, "no more"))
    assert (ended.state.state, ended.state.status) == ("cancelled", "draft")
    assert ended.state.reason == "no more"
    retry = after(made, state, Commanded("1", "retry", Actor("alice"), NOW))
    assert refused(retry) == "the request has no incident to retry"
    reassign = Commanded("1", "reassign", Actor("alice"), NOW, seat="s", to="bob")
    assert refused(after(made, state, reassign)) == "a state machine has nothing to reassign"


def test_what_is_about_tasks_changes_nothing() -> None:
    made = recipe()
    state = begun(made)
    for happening in (Decided("t", "approve", Actor("bob"), NOW), Rechecked(("t",), NOW), Ticked()):
        assert after(made, state, happening) == Transition(state)


def test_an_approval_has_no_actions() -> None:
    made = parse("workflow: w\nversion: 1\nsteps: [{id: a, approver: bob}]\ninputs: {}\n").recipe
    state = replace(new(made), state="pending")
    assert refused(after(made, state, fire("submit"))).startswith("the recipe is no state machine")


def test_the_deadline_ends_it() -> None:
    made = recipe(GOOD.replace("kind:", "deadline: 10d\nkind:"))
    state = begun(made)
    assert progress.next_wakeup(state) == NOW + timedelta(days=10)
    early = after(made, state, Ticked(), now=NOW + timedelta(days=9))
    assert early == Transition(state)
    late = after(made, state, Ticked(), now=NOW + timedelta(days=10))
    assert late.state.state == "expired"


def test_timers_begin_with_a_stay_and_end_with_it() -> None:
    nudge = "  - {id: nudge, from: review, to: review}\n"
    fires = ("{after: 3d, fire: drop}", "{after: 1d, fire: nudge}")
    made = recipe(timer("review", *fires, more=nudge))
    state = after(made, begun(made), fire("submit")).state
    assert progress.next_wakeup(state) == NOW + timedelta(days=1)
    nudged = after(made, state, Ticked(), now=NOW + timedelta(days=1))
    assert isinstance(nudged.effects[0], Record)
    assert nudged.effects[0].actor == ENGINE
    # A move that leads back to where it is begins no new stay: the third day stays the third day.
    assert progress.next_wakeup(nudged.state) == NOW + timedelta(days=3)
    remarked = after(
        made, nudged.state, fire("remark", 2, comment="x"), now=NOW + timedelta(days=2)
    )
    assert progress.next_wakeup(remarked.state) == NOW + timedelta(days=3)
    dropped = after(made, remarked.state, Ticked(), now=NOW + timedelta(days=3))
    assert (dropped.state.status, progress.next_wakeup(dropped.state)) == ("dropped", None)
    # All that was due while nobody ran it happens at once, in its order.
    slept = after(made, state, Ticked(), now=NOW + timedelta(days=9))
    assert [e.payload.get("action") for e in slept.effects if isinstance(e, Record)] == [
        "nudge",
        "drop",
        None,
    ]
    passed = after(made, state, fire("pass", 3))
    assert progress.next_wakeup(passed.state) is None


def test_what_is_kept_does_not_grow() -> None:
    made = recipe()
    state = after(made, begun(made), fire("submit", 0)).state
    for number in range(1, 1200):
        state = after(made, state, fire("remark", number, comment="x", moves=number)).state
    assert (state.moves, state.seq) == (1200, 1201)
    assert len(state.commands_seen) == machine.COMMANDS_KEPT
    # One that is told again when it is long forgotten has seen too few moves.
    assert "it has moved" in refused(after(made, state, fire("remark", 1, comment="x", moves=1)))


# --- who ------------------------------------------------------------------------------------------


def test_whom_an_action_names() -> None:
    made = recipe()
    state = begun(made)
    passing = action(made, "pass")
    assert passing.employee_paths == ("manager",)
    boss = {"id": "alice", "manager": {"id": "bob"}}
    assert machine.references(made, state, passing, boss) == ("user:rita", "user:bob")
    assert machine.references(made, state, passing, {"id": "alice", "manager": None}) == (
        "user:rita",
    )
    assert machine.references(made, state, action(made, "drop"), None) == ("role:admins",)
    assert machine.references(made, state, action(made, "submit"), None) == ()


def test_an_action_whose_expressions_all_name_nobody() -> None:
    made = recipe(
        GOOD.replace('["user:{{ reader }}", "{{ employee.manager }}"]', '"{{ reader }} x"')
    )
    with pytest.raises(ExpressionError, match="no person's"):
        machine.references(made, begun(made), action(made, "pass"), None)
