"""What a decision may be: the three outcomes that every task offers, and those of its ballot.

Somebody chooses an outcome by its id. It counts as an approval or a rejection of the seat, or it
rewinds: to the requester, or to an earlier step or this one, which is then decided anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from recipes.effects import Offer
from recipes.happenings import Decided
from recipes.model import REQUESTER, ApprovalStep, Ballot, Outcome, Recipe, Step

REQUEST_CHANGES = "request_changes"
"""Whoever chooses it says where to, and always what is to be changed."""
BUILT_IN = (
    Outcome("approve", "Approve", "approve"),
    Outcome("reject", "Reject", "reject"),
    Outcome(REQUEST_CHANGES, "Request changes", "rewind"),
)


def offer(recipe: Recipe, step: Step, ballot: Ballot) -> Offer:
    """What a task of that ballot of the step offers."""
    return Offer(
        outcomes=(*BUILT_IN, *ballot.outcomes),
        require_comment=tuple(dict.fromkeys((*ballot.require_comment, REQUEST_CHANGES))),
        require_reason=ballot.require_reason,
        reasons=ballot.reasons,
        rewind_to=rewind_to(recipe, step),
        show=ballot.show,
    )


def rewind_to(recipe: Recipe, step: Step) -> tuple[str, ...]:
    """Where a request at `step` may be rewound to: REQUESTER, and the approval steps up to it."""
    up_to = recipe.steps[: recipe.steps.index(step) + 1]
    return (REQUESTER, *(each.id for each in up_to if isinstance(each, ApprovalStep)))


def chosen(ballot: Ballot, decided: Decided) -> Outcome:
    """The outcome of a decision that was made; see `made`."""
    offered = Offer(outcomes=(*BUILT_IN, *ballot.outcomes))
    return made(offered, decided.decision, decided.to)


def made(offer: Offer, decision: str, to: str | None) -> Outcome:
    """The outcome that is chosen of those offered; one that rewinds says where to."""
    outcome = next(outcome for outcome in offer.outcomes if outcome.id == decision)
    if outcome.counts_as != "rewind":
        return outcome
    return replace(outcome, to=outcome.to or to or REQUESTER)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong with a decision: with its `decision`, `comment`, `reason` or `to`."""

    key: str
    message: str


def refusal(
    offer: Offer, decision: str, comment: str | None, reason: str | None, to: str | None
) -> Refusal | None:
    """Why a task that offers this cannot be decided so; None if it can."""
    outcome = next((it for it in offer.outcomes if it.id == decision), None)
    if outcome is None:
        return Refusal("decision", _one_of(decision, [it.id for it in offer.outcomes]))
    if to is not None and (outcome.counts_as != "rewind" or outcome.to is not None):
        leads = "does not rewind" if outcome.to is None else f"leads to {outcome.to}"
        return Refusal("to", f"{decision} {leads}: leave `to` out")
    if to is not None and to not in offer.rewind_to:
        return Refusal("to", _one_of(to, offer.rewind_to))
    if decision in offer.require_comment and not (comment or "").strip():
        return Refusal("comment", f"a comment is needed to {decision} this task")
    if decision in offer.require_reason and not (reason or "").strip():
        listed = f", one of {', '.join(offer.reasons)}" if offer.reasons else ""
        return Refusal("reason", f"a reason is needed to {decision} this task{listed}")
    if reason is not None and offer.reasons and reason not in offer.reasons:
        return Refusal("reason", _one_of(reason, offer.reasons))
    return None


def _one_of(given: str, offered: Sequence[str]) -> str:
    close = get_close_matches(given, offered, n=1)
    meant = f"; did you mean `{close[0]}`?" if close else ""
    return f"`{given}` is none of {', '.join(offered)}{meant}"
