"""Words and conditions over what is confidential, for those who may see it.

Postgres has no text of it to look at. So what a reader may see is opened here, and Postgres judges the opened
texts as it judges those that it keeps: a condition means one thing. They are parameters of one statement,
never kept. To whom a request is no more than anybody else's, it is as if what is confidential were not there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from pydantic_core import from_json, to_json

from contract import boxes
from contract.boxes import Keys
from contract.conditions import Comparison, Condition
from recipes.model import Json
from storage.jsonpath import jsonpath
from storage.pool import Source
from storage.vault import Reader

# Which requests keep something from most of those who see them, but not from $1, who has the roles $2 by
# their token. $3 is a workflow or null; $4 inputs that alone are asked about, or null.
MINE = """
SELECT k.request_id FROM data_keys k JOIN requests r ON r.id = k.request_id
 WHERE k.scope = 'shared' AND k.private
   AND ($3::text IS NULL OR r.workflow = $3)
   AND ($4::text[] IS NULL OR k.fields IS NULL OR k.fields && $4)
   AND r.id IN (SELECT e.id FROM entitled($1, $2) AS e(id))
"""


async def mine(
    source: Source,
    reader: Reader,
    words: str | None,
    condition: Condition | None,
    *,
    workflow: str | None,
) -> list[UUID]:
    """The requests in which a reader may see more than search has in the clear, and that it could matter
    for."""
    if words is None and condition is None:
        return []
    names = None if words is not None or condition is None else sorted(set(_asked_about(condition)))
    rows = await source.fetch(MINE, reader.person, sorted(reader.roles), workflow, names)
    return [row["request_id"] for row in rows]


def _asked_about(condition: Condition) -> Iterator[str]:
    """The inputs that a condition is on."""
    if isinstance(condition, Comparison):
        yield condition.path[0]
        return
    for part in condition.parts:
        yield from _asked_about(part)


Subject: TypeAlias = tuple[str | None, dict[str, Json] | None]
"""Title and inputs."""


def subject(
    title: str | None, inputs: dict[str, Json] | None, box: bytes | None, keys: Keys | None
) -> Subject:
    """Title and inputs as these keys show them, from what is kept in the clear and the box beside it.
    CannotOpen if that is damaged."""
    if box is None or keys is None or not keys.holds("confidential"):
        return title, inputs
    secret = from_json(boxes.open_box(keys, "confidential", box))
    return secret.get("title", title), {**(inputs or {}), **secret["inputs"]}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader sees of something: title and inputs, and what a row itself says in words."""

    title: str | None
    inputs: dict[str, Json] | None
    said: str | None = None


# As `storage.asking` asks of what is kept in the clear. $4 words, $5 a condition: null is any.
FITS = """
SELECT s.place FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS s(title, inputs, said, place)
 WHERE ($4::text IS NULL OR words_of(s.title, s.inputs::jsonb) @@ plainto_tsquery('simple', $4)
        OR to_tsvector('simple', left(s.said, 200000)) @@ plainto_tsquery('simple', $4))
   AND ($5::text IS NULL OR s.inputs::jsonb @@ (SELECT $5::text::jsonpath))
 ORDER BY s.place
"""


async def fits(
    source: Source, seen: Sequence[Seen], words: str | None, condition: Condition | None
) -> list[int]:
    """Which of these have the words and fulfil the condition, by their places."""
    rows = await source.fetch(
        FITS,
        [each.title for each in seen],
        [None if each.inputs is None else to_json(each.inputs).decode() for each in seen],
        [each.said for each in seen],
        words,
        None if condition is None else jsonpath(condition),
    )
    return [row["place"] - 1 for row in rows]
