"""Who decides, asked of facts in memory: the rules of storage/resolution.py, all of them but time.

A role gives its members in turn, those away only while everybody is; or again the one it gave before.
Whoever may not approve that much is stepped over, up the line. Whoever is away is decided for by their
delegate, up to five of them one after the other. The requester, those who decided before
(`not_same_as`) and those who have left are not asked, nor do they decide for others: in a role the
other members are asked instead, else the line is followed up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from recipes.asks import Answer, Assignment, Hop, IncidentKind, Limit, Refusal

DELEGATION_LIMIT = 5
"""How many delegations are followed, one after the other."""


class Facts(Protocol):
    """What is so, now."""

    turns: dict[str, int]

    def principal(self, reference: str) -> tuple[str, str]: ...
    def known(self, person: str) -> bool: ...
    def here(self, person: str) -> bool: ...
    def members(self, role: str) -> tuple[str, ...]: ...
    def line(self, person: str) -> Iterator[str]: ...
    def covers(self, person: str, currency: str, amount: Decimal) -> bool: ...
    def delegated(self, person: str, scopes: tuple[str, ...]) -> str | None: ...


def scopes(workflow: str, role: str | None) -> tuple[str, ...]:
    """The scopes of delegations that cover a task, the one that counts first coming first."""
    by_role = (f"role:{role}",) if role is not None else ()
    return (f"workflow:{workflow}", *by_role, "all")


def refused(detail: str, kind: IncidentKind = "NoApproverFound") -> Answer:
    return Answer(refusal=Refusal(kind, detail))


@dataclass(frozen=True, slots=True)
class Question:
    """For one live person. `role` is the one asked about, if it is one; `following` says whether
    delegations are followed."""

    facts: Facts
    requester: str
    workflow: str
    without: tuple[str, ...] = ()
    limit: Limit | None = None
    following: bool = True
    role: str | None = None

    def approver(self, reference: str, keep: str | None = None, fixed: str | None = None) -> Answer:
        kind, name = self.facts.principal(reference)
        asked = replace(self, role=name) if kind == "role" else self
        if fixed is not None and asked._why_not(fixed) is None:
            return asked._found(fixed, (Hop("fixed", fixed, asked.role),))
        return asked._member(name, keep) if kind == "role" else asked._person(name)

    def above(
        self, user: str, chain: tuple[Hop, ...] = (), tried: frozenset[str] = frozenset()
    ) -> Answer:
        """The nearest manager above `user` who can be asked; not those `tried` before."""
        short = any(hop.rule == "below_limit" for hop in chain)
        for manager in self.facts.line(user):
            why_not = self._why_not(manager)
            if why_not is not None:
                chain = (*chain, Hop(why_not, manager))
            elif not self._covers(manager):
                short, chain = True, (*chain, Hop("below_limit", manager))
            elif manager not in tried:
                return self._given(manager, (*chain, Hop("manager", manager)), tried)
        if short and self.limit is not None:
            return refused(f"nobody above {user} may approve that much in {self.limit.currency}")
        left = " has left and" if chain[:1] == (Hop("has_left", user),) else ""
        return refused(f"{user}{left} has no manager to ask")

    def _member(self, role: str, keep: str | None) -> Answer:
        people = [user for user in self.facts.members(role) if self._why_not(user) is None]
        if not people:
            others = " and those who decided before" if self.without else ""
            return refused(f"role {role} has no member other than the requester{others}")
        asked = replace(self, role=role)
        present = [user for user in people if self.facts.delegated(user, asked.scopes) is None]
        able = present or people
        if keep is not None and keep in able:
            return asked._found(keep, (Hop("kept", keep, role),))
        turn = self.facts.turns.get(role, 0)
        self.facts.turns[role] = turn + 1
        user = able[turn % len(able)]
        return asked._found(user, (Hop("round_robin", user, role, turn),))

    def _person(self, user: str) -> Answer:
        if not self.facts.known(user):
            return refused(f"there is no role and no person named {user}")
        why_not = self._why_not(user)
        if why_not is not None:
            return self.above(user, (Hop(why_not, user),))
        return self._found(user, (Hop("person", user),))

    def _found(self, user: str, chain: tuple[Hop, ...]) -> Answer:
        """`user`, or who above them may approve that much."""
        if self._covers(user):
            return self._given(user, chain, role=self.role)
        return self.above(user, (*chain, Hop("below_limit", user)))

    def _given(
        self,
        user: str,
        chain: tuple[Hop, ...],
        tried: frozenset[str] = frozenset(),
        role: str | None = None,
    ) -> Answer:
        """`user`, whose decision it is, or whoever decides for them now."""
        people = [user]
        while self.following:
            delegate = self.facts.delegated(people[-1], self.scopes)
            if delegate is None:
                break
            why_not = self._why_not(delegate)
            if why_not is not None:
                return self.above(user, (*chain, Hop(why_not, delegate)), tried | set(people))
            if delegate in people or delegate in tried:
                circle = " -> ".join([*people, delegate])
                return refused(f"delegations go in a circle: {circle}", "DelegationCycle")
            people.append(delegate)
            if len(people) > DELEGATION_LIMIT + 1:
                most = f"more than {DELEGATION_LIMIT} delegations one after the other"
                return refused(f"{most}: {' -> '.join(people)}", "DelegationTooDeep")
            chain = (*chain, Hop("delegation", delegate))
        *before, last = people
        behalf = before[0] if before else None
        return Answer(assignment=Assignment(last, (), role, behalf, tuple(before[1:]), chain))

    @property
    def scopes(self) -> tuple[str, ...]:
        return scopes(self.workflow, self.role)

    def _why_not(self, user: str) -> str | None:
        """The rule by which `user` cannot be asked; None if they can."""
        if user == self.requester:
            return "not_the_requester"
        if user in self.without:
            return "decided_before"
        return None if self.facts.here(user) else "has_left"

    def _covers(self, user: str) -> bool:
        if self.limit is None:
            return True
        return self.facts.covers(user, self.limit.currency, Decimal(self.limit.amount))
