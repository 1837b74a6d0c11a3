"""How the votes of a step are counted: what has come of them, once nothing can change it any more.

* A seat casts one vote: `approve`, `reject` or `expired`; those of None are still to come.
* With n seats and a quorum of k the step is approved at k approvals. It fails as soon as fewer than k
  are still possible: `rejected` if anybody rejected, else `expired`.
* What has come of it does not depend on the order in which the votes came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recipes.model import ApprovalStep, Json
from recipes.state import Seat

Outcome = Literal["approved", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class Result:
    """What has come of a step's vote, and the count as its audit row tells it."""

    outcome: Outcome
    count: dict[str, Json]


def result(step: ApprovalStep, seats: Sequence[Seat]) -> Result | None:
    """None while the votes to come could still make it one or the other."""
    votes = [seat.vote for seat in seats]
    needed = step.quorum.needed(len(votes))
    approvals = votes.count("approve")
    if approvals < needed and approvals + votes.count(None) >= needed:
        return None
    count: dict[str, Json] = {"approvals": approvals, "needed": needed, "seats": len(votes)}
    if approvals >= needed:
        return Result("approved", count)
    return Result("rejected" if "reject" in votes else "expired", count)


def several(step: ApprovalStep, seats: Sequence[Seat]) -> bool:
    """Whether the step needs several people: there is a seat whose approval alone is not enough."""
    return step.quorum.needed(len(seats)) > 1
