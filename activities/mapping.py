"""The mapping file: how another system's list of people is asked for, and what in its answer is what.

request: {path: /people, auth: bearer}
pages: {by: cursor, parameter: cursor, next: meta.next, size: 500, size_parameter: limit}
items: data
person: {id: employee_id, name: [first, last], manager: boss.id, active: {path: status, is: [Active]}}

A path says where something is in the JSON: names with dots between them, `[0]` for an item of a list.
A name with dots or brackets of its own is quoted: `'"work.email"'`. Examples are in deploy/directories.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from recipes.fields import Fields
from recipes.model import Json
from recipes.problems import RecipeInvalid
from recipes.source import Entries, Items, Node, Scalar, below, read

Path = tuple[str | int, ...]
"""A name or a place in a list at each level."""

Paging = Literal["page", "offset", "cursor", "link"]
Auth = Literal["bearer", "key_as_user", "header", "none"]
Match = Literal["id", "email", "name"]
Read = TypeVar("Read")

_STEP = re.compile(r'\.?(?:"([^"]+)"|([^.\[\]"\s][^.\[\]"]*)|\[(\d{1,4})\])')
_CURRENCY = re.compile(r"[A-Z]{3}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,80}")
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


class MappingInvalid(Exception):
    """The mapping file can't be used; the text has every problem with file, line and fix."""


@dataclass(frozen=True, slots=True)
class Pages:
    """How the rest of a list is asked for. `parameter` carries the number of a page (from `first`), how
    many people to pass over, or the cursor that the page before gave at `next`; `link`: the address of
    the next page is there. `total`: where the number of all people stands."""

    by: Paging
    parameter: str = ""
    next: Path = ()
    first: int = 1
    size: int | None = None
    size_parameter: str | None = None
    total: Path | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """True where the text at `path` is one of `values`; without values, where it says yes."""

    path: Path
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manager:
    """Whose `match` the manager's text at `path` is."""

    path: Path
    match: Match = "id"


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles by the name they have there; without names, as they are."""

    path: Path
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PersonFields:
    """Where in one item what of a person is. What is None is not said by the other system."""

    id: Path
    name: tuple[Path, ...]
    email: Path | None = None
    manager: Manager | None = None
    department: Path | None = None
    title: Path | None = None
    time_zone: Path | None = None
    active: Flag | None = None
    left: Flag | None = None
    last_day: Path | None = None
    roles: Roles | None = None
    limits: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file. `header` is the one that carries the token where `auth` is "header"."""

    path: str
    items: Path
    person: PersonFields
    auth: Auth = "bearer"
    header: str = "X-Api-Key"
    headers: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    pages: Pages | None = None


_NOBODY = PersonFields(id=(), name=())


def parse(text: bytes, file: str) -> Mapping:
    """The mapping that `text` spells. MappingInvalid with everything that is wrong."""
    try:
        if not text.strip():
            raise MappingInvalid(f"{file} is empty (copy one of deploy/directories and adapt it)")
        root, book = read(text, file)
        if not isinstance(root, Entries):
            book.error("", "is no mapping", "write `request`, `items` and `person`")
            raise RecipeInvalid(book.in_order())
        found = _mapping(Fields(root, "", book))
        if book.failed:
            raise RecipeInvalid(book.in_order())
    except RecipeInvalid as invalid:
        raise MappingInvalid(str(invalid)) from None
    return found


