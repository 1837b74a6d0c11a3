"""Who decides: answers to a transition's asks, from the directory, as of one moment.

The rules: a role gives one of its members, in turn; nobody is asked about their own request, so the
requester is stepped over: in a role, by the others; as a person or a manager, up the line. What has
no answer is a `Refusal`, with the reason, never an exception.
"""

import re
from datetime import datetime

from recipes.model import Json
from recipes.state import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskManager,
    Assignment,
    Hop,
    Refusal,
)
from storage import directory
from storage.directory import Person
from storage.pool import Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_LONGEST_DETAIL = 300
_LONGEST_NAME = 80
_MOST_SHOWN = 3
LINE_LIMIT = 25
"""How far up a line is followed: more than any organisation has, less than a cycle."""


async def answer(
    source: Source, asks: tuple[Ask, ...], requester: str, at: datetime
) -> tuple[Answer, ...]:
    """The answers to `asks`, in their order."""
    return tuple([await _answer(source, ask, requester, at) for ask in asks])


async def _answer(source: Source, ask: Ask, requester: str, at: datetime) -> Answer:
    match ask:
        case AskEmployee(paths):
            return await _employee(source, requester, paths, at)
        case AskManager(_, user):
            return await _manager(source, user, requester, at)
        case AskCandidates(_, references):
            return await _candidates(source, references, requester, at)
        case AskApprover(_, reference):
            kind, name = await _principal(source, reference)
            if kind == "role":
                return await _member(source, name, requester, at)
            return await _person(source, name, requester, at)


async def _employee(source: Source, requester: str, paths: tuple[str, ...], at: datetime) -> Answer:
    height = max(path.split(".").count("manager") for path in paths)
    line = await directory.line(source, requester, at, min(height, LINE_LIMIT))
    if not line:
        return _refused(f"the requester {requester} is not in the directory")
    tree: dict[str, Json] = {}
    for person in reversed(line):
        tree = _person_json(person) | ({"manager": tree} if tree else {})
    return Answer(employee=tree)


def _person_json(person: Person) -> dict[str, Json]:
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "department": person.attributes.get("department"),
        "title": person.attributes.get("title"),
        "attributes": person.attributes,
    }


async def _principal(source: Source, reference: str) -> tuple[str, str]:
    """`user:x` and `role:x` as they say; a bare name is a role of that name if there is one."""
    kind, colon, name = reference.partition(":")
    if colon and kind in ("user", "role"):
        return kind, name.strip()
    role = _is_name(reference) and await directory.role_exists(source, reference)
    return ("role" if role else "user"), reference


def _is_name(text: str) -> bool:
    """Whether the directory can have it. What comes out of a template may be anything, even what
    Postgres takes for no text."""
    return _NAME.fullmatch(text) is not None


async def _member(source: Source, role: str, requester: str, at: datetime) -> Answer:
    if not _is_name(role):
        return _refused(f"there is no role named {_shown(role)}")
    people = [person for person in await directory.members(source, role, at) if person != requester]
    if not people:
        return _refused(f"role {role} has no member other than the requester")
    turn = await directory.take_turn(source, role)
    user = people[turn % len(people)]
    return _assigned(user, (Hop("round_robin", user, role, turn),), role)


async def _person(source: Source, user: str, requester: str, at: datetime) -> Answer:
    if user == requester:
        stepped = Hop("not_the_requester", user)
        return await _manager(source, user, requester, at, (stepped,))
    line = await directory.line(source, user, at, 0) if _is_name(user) else []
    if not line:
        return _refused(f"there is no role and no person named {_shown(user)}")
    if not line[0].employed:
        return _refused(f"{user} has left")
    return _assigned(user, (Hop("person", user),))


async def _manager(
    source: Source, user: str, requester: str, at: datetime, before: tuple[Hop, ...] = ()
) -> Answer:
    """The nearest manager above `user` who is still here and is not the requester."""
    line = await directory.line(source, user, at, LINE_LIMIT) if _is_name(user) else []
    chain, seen = before, {user}
    for person in line[1:]:
        if person.id in seen:
            break  # the line is a circle: nobody new comes
        seen.add(person.id)
        if person.id == requester:
            chain = (*chain, Hop("not_the_requester", person.id))
        elif not person.employed:
            chain = (*chain, Hop("has_left", person.id))
        else:
            return _assigned(person.id, (*chain, Hop("manager", person.id)))
    return _refused(f"{_shown(user)} has no manager to ask")


async def _candidates(
    source: Source, references: tuple[str, ...], requester: str, at: datetime
) -> Answer:
    principals = [await _principal(source, reference) for reference in references]
    people = [name for kind, name in principals if kind == "user"]
    roles = [name for kind, name in principals if kind == "role"]
    named = tuple(dict.fromkeys(f"{kind}:{name}" for kind, name in principals))
    unknown = [f"{kind}:{name}" for kind, name in principals if not _is_name(name)]
    if not unknown:
        never = await directory.unknown(source, people, roles)
        unknown = [principal for principal in named if principal in never]
    if unknown:
        listed = ", ".join(_shown(principal) for principal in unknown[:_MOST_SHOWN])
        return _refused(f"the directory does not have {listed}")
    if not await directory.anybody_else(source, at, requester, people, roles):
        return _refused(f"none of {', '.join(named)} can decide but the requester")
    chain = tuple(
        Hop("candidates", name if kind == "user" else None, name if kind == "role" else None)
        for kind, name in principals
    )
    return Answer(assignment=Assignment(candidates=named, chain=chain))


def _assigned(user: str, chain: tuple[Hop, ...], role: str | None = None) -> Answer:
    return Answer(assignment=Assignment(user=user, role=role, chain=chain))


def _refused(detail: str) -> Answer:
    return Answer(refusal=Refusal("NoApproverFound", detail[:_LONGEST_DETAIL]))


def _shown(name: str) -> str:
    """A name as a refusal tells it, short and readable whatever it is."""
    readable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return readable if len(readable) <= _LONGEST_NAME else readable[: _LONGEST_NAME - 1] + "…"
