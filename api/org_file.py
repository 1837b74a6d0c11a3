"""The directory as a file: YAML or JSON, checked as a whole before anything is written.

people:
  - {id: alice, name: Alice Moreau, email: alice@example.org, manager: bob, department: Sales}
roles:
  hr-leave-admin: {description: Leave and absence, members: [erin, frank]}
  finance: [grace]
"""

from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from api import errors
from api.bodies import Inputs, Text
from recipes.model import Json
from storage.org import PersonRow, RoleRow

PersonId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
RoleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
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
    try:
        found = DirectoryFile.model_validate({} if tree is None else tree)
    except ValidationError as error:
        raise errors.body_errors(error.errors(include_url=False, include_input=False)) from None
    _check_names(found)
    return found


def _check_names(found: DirectoryFile) -> None:
    """No person and no role twice."""
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
    if problems:
        raise errors.invalid(f"{problems[0]['pointer']}: {problems[0]['message']}", problems)


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
