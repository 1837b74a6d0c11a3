"""What a task offers to decide, and why a decision that it does not offer is refused."""

import pytest

from recipes import outcomes
from recipes.effects import Offer
from recipes.happenings import Actor, Decided
from recipes.model import ApprovalStep, Outcome
from tests.unit.recipes.test_progress import NOW
from tests.unit.recipes.test_rewinding import recipe

MADE = recipe(
    "{id: a, approver: bob}",
    "{id: stop, when: n > 5, action: reject}",
    "{id: b, approver: carol, require_comment: [reject], require_reason: [reject, fine], show: [n],"
    " reasons: [late, dear], outcomes: [{id: fine, as: approve, name: Fine so},"
    " {id: again, as: rewind, to: a, require_comment: true, require_reason: false}]}",
    "{id: c, approver: dave}",
)
STEP = MADE.steps[2]
assert isinstance(STEP, ApprovalStep)
OFFER = outcomes.offer(MADE, STEP, STEP.ballots[0])


def test_what_a_task_offers() -> None:
    expected = Offer(
        outcomes=(
            *outcomes.BUILT_IN,
            Outcome("fine", "Fine so", "approve"),
            Outcome("again", "Again", "rewind", "a"),
        ),
        require_comment=("reject", "again", "request_changes"),
        require_reason=("reject", "fine"),
        reasons=("late", "dear"),
        rewind_to=("requester", "a", "b"),
        show=("n",),
    )
    assert expected == OFFER


@pytest.mark.parametrize(
    ("said", "key", "says"),
    [
        (("approve", None, None, None), None, ""),
        (("approve", None, "late", None), None, ""),
        (("aprove", None, None, None), "decision", "did you mean `approve`?"),
        (
            ("zzz", None, None, None),
            "decision",
            "is none of approve, reject, request_changes, fine",
        ),
        (("approve", None, None, "a"), "to", "approve does not rewind"),
        (("again", "no", None, "b"), "to", "again leads to a"),
        (("again", " ", None, None), "comment", "a comment is needed to again"),
        (("again", "no", None, None), None, ""),
        (("request_changes", "no", None, None), None, ""),
        (("request_changes", "no", None, "b"), None, ""),
        (("request_changes", "no", None, "c"), "to", "`c` is none of requester, a, b"),
        (("request_changes", None, None, "a"), "comment", "a comment is needed"),
        (("reject", "no", None, None), "reason", "to reject this task, one of late, dear"),
        (("reject", "no", "early", None), "reason", "`early` is none of late, dear"),
        (("reject", "no", "dear", None), None, ""),
    ],
)
def test_what_is_refused(
    said: tuple[str, str | None, str | None, str | None], key: str | None, says: str
) -> None:
    found = outcomes.refusal(OFFER, *said)
    assert (found and found.key) == key
    assert found is None or says in found.message


def test_any_reason_will_do_where_none_are_listed() -> None:
    offer = Offer(OFFER.outcomes, require_reason=("approve",))
    found = outcomes.refusal(offer, "approve", None, None, None)
    assert found is not None
    assert found.message == "a reason is needed to approve this task"
    assert outcomes.refusal(offer, "approve", None, "because", None) is None


@pytest.mark.parametrize(
    ("decision", "to", "leads"),
    [
        ("approve", None, None),
        ("again", None, "a"),
        ("request_changes", "b", "b"),
        ("request_changes", None, "requester"),
    ],
)
def test_where_a_decision_leads(decision: str, to: str | None, leads: str | None) -> None:
    made = Decided("t", decision, Actor("carol"), NOW, to=to)
    assert isinstance(STEP, ApprovalStep)
    assert outcomes.chosen(STEP.ballots[0], made).to == leads