def path_of(text: str) -> Path | None:
    """The path that a text spells, None if it spells none: `a.b[0].c`."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (match[0].startswith(".") and (at == 0 or match[3])):
            return None
        if at > 0 and not match[3] and not match[0].startswith("."):
            return None
        steps.append(int(match[3]) if match[3] else match[1] or match[2].strip())
        at = match.end()
    return tuple(steps) or None


def value_at(item: Json, path: Path) -> Json:
    """What is at `path`; None where nothing is."""
    for step in path:
        if isinstance(item, dict) and isinstance(step, str):
            item = item.get(step)
        elif isinstance(item, list) and isinstance(step, int) and step < len(item):
            item = item[step]
        else:
            return None
    return item


def _mapping(fields: Fields) -> Mapping:
    fields.known(("request", "pages", "items", "person"), "a mapping")
    request = _inner(fields, "request", "write `request: {path: ..., auth: bearer}`")
    person = _inner(fields, "person", "say where the fields are: `person: {id: ..., name: ...}`")
    found = Mapping(
        path="/",
        items=(_path(fields, "items") or ()) if fields.node("items") is not None else (),
        person=_NOBODY if person is None else _person(person),
        pages=_optional(fields, "pages", _pages),
    )
    return found if request is None else _with_request(found, request)


def _with_request(found: Mapping, request: Fields) -> Mapping:
    request.known(("path", "auth", "header", "headers", "parameters"), "a request")
    auths: dict[str, Auth] = {
        "bearer": "bearer",
        "key_as_user": "key_as_user",
        "header": "header",
        "none": "none",
    }
    return replace(
        found,
        path=_request_path(request),
        auth=request.choice("auth", auths) or "bearer",
        header=request.text("header") or "X-Api-Key",
        headers=_headers(request),
        parameters=_texts(request, "parameters"),
    )


def _request_path(request: Fields) -> str:
    node = request.required("path", "add `path: /employees`; it comes after the base URL")
    text = request.text("path") if node is not None else None
    if text is not None and ("://" in text or "?" in text or "#" in text or text[:1] != "/"):
        fix = (
            "begin it with /; the base URL is COUNTERSIGN_DIRECTORY_URL, `parameters` come after ?"
        )
        request.error("path", "must be the path alone", fix)
    return text or "/"


def _headers(request: Fields) -> dict[str, str]:
    headers = _texts(request, "headers")
    for name, value in headers.items():
        if name.lower() in _SECRET_HEADERS:
            fix = "leave it out; COUNTERSIGN_DIRECTORY_TOKEN and `auth` make it"
            request.error(f"headers.{name}", "must not stand in a file", fix)
        elif not _HEADER.fullmatch(name):
            request.error(
                f"headers.{name}", "is no name of a header", "write letters, digits and -"
            )
        elif not (value.isascii() and value.isprintable()):
            request.error(f"headers.{name}", "has odd characters", "write plain ASCII")
    return headers


def _pages(pages: Fields) -> Pages | None:
    pages.known(("by", "parameter", "next", "first", "size", "size_parameter", "total"), "`pages`")
    ways: dict[str, Paging] = {
        "page": "page",
        "offset": "offset",
        "cursor": "cursor",
        "link": "link",
    }
    by = pages.choice("by", ways, required=True)
    if by is None:
        return None
    if by != "link":
        pages.required("parameter", f"name the parameter that carries it, such as `{by}`")
    follows = by in ("cursor", "link")
    if follows:
        pages.required("next", "say where in the answer it is: `next: meta.next`")
    sized = pages.node("size") is not None
    if sized != (pages.node("size_parameter") is not None):
        fix = "such as `size: 500` and `size_parameter: limit`"
        pages.error("size", "`size` and `size_parameter` go together", fix)
    return Pages(
        by=by,
        parameter=pages.text("parameter") or "",
        next=(_path(pages, "next") or ()) if follows else (),
        first=1 if pages.node("first") is None else pages.whole_number("first", range(2)) or 0,
        size=pages.whole_number("size", range(1, 10_001)) if sized else None,
        size_parameter=pages.text("size_parameter"),
        total=_path(pages, "total"),
    )


_PERSON_KEYS = (
    "id",
    "name",
    "email",
    "manager",
    "department",
    "title",
    "time_zone",
    "active",
    "left",
    "last_day",
    "roles",
    "limits",
)


def _person(person: Fields) -> PersonFields:
    person.known(_PERSON_KEYS, "`person`")
    person.required("id", "say where the id is: `id: employee_id`")
    person.required("name", "say where the name is: `name: display_name`, or a list to be joined")
    if person.node("active") is not None and person.node("left") is not None:
        person.error("left", "says what `active` says", "keep one of them")
    return PersonFields(
        id=_path(person, "id") or (),
        name=_paths(person, "name"),
        email=_path(person, "email"),
        manager=_manager(person),
        department=_path(person, "department"),
        title=_path(person, "title"),
        time_zone=_path(person, "time_zone"),
        active=_flag(person, "active"),
        left=_flag(person, "left"),
        last_day=_path(person, "last_day"),
        roles=_roles(person),
        limits=_limits(person),
    )


def _manager(person: Fields) -> Manager | None:
    if not isinstance(person.node("manager"), Entries):
        path = _path(person, "manager")
        return None if path is None else Manager(path)

    def one(fields: Fields) -> Manager | None:
        fields.known(("path", "match"), "`manager`")
        matches: dict[str, Match] = {"id": "id", "email": "email", "name": "name"}
        path = _required_path(fields)
        return None if path is None else Manager(path, fields.choice("match", matches) or "id")

    return _optional(person, "manager", one)


def _flag(person: Fields, key: str) -> Flag | None:
    if not isinstance(person.node(key), Entries):
        path = _path(person, key)
        return None if path is None else Flag(path)

    def one(fields: Fields) -> Flag | None:
        fields.known(("path", "is"), f"`{key}`")
        fields.required("is", "list the texts that mean it: `is: [Active]`")
        path = _required_path(fields)
        return None if path is None else Flag(path, fields.texts("is"))

    return _optional(person, key, one)


def _roles(person: Fields) -> Roles | None:
    if not isinstance(person.node("roles"), Entries):
        path = _path(person, "roles")
        return None if path is None else Roles(path)

    def one(fields: Fields) -> Roles | None:
        fields.known(("path", "names"), "`roles`")
        path = _required_path(fields)
        return None if path is None else Roles(path, _texts(fields, "names"))

    return _optional(person, "roles", one)


def _limits(person: Fields) -> dict[str, Path]:
    def all_of_them(fields: Fields) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for currency in fields.entries:
            if not _CURRENCY.fullmatch(currency):
                fields.error(currency, "is no currency", "write its three letters, such as EUR")
            path = _path(fields, currency)
            if path is not None:
                found[currency] = path
        return found

    return _optional(person, "limits", all_of_them) or {}


# --- entries -------------------------------------------------------------------------------------


def _inner(fields: Fields, key: str, fix: str) -> Fields | None:
    """The mapping at a required key."""
    node = fields.required(key, fix)
    if node is None:
        return None
    if not isinstance(node, Entries):
        fields.error(key, "must have keys of its own", fix)
        return None
    return Fields(node, below(fields.path, key), fields.book)


def _optional(fields: Fields, key: str, reader: Callable[[Fields], Read]) -> Read | None:
    """What `reader` makes of the mapping at a key; None without the key."""
    if fields.node(key) is None:
        return None
    inner = _inner(fields, key, "give it keys, or leave it out")
    return None if inner is None else reader(inner)


def _texts(fields: Fields, key: str) -> dict[str, str]:
    """A mapping of names to texts; numbers and booleans count as they are spelled."""

    def spelled(inner: Fields) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, (_, node) in inner.entries.items():
            if isinstance(node, Scalar) and node.value is not None:
                found[name] = node.text
            else:
                inner.error(name, "must be text", "write one text")
        return found

    return _optional(fields, key, spelled) or {}


def _required_path(fields: Fields) -> Path | None:
    fields.required("path", "say where it is: `path: status`")
    return _path(fields, "path")


def _path(fields: Fields, key: str) -> Path | None:
    node = fields.node(key)
    return None if node is None else _path_of(fields, node, below(fields.path, key))


def _paths(fields: Fields, key: str) -> tuple[Path, ...]:
    """One path, or a list of them."""
    node, place = fields.node(key), below(fields.path, key)
    if node is None:
        return ()
    nodes = list(enumerate(node.items)) if isinstance(node, Items) else [(None, node)]
    if not nodes:
        fields.error(key, "is an empty list", "list where its parts are")
    found = [_path_of(fields, each, place if n is None else below(place, n)) for n, each in nodes]
    return tuple(path for path in found if path is not None)


def _path_of(fields: Fields, node: Node, place: str) -> Path | None:
    text = fields.text_of(node, place)
    if text is None:
        return None
    path = path_of(text.strip())
    if path is None:
        fields.book.error(
            place, f"`{text}` is no path", "write names with dots between them: `a.b[0].c`"
        )
    return path
