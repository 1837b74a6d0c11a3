"""Which approvals may stay, said a second time: the oracle of `recipes.keeping`.

The random recipes read the input `n` alone, always by that name.
"""

import re
from dataclasses import dataclass, field

from recipes.effects import KeepApproval, OpenTask
from recipes.model import REQUESTER, ApprovalStep, Ballot, Json, Recipe

_N = re.compile(r"\bn\b")


@dataclass
class Memory:
    """By task: the step and ballot that were approved, and what the request said then."""

    recipe: Recipe
    approved: dict[str, tuple[ApprovalStep, Ballot, dict[str, Json]]] = field(default_factory=dict)

    def approve(self, opened: OpenTask, inputs: dict[str, Json]) -> None:
        step = next(step for step in self.recipe.steps if step.id == opened.step)
        assert isinstance(step, ApprovalStep)
        wanted = step.ballots[0].id if opened.branch is None else opened.branch
        ballot = next(ballot for ballot in step.ballots if ballot.id == wanted)
        self.approved[opened.task.id] = step, ballot, inputs

    def migrate(self, to: Recipe) -> None:
        """Steps that are another in the other version are approved anew."""
        if to is not self.recipe:
            self.recipe = to
            self.approved = {task: it for task, it in self.approved.items() if it[0] in to.steps}

    def rewind(self, to: str) -> None:
        """What is decided anew is forgotten."""
        if to == REQUESTER:
            return
        ids = [step.id for step in self.recipe.steps]
        anew = set(ids[ids.index(to) :])
        self.approved = {task: it for task, it in self.approved.items() if it[0].id not in anew}

    def keep(self, kept: KeepApproval, inputs: dict[str, Json]) -> None:
        assert self.recipe.keep_approvals == "unaffected"
        step, ballot, said = self.approved[kept.approval.decision.task_id]
        assert step.id == kept.approval.step
        names = set(ballot.show) | ({"n"} if any(map(_N.search, _sources(step, ballot))) else set())
        for name in names if ballot.show else said.keys() | inputs.keys():
            assert said.get(name) == inputs.get(name), f"{name} has changed"


def _sources(step: ApprovalStep, ballot: Ballot) -> list[str]:
    limit = ballot.authority
    found = [step.when, ballot.approver, ballot.approvers, *ballot.candidates]
    found += [level.to for level in ballot.levels]
    found += [] if limit is None else [limit.amount, limit.currency]
    return [text for text in found if text is not None]
