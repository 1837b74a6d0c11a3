"""What a candidate version would have made of past requests: two simulations of each, side by side.

Both versions run on the same suppositions, that everybody approves at once, with the directory as of
the day. What differs is then due to the recipe, not to what people did.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from recipes.state import Incident
from recipes.supposed import Simulated, TaskPlayed

SAFE = 2
"""How many people have to have decided, so that nobody alone could."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a request goes through one version: `steps` as `boss approved`, `asked` in order and each
    once, as `user:x` (whose decision it is) or `role:y`, `people` who decide, `state` where it gets."""

    state: str
    steps: tuple[str, ...]
    asked: tuple[str, ...]
    people: int
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One past request through its own version and the candidate. `refused`: why the candidate does
    not take its inputs at all (`candidate` is None then)."""

    own: Route
    candidate: Route | None
    refused: tuple[str, ...] = ()

    @property
    def state_changed(self) -> bool:
        return self.candidate is not None and self.candidate.state != self.own.state

    @property
    def route_changed(self) -> bool:
        """Whether it takes other steps, or they end otherwise. Steps that are skipped are no route."""
        if self.candidate is None:
            return False
        return _taken(self.own) != _taken(self.candidate)

    @property
    def added(self) -> tuple[str, ...]:
        """Who is asked by the candidate alone."""
        asked = () if self.candidate is None else self.candidate.asked
        return tuple(person for person in asked if person not in self.own.asked)

    @property
    def removed(self) -> tuple[str, ...]:
        """Who is not asked any more."""
        if self.candidate is None:
            return ()
        return tuple(person for person in self.own.asked if person not in self.candidate.asked)

    @property
    def two_person_break(self) -> bool:
        """It took two people to approve it, and one alone, or nobody, would do."""
        after = self.candidate
        if after is None or (self.own.state, after.state) != ("approved", "approved"):
            return False
        return self.own.people >= SAFE > after.people

    @property
    def new_incidents(self) -> tuple[Incident, ...]:
        """Where the candidate gets stuck, or an expression fails, and its own version did not."""
        if self.candidate is None:
            return ()
        known = {(incident.kind, incident.step) for incident in self.own.incidents}
        found = self.candidate.incidents
        return tuple(each for each in found if (each.kind, each.step) not in known)

    @property
    def same(self) -> bool:
        """Whether nothing of it changes."""
        changes = (self.refused, self.route_changed, self.state_changed, self.added, self.removed)
        return not any(changes) and not self.new_incidents


@dataclass(frozen=True, slots=True)
class Summary:
    """How many of the requests each thing happens to."""

    requests: int
    same: int
    refused: int
    route_changed: int
    state_changed: int
    approvers_added: int
    approvers_removed: int
    two_person_breaks: int
    new_incidents: int


def route(found: Simulated) -> Route:
    """The route of a simulation."""
    tasks = [task for step in found.path for task in step.tasks]
    asked = dict.fromkeys(name for task in tasks for name in _asked(task))
    deciders = {task.decided_by for task in tasks if task.decided_by is not None}
    return Route(
        state=found.state,
        steps=tuple(f"{step.step} {step.outcome or 'waits'}" for step in found.path),
        asked=tuple(asked),
        people=len(deciders),
        incidents=tuple(incident for step in found.path for incident in step.incidents),
    )


def summary(comparisons: Iterable[Comparison]) -> Summary:
    found = list(comparisons)
    return Summary(
        requests=len(found),
        same=sum(each.same for each in found),
        refused=sum(bool(each.refused) for each in found),
        route_changed=sum(each.route_changed for each in found),
        state_changed=sum(each.state_changed for each in found),
        approvers_added=sum(bool(each.added) for each in found),
        approvers_removed=sum(bool(each.removed) for each in found),
        two_person_breaks=sum(each.two_person_break for each in found),
        new_incidents=sum(bool(each.new_incidents) for each in found),
    )


def _asked(task: TaskPlayed) -> tuple[str, ...]:
    """Whom a task asks: of a role the role, as its turn goes to another every time; of a delegate
    whoever delegated."""
    if task.candidates:
        return task.candidates
    if task.role is not None:
        return (f"role:{task.role}",)
    return (f"user:{task.on_behalf_of or task.assignee}",)


def _taken(taken: Route) -> list[str]:
    return [step for step in taken.steps if not step.endswith(" skipped")]
