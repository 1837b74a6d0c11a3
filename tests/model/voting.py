"""What a whole vote means, said a second time: the oracle of `recipes.tally`."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product

from recipes.happenings import Where
from recipes.model import ApprovalStep, Quorum
from recipes.state import Seat, Vote

WHERE: tuple[Where | None, ...] = (None, "before", "beside", "after")


def approves(step: ApprovalStep, seats: Iterable[Seat], votes: Mapping[str, Vote]) -> bool:
    """Whether these votes, one of each of the recipe's seats by its key, approve the step."""
    cast = [(seat.ballot, votes[seat.key]) for seat in seats]
    if any(branch in step.veto and vote == "reject" for branch, vote in cast):
        return False
    grouped = {branch for group in step.groups for branch in group.branches}
    parts = [
        (group.quorum, [it for it in cast if it[0] in group.branches]) for group in step.groups
    ]
    rest = [it for it in cast if it[0] not in grouped]
    parts += [(step.quorum, rest)] if rest or not parts else []
    return all(_reached(step, quorum, votes_of) for quorum, votes_of in parts)


def possible(step: ApprovalStep, seats: Sequence[Seat]) -> set[bool]:
    """What can come of the vote yet, by all ways in which the undecided could vote."""
    own = [seat for seat in seats if not seat.added]
    choices: list[tuple[Vote, ...]] = [(s.vote,) if s.vote else ("approve", "reject") for s in own]
    keys = [seat.key for seat in own]
    found = {
        approves(step, own, dict(zip(keys, votes, strict=True))) for votes in product(*choices)
    }
    added = {seat.vote for seat in seats if seat.added}
    if added <= {"approve"}:
        return found
    return found | {False} if added <= {"approve", None} else {False}


def asked_now(step: ApprovalStep, seats: Sequence[Seat]) -> set[str]:
    """The seats that are to have a task, or an incident."""
    undecided = {
        where: [s.key for s in seats if not s.vote and s.where == where] for where in WHERE
    }
    settled = possible(step, [seat for seat in seats if not seat.added]) == {True}
    found = [*undecided["before"], *undecided["beside"]]
    if not undecided["before"] and not settled:
        found += undecided[None]
    if settled and not found:
        found += undecided["after"]
    return set(found)


def _reached(step: ApprovalStep, quorum: Quorum, cast: list[tuple[str, Vote]]) -> bool:
    weights = [step.weights.get(branch, 1) for branch, _ in cast]
    yes = sum(w for w, (_, vote) in zip(weights, cast, strict=True) if vote == "approve")
    share = {
        "any": yes >= 1,
        "all": yes == sum(weights),
        "count": yes >= quorum.value,
        "percent": Fraction(yes, sum(weights)) >= Fraction(quorum.value, 100),
    }
    return share[quorum.kind]
