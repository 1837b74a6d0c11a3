"""How people are called on a page. Pure: from the answers of the API that it shows.

The API tells of people by their ids. A page collects those in all that it shows, asks once what they are called
(`people.called`), and writes names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from recipes.model import Json

_OF_PEOPLE = frozenset(
    (
        "requester", "assignee", "on_behalf_of", "claimed_by", "user", "by", "asked", "asked_by", "person",
        "added_by", "disabled_by", "published_by", "via", "candidates", "waiting_for", "who",
    )
)  # fmt: skip
"""Members of answers that name people: ids, or principals (`user:bob`, `role:legal`)."""
_WRITTEN = frozenset(
    ("inputs", "payload", "snapshot", "changed", "output", "steps", "machine", "log")
)
"""Members that hold what people wrote, or a recipe: nobody is looked for there."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id; whoever has none is called by the id."""

    known: Mapping[str, str] = field(default_factory=dict)

    def of(self, who: Json) -> str:
        """An id or a principal, in words."""
        kind, _, name = str(who).partition(":")
        if kind == "role" and name:
            return f"anyone in {name}"
        if kind == "system":
            return "Countersign"
        person = name if kind == "user" and name else str(who)
        return self.known.get(person, person)

    def listed(self, several: Iterable[Json]) -> str:
        return ", ".join(map(self.of, several))


def ids_in(*answers: object) -> set[str]:
    """The ids of all whom these answers name."""
    return set(_ids(answers))


def _ids(value: object, *, named: bool = False) -> Iterator[str]:
    match value:
        case str() if named and not value.startswith(("role:", "system:")):
            yield value.removeprefix("user:")
        case dict():
            for name, inner in value.items():
                if name not in _WRITTEN:
                    yield from _ids(inner, named=name in _OF_PEOPLE)
        case list() | tuple():
            for inner in value:
                yield from _ids(inner, named=named)
