"""Who decides, as of one moment: one person for a reference, and how that was found.

The rules: a role gives one of its members, in turn, those away only while everybody is; whoever is
away is decided for by their delegate, by the delegate's delegate and so on; nobody is asked about
their own request, nor by somebody else's delegation; whoever has left is not asked. Who cannot be
asked is stepped over: in a role, by the others; else up the line of whose decision it is. What has no
answer is a `Refusal`, with the reason, never an exception.

The worker asks here before it opens a task, the API when it explains one (ADR 0006).
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from recipes.state import Answer, Assignment, Hop, IncidentKind, Refusal
from storage import directory
from storage.pool import Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_LINE = re.compile(r"(?:\{\{\s*)?employee((?:\.manager)+)(?:\s*\}\})?")
_LONGEST_DETAIL = 300
_LONGEST_NAME = 80
LINE_LIMIT = 25
"""How far up a line is followed: more than any organisation has, less than a cycle."""
DELEGATION_LIMIT = 5
"""How many delegations are followed, one after the other."""


@dataclass(frozen=True, slots=True)
class About:
    """What the directory is asked about: whose request, of which workflow, as of which moment."""

    requester: str
    workflow: str
    at: datetime


TakeTurn: TypeAlias = Callable[[Source, str], Awaitable[int]]
"""Gives the number of a role's turn."""


@dataclass(frozen=True, slots=True)
class _Question:
    """`role` is the one asked about, if it is one: delegations may be for it alone."""

    source: Source
    about: About
    role: str | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        return directory.scopes(self.about.workflow, self.role)


async def approver(
    source: Source, reference: str, about: About, take_turn: TakeTurn = directory.take_turn
) -> Answer:
    """One live person for `user:x`, `role:x` or a bare name, never the requester."""
    kind, name = await principal(source, reference)
    if kind == "role":
        return await _member(_Question(source, about, name), name, take_turn)
    return await _person(_Question(source, about), name)


async def manager(source: Source, user: str, about: About) -> Answer:
    """The nearest manager above `user` who is still here and is not the requester, or who decides
    for them."""
    return await _above(_Question(source, about), user)


async def explain(source: Source, reference: str, about: About) -> Answer:
    """Whom `approver` would give, without a turn being taken; the manager line of the requester
    (`employee.manager.manager`, as a template or without braces) is followed here, too."""
    path = _LINE.fullmatch(reference.strip())
    if path is None:
        return await approver(source, reference, about, directory.next_turn)
    height = path[1].count(".manager")
    line = await directory.line(source, about.requester, about.at, min(height, LINE_LIMIT))
    if len(line) <= height:
        return refused(f"{shown(about.requester)} has nobody at employee{shown(path[1])}")
    passed = tuple(Hop("employee_manager", person.id) for person in line[1:])
    found = await approver(source, f"user:{line[-1].id}", about)
    if found.assignment is None:
        return found
    chain = (*passed, *found.assignment.chain)
    return Answer(assignment=replace(found.assignment, chain=chain))


async def principal(source: Source, reference: str) -> tuple[str, str]:
    """`user:x` and `role:x` as they say; a bare name is a role of that name if there is one."""
    kind, colon, name = reference.partition(":")
    if colon and kind in ("user", "role"):
        return kind, name.strip()
    role = is_name(reference) and await directory.role_exists(source, reference)
    return ("role" if role else "user"), reference


def is_name(text: str) -> bool:
    """Whether the directory can have it. What comes out of a template may be anything, even what
    Postgres takes for no text."""
    return _NAME.fullmatch(text) is not None


async def _member(asked: _Question, role: str, take_turn: TakeTurn) -> Answer:
    if not is_name(role):
        return refused(f"there is no role named {shown(role)}")
    about = asked.about
    people = await directory.members(asked.source, role, about.at, about.requester, asked.scopes)
    if not people:
        return refused(f"role {role} has no member other than the requester")
    people = [person for person in people if not person.away] or people
    turn = await take_turn(asked.source, role)
    person = people[turn % len(people)]
    taken = Hop("round_robin", person.id, role, turn)
    return await _given(asked, person.id, (taken,), away=person.away, role=role)


