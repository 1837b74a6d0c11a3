"""Cases of state machines: who fires what, what is refused, and what a case gets wrong."""

import pytest

from recipes.cases import run
from recipes.problems import RecipeInvalid

MACHINE = """
workflow: test
version: 1
owner: admins
kind: state_machine
inputs: {type: object, properties: {name: {type: string}}}
states: [{id: a, initial: true}, {id: b}, {id: c, final: true}]
actions:
  - {id: go, from: a, to: b, who: "{{ employee.manager }}"}
  - {id: end, from: b, to: c, not_requester: true}
  - {id: odd, from: a, to: b, who: "{{ name }}"}
"""
APPROVAL = "workflow: test\nversion: 1\nowner: x\ninputs: {}\nsteps: [{id: s, approver: bob}]\n"
HEAD = """
recipe: test.yaml
org:
  people: [{id: alice, manager: bob}, {id: bob}, {id: carol}]
  roles: {team: [carol]}
cases:
  - name: c
    requester: alice
    inputs: {name: "a b"}
"""


def differences(events: str, expect: str = "{status: b}", recipe: str = MACHINE) -> list[str]:
    text = f"{HEAD}    events: [{events}]\n    expect: {expect}\n"
    [result] = run(text.encode(), lambda _: recipe.encode(), "t").results
    return [str(difference) for difference in result.differences]


def test_it_goes_its_way() -> None:
    events = "{at: 1h, who: bob, fire: go}, {at: 2h, who: carol, fire: end}"
    assert differences(events, "{state: approved, status: c, path: [go, end], after: 2h}") == []
    assert differences(events) == ["status: expected b, got c"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("who: alice, fire: go", "alice may not go: it is for user:bob"),
        ("who: bob, fire: end", "leads out of `b`"),
        ("who: bob, fire: fly", "there is no action `fly`"),
        ("who: bob, fire: odd", "odd.who: gives a text that can be no person's"),
        ("who: alice, fire: end", "alice may not end"),
    ],
)
def test_a_refusal(event: str, reason: str) -> None:
    assert differences(f'{{at: 1h, {event}, refused: "{reason}"}}', "{status: a}") == []
    [difference] = differences(f"{{at: 1h, {event}}}")
    assert difference.startswith("events[0]: expected what can be done, got ")
    assert reason in difference
    [difference] = differences(f"{{at: 1h, {event}, refused: the moon}}")
    assert reason in difference


def test_what_should_be_refused_and_is_not() -> None:
    assert differences("{at: 1h, who: bob, fire: go, refused: never}") == [
        "events[0]: expected what can be done, got bob can go at 1h"
    ]


def test_an_approval_has_no_actions() -> None:
    [difference] = differences("{at: 1h, who: bob, fire: go}", recipe=APPROVAL)
    assert "no state machine" in difference


def test_refused_is_of_actions() -> None:
    with pytest.raises(RecipeInvalid, match=r"events\[0\].refused: has no effect"):
        differences("{at: 1h, who: bob, cancel: true, refused: never}")
