"""What a whole vote means, said a second time: the oracle of `recipes.tally`."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from recipes.model import ApprovalStep, Quorum
from recipes.state import Seat, Vote


def approves(step: ApprovalStep, seats: Iterable[Seat], votes: Mapping[str, Vote]) -> bool:
    """Whether these votes, one of each seat by its key, approve the step."""
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
