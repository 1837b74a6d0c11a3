"""A directory in memory for cases: people, managers, limits, roles and delegations, as they are now.

`answer` follows the rules of the real directory (storage/resolution.py), all of them but time: a case
changes its directory by events. What has no answer is a refusal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from recipes.asks import (
    Answer,
    Ask,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    AskPeople,
    AskTimes,
    Assignment,
    Hop,
    Refusal,
    SeatAsk,
)
from recipes.business import Calendars
from recipes.case_answers import DELEGATION_LIMIT, Question, scopes
from recipes.happenings import Actor
from recipes.model import Json


@dataclass(frozen=True, slots=True)
class Person:
    """A person of a case; `manager` is an id, `limits` are amounts by currency, `facts` what else
    expressions can read of them."""

    id: str
    name: str
    manager: str | None = None
    facts: dict[str, Json] = field(default_factory=dict)
    limits: dict[str, Decimal] = field(default_factory=dict)
    left: bool = False
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Delegation:
    """`delegate` decides instead of `delegator`: all, or one `workflow:x` or `role:x`."""

    delegator: str
    delegate: str
    scope: str = "all"


@dataclass(slots=True)
class Directory:
    """`turns` counts how often each role has given a member."""

    people: dict[str, Person]
    roles: dict[str, tuple[str, ...]]
    delegations: tuple[Delegation, ...] = ()
    turns: dict[str, int] = field(default_factory=dict)
    calendars: Calendars = field(default_factory=Calendars)

    def fresh(self, *more: Delegation) -> "Directory":
        """One to change, in which no role has had a turn, with more delegations."""
        people, delegations = dict(self.people), (*self.delegations, *more)
        return Directory(people, self.roles, delegations, calendars=self.calendars)

    # --- what changes ---

    def leave(self, person: str) -> None:
        self.people[person] = replace(self.people[person], left=True)

    def delegate(self, delegation: Delegation) -> None:
        """From now on, instead of whoever it was for the same scope."""
        same = (delegation.delegator, delegation.scope)
        others = (each for each in self.delegations if (each.delegator, each.scope) != same)
        self.delegations = (*others, delegation)

    def come_back(self, person: str) -> None:
        """Whoever left is here again; whoever delegated decides again."""
        self.people[person] = replace(self.people[person], left=False)
        self.delegations = tuple(each for each in self.delegations if each.delegator != person)

    # --- what is so ---

    def known(self, person: str) -> bool:
        return person in self.people

    def here(self, person: str) -> bool:
        return person in self.people and not self.people[person].left

    def members(self, role: str) -> tuple[str, ...]:
        """Those who hold a role and are here, in the order in which they have their turns."""
        return tuple(person for person in sorted(self.roles.get(role, ())) if self.here(person))

    def line(self, person: str) -> Iterator[str]:
        """The managers above, nearest first; a circle ends where it closes."""
        seen = {person}
        above = self.people[person].manager if person in self.people else None
        while above is not None and above not in seen:
            seen.add(above)
            yield above
            above = self.people[above].manager

    def covers(self, person: str, currency: str, amount: Decimal) -> bool:
        """Whether somebody may approve that much alone."""
        limit = self.people[person].limits.get(currency)
        return limit is not None and limit >= amount

    def delegated(self, person: str, scopes: tuple[str, ...]) -> str | None:
        """Who decides instead of `person`: by the delegation whose scope comes first."""
        found = {each.scope: each.delegate for each in self.delegations if each.delegator == person}
        return next((found[scope] for scope in scopes if scope in found), None)

    def principal(self, reference: str) -> tuple[str, str]:
        """The kind, `user` or `role`, and the name that a reference means."""
        kind, colon, name = reference.partition(":")
        if colon:
            return kind, name
        return ("role" if reference in self.roles else "user"), reference

    def principals(self) -> frozenset[str]:
        return frozenset(
            [f"user:{name}" for name in self.people] + [f"role:{r}" for r in self.roles]
        )

    # --- what is asked ---

    def answer(
        self, asks: tuple[Ask, ...], requester: str, workflow: str = ""
    ) -> tuple[Answer, ...]:
        """The answers to `asks`, in their order."""
        return tuple(self._answer(ask, Question(self, requester, workflow)) for ask in asks)

    def decider(
        self,
        person: str,
        assignment: Assignment,
        requester: str,
        workflow: str = "",
        without: tuple[str, ...] = (),
    ) -> Actor | None:
        """As whom `person` may decide what is so assigned; None if they may not. The members of a
        shared task's principals may, and for one of them whoever decides instead now: the last of a
        chain of delegations, of whom none is barred."""
        barred = {requester, *without}
        if person in barred or not self.here(person):
            return None
        if assignment.user is not None:
            mine = assignment.user == person
            given = Actor(person, assignment.role, assignment.on_behalf_of, assignment.via)
            return given if mine else None
        pools = [self._pool(principal) for principal in assignment.candidates]
        for role, people in pools:
            if person in people:
                return Actor(person, role)
        for role, people in pools:
            for member in people:
                path = self._stand_ins(member, scopes(workflow, role))
                if path[-1:] == [person] and not barred & set(path):
                    return Actor(person, role, member, tuple(path[1:-1]))
        return None

    def _pool(self, principal: str) -> tuple[str | None, tuple[str, ...]]:
        """The role of a principal, if it is one, and who of it is here."""
        kind, name = self.principal(principal)
        if kind == "role":
            return name, self.members(name)
        return None, (name,) if self.here(name) else ()

    def _stand_ins(self, member: str, covering: tuple[str, ...]) -> list[str]:
        """The member and those to whom it is delegated, one after the other; nobody if it is a circle
        or too long, or if one of them has left."""
        path = [member]
        while (following := self.delegated(path[-1], covering)) is not None:
            path.append(following)
            if (
                following in path[:-1]
                or not self.here(following)
                or len(path) > DELEGATION_LIMIT + 1
            ):
                return []
        return path if len(path) > 1 else []

    def _answer(self, ask: Ask, question: Question) -> Answer:
        match ask:
            case AskEmployee(paths):
                height = max(path.split(".").count("manager") for path in paths)
                return Answer(employee=self._tree(question.requester, height))
            case AskTimes(timing):
                return Answer(times=self.calendars.times(timing))
            case AskHolders(_, references, True):
                return self._fixed(references, question)
            case AskHolders(_, references):
                return replace(question, following=False).approver(references[0])
            case AskPeople(_, references):
                return self._told(references)
            case _:
                return self._timed(ask, self._seat(ask, question))

    def _told(self, references: tuple[str, ...]) -> Answer:
        """Everybody who is here and holds one of them."""
        named = [f"{kind}:{name}" for kind, name in self._principals(references)]
        held = sorted({person for name in named for person in self._pool(name)[1]})
        return Answer(assignment=Assignment(candidates=tuple(f"user:{who}" for who in held)))

    def _timed(self, ask: SeatAsk, found: Answer) -> Answer:
        if ask.timing is None or found.assignment is None:
            return found
        user = found.assignment.user
        zone = None if user is None else self.people[user].time_zone
        return replace(found, times=self.calendars.times(ask.timing, zone))

    def _seat(self, ask: SeatAsk, question: Question) -> Answer:
        match ask:
            case AskManager(_, user, without, limit):
                return replace(question, without=without, limit=limit).above(user)
            case AskCandidates(_, references, without, seated):
                asked = replace(question, without=without)
                return self._candidates(references, asked, seated)
            case _:
                asked = replace(question, without=ask.without, limit=ask.limit)
                return asked.approver(ask.reference, ask.keep, ask.fixed)

    def _tree(self, person_id: str, height: int) -> dict[str, Json]:
        person = self.people[person_id]
        tree: dict[str, Json] = {"id": person.id, "name": person.name, **person.facts}
        if height and person.manager is not None:
            tree["manager"] = self._tree(person.manager, height - 1)
        return tree

    def _candidates(
        self, references: tuple[str, ...], question: Question, seated: tuple[str, ...]
    ) -> Answer:
        found = self._holders(references, question, seated)
        if isinstance(found, Refusal):
            return Answer(refusal=found)
        principals = self._principals(references)
        return _shared(tuple(f"{kind}:{name}" for kind, name in principals), principals)

    def _fixed(self, references: tuple[str, ...], question: Question) -> Answer:
        found = self._holders(references, question)
        if isinstance(found, Refusal):
            return Answer(refusal=found)
        return _shared(tuple(f"user:{person}" for person in found), self._principals(references))

    def _holders(
        self, references: tuple[str, ...], question: Question, seated: tuple[str, ...] = ()
    ) -> list[str] | Refusal:
        """Who of the principals of a shared task is here and can be asked, by id."""
        named = [f"{kind}:{name}" for kind, name in self._principals(references)]
        unknown = [name for name in named if name not in self.principals()]
        if unknown:
            return Refusal("NoApproverFound", f"the directory does not have {', '.join(unknown)}")
        barred = {question.requester, *question.without, *seated}
        people = {person for name in named for person in self._pool(name)[1]} - barred
        others = " and those who decided before" if question.without else ""
        others += " and those with another part of this step" if seated else ""
        nobody = f"none of {', '.join(named)} can decide but the requester{others}"
        return sorted(people) or Refusal("NoApproverFound", nobody)

    def _principals(self, references: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(dict.fromkeys(self.principal(reference) for reference in references))


def _shared(candidates: tuple[str, ...], principals: tuple[tuple[str, str], ...]) -> Answer:
    """A task for `candidates`, because of the principals named."""
    chain = tuple(
        Hop("candidates", user=name) if kind == "user" else Hop("candidates", role=name)
        for kind, name in principals
    )
    return Answer(assignment=Assignment(candidates=candidates, chain=chain))