async def _person(asked: _Question, user: str) -> Answer:
    about = asked.about
    if user == about.requester:
        return await _above(asked, user, (Hop("not_the_requester", user),))
    known = is_name(user)
    line = await directory.line(asked.source, user, about.at, 0, asked.scopes) if known else []
    if not line:
        return refused(f"there is no role and no person named {shown(user)}")
    if not line[0].employed:
        return refused(f"{user} has left")
    return await _given(asked, user, (Hop("person", user),), away=line[0].away)


async def _above(
    asked: _Question, user: str, chain: tuple[Hop, ...] = (), tried: frozenset[str] = frozenset()
) -> Answer:
    """The nearest manager above `user` who can be asked; not those `tried` before."""
    about = asked.about
    known = is_name(user)
    line = (
        await directory.line(asked.source, user, about.at, LINE_LIMIT, asked.scopes)
        if known
        else []
    )
    seen = {user}
    for person in line[1:]:
        if person.id in seen:
            break  # the line is a circle: nobody new comes
        seen.add(person.id)
        if person.id == about.requester:
            chain = (*chain, Hop("not_the_requester", person.id))
        elif not person.employed:
            chain = (*chain, Hop("has_left", person.id))
        elif person.id not in tried:
            chain = (*chain, Hop("manager", person.id))
            return await _given(asked, person.id, chain, away=person.away, tried=tried)
    return refused(f"{shown(user)} has no manager to ask")


async def _given(
    asked: _Question,
    user: str,
    chain: tuple[Hop, ...],
    *,
    away: bool,
    role: str | None = None,
    tried: frozenset[str] = frozenset(),
) -> Answer:
    """`user`, whose decision it is, or whoever decides for them now."""
    if not away:
        return _assigned(user, role, chain)
    people = [user]
    for link in await directory.delegated(
        asked.source, user, asked.about.at, asked.scopes, DELEGATION_LIMIT + 1
    ):
        why_not = None
        if link.delegate == asked.about.requester:
            why_not = "not_the_requester"
        elif not link.employed:
            why_not = "has_left"
        if why_not is not None:
            stepped = Hop(why_not, link.delegate, delegation=str(link.id))
            return await _above(asked, user, (*chain, stepped), tried | set(people))
        if link.delegate in people or link.delegate in tried:
            return refused(
                f"delegations go in a circle: {_arrows([*people, link.delegate])}",
                "DelegationCycle",
            )
        people.append(link.delegate)
        if len(people) > DELEGATION_LIMIT + 1:
            return refused(
                f"more than {DELEGATION_LIMIT} delegations one after the other: {_arrows(people)}",
                "DelegationTooDeep",
            )
        chain = (*chain, Hop("delegation", link.delegate, delegation=str(link.id)))
    *before, delegate = people
    return _assigned(delegate, role, chain, before)


def _assigned(
    user: str, role: str | None, chain: tuple[Hop, ...], before: list[str] | None = None
) -> Answer:
    """`before` are those for whom `user` decides, the first one first."""
    behalf, *via = before or [None]
    between = tuple(name for name in via if name is not None)
    return Answer(assignment=Assignment(user, (), role, behalf, between, chain))


def refused(detail: str, kind: IncidentKind = "NoApproverFound") -> Answer:
    return Answer(refusal=Refusal(kind, detail[:_LONGEST_DETAIL]))


def _arrows(people: Iterable[str]) -> str:
    return " -> ".join(people)


def shown(name: str) -> str:
    """A name as a refusal tells it, short and readable whatever it is."""
    readable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return readable if len(readable) <= _LONGEST_NAME else readable[: _LONGEST_NAME - 1] + "…"
