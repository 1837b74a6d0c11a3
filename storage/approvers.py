"""One live person for a reference. The rules are those of `storage.resolution`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from recipes.asks import Answer, Assignment, Hop, Limit
from storage import directory
from storage.directory import Link, Member, Person
from storage.pool import Source
from storage.references import About, explicit, is_name, refused, shown

LINE_LIMIT = 25
"""How far up a line is followed: more than any organisation has, less than a cycle."""
DELEGATION_LIMIT = 5
"""How many delegations are followed, one after the other."""

TakeTurn: TypeAlias = Callable[[Source, str], Awaitable[int]]
"""Gives the number of a role's turn."""


@dataclass(frozen=True, slots=True)
class Question:
    """For one live person. `role` is the one asked about, if it is one: delegations may be for it
    alone; up to `delegations` of them are followed, and with 0 nobody's. `current`: `directory.TooOld`
    is raised if the directory is, as soon as it has any answer."""

    source: Source
    about: About
    without: tuple[str, ...] = ()
    limit: Limit | None = None
    delegations: int = DELEGATION_LIMIT
    role: str | None = None
    current: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        return directory.scopes(self.about.workflow, self.role)

    async def line(self, user: str, height: int | None = None) -> list[Person]:
        """`user` and up to `height` managers above; unsaid, as many as it takes if nobody is away."""
        if not is_name(user):
            return []
        if height is None:
            height = 0 if self.limit is None else LINE_LIMIT
        depth = self.delegations and self.delegations + 1
        return await directory.line(
            self.source,
            user,
            self.about.at,
            height,
            scopes=self.scopes,
            limit=self.limit,
            depth=depth,
            current=self.current,
        )

    async def members(self, role: str, *, bare: bool) -> list[Member] | None:
        if not is_name(role):
            return None
        blocked = (self.about.requester, *self.without)
        scopes = directory.scopes(self.about.workflow, role)
        return await directory.members(
            self.source,
            role,
            self.about.at,
            blocked,
            scopes,
            bare=bare,
            current=self.current,
        )

    def why_not(self, person: Person | Link) -> str | None:
        """The rule by which somebody cannot be asked; None if they can."""
        if person.id == self.about.requester:
            return "not_the_requester"
        if person.id in self.without:
            return "decided_before"
        return None if person.employed else "has_left"


async def approver(
    asked: Question,
    reference: str,
    take_turn: TakeTurn,
    keep: str | None = None,
    fixed: str | None = None,
) -> Answer:
    said = explicit(reference)
    kind, name = said or ("role", reference)
    people = await asked.members(name, bare=said is None) if kind == "role" else None
    if people is not None:
        asked = replace(asked, role=name)
    if fixed is not None:
        found = await _fixed(asked, fixed)
        if found is not None:
            return found
    if people is not None:
        return await _member(asked, name, people, take_turn, keep)
    if said is not None and kind == "role":
        return refused(f"there is no role named {shown(name)}")
    return await _person(asked, name)


async def _fixed(asked: Question, user: str) -> Answer | None:
    """Whoever was fixed at submission, if they can be asked."""
    line = await asked.line(user)
    if not line or asked.why_not(line[0]) is not None:
        return None
    return await _found(asked, line, Hop("fixed", user, asked.role))


async def _member(
    asked: Question, role: str, people: list[Member], take_turn: TakeTurn, keep: str | None
) -> Answer:
    if not people:
        others = " and those who decided before" if asked.without else ""
        return refused(f"role {role} has no member other than the requester{others}")
    present = [person.id for person in people if not person.away]
    able = present or [person.id for person in people]
    if keep in able:
        hop = Hop("kept", keep, role)
    else:
        turn = await take_turn(asked.source, role)
        hop = Hop("round_robin", able[turn % len(able)], role, turn)
    assert hop.user is not None
    if present and asked.limit is None:
        return _assigned(hop.user, role, (hop,))
    return await _found(asked, await asked.line(hop.user), hop)


async def _person(asked: Question, user: str) -> Answer:
    line = await asked.line(user)
    if not line:
        return refused(f"there is no role and no person named {shown(user)}")
    why_not = asked.why_not(line[0])
    if why_not is not None:
        return await above(asked, user, (Hop(why_not, user),), line=line)
    return await _found(asked, line, Hop("person", user))


async def _found(asked: Question, line: list[Person], hop: Hop) -> Answer:
    """Who holds the reference, or if they may not approve that much somebody above."""
    holder = line[0]
    if holder.covers:
        return await _given(asked, holder, (hop,), role=asked.role)
    return await above(asked, holder.id, (hop, Hop("below_limit", holder.id)), line=line)


async def above(
    asked: Question,
    user: str,
    chain: tuple[Hop, ...] = (),
    tried: frozenset[str] = frozenset(),
    line: Sequence[Person] = (),
) -> Answer:
    """The nearest manager above `user` who can be asked; not those `tried` before. `line` is theirs as
    far as it is known."""
    if len(line) < 2:
        line = await asked.line(user, LINE_LIMIT)
    seen = {user}
    for person in line[1:]:
        if person.id in seen:
            break  # the line is a circle: nobody new comes
        seen.add(person.id)
        why_not = asked.why_not(person) or (None if person.covers else "below_limit")
        if why_not is not None:
            chain = (*chain, Hop(why_not, person.id))
        elif person.id not in tried:
            return await _given(asked, person, (*chain, Hop("manager", person.id)), tried)
    if asked.limit is not None and any(hop.rule == "below_limit" for hop in chain):
        return refused(
            f"nobody above {shown(user)} may approve that much in {asked.limit.currency}"
        )
    left = chain[:1] == (Hop("has_left", user),)
    return refused(f"{shown(user)}{' has left and' if left else ''} has no manager to ask")


async def _given(
    asked: Question,
    holder: Person,
    chain: tuple[Hop, ...],
    tried: frozenset[str] = frozenset(),
    role: str | None = None,
) -> Answer:
    """`holder`, whose decision it is, or whoever decides for them now."""
    people = [holder.id]
    for link in holder.delegated:
        why_not = asked.why_not(link)
        if why_not is not None:
            stepped = Hop(why_not, link.id, delegation=str(link.delegation))
            return await above(asked, holder.id, (*chain, stepped), tried | set(people))
        if link.id in people or link.id in tried:
            return refused(
                f"delegations go in a circle: {' -> '.join([*people, link.id])}", "DelegationCycle"
            )
        people.append(link.id)
        if len(people) > DELEGATION_LIMIT + 1:
            return refused(
                f"more than {DELEGATION_LIMIT} delegations one after the other: {' -> '.join(people)}",
                "DelegationTooDeep",
            )
        chain = (*chain, Hop("delegation", link.id, delegation=str(link.delegation)))
    *before, delegate = people
    return _assigned(delegate, role, chain, before)


def _assigned(
    user: str, role: str | None, chain: tuple[Hop, ...], before: Sequence[str] = ()
) -> Answer:
    """`before` are those for whom `user` decides, the first one first."""
    behalf, via = (before[0], tuple(before[1:])) if before else (None, ())
    return Answer(assignment=Assignment(user, (), role, behalf, via, chain))
