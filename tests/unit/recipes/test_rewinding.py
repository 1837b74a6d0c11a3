"""Back to a step or to the requester, and in again: turns of the engine, one by one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contract.events import describe
from recipes import progress
from recipes.effects import CloseTask, Effect, OpenTask, Resubmit
from recipes.happenings import Actor, Commanded, Decided, Rechecked, Started, Ticked, Together
from recipes.model import Json, Recipe
from recipes.parse import parse
from recipes.state import State
from tests.unit.recipes.test_progress import NOW, go, incidents, new, retry
from tests.unit.recipes.test_recheck import no_questions

TWO = ("{id: a, approver: bob}", "{id: b, when: n > 0, approver: carol}")


def recipe(*steps: str, **keys: str) -> Recipe:
    inputs = "inputs: {properties: {n: {type: integer}, why: {type: string}}, required: [n]}\n"
    more = "".join(f"{key}: {value}\n" for key, value in keys.items())
    listed = "".join(f"  - {step}\n" for step in steps)
    return parse(f"workflow: w\nversion: 1\nowner: x\n{inputs}{more}steps:\n{listed}").recipe


def says(
    state: State, who: str, decision: str, comment: str | None = None, to: str | None = None
) -> Decided:
    """The decision of whoever has a task."""
    task = next(task for task in state.tasks if who in task.assignment.people)
    return Decided(task.id, decision, Actor(who), NOW, comment, to=to)


def resubmit(number: int = 1, title: str | None = None, **inputs: Json) -> Commanded:
    said: Any = {"inputs": {"n": 1, **inputs}, "digest": f"digest {number}", "title": title}
    return Commanded(f"again {number}", "resubmit", Actor("alice"), NOW, "now it is right", **said)


def records(effects: tuple[Effect, ...], kind: str) -> list[dict[str, Json]]:
    """The payloads of the audit rows of that kind."""
    return [payload for name, payload, _ in map(describe, effects) if name == kind]


def asked(effects: tuple[Effect, ...]) -> list[str]:
    return [e.task.assignment.user or "" for e in effects if isinstance(e, OpenTask)]


def at_b(made: Recipe) -> State:
    state, _ = go(made, new(made), Started())
    state, _ = go(made, state, says(state, "bob", "approve"))
    return state


def test_changes_are_requested_made_and_the_request_runs_anew() -> None:
    made = recipe(*TWO)
    state = at_b(made)
    state, effects = go(made, state, says(state, "carol", "request_changes", "too many"))
    assert (state.state, state.reason) == ("rewound", "too many")
    assert (state.tasks, state.seats, state.results, state.position) == ((), (), {}, 0)
    assert progress.step_of(made, state) is None
    assert progress.next_wakeup(state) is None
    told = {"step": "b", "to": "requester", "comment": "too many"}
    [rewound] = records(effects, "request.rewound")
    assert rewound == told | {"why": "carol decided request_changes"}

    state, effects = go(made, state, resubmit(n=2, title="2 of them"))
    assert (state.state, state.reason, state.revision) == ("pending", None, 2)
    assert (state.inputs, state.digest) == ({"n": 2}, "digest 1")
    [again] = [e for e in effects if isinstance(e, Resubmit)]
    assert (again.number, again.title, again.comment) == (2, "2 of them", "now it is right")
    [opened] = [e for e in effects if isinstance(e, OpenTask)]
    assert (opened.step, opened.digest) == ("a", "digest 1")
    assert records(effects, "approval.kept") == []


def test_whoever_asks_for_changes_may_say_who_is_to_decide_again() -> None:
    made = recipe(*TWO, "{id: c, approver: dave}")
    state = at_b(made)
    state, _ = go(made, state, says(state, "carol", "approve"))
    assert set(state.results) == {"a", "b"}
    state, effects = go(made, state, says(state, "dave", "request_changes", "hm", "b"))
    assert (state.state, progress.step_of(made, state)) == ("pending", made.steps[1])
    assert set(state.results) == {"a"}
    assert state.deciders == {"a": ("bob",), "b": ("carol",), "c": ("dave",)}
    assert asked(effects) == ["carol"]
    state, effects = go(made, state, says(state, "carol", "request_changes", "hm", "b"))
    assert asked(effects) == ["carol"]


def test_a_rejection_leads_back_where_the_recipe_says_so() -> None:
    made = recipe(TWO[0], "{id: b, approver: carol, on_reject: 'rewind:a'}")
    state = at_b(made)
    state, effects = go(made, state, says(state, "carol", "reject"))
    [rewound] = records(effects, "request.rewound")
    assert rewound == {"step": "b", "to": "a", "why": "step b was rejected", "comment": None}
    assert asked(effects) == ["bob"]
    to_requester = recipe(TWO[0], "{id: b, approver: carol, on_reject: rewind}")
    state = at_b(to_requester)
    state, _ = go(to_requester, state, says(state, "carol", "reject"))
    assert (state.state, state.reason) == ("rewound", "step b was rejected")


def test_time_rejects_and_leads_back_to_people() -> None:
    late = "{id: b, approver: carol, timeout: 1h, on_timeout: reject, on_reject: 'rewind:a'}"
    made = recipe(TWO[0], late)
    state = at_b(made)
    state, effects = go(made, state, Ticked(), 1)
    assert asked(effects) == ["bob"]
    assert [task.seat for task in state.tasks] == ["a"]


def test_outcomes_of_its_own_count_as_what_they_are_said_to() -> None:
    made = recipe(
        "{id: a, approver: bob, outcomes: [{id: fine, as: approve}, {id: never, as: reject},"
        " {id: back, as: rewind, to: a}, {id: rethink, as: rewind}]}",
        "{id: b, when: \"steps.a.decision == 'fine'\", approver: carol}",
    )
    begun, _ = go(made, new(made), Started())
    state, effects = go(made, begun, says(begun, "bob", "fine"))
    assert asked(effects) == ["carol"]
    assert state.results["a"]["decision"] == "fine"
    assert go(made, begun, says(begun, "bob", "never"))[0].state == "rejected"
    assert go(made, begun, says(begun, "bob", "rethink"))[0].state == "rewound"
    assert asked(go(made, begun, says(begun, "bob", "back"))[1]) == ["bob"]
    assert go(made, begun, says(begun, "bob", "approve"))[0].state == "approved"


SEVERAL = "{id: b, branches: [{approver: carol}, {approver: dave}, {approver: erin}], quorum: 2}"


def test_of_what_is_decided_together_what_leads_furthest_back_counts() -> None:
    made = recipe(TWO[0], SEVERAL)
    state = at_b(made)
    together = Together(
        (
            says(state, "carol", "reject"),
            says(state, "dave", "request_changes", "here", "b"),
            says(state, "erin", "request_changes", "there", "a"),
        )
    )
    after, effects = go(made, state, together)
    [rewound] = records(effects, "request.rewound")
    assert (rewound["to"], rewound["comment"]) == ("a", "there")
    assert [task.seat for task in after.tasks] == ["a"]
    back = says(state, "dave", "request_changes", "home")
    after, _ = go(made, state, Together((*together.items[2:], back)))
    assert (after.state, after.reason) == ("rewound", "home")


def test_the_others_of_a_step_are_not_asked_any_more() -> None:
    made = recipe(SEVERAL)
    state, _ = go(made, new(made), Started())
    state, _ = go(made, state, says(state, "carol", "approve"))
    left = {task.id for task in state.tasks if task.assignment.user == "erin"}
    state, effects = go(made, state, says(state, "dave", "request_changes", "no"))
    closed = [(e.task_id, e.to, e.why) for e in effects if isinstance(e, CloseTask)]
    why = "dave decided request_changes: back to requester"
    assert closed == [(task, "superseded", why) for task in left]


def test_incidents_end_with_what_they_were_of() -> None:
    made = recipe("{id: a, branches: [{approver: bob}, {approver: \"{{ ['x'][n] }}\"}]}")
    state, _ = go(made, new(made), Started())
    assert incidents(state)
    state, effects = go(made, state, says(state, "bob", "request_changes", "no"))
    assert not incidents(state)
    assert records(effects, "incident.resolved")


def test_while_it_waits_for_its_requester() -> None:
    made = recipe(*TWO)
    state = at_b(made)
    state, _ = go(made, state, says(state, "carol", "request_changes", "no"))
    for told in (Ticked(), Rechecked((), NOW)):
        assert go(made, state, told, 1000, no_questions) == (state, ())
    for command in (retry(1), Commanded("7", "reassign", Actor("x"), NOW, seat="b", to="y")):
        after, [settled] = go(made, state, command, 1, no_questions)
        assert (after.state, settled.applied) == ("rewound", False)  # type: ignore[union-attr]
    after, _ = go(made, state, Commanded("8", "cancel", Actor("alice"), NOW))
    assert (after.state, after.reason) == ("cancelled", "cancelled")


def test_only_what_waits_comes_in_again() -> None:
    made = recipe(*TWO)
    state = at_b(made)
    after, [settled] = go(made, state, resubmit(), answer=no_questions)
    assert settled.detail == "the request does not wait to be resubmitted"  # type: ignore[union-attr]
    assert replace(after, commands_seen=(), seq=state.seq) == state
    state, _ = go(made, state, says(state, "carol", "request_changes", "no"))
    after, [settled] = go(made, state, replace(resubmit(), inputs=None))
    assert (after.state, settled.detail) == ("rewound", "it brings no inputs")  # type: ignore[union-attr]


def test_it_expires_if_it_does_not_come_in_again() -> None:
    made = recipe(*TWO, resubmit_within="2d", deadline="9d", on_deadline="approve")
    state = at_b(made)
    state, _ = go(made, state, says(state, "carol", "request_changes", "no"), 10)
    assert progress.next_wakeup(state) == state.resubmit_by == NOW + timedelta(hours=58)
    ended, _ = go(made, state, Ticked(), 58)
    assert (ended.state, ended.reason) == ("expired", "it was not resubmitted in time")
    assert (ended.resubmit_by, progress.next_wakeup(ended)) == (None, None)
    again, _ = go(made, state, resubmit(), 57)
    assert again.resubmit_by is None
    # What its requester was to change is not approved by the deadline.
    made = replace(made, resubmit_within=None)
    state = at_b(made)
    state, _ = go(made, state, says(state, "carol", "request_changes", "no"))
    assert go(made, state, Ticked(), 9 * 24)[0].state == "expired"


@pytest.mark.parametrize(
    ("action", "ends"), [("expire", "expired"), ("approve", "approved"), ("reject", "rejected")]
)
def test_what_the_deadline_does(action: str, ends: str) -> None:
    made = recipe(*TWO, deadline="9d", on_deadline=action)
    state = at_b(made)
    [task] = state.tasks
    state, effects = go(made, state, Ticked(), 9 * 24)
    assert (state.state, state.reason) == (ends, "the deadline has passed")
    why = "expired" if action == "expire" else f"on_deadline: {action}"
    assert effects[0] == CloseTask(task.id, "b", "expired", why)
    [ended] = records(effects, "request.finalized")
    assert (ended["state"], ended["why"]) == (ends, why)


def test_at_submit_finds_out_anew_who_holds_what() -> None:
    made = recipe("{id: a, approver: \"{{ n > 1 ? 'bob' : 'carol' }}\"}", resolve="at_submit")
    state, _ = go(made, new(made), Started())
    assert state.fixed["a"][0].references == ("carol",)
    state, _ = go(made, state, says(state, state.tasks[0].assignment.people[0], "request_changes"))
    state, _ = go(made, state, resubmit(n=2))
    assert state.fixed["a"][0].references == ("bob",)
    assert state.tasks
