"""How the votes of a step are counted: what has come of them, once nothing can change it any more.

* A seat casts one vote: `approve`, `reject` or `expired`; those of None are still to come.
* A branch has a weight, 1 unless `weights` says more. A quorum counts weight: of n altogether, k are
  needed; with weights of 1, k seats.
* The branches of a group have the group's quorum, all others the step's. The step is approved once each
  of these is reached, and fails as soon as one of them can't be any more: `rejected` if anybody
  rejected, else `expired`.
* A reject at a branch of `veto` rejects the step at once; so it is not approved before each of them
  has voted, whatever the quorums say. Where a veto has run out of time it was not used.
* Seats that people added count in no quorum: each of them has to approve, beside what the recipe
  needs, and a reject of one of them rejects the step at once.
* What has come of it does not depend on the order in which the votes came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recipes.model import ApprovalStep, Json, Quorum
from recipes.state import Seat, Vote

Outcome = Literal["approved", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class Bloc:
    """Seats that have a quorum together, each with its weight: a `group`, or what is in none."""

    group: str | None
    quorum: Quorum
    seats: tuple[tuple[Seat, int], ...]

    @property
    def total(self) -> int:
        return sum(weight for _, weight in self.seats)

    @property
    def needed(self) -> int:
        return self.quorum.needed(self.total)

    @property
    def approvals(self) -> int:
        return self._cast("approve")

    @property
    def reached(self) -> bool:
        return self.approvals >= self.needed

    @property
    def lost(self) -> bool:
        return self.approvals + self._cast(None) < self.needed

    def _cast(self, vote: Vote | None) -> int:
        return sum(weight for seat, weight in self.seats if seat.vote == vote)

    def count(self) -> dict[str, Json]:
        """As an audit row tells it. The first two are weights; `weight` is that of all, if not 1 each."""
        weighed = {} if self.total == len(self.seats) else {"weight": self.total}
        return {
            "approvals": self.approvals,
            "needed": self.needed,
            "seats": len(self.seats),
            **weighed,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What has come of a step's vote, and the count as its audit row tells it."""

    outcome: Outcome
    count: dict[str, Json]


def blocs(step: ApprovalStep, seats: Sequence[Seat]) -> tuple[Bloc, ...]:
    """The recipe's own seats, by whose quorum they count in."""
    own = (seat for seat in seats if seat.added is None)
    weighed = [(seat, step.weights.get(seat.ballot, 1)) for seat in own]
    found = [
        Bloc(group.id, group.quorum, tuple(it for it in weighed if it[0].ballot in group.branches))
        for group in step.groups
    ]
    grouped = {branch for group in step.groups for branch in group.branches}
    rest = tuple(it for it in weighed if it[0].ballot not in grouped)
    return (*found, Bloc(None, step.quorum, rest)) if rest or not found else tuple(found)


def result(step: ApprovalStep, seats: Sequence[Seat]) -> Result | None:
    """None while the votes to come could still make it one or the other."""
    found = of_recipe(step, seats)
    votes = [seat.vote for seat in seats if seat.added is not None]
    if not votes:
        return found
    count = _count(blocs(step, seats)) if found is None else found.count
    count = count | {"added": {"approvals": votes.count("approve"), "needed": len(votes)}}
    if found is not None and found.outcome != "approved":
        return Result(found.outcome, count)
    if "reject" in votes:
        return Result("rejected", count)
    done = found is not None and all(vote == "approve" for vote in votes)
    return Result("approved", count) if done else None


def of_recipe(step: ApprovalStep, seats: Sequence[Seat]) -> Result | None:
    """What has come of the votes at the recipe's own seats."""
    parts = blocs(step, seats)
    own = [seat for seat in seats if seat.added is None]
    with_veto = [seat for seat in own if seat.ballot in step.veto]
    vetoed = next((seat.ballot for seat in with_veto if seat.vote == "reject"), None)
    if vetoed is not None or any(part.lost for part in parts):
        rejected = any(seat.vote == "reject" for seat in own)
        return Result("rejected" if rejected else "expired", _count(parts, vetoed))
    heard = all(seat.vote is not None for seat in with_veto)
    return Result("approved", _count(parts)) if heard and all(p.reached for p in parts) else None


def several(step: ApprovalStep, seats: Sequence[Seat]) -> bool:
    """Whether the recipe's own seats need several people: there is one whose approval alone is not
    enough, be it that others have to be heard."""
    parts = blocs(step, seats)
    own = [seat for part in parts for seat, _ in part.seats]
    heard = len(own) > 1 and any(seat.ballot in step.veto for seat in own)
    enough = all(weight >= part.needed for part in parts for _, weight in part.seats)
    return len(parts) > 1 or heard or not enough


def _count(parts: Sequence[Bloc], vetoed: str | None = None) -> dict[str, Json]:
    count: dict[str, Json] = {}
    groups = {part.group: part.count() for part in parts if part.group is not None}
    for part in parts:
        if part.group is None:
            count |= part.count()
    count |= {"groups": groups} if groups else {}
    return count if vetoed is None else count | {"vetoed_by": vetoed}
