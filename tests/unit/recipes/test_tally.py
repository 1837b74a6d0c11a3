"""Counting votes: weights, vetoes, groups, and whether a step needs several people."""

from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recipes import tally
from recipes.model import ApprovalStep, Ballot, Group, Quorum, dump, load
from recipes.parse import parse
from recipes.state import Seat, Vote
from tests.model.voting import approves, possible

VOTES: tuple[Vote, ...] = get_args(Vote)
HEAD = "workflow: w\nversion: 1\nowner: x\ninputs: {properties: {}}\nsteps:\n"

_quorums = st.one_of(
    st.sampled_from((Quorum("any"), Quorum("all"))),
    st.builds(Quorum, st.just("count"), st.integers(1, 6)),
    st.builds(Quorum, st.just("percent"), st.integers(1, 100)),
)


@st.composite
def votes(draw: st.DrawFn) -> tuple[ApprovalStep, list[Seat]]:
    """A step of up to five branches and what they have voted so far."""
    branches = [str(n) for n in range(draw(st.integers(1, 5)))]
    groups = draw(st.lists(st.sampled_from((None, "g", "h")), min_size=len(branches)))
    members = {
        name: tuple(b for b, group in zip(branches, groups, strict=False) if group == name)
        for name in ("g", "h")
    }
    step = ApprovalStep(
        "s",
        tuple(Ballot(branch) for branch in branches),
        draw(_quorums),
        type="parallel",
        weights=draw(st.dictionaries(st.sampled_from(branches), st.integers(1, 4))),
        veto=tuple(draw(st.sets(st.sampled_from(branches), max_size=2))),
        groups=tuple(
            Group(name, those, draw(_quorums)) for name, those in members.items() if those
        ),
    )
    cast = draw(st.lists(st.sampled_from((*VOTES, None)), min_size=5, max_size=5))
    seats = [Seat(f"s/{b}", b, vote=vote) for b, vote in zip(branches, cast, strict=False)]
    assume(all(part.needed <= part.total for part in tally.blocs(step, seats)))
    return step, seats


@settings(max_examples=500)
@given(votes())
def test_it_ends_exactly_when_nothing_can_change_it(made: tuple[ApprovalStep, list[Seat]]) -> None:
    step, seats = made
    found, outcomes = tally.result(step, seats), possible(step, seats)
    if found is None:
        assert outcomes == {True, False}
        return
    assert outcomes == {found.outcome == "approved"}
    if found.outcome != "approved":
        assert (found.outcome == "rejected") == any(seat.vote == "reject" for seat in seats)


@given(votes())
def test_one_person_is_enough_only_where_any_seat_decides(
    made: tuple[ApprovalStep, list[Seat]],
) -> None:
    step, seats = made
    alone = all(
        approves(step, seats, {s.key: "approve" if s == one else "expired" for s in seats})
        for one in seats
    )
    heard = not step.veto or len(seats) == 1
    assert tally.several(step, seats) == (not (alone and heard))


def _step(text: str) -> ApprovalStep:
    made = parse(HEAD + f"  - {text}\n").recipe
    step = load(dump(made)).steps[0]
    assert step == made.steps[0]
    assert isinstance(step, ApprovalStep)
    return step


BOARD = _step(
    "{id: board, branches: [{id: cfo, approver: ann}, {id: cto, approver: ben},"
    " {id: coo, approver: cy}, {id: legal, approver: dan}],"
    " weights: {cfo: 3}, veto: [legal], quorum: 50%}"
)
COUNCIL = _step(
    "{id: council, branches: [{id: a, approver: ann}, {id: b, approver: ben}, {id: c, approver: cy},"
    " {id: x, approver: dan}, {id: y, approver: eve}, {id: z, approver: fay}],"
    " groups: [{id: law, branches: [a, b], quorum: any}, {id: money, branches: [c]}], quorum: 2}"
)


@pytest.mark.parametrize(
    ("step", "cast", "outcome", "count"),
    [
        (BOARD, {"cfo": "approve"}, None, {}),  # three of six, but legal is not heard
        (
            BOARD,
            {"cfo": "approve", "legal": "approve"},
            "approved",
            {"approvals": 4, "needed": 3, "seats": 4, "weight": 6},
        ),
        (
            BOARD,
            {"cfo": "approve", "legal": "expired"},
            "approved",
            {"approvals": 3, "needed": 3, "seats": 4, "weight": 6},
        ),
        (
            BOARD,
            {"cfo": "approve", "cto": "approve", "legal": "reject"},
            "rejected",
            {"approvals": 4, "needed": 3, "seats": 4, "weight": 6, "vetoed_by": "legal"},
        ),
        (BOARD, {"cfo": "expired"}, None, {}),  # the others weigh three together
        (
            BOARD,
            {"cfo": "expired", "cto": "expired"},
            "expired",
            {"approvals": 0, "needed": 3, "seats": 4, "weight": 6},
        ),
        (COUNCIL, {"a": "reject", "c": "approve", "x": "approve", "y": "approve"}, None, {}),
        (
            COUNCIL,
            {"a": "reject", "b": "approve", "c": "approve", "x": "approve", "y": "approve"},
            "approved",
            {
                "approvals": 2,
                "needed": 2,
                "seats": 3,
                "groups": {
                    "law": {"approvals": 1, "needed": 1, "seats": 2},
                    "money": {"approvals": 1, "needed": 1, "seats": 1},
                },
            },
        ),
        (
            COUNCIL,
            {"c": "reject"},
            "rejected",
            {
                "approvals": 0,
                "needed": 2,
                "seats": 3,
                "groups": {
                    "law": {"approvals": 0, "needed": 1, "seats": 2},
                    "money": {"approvals": 0, "needed": 1, "seats": 1},
                },
            },
        ),
    ],
)
def test_what_comes_of_it(
    step: ApprovalStep, cast: dict[str, Vote], outcome: str | None, count: dict[str, Any]
) -> None:
    seats = [Seat(f"{step.id}/{b.id}", b.id, vote=cast.get(b.id)) for b in step.ballots]
    found = tally.result(step, seats)
    assert (found and found.outcome, found.count if found else {}) == (outcome, count)


@pytest.mark.parametrize(
    ("keys", "several"),
    [
        ("quorum: any", False),
        ("quorum: 1", False),
        ("quorum: 2", True),
        ("quorum: 2, weights: {a: 2, b: 2}", False),
        # Whoever has a is enough. Of b and c both are needed: so not of one person.
        ("quorum: 2, weights: {a: 2}", True),
        ("quorum: any, veto: [a]", True),
        ("quorum: any, groups: [{id: g, branches: [a, b], quorum: any}]", True),
    ],
)
def test_who_needs_several_people(keys: str, several: bool) -> None:
    branches = "[{id: a, approver: ann}, {id: b, approver: ben}, {id: c, approver: cy}]"
    if keys == "quorum: 2, weights: {a: 2, b: 2}":
        branches = "[{id: a, approver: ann}, {id: b, approver: ben}]"
    step = _step(f"{{id: s, branches: {branches}, {keys}}}")
    assert tally.several(step, [Seat(b.id, b.id) for b in step.ballots]) is several
