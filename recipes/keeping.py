"""`keep_approvals: unaffected`: which approvals stay when a step is entered again, and that they do.

An approval rests on the inputs that its step's `when` and its ballot's expressions read, and on those
that the ballot shows. As long as none of these is changed by a resubmission it stays: the seat is not
asked again, and the audit trail says so. It does not stay

* where it rests on all inputs (the ballot has no `show`, or an expression reads `inputs` as a whole or
  what came of other steps) and any of them has changed;
* once the request was rewound to its step or to an earlier one: that is to be decided anew;
* for somebody who has by now decided a step that this one is `not_same_as`.
"""

from dataclasses import replace

from recipes.effects import KeepApproval
from recipes.fixing import Fixing
from recipes.happenings import Decided
from recipes.inputs import changes, sources
from recipes.mentions import mentions
from recipes.model import ApprovalStep, Ballot, Json
from recipes.state import Approval, Seat


class Keeping(Fixing):
    """Approvals are kept in mind, and stay where they may."""

    def remember(self, seat: Seat, decision: Decided) -> None:
        """This seat was approved so; what was approved in it before counts no more."""
        if self.recipe.keep_approvals == "none":
            return
        approval = Approval(self.step().id, seat.key, seat.ballot, seat.reference, decision)
        others = [it for it in self.state.approvals if _place(it) != _place(approval)]
        self.state = replace(self.state, approvals=(*others, approval))

    def forget_from(self, position: int) -> None:
        """What was approved at the step of that position, or after it, is to be approved anew."""
        before = {step.id for step in self.recipe.steps[:position]}
        left = tuple(it for it in self.state.approvals if it.step in before)
        self.state = replace(self.state, approvals=left)

    def forget_affected(self, inputs: dict[str, Json]) -> None:
        """Forget approvals that rest on what these new inputs change."""
        changed = changed_inputs(self.state.inputs, inputs)
        left = tuple(it for it in self.state.approvals if not self._affected(it, changed))
        self.state = replace(self.state, approvals=left)

    def keep_approvals(self) -> None:
        """The seats just taken that were approved before, and still are."""
        approvals = {_place(it): it for it in self.state.approvals}
        for seat in self.state.seats:
            approval = approvals.get((seat.key, seat.reference))
            if approval is not None and not self._barred(seat, approval.decision):
                self._keep(seat, approval)

    def _keep(self, seat: Seat, approval: Approval) -> None:
        decision = approval.decision
        rests_on = depends_on(*self._ballot_of(approval))
        self.note_result(decision)
        self.cast(seat.key, "approve", decision.actor)
        names = self.state.inputs if rests_on is None else rests_on
        self.effects.append(KeepApproval(approval, tuple(sorted(names))))

    def _barred(self, seat: Seat, decision: Decided) -> bool:
        """Whether who approved it, or for whom that was, has a part now that must be another's."""
        without = self.without(self.ballot(seat.key))
        return any(it in without for it in (decision.actor.user, decision.actor.on_behalf_of))

    def _affected(self, approval: Approval, changed: frozenset[str]) -> bool:
        rests_on = depends_on(*self._ballot_of(approval))
        return bool(changed if rests_on is None else changed & rests_on)

    def _ballot_of(self, approval: Approval) -> tuple[ApprovalStep, Ballot]:
        step = next(step for step in self.recipe.steps if step.id == approval.step)
        assert isinstance(step, ApprovalStep)
        return step, next(ballot for ballot in step.ballots if ballot.id == approval.ballot)


def depends_on(step: ApprovalStep, ballot: Ballot) -> frozenset[str] | None:
    """The names of the inputs that an approval of the ballot rests on; None: all of them."""
    if not ballot.show:
        return None
    names = set(ballot.show)
    for source in sources(replace(step, ballots=(ballot,))):
        for mention in mentions(source):
            if mention.root == "steps" or (mention.root == "inputs" and not mention.path):
                return None
            if mention.root not in ("employee", "request"):
                names.add(mention.path[0] if mention.root == "inputs" else mention.root)
    return frozenset(names)


def changed_inputs(old: dict[str, Json], new: dict[str, Json]) -> frozenset[str]:
    """The names of the inputs that are not the same in both."""
    names = old.keys() | new.keys()
    return frozenset(
        name
        for name in names
        if name not in old or name not in new or any(changes(old[name], new[name]))
    )


def _place(approval: Approval) -> tuple[str, str | None]:
    return approval.seat, approval.reference
