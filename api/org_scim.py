"""The directory as SCIM 2.0 (RFC 7643, 7644): a User, a Group, a ListResponse or a BulkRequest.

A person's id is their `userName`. Where the payload refers to somebody by the SCIM id, the bulkId or
the externalId that it gives itself, they are found by it. Groups are roles. What is not understood is
left out with a warning; names of attributes are matched whatever their case, as the RFC has it.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from api import errors
from api.org_entries import Reading, refused
from recipes.model import Json

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OURS = "urn:countersign:params:scim:schemas:extension:2.0:User"
"""Our own extension: `{limits: {EUR: "10000"}}`."""
_CORE = "urn:ietf:params:scim:schemas:core:2.0:"
_USER_KEYS = frozenset(
    [
        "schemas",
        "id",
        "externalid",
        "meta",
        "groups",
        "username",
        "name",
        "displayname",
        "emails",
        "active",
        "title",
        "timezone",
    ]
) | {ENTERPRISE.lower(), OURS.lower()}
_GROUP_KEYS = frozenset({"schemas", "id", "externalid", "meta", "displayname", "members"})
_KEPT = {
    "employeenumber": "employee_number",
    "costcenter": "cost_center",
    "organization": "organization",
    "division": "division",
}
"""Of the enterprise extension, as attributes of ours."""
_MOST_WARNINGS = 50


def read(tree: Json) -> Reading:
    """The payload's people and roles. Problem 422 if it is no SCIM."""
    reading = Reading("scim", feed=True)
    resources = [*_resources(reading, tree)]
    if not resources and not reading.problems:
        return reading
    payload = _Payload(reading, resources)
    users = [item for item in resources if item.kind == "User"]
    if not any(OURS.lower() in item.values for item in users):
        reading.keeps = frozenset({"limits"})
    for item in users:
        payload.user(item)
    for item in resources:
        if item.kind == "Group":
            payload.group(item)
    payload.warn()
    return reading


class _Item:
    """A resource with its place; attributes by their names in lower case."""

    def __init__(self, pointer: str, raw: dict[str, Json], bulk_id: str | None = None) -> None:
        self.pointer = pointer
        self.bulk_id = bulk_id
        self.values = _lower(raw)
        self.names = {str(key).lower(): str(key) for key in raw}
        schemas = self.values.get("schemas")
        named = [str(name) for name in schemas] if isinstance(schemas, list) else []
        kinds = [name.removeprefix(_CORE) for name in named if name.startswith(_CORE)]
        guess = "User" if "username" in self.values else "Group"
        self.kind = kinds[0] if kinds else guess

    def at(self, name: str, *keys: str | int) -> str:
        return self.pointer + errors.pointer(self.names.get(name.lower(), name), *keys)


def _resources(reading: Reading, tree: Json) -> Iterator[_Item]:
    if not isinstance(tree, dict):
        raise refused([{"pointer": "", "message": "must be an object of SCIM 2.0"}])
    values = _lower(tree)
    if "operations" in values:
        yield from _bulk(reading, values["operations"])
    elif "resources" in values:
        for number, raw in enumerate(_listed(reading, values["resources"], "Resources")):
            pointer = errors.pointer("Resources", number)
            if isinstance(raw, dict):
                yield _Item(pointer, raw)
            else:
                reading.problem({"pointer": pointer}, "must be an object of SCIM 2.0")
    elif "totalresults" not in values:
        yield _Item("", tree)


def _listed(reading: Reading, value: Json, name: str) -> list[Any]:
    if isinstance(value, list):
        return value
    reading.problem({"pointer": errors.pointer(name)}, "must be a list")
    return []


def _bulk(reading: Reading, operations: Json) -> Iterator[_Item]:
    for number, raw in enumerate(_listed(reading, operations, "Operations")):
        pointer = errors.pointer("Operations", number)
        operation = _lower(raw) if isinstance(raw, dict) else {}
        method = str(operation.get("method", "")).upper()
        data = operation.get("data")
        if method not in ("POST", "PUT"):
            reading.problem(
                {"pointer": pointer + "/method"},
                f"{method or 'nothing'} is not taken here",
                "POST or PUT the whole of it; who leaves has active: false",
            )
        elif not isinstance(data, dict):
            reading.problem({"pointer": pointer + "/data"}, "must be an object of SCIM 2.0")
        else:
            path = re.fullmatch(r"/(?:Users|Groups)/([^/]+)", str(operation.get("path", "")))
            bulk_id = operation.get("bulkid")
            named: dict[str, Json] = {} if path is None or "id" in _lower(data) else {"id": path[1]}
            yield _Item(
                pointer + "/data", data | named, None if bulk_id is None else f"bulkId:{bulk_id}"
            )


