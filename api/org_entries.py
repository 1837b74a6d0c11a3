"""People and roles as files write them: checked one by one, each problem at its place in the file.

The readers (`org_file`, `org_csv`, `org_scim`) bring every entry into the form of `PersonEntry` and
`NamedRole`; what is wrong with all of them together is for `storage.org_checks`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from math import isfinite
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api import errors
from api.bodies import Inputs, PersonId, Text
from recipes.inputs import DEPTH_LIMIT
from recipes.model import Json
from storage.org import Fact, PersonRow, RoleRow
from storage.org_checks import Place
from storage.org_plan import Manner

Where: TypeAlias = Callable[..., dict[str, Json]]
"""From the keys below an entry (`"limits", "EUR"`) to the place in the file, as a problem tells it:
`{pointer}` or `{row, column}`."""

RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
NOBODY = "names no people and no roles: nothing would be imported"
_STRICT = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
_EXACT_DIGITS = 15
_MOST_PLACES = 100
"""Far more than any amount has; written out, an exponent of a billion is as many characters."""
_WHEN = "a day such as 2026-12-31, or a time with its zone such as 2026-12-31T17:00:00Z"


def _moment(value: Any) -> Any:
    """A day, or an instant with its zone; None and truth values stay."""
    if value is None or isinstance(value, bool):
        return value
    try:
        text = str(value)
        found = date.fromisoformat(text) if len(text) == len("2026-12-31") else None
        found = found or datetime.fromisoformat(text)
        # Their own day is reckoned with, and so must have neighbours.
        if not 2 < found.year < 9998:
            raise ValueError(text)
    except ValueError:
        raise ValueError(f"must be {_WHEN}") from None
    if isinstance(found, datetime) and found.tzinfo is None:
        raise ValueError(f"has no time zone: give {_WHEN}")
    return found


def _left(value: Any) -> Any:
    found = _moment(value)
    return False if found is None else found


def _joined(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be {_WHEN}")
    return _moment(value)


def _amount(value: Any) -> Any:
    """Exactly what is written. What YAML and JSON read as a float is exact up to 15 digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be an amount such as 10000 or 2500.50")
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError("must be an amount such as 10000 or 2500.50") from None
    exponent = found.as_tuple().exponent
    if isinstance(exponent, int) and abs(exponent) > _MOST_PLACES:
        raise ValueError("must be an amount such as 10000 or 2500.50")
    if isinstance(value, float) and len(found.as_tuple().digits) > _EXACT_DIGITS:
        raise ValueError("has too many digits to be exact: put it in quotes")
    return found


Amount = Annotated[Any, BeforeValidator(_amount)]


class PersonEntry(BaseModel):
    """Everything about a person: what is absent is not so. `manager` absent: nobody above."""

    model_config = _STRICT
    id: PersonId
    name: Annotated[Text, Field(min_length=1)]
    email: Text | None = None
    manager: PersonId | None = None
    department: Text | None = None
    time_zone: Text | None = None
    title: Text | None = None
    attributes: Inputs = Field(default_factory=dict)
    limits: dict[str, Amount] = Field(default_factory=dict)
    joined: Annotated[Any, BeforeValidator(_joined)] = None
    left: Annotated[Any, BeforeValidator(_left)] = False

    def row(self, roles: tuple[str, ...] | None = None) -> PersonRow:
        attributes = self.attributes
        if self.title is not None:
            attributes = attributes | {"title": self.title}
        return PersonRow(
            id=self.id,
            name=self.name,
            email=self.email,
            manager=self.manager,
            attributes=attributes,
            left=self.left,
            department=self.department,
            time_zone=self.time_zone or "UTC",
            limits=self.limits,
            joined=self.joined,
            roles=roles,
        )


class NamedRole(BaseModel):
    """A role with all of its members."""

    model_config = _STRICT
    name: RoleName
    members: list[PersonId] = Field(default_factory=list)
    description: Text | None = None

    def row(self) -> RoleRow:
        return RoleRow(self.name, tuple(dict.fromkeys(self.members)), self.description)


_Entry = TypeVar("_Entry", bound=BaseModel)


