"""Answers to a transition's asks, from the directory, as of one moment.

Who decides is found by `storage.resolution`. What has no answer is a `Refusal`, with the reason, never
an exception.
"""

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
)
from storage import directory, resolution
from storage.directory import Person
from storage.pool import Source
from storage.resolution import LINE_LIMIT, About

_MOST_SHOWN = 3


async def answer(source: Source, asks: tuple[Ask, ...], about: About) -> tuple[Answer, ...]:
    """The answers to `asks`, in their order."""
    return tuple([await _answer(source, ask, about) for ask in asks])


async def _answer(source: Source, ask: Ask, about: About) -> Answer:
    match ask:
        case AskEmployee(paths):
            return await _employee(source, paths, about)
        case AskManager(_, user):
            return await resolution.manager(source, user, about)
        case AskCandidates(_, references):
            return await _candidates(source, references, about)
        case AskApprover(_, reference):
            return await resolution.approver(source, reference, about)


async def _employee(source: Source, paths: tuple[str, ...], about: About) -> Answer:
    height = max(path.split(".").count("manager") for path in paths)
    line = await directory.line(source, about.requester, about.at, min(height, LINE_LIMIT))
    if not line:
        return resolution.refused(f"the requester {about.requester} is not in the directory")
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


async def _candidates(source: Source, references: tuple[str, ...], about: About) -> Answer:
    principals = [await resolution.principal(source, reference) for reference in references]
    people = [name for kind, name in principals if kind == "user"]
    roles = [name for kind, name in principals if kind == "role"]
    named = tuple(dict.fromkeys(f"{kind}:{name}" for kind, name in principals))
    unknown = [f"{kind}:{name}" for kind, name in principals if not resolution.is_name(name)]
    if not unknown:
        never = await directory.unknown(source, people, roles)
        unknown = [principal for principal in named if principal in never]
    if unknown:
        listed = ", ".join(resolution.shown(principal) for principal in unknown[:_MOST_SHOWN])
        return resolution.refused(f"the directory does not have {listed}")
    if not await directory.anybody_else(source, about.at, about.requester, people, roles):
        return resolution.refused(f"none of {', '.join(named)} can decide but the requester")
    chain = tuple(
        Hop("candidates", name if kind == "user" else None, name if kind == "role" else None)
        for kind, name in principals
    )
    return Answer(assignment=Assignment(candidates=named, chain=chain))