class _Payload:
    """Reads resources that may refer to each other."""

    def __init__(self, reading: Reading, resources: list[_Item]) -> None:
        self._reading = reading
        self._people: dict[str, str] = {}
        self._unkept: dict[str, tuple[str, int]] = {}
        users = [item for item in resources if item.kind == "User"]
        # What identifies best comes last, and so counts.
        for key in ("externalid", "id", "username"):
            for item in users:
                if (name := item.values.get(key)) is not None:
                    self._people[str(name)] = str(item.values.get("username"))
        for item in users:
            if item.bulk_id is not None:
                self._people[item.bulk_id] = str(item.values.get("username"))
        for item in resources:
            if item.kind not in ("User", "Group"):
                self._not_kept(item.pointer, f"resources of the kind {item.kind[:40]}")

    def user(self, item: _Item) -> None:
        values = item.values
        for name in values.keys() - _USER_KEYS:
            self._not_kept(item.at(name), item.names[name])
        enterprise = _part(values.get(ENTERPRISE.lower()))
        for name in enterprise.keys() - _KEPT.keys() - {"manager", "department"}:
            self._not_kept(item.at(ENTERPRISE, name), name)
        email, at_email = _email(values.get("emails"))
        name, at_name = _name(values)
        attributes = {
            ours: enterprise[theirs] for theirs, ours in _KEPT.items() if enterprise.get(theirs)
        }
        if values.get("externalid"):
            attributes["external_id"] = values["externalid"]
        raw: dict[str, Json] = {
            "id": values.get("username"),
            "name": name,
            "email": email,
            "manager": self._person(enterprise.get("manager")),
            "department": enterprise.get("department") or None,
            "time_zone": values.get("timezone") or None,
            "title": values.get("title") or None,
            "attributes": attributes,
            "left": _inactive(values.get("active", True)),
            "limits": _part(values.get(OURS.lower()), lower=False).get("limits", {}),
        }
        if "username" not in values:
            del raw["id"]
        if name is None:
            del raw["name"]
        places = {
            "id": item.at("userName"),
            "name": item.at(*at_name),
            "email": item.at("emails", *at_email),
            "manager": item.at(ENTERPRISE, "manager"),
            "department": item.at(ENTERPRISE, "department"),
            "time_zone": item.at("timezone"),
            "title": item.at("title"),
            "attributes": item.at(ENTERPRISE),
            "left": item.at("active"),
            "limits": item.at(OURS, "limits"),
        }
        self._reading.person(raw, partial(_where, item.pointer, places))

    def group(self, item: _Item) -> None:
        for name in item.values.keys() - _GROUP_KEYS:
            self._not_kept(item.at(name), item.names[name])
        title = item.values.get("displayname")
        name = re.sub(r"\s+", "-", title.strip()) if isinstance(title, str) else title
        members: list[Json] = []
        places: list[int] = []
        given = item.values.get("members") or []
        for number, member in enumerate(given if isinstance(given, list) else []):
            inner = _part(member)
            if str(inner.get("type", "User")).lower() == "group":
                self._not_kept(item.at("members", number), "groups in groups")
            else:
                members.append(self._person(inner or member))
                places.append(number)
        if not isinstance(given, list):
            self._reading.problem({"pointer": item.at("members")}, "must be a list")
        raw = {"members": members}
        if title is not None:
            raw |= {"name": name, "description": title if name != title else None}
        if isinstance(title, str) and name != title:
            message = f"the group {title[:80]} is the role {str(name)[:80]}"
            self._warning({"pointer": item.at("displayName"), "message": message})

        def where(*keys: str | int) -> dict[str, Json]:
            if keys[:1] == ("members",) and len(keys) > 1:
                return {"pointer": item.at("members", places[int(keys[1])], "value")}
            return {"pointer": item.at("displayName") if keys else item.pointer}

        self._reading.role(raw, where)

    def warn(self) -> None:
        """Say what is not kept, each once."""
        for name, (pointer, count) in sorted(self._unkept.items()):
            times = f" ({count} times)" if count > 1 else ""
            self._warning({"pointer": pointer, "message": f"not kept: {name}{times}"})

    def _person(self, reference: Json) -> Json:
        """A reference's person, by whatever it names them with."""
        inner = _part(reference)
        if inner:
            found = inner.get("value")
            if not found and isinstance(inner.get("$ref"), str):
                found = inner["$ref"].rstrip("/").rpartition("/")[2]
        else:
            found = reference
        return self._people.get(str(found), found) if found else None

    def _not_kept(self, pointer: str, name: str) -> None:
        first, count = self._unkept.get(name, (pointer, 0))
        self._unkept[name] = (first, count + 1)

    def _warning(self, warning: dict[str, Json]) -> None:
        if len(self._reading.warnings) < _MOST_WARNINGS:
            self._reading.warnings.append(warning)


def _where(pointer: str, places: dict[str, str], *keys: str | int) -> dict[str, Json]:
    if not keys:
        return {"pointer": pointer}
    first, *rest = keys
    return {"pointer": places.get(str(first), pointer) + errors.pointer(*rest)}


def _lower(raw: dict[str, Json]) -> dict[str, Json]:
    return {str(key).lower(): value for key, value in raw.items()}


def _part(value: Json, *, lower: bool = True) -> dict[str, Json]:
    """A complex attribute; empty where there is none."""
    if not isinstance(value, dict):
        return {}
    return _lower(value) if lower else value


def _inactive(active: Json) -> Json:
    """`active` as a boolean or, as some send it, as its text."""
    if isinstance(active, str) and active.lower() in ("true", "false"):
        return active.lower() == "false"
    return not active if isinstance(active, bool) or active is None else active


def _email(emails: Json) -> tuple[Json, tuple[str | int, ...]]:
    """The primary address, or else the first, with the keys to it below `emails`."""
    listed = emails if isinstance(emails, list) else []
    values = [_part(item) for item in listed]
    primary = [at for at, item in enumerate(values) if item.get("primary") is True]
    for at in [*primary, *range(len(values))]:
        if values[at].get("value"):
            return values[at]["value"], (at, "value")
    return None, ()


def _name(values: dict[str, Json]) -> tuple[Json, tuple[str, ...]]:
    """What somebody is called, with the keys to it."""
    name = _part(values.get("name"))
    if values.get("displayname"):
        return values["displayname"], ("displayName",)
    if name.get("formatted"):
        return name["formatted"], ("name", "formatted")
    parts = [str(name[key]) for key in ("givenname", "familyname") if name.get(key)]
    return (" ".join(parts) if parts else None), ("displayName",)
