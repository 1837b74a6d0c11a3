"""How people are called on a page. Pure: from the answers of the API that it shows.

The API tells of people by their ids. A page collects those in all that it shows, asks once what they are called
(`called.called`), and writes names.
"""

from collections.abc import Iterable, Mapping
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
    found = set[str]()
    for answer in answers:
        _collect(answer, found, named=False)
    return found


def _collect(value: object, found: set[str], *, named: bool) -> None:
    # Answers have hundreds of members, nearly all of them texts that name nobody: they cost no call.
    if isinstance(value, dict):
        for name, inner in value.items():
            of_people = name in _OF_PEOPLE
            if of_people or (isinstance(inner, (dict, list)) and name not in _WRITTEN):
                _collect(inner, found, named=of_people)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, found, named=named)
    elif named and isinstance(value, str) and not value.startswith(("role:", "system:")):
        found.add(value.removeprefix("user:"))
