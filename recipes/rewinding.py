"""Back to an earlier step, or to the requester: what a rewind undoes, and how a request comes in again.

The rules
---------
* A rewind closes the tasks that are still open as `superseded`, and forgets what came of the step it
  leads to and of all after it: these are decided anew, by whoever the recipe gives by then. Approvers
  who were added to them by hand are not asked again.
* Rewound to a step, the request goes on from there at once. Rewound to the requester it is `rewound`
  and at no step, until the command `resubmit` brings inputs, which may be the same ones: a new
  revision, with a new digest, that runs from the first step on. It expires at `resubmit_by`.
* Of several decisions that are counted together, one that rewinds counts before those that approve or
  reject; of several that rewind, the one that leads furthest back, which is to the requester.
* Who decided a step stays known (`state.deciders`): the four eyes of `not_same_as` are counted over all
  rounds. Which approvals stay is `keeping`.
* `resolve: at_submit` finds out anew at a resubmission who holds what.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from recipes.adding import Adding
from recipes.effects import Record, Resubmit
from recipes.happenings import ENGINE, Actor, Commanded, Decided
from recipes.model import REQUESTER, Outcome


class Rewinding(Adding):
    """Changes that lead back."""

    def rewind(self, to: str, why: str, comment: str | None = None, actor: Actor = ENGINE) -> None:
        """Back to the step `to`, or to REQUESTER; also where the version that the request is on by now
        does not have that step any more."""
        step = self.step()
        to = to if self.position_of(to) >= 0 else REQUESTER
        for task in self.state.tasks:
            self.close_task(task, "superseded", f"{why}: back to {to}")
        for incident in self.state.incidents:
            self.clear_incident(incident.seat)
        payload = {"step": step.id, "to": to, "why": why, "comment": comment}
        self.effects.append(Record("request.rewound", payload, actor))
        position = max(self.position_of(to), 0)
        before = {step.id for step in self.recipe.steps[:position]}
        results = {name: found for name, found in self.state.results.items() if name in before}
        self.state = replace(
            self.state,
            position=position,
            entered=False,
            seats=(),
            employee=None,
            results=results,
            round=self.state.round + 1,
        )
        if to == REQUESTER:
            within = self.recipe.resubmit_within
            until = None if within is None else self.now + timedelta(seconds=within)
            self.state = replace(
                self.state, state="rewound", reason=comment or why, resubmit_by=until
            )
        else:
            self.forget_from(position)

    def rewind_as_decided(self, choices: Sequence[tuple[Decided, Outcome]]) -> None:
        """Of the outcomes chosen, all of which rewind, follow the one that leads furthest back."""
        decision, outcome = min(choices, key=lambda made: self.position_of(made[1].to))
        why = f"{decision.actor.user} decided {outcome.id}"
        self.rewind(outcome.to or REQUESTER, why, decision.comment, decision.actor)

    def resubmit(self, command: Commanded) -> bool:
        """Take the new inputs; False after refusing them."""
        if self.state.state != "rewound":
            self.settle_command(command, "the request does not wait to be resubmitted")
            return False
        if command.seen not in (None, self.state.digest):
            self.settle_command(command, "the request was moved to another version: look again")
            return False
        if command.inputs is None or command.digest is None:
            self.settle_command(command, "it brings no inputs")
            return False
        self.settle_command(command, done="resubmitted")
        self.forget_affected(command.inputs)
        number = self.state.revision + 1
        inputs, digest, title = command.inputs, command.digest, command.title
        self.effects.append(Resubmit(number, inputs, digest, title, command.comment, command.actor))
        self.state = replace(
            self.state,
            state="pending",
            inputs=inputs,
            digest=digest,
            revision=number,
            reason=None,
            resubmit_by=None,
            fixed={},
        )
        self.begin()
        return True

    def begin(self) -> None:
        """What is asked once for a submission, before its first step."""
        if self.recipe.resolve == "at_submit":
            self.fix()

    def position_of(self, to: str | None) -> int:
        """The place of a step among all; -1, before all of them, is the requester's, and that of a step
        that is not there."""
        if to == REQUESTER:
            return -1
        return next((n for n, step in enumerate(self.recipe.steps) if step.id == to), -1)
