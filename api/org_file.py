"""The directory as a file: YAML or JSON, checked as a whole before anything is written.

people:
  - {id: alice, name: Alice Moreau, email: alice@example.org, manager: bob, department: Sales}
roles:
  hr-leave-admin: {description: Leave and absence, members: [erin, frank]}
  finance: [grace]
"""

from collections.abc import Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from api import errors
from api.bodies import Inputs, PersonId, Text
from recipes.inputs import DEPTH_LIMIT
from recipes.model import Json
from storage.org import PersonRow, RoleRow

RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
_MOST_NAMES = 20
_STRICT = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class PersonEntry(BaseModel):
    """`manager` absent: nobody above. `left: true`: here no longer."""

    model_config = _STRICT
    id: PersonId
    name: Annotated[Text, Field(min_length=1)]
    email: Text | None = None
    manager: PersonId | None = None
    department: Text | None = None
    title: Text | None = None
    attributes: Inputs = Field(default_factory=dict)
    left: bool = False

    @model_validator(mode="after")
    def _not_own_manager(self) -> Self:
        if self.manager == self.id:
            raise ValueError("nobody is their own manager")
        return self

    def row(self) -> PersonRow:
        known = {"department": self.department, "title": self.title}
        attributes = self.attributes | {name: v for name, v in known.items() if v is not None}
        return PersonRow(self.id, self.name, self.email, self.manager, attributes, self.left)


class RoleEntry(BaseModel):
    """A role with all of its members."""

    model_config = _STRICT
    members: list[PersonId] = Field(default_factory=list)
    description: Text | None = None


class NamedRole(RoleEntry):
    name: RoleName


class DirectoryFile(BaseModel):
    """People and roles. Those not named stay as they are; a role's members are all of them."""

    model_config = _STRICT
    people: list[PersonEntry] = Field(default_factory=list)
    roles: dict[RoleName, RoleEntry] | list[NamedRole] = Field(default_factory=list)

    @field_validator("roles", mode="before")
    @classmethod
    def _lists_are_members(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {"members": v} if isinstance(v, list) else v or {} for k, v in value.items()}

    def role_rows(self) -> list[RoleRow]:
        if isinstance(self.roles, list):
            named: list[tuple[str, RoleEntry]] = [(role.name, role) for role in self.roles]
        else:
            named = list(self.roles.items())
        return [
            RoleRow(name, tuple(dict.fromkeys(role.members)), role.description)
            for name, role in named
        ]


