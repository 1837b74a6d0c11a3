"""A directory in memory for cases: people, their managers, and roles, as of all times.

It answers as the real directory does: nobody is asked about their own request, a role gives its
members in turn, a manager line is followed over the requester. What has no answer is a refusal.
"""

from dataclasses import dataclass, field

from recipes.model import Json
from recipes.state import (
    Answer,
    Ask,
    AskCandidates,
    AskEmployee,
    AskManager,
    Assignment,
    Hop,
    Refusal,
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person of a case; `manager` is an id."""

    id: str
    name: str
    manager: str | None = None
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Directory:
    """`turns` counts how often each role has given a member."""

    people: dict[str, Person]
    roles: dict[str, tuple[str, ...]]
    turns: dict[str, int] = field(default_factory=dict)

    def answer(self, asks: tuple[Ask, ...], requester: str) -> tuple[Answer, ...]:
        """The answers to `asks`, in their order."""
        return tuple(self._answer(ask, requester) for ask in asks)

    def holds(self, person: str, assignment: Assignment) -> bool:
        """Whether an assignment is `person`'s to decide."""
        if assignment.user is not None:
            return assignment.user == person
        roles = (name.removeprefix("role:") for name in assignment.candidates)
        return f"user:{person}" in assignment.candidates or any(
            person in self.roles.get(role, ()) for role in roles
        )

    def principals(self) -> frozenset[str]:
        return frozenset(
            [f"user:{name}" for name in self.people] + [f"role:{r}" for r in self.roles]
        )

    def _answer(self, ask: Ask, requester: str) -> Answer:
        match ask:
            case AskEmployee(paths):
                height = max(path.split(".").count("manager") for path in paths)
                return Answer(employee=self._tree(requester, height))
            case AskManager(_, user):
                return self._manager(user, requester)
            case AskCandidates(_, references):
                return self._candidates(references, requester)
            case _:
                kind, name = self._principal(ask.reference)
                if kind == "role":
                    return self._member(name, requester)
                return self._person(name, requester)

    def _tree(self, person_id: str, height: int) -> dict[str, Json]:
        person = self.people[person_id]
        tree: dict[str, Json] = {"id": person.id, "name": person.name, **person.facts}
        if height and person.manager is not None:
            tree["manager"] = self._tree(person.manager, height - 1)
        return tree

    def _principal(self, reference: str) -> tuple[str, str]:
        kind, colon, name = reference.partition(":")
        if colon:
            return kind, name
        return ("role" if reference in self.roles else "user"), reference

    def _member(self, role: str, requester: str) -> Answer:
        people = [person for person in self.roles.get(role, ()) if person != requester]
        if not people:
            return _refused(f"role {role} has no member other than the requester")
        turn = self.turns.get(role, 0)
        self.turns[role] = turn + 1
        return _assigned(people[turn % len(people)], "round_robin", role)

    def _person(self, person: str, requester: str) -> Answer:
        if person == requester:
            return self._manager(person, requester)
        if person not in self.people:
            return _refused(f"there is no role and no person named {person}")
        return _assigned(person, "person")

    def _manager(self, person: str, requester: str) -> Answer:
        found = self.people[person].manager
        if found == requester:
            found = self.people[requester].manager
        if found is None or found == requester:
            return _refused(f"{person} has no manager to ask")
        return _assigned(found, "manager")

    def _candidates(self, references: tuple[str, ...], requester: str) -> Answer:
        principals = dict.fromkeys(self._principal(reference) for reference in references)
        named = tuple(f"{kind}:{name}" for kind, name in principals)
        assignment = Assignment(candidates=named, chain=(Hop("candidates"),))
        others = (person for person in self.people if person != requester)
        if not any(self.holds(person, assignment) for person in others):
            return _refused(f"none of {', '.join(named)} can decide but the requester")
        return Answer(assignment=assignment)


def _assigned(user: str, rule: str, role: str | None = None) -> Answer:
    return Answer(assignment=Assignment(user=user, role=role, chain=(Hop(rule, user, role),)))


def _refused(detail: str) -> Answer:
    return Answer(refusal=Refusal("NoApproverFound", detail))
