"""The directory as a file, by its media type; this one reads YAML and JSON.

people:
  - {id: alice, name: Alice Moreau, email: alice@example.org, manager: bob, department: Sales,
     time_zone: Europe/Paris, limits: {EUR: 10000}, joined: 2020-03-01}
roles:
  hr-leave-admin: {description: Leave and absence, members: [erin, frank]}
  finance: [grace]
"""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any, Literal, TypeAlias

import yaml
from pydantic_core import from_json
from typing_extensions import override

from api import errors, org_csv, org_scim
from api.org_entries import NOBODY, Reading, refused, unknown_key
from recipes.model import Json

Format: TypeAlias = Literal["yaml", "json", "csv", "scim"]
MEDIA_TYPES: dict[str, Format] = {
    "": "yaml",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
    "application/json": "json",
    "text/csv": "csv",
    "application/scim+json": "scim",
}
_DEEPEST = 100


def format_of(content_type: str | None) -> Format:
    """Problem 415 for a media type that is none of ours; none at all is YAML."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    found = MEDIA_TYPES.get(media_type)
    if found is None:
        known = ", ".join(name for name in MEDIA_TYPES if name)
        detail = f"{media_type[:80]} is no format of a directory: {known}"
        raise errors.Problem(415, "unsupported_media_type", detail)
    return found


def read(source: bytes, format: Format) -> Reading:
    """The file's contents with what is wrong with each of them. Problem 400 if it is not of that
    format, 422 if it names nobody."""
    if not source.strip():
        raise errors.invalid_at("", NOBODY)
    if format == "csv":
        found = org_csv.read(source)
    else:
        tree: Json = _yaml(source) if format == "yaml" else _json(source)
        scim = format == "scim" or (isinstance(tree, dict) and "schemas" in tree)
        found = org_scim.read(tree) if scim else _tree(tree, format)
    if not (found.people or found.roles or found.problems):
        raise errors.invalid_at("", NOBODY)
    return found


class _NothingTwice(yaml.CSafeLoader):
    """Refuses a mapping that has a key twice, of which the last would count in silence."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                said = f"`{key.value}` is here twice: leave one out"
                raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _yaml(source: bytes) -> Json:
    try:
        text = source.decode()
        depth = 0
        for event in yaml.parse(text, yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise errors.invalid("anchors and aliases are not accepted")
            # The loader goes down in C, where no limit keeps it from the end of the stack.
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise errors.invalid(f"is nested deeper than {_DEEPEST} levels")
        return yaml.load(text, _NothingTwice)  # noqa: S506 - a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise errors.Problem(400, "not_yaml", f"the body is not YAML: {said}") from None


def _json(source: bytes) -> Json:
    try:
        return from_json(source, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise errors.Problem(400, "not_json", f"the body is not JSON: {error}") from None


_KEYS = ("people", "roles")


def _tree(tree: Json, format: Format) -> Reading:
    reading = Reading(format)
    if tree is not None and not isinstance(tree, dict):
        raise refused([{"pointer": "", "message": "must be a mapping, as in `people: [...]`"}])
    for key in tree or {}:
        if key not in _KEYS:
            reading.problem({"pointer": errors.pointer(key)}, unknown_key(str(key), _KEYS))
    people: Json = (tree or {}).get("people") or []
    if isinstance(people, list):
        for number, raw in enumerate(people):
            reading.person(_dated(raw), partial(_below, "people", number))
    else:
        reading.problem({"pointer": "/people"}, "must be a list, as in [{id: alice, name: Alice}]")
    _roles((tree or {}).get("roles") or [], reading)
    return reading


def _roles(roles: Json, reading: Reading) -> None:
    match roles:
        case list():
            for number, raw in enumerate(roles):
                reading.role(raw, partial(_below, "roles", number))
        case dict():
            for name, value in roles.items():
                raw = {"members": value} if isinstance(value, list) else value or {}
                where: Callable[..., dict[str, Json]] = partial(_named, name)
                if isinstance(raw, dict) and "name" in raw:
                    reading.problem(where("name"), "unknown key `name`: the key is the name")
                else:
                    reading.role({"name": name, **raw} if isinstance(raw, dict) else raw, where)
        case _:
            reading.problem({"pointer": "/roles"}, "must be a mapping, as in `finance: [alice]`")


def _below(*keys: str | int) -> dict[str, Json]:
    return {"pointer": errors.pointer(*keys)}


def _named(name: Any, *keys: str | int) -> dict[str, Json]:
    """Below a role that is written as `name: ...`."""
    keys = () if keys == ("name",) else keys
    return {"pointer": errors.pointer("roles", name, *keys)}


def _dated(raw: Json) -> Json:
    """YAML reads a day as a date where JSON has text."""
    if not isinstance(raw, dict):
        return raw
    days = {
        key: raw[key].isoformat() for key in ("joined", "left") if isinstance(raw.get(key), date)
    }
    return raw | days if days else raw