def read(source: bytes) -> DirectoryFile:
    """The file's contents. Problem 400 if it is not YAML, 422 with everything that is wrong."""
    try:
        text = source.decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.CSafeLoader)):
            raise errors.invalid("anchors and aliases are not accepted")
        tree: Json = yaml.load(text, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise errors.Problem(400, "not_yaml", f"the body is not YAML: {said}") from None
    _check_json(tree)
    try:
        found = DirectoryFile.model_validate({} if tree is None else tree)
    except ValidationError as error:
        raise _refused(error) from None
    if not found.people and not found.roles:
        raise errors.invalid_at("", "names no people and no roles: nothing would be imported")
    return found


_KEYS: dict[str, tuple[str, ...]] = {
    "people": tuple(PersonEntry.model_fields),
    "roles": tuple(NamedRole.model_fields),
    "": tuple(DirectoryFile.model_fields),
}
_SAID = {
    "missing": "is missing",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list, as in [alice, bob]",
    "dict_type": "must be a mapping, as in `key: value`",
    "model_type": "must be a mapping, as in `key: value`",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "must be letters, digits and . _ -, with a letter or digit first",
}


def _refused(error: ValidationError) -> errors.Problem:
    """What pydantic found, in words for people and at places of the file."""
    problems: dict[tuple[str, str], dict[str, Json]] = {}
    for item in error.errors(include_url=False):
        # Roles are written as a mapping or as a list: what the other way would want is no news.
        if (
            item["type"] in {"list_type", "dict_type"}
            and len(item["loc"]) == 2
            and type(item["input"]) in {dict, list}
        ):
            continue
        place = [part for part in item["loc"] if not str(part).startswith(("list[", "dict["))]
        place = [part for part in place if part != "[key]"]
        said = _SAID.get(item["type"], item["msg"].removeprefix("Value error, "))
        if item["type"] == "extra_forbidden":
            known = _KEYS.get(str(place[0]) if len(place) > 1 else "", ())
            close = get_close_matches(str(place[-1]), known, n=1)
            fix = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
            said = f"unknown key `{place[-1]}`: {fix}"
        where = errors.pointer(*place)
        problems.setdefault((where, said), {"pointer": where, "message": said})
    found = list(problems.values())
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return errors.invalid(
        f"{found[0]['pointer'] or 'the file'}: {found[0]['message']}{more}", found
    )


def _check_json(tree: Json) -> None:
    """YAML can say more than JSON: dates, sets, bytes, infinity. Problem 422 with every place."""
    problems: list[dict[str, Json]] = []
    todo: list[tuple[str, int, Json]] = [("", 0, tree)]
    while todo:
        where, depth, value = todo.pop()
        match value:
            case dict() | list() if depth > DEPTH_LIMIT:
                message = f"is nested deeper than {DEPTH_LIMIT} levels"
                problems.append({"pointer": where, "message": message})
            case dict():
                names = [name for name in value if isinstance(name, str | int)]
                if len(names) < len(value):
                    problems.append({"pointer": where, "message": "has a name that is not text"})
                todo += [(where + errors.pointer(name), depth + 1, value[name]) for name in names]
            case list():
                items = enumerate(value)
                todo += [(where + errors.pointer(at), depth + 1, item) for at, item in items]
            case None | str() | bool():
                pass
            case int() if abs(value) < 2**63:
                pass
            case float() if isfinite(value):
                pass
            case int() | float():
                problems.append({"pointer": where, "message": "is no number that can be kept"})
            case _:
                what = f"is a {type(value).__name__}, which JSON does not have; quote it"
                problems.append({"pointer": where, "message": what})
    if problems:
        problems.reverse()
        raise errors.invalid(f"{problems[0]['pointer']}: {problems[0]['message']}", problems)


def twice(found: DirectoryFile) -> list[dict[str, Json]]:
    """Every person and role that the file gives again."""
    problems: list[dict[str, Json]] = []
    for place, names in (
        ("people", [person.id for person in found.people]),
        ("roles", [role.name for role in found.role_rows()]),
    ):
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name in seen:
                pointer = errors.pointer(place, number)
                problems.append({"pointer": pointer, "message": f"{name} is here twice"})
            seen.add(name)
    return problems


def references(found: DirectoryFile) -> list[tuple[str, str]]:
    """Everybody that the file names without giving them: pointer and id."""
    given = {person.id for person in found.people}
    named = [
        (errors.pointer("people", number, "manager"), person.manager)
        for number, person in enumerate(found.people)
        if person.manager is not None
    ]
    as_list = isinstance(found.roles, list)
    for number, role in enumerate(found.role_rows()):
        key = number if as_list else role.name
        named += [
            (errors.pointer("roles", key, "members", place), person)
            for place, person in enumerate(role.members)
        ]
    # Whoever is said to have left must have been here.
    for number, person in enumerate(found.people):
        if person.left:
            named.append((errors.pointer("people", number, "left"), person.id))
            given.discard(person.id)
    return [(pointer, person) for pointer, person in named if person not in given]


def cycles(found: DirectoryFile, lines: Mapping[str, str]) -> list[tuple[str, str]]:
    """Circles in the lines of managers as they would be after this file: pointer and who is in it.

    `lines` are the managers of everybody so far. Each circle is told once, at its first person here.
    """
    places = {person.id: number for number, person in enumerate(found.people)}
    after = {**lines, **{person.id: person.manager for person in found.people}}
    known: set[str] = set()
    circles: list[tuple[str, str]] = []
    for person in places:
        circle = _circle(after, person, known)
        here = [at for at, name in enumerate(circle) if name in places]
        if here:
            first = min(here, key=lambda at: places[circle[at]])
            names = [*circle[first:], *circle[:first]]
            more = ["…"] if len(names) > _MOST_NAMES else []
            said = " -> ".join([*names[:_MOST_NAMES], *more, names[0]])
            circles.append((errors.pointer("people", places[names[0]], "manager"), said))
    return circles


def _circle(managers: Mapping[str, str | None], person: str, known: set[str]) -> list[str]:
    """The circle into which the line above `person` runs, unless it meets somebody `known` before.

    Everybody on the line is known afterwards: no line is walked twice.
    """
    line: dict[str, None] = {}
    above: str | None = person
    while above is not None and above not in known:
        known.add(above)
        line[above] = None
        above = managers.get(above)
    if above not in line:
        return []
    names = list(line)
    return names[names.index(above) :]
