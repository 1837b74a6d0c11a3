"""A candidate against past requests: what is told of each, and counted of all."""

from datetime import UTC, datetime

from recipes.backtest import Comparison, Route, route, summary
from recipes.state import Incident
from recipes.supposed import Simulated
from tests.unit.recipes.test_simulate import play

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
STUCK = Incident("ExpressionError", "boss.when: no such key", "boss", None, MORNING)


def made(
    *asked: str, state: str = "approved", people: int | None = None, steps: str = "a approved"
) -> Route:
    return Route(state, (steps,), asked, len(asked) if people is None else people, ())


def test_the_route_of_a_simulation() -> None:
    found: Simulated = play(2)
    assert route(found) == Route(
        "approved",
        ("tiny skipped", "boss approved", "team approved", "both skipped", "many skipped", "absent skipped"),
        ("user:bob", "role:team"),
        2,
        (),
    )  # fmt: skip
    stuck = route(play(5, who="nobody"))
    assert (stuck.state, stuck.steps[-1]) == ("pending", "absent waits")
    assert [incident.step for incident in stuck.incidents] == ["absent"]


def test_a_role_is_asked_and_a_delegator_not_who_it_happens_to_be() -> None:
    recipe = """
workflow: test
version: 1
inputs: {type: object, properties: {n: {type: number}}}
steps: [{id: a, approver: role:team}]
"""
    assert route(play(1, recipe=recipe)).asked == ("role:team",)


def test_nothing_changes() -> None:
    same = Comparison(made("user:bob"), made("user:bob"))
    assert same.same
    skipped = Comparison(made("user:bob"), made("user:bob"))
    assert not skipped.route_changed


def test_what_changes() -> None:
    one = Comparison(made("user:bob", "user:eve"), made("user:bob", "role:hr", steps="b approved"))
    assert (one.added, one.removed) == (("role:hr",), ("user:eve",))
    assert (one.route_changed, one.state_changed, one.two_person_break) == (True, False, False)
    alone = Comparison(made("user:bob", "user:eve"), made("user:bob"))
    assert alone.two_person_break
    nobody = Comparison(made("user:bob", "user:eve"), made(steps="auto approve"))
    assert nobody.two_person_break
    was_one = Comparison(made("user:bob"), made())
    assert not was_one.two_person_break
    rejected = Comparison(made("user:bob", "user:eve"), made(state="rejected"))
    assert (rejected.two_person_break, rejected.state_changed) == (False, True)
    refused = Comparison(made("user:bob"), None, ("/days: is required",))
    assert not any(
        (
            refused.same,
            refused.route_changed,
            refused.state_changed,
            refused.added,
            refused.removed,
            refused.two_person_break,
            refused.new_incidents,
        )
    )
    stuck = Comparison(
        made("user:bob"), Route("approved", ("a approved",), ("user:bob",), 1, (STUCK,))
    )
    assert stuck.new_incidents == (STUCK,)
    assert not stuck.same
    before = Comparison(stuck.candidate or made(), stuck.candidate)
    assert before.same
    counted = summary([one, alone, nobody, rejected, refused, stuck, before])
    assert (counted.requests, counted.same, counted.refused) == (7, 1, 1)
    assert (counted.route_changed, counted.state_changed) == (2, 1)
    assert (counted.approvers_added, counted.approvers_removed) == (1, 4)
    assert (counted.two_person_breaks, counted.new_incidents) == (2, 1)
