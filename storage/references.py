"""What who decides is asked about: a reference, whose request, as of when; and the words of a refusal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recipes.asks import Answer, IncidentKind, Refusal
from storage import directory
from storage.pool import Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_LONGEST_DETAIL = 300
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class About:
    """What the directory is asked about: whose request, of which workflow, as of which moment."""

    requester: str
    workflow: str
    at: datetime


async def principal(source: Source, reference: str, at: datetime) -> tuple[str, str]:
    """`user:x` and `role:x` as they say; a bare name is a role of that name if there is one."""
    [found] = await principals(source, (reference,), at)
    return found


async def principals(
    source: Source, references: Sequence[str], at: datetime
) -> list[tuple[str, str]]:
    """Kind (`user`, `role`) and name of each."""
    bare = [name for name in references if explicit(name) is None and is_name(name)]
    roles = await directory.roles_among(source, bare, at) if bare else set()
    return [explicit(name) or ("role" if name in roles else "user", name) for name in references]


def explicit(reference: str) -> tuple[str, str] | None:
    """Kind and name of `user:x` and `role:x`; None for a bare name."""
    kind, colon, name = reference.partition(":")
    return (kind, name.strip()) if colon and kind in ("user", "role") else None


def is_name(text: str) -> bool:
    """Whether the directory can have it. What comes out of a template may be anything, even what
    Postgres takes for no text."""
    return _NAME.fullmatch(text) is not None


def refused(detail: str, kind: IncidentKind = "NoApproverFound") -> Answer:
    return Answer(refusal=refusal(detail, kind))


def refusal(detail: str, kind: IncidentKind = "NoApproverFound") -> Refusal:
    return Refusal(kind, detail[:_LONGEST_DETAIL])


def shown(name: str) -> str:
    """A name as a refusal tells it, short and readable whatever it is."""
    text = readable(name)
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def readable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