@dataclass(slots=True)
class Reading:
    """A file while it is read, and what came of it. `problems` and `warnings` are as answers have
    them; of every row it is known where it stands in the file."""

    format: str
    people: list[PersonRow] = field(default_factory=list)
    roles: list[RoleRow] = field(default_factory=list)
    problems: list[dict[str, Json]] = field(default_factory=list)
    warnings: list[dict[str, Json]] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    keeps: frozenset[Fact] = frozenset()
    attributes: frozenset[str] | None = None
    feed: bool = False
    _people_at: list[Where] = field(default_factory=list)
    _roles_at: list[Where] = field(default_factory=list)

    def person(self, raw: Any, where: Where, roles: tuple[str, ...] | None = None) -> None:
        found = self._read(PersonEntry, raw, where)
        if found is not None:
            self.people.append(found.row(roles))
            self._people_at.append(where)
        elif isinstance(raw, dict):
            self.unread.add(str(raw.get("id")))

    def role(self, raw: Any, where: Where) -> None:
        found = self._read(NamedRole, raw, where)
        if found is not None:
            self.roles.append(found.row())
            self._roles_at.append(where)

    def place(self, place: Place) -> dict[str, Json]:
        """Where in the file a row's field stands."""
        kind, number, *keys = place
        assert isinstance(number, int)
        return (self._people_at if kind == "people" else self._roles_at)[number](*keys)

    def problem(self, where: dict[str, Json], message: str, fix: str | None = None) -> None:
        said = where | {"message": message} | ({"fix": fix} if fix else {})
        if said not in self.problems[-20:]:
            self.problems.append(said)

    def manner(self, sha256: str, **more: bool) -> Manner:
        return Manner(
            keeps=self.keeps,
            attributes=self.attributes,
            feed=self.feed,
            unread=frozenset(self.unread),
            format=self.format,
            sha256=sha256,
            **more,
        )

    def _read(self, model: type[_Entry], raw: Any, where: Where) -> _Entry | None:
        count = len(self.problems)
        _check_json(raw, where, self)
        if len(self.problems) > count:
            return None
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                keys = [part for part in item["loc"] if part != "[key]"]
                self.problem(where(*keys), _said(model, dict(item)))
            return None


_SAID = {
    "missing": "is missing",
    "string_type": "must be text",
    "list_type": "must be a list, as in [alice, bob]",
    "dict_type": "must be a mapping, as in `key: value`",
    "model_type": "must be a mapping, as in `key: value`",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "must be letters, digits and . _ -, with a letter or digit first",
}


def _said(model: type[BaseModel], item: dict[str, Any]) -> str:
    """What pydantic found, in words for people."""
    if item["type"] == "extra_forbidden":
        return unknown_key(str(item["loc"][-1]), tuple(model.model_fields))
    said: str = _SAID.get(item["type"], item["msg"].removeprefix("Value error, "))
    return said


def unknown_key(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    fix = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
    return f"unknown key `{name}`: {fix}"


def _check_json(tree: Json, where: Where, reading: Reading) -> None:
    """YAML can say more than JSON: dates, sets, bytes, infinity. Each is a problem at its place."""
    todo: list[tuple[tuple[str | int, ...], Json]] = [((), tree)]
    while todo:
        keys, value = todo.pop()
        match value:
            case None | str() | bool():
                pass
            case dict() | list() if len(keys) > DEPTH_LIMIT:
                reading.problem(where(*keys), f"is nested deeper than {DEPTH_LIMIT} levels")
            case dict():
                names = [name for name in value if isinstance(name, str | int)]
                if len(names) < len(value):
                    reading.problem(where(*keys), "has a name that is not text")
                todo += [((*keys, name), value[name]) for name in reversed(names)]
            case list():
                todo += [((*keys, at), item) for at, item in reversed([*enumerate(value)])]
            case int() if abs(value) < 2**63:
                pass
            case float() if isfinite(value):
                pass
            case int() | float():
                reading.problem(where(*keys), "is no number that can be kept")
            case _:
                what = f"is a {type(value).__name__}, which JSON does not have; quote it"
                reading.problem(where(*keys), what)


def refused(problems: list[dict[str, Json]]) -> errors.Problem:
    """Problem 422 with everything that is wrong, the first of it in words."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return errors.invalid(f"{_shown(first)}: {first['message']}{more}", problems)


def _shown(problem: dict[str, Json]) -> str:
    if "row" in problem:
        column = f", column {problem['column']}" if problem.get("column") else ""
        return f"row {problem['row']}{column}"
    return str(problem.get("pointer") or "the file")
