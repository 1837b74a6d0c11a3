"""Reads an organisation as cases have it: the file of `countersign org import`, and delegations."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from recipes.case_directory import Delegation, Directory, Person
from recipes.fields import Fields
from recipes.model import Json
from recipes.source import Book, Entries, Items, Node, Scalar, below, plain

Entry = TypeVar("Entry")

_PERSON_KEYS = (
    "id",
    "name",
    "email",
    "manager",
    "department",
    "title",
    "time_zone",
    "limits",
    "joined",
    "left",
    "attributes",
)
_FACTS = ("email", "department", "title", "attributes")
_DELEGATION_KEYS = ("from", "to", "scope")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,4})?", re.ASCII)


def mapping(node: Node, path: str, book: Book) -> Fields:
    """The entries of a node; none, after telling the book, where it has none."""
    if isinstance(node, Entries):
        return Fields(node, path, book)
    book.error(path, "must be a mapping", "write `key: value`")
    return Fields(Entries({}, node.line, node.column), path, book)


def entries(fields: Fields, key: str, make: Callable[[Fields], Entry]) -> tuple[Entry, ...]:
    """What `make` makes of each entry of a list."""
    node, path = fields.node(key), below(fields.path, key)
    if node is None:
        return ()
    if not isinstance(node, Items):
        fields.error(key, "must be a list", "begin each entry with `- `")
        return ()
    items = (mapping(item, below(path, n), fields.book) for n, item in enumerate(node.items))
    return tuple(make(item) for item in items)


def known(fields: Fields, key: str, person: str | None, directory: Directory) -> None:
    """Tell the book of somebody who is nobody."""
    if person is not None and person not in directory.people:
        fields.error(key, f"nobody is called `{person}`", "name one of the people of `org`")


def read_organisation(fields: Fields) -> Directory:
    fields.known(("people", "roles", "delegations"), "an organisation")
    people = {person.id: person for person in entries(fields, "people", _person)}
    roles: dict[str, tuple[str, ...]] = {}
    node = fields.node("roles")
    if node is not None:
        inner = mapping(node, below(fields.path, "roles"), fields.book)
        for role, (_, members) in inner.entries.items():
            roles[role] = _members(inner, role, members)
    directory = Directory(people, roles)
    for person in people.values():
        known(fields, "people", person.manager, directory)
    for members in roles.values():
        for member in members:
            known(fields, "roles", member, directory)
    for each in entries(fields, "delegations", lambda entry: read_delegation(entry, directory)):
        directory.delegate(each)
    return directory


def read_delegation(fields: Fields, directory: Directory) -> Delegation:
    fields.known(_DELEGATION_KEYS, "a delegation")
    fields.required("from", "add `from: bob`, who is away")
    fields.required("to", "add `to: carol`, who decides instead")
    delegator, delegate = fields.text("from"), fields.text("to")
    known(fields, "from", delegator, directory)
    known(fields, "to", delegate, directory)
    return Delegation(delegator or "", delegate or "", read_scope(fields, directory))


def read_scope(fields: Fields, directory: Directory) -> str:
    """`all`, which it is if nothing is said, `workflow:x` or `role:x`."""
    scope = fields.text("scope") or "all"
    kind, _, name = scope.partition(":")
    if scope != "all" and (kind not in {"workflow", "role"} or not name):
        fields.error("scope", f"`{scope}` is no scope", "write all, workflow:name or role:name")
    elif kind == "role" and name not in directory.roles:
        fields.error("scope", f"no role is called `{name}`", "name one of the roles of `org`")
    return scope


def _members(fields: Fields, role: str, node: Node) -> tuple[str, ...]:
    """`[alice, bob]` or `{members: [alice, bob]}`; a role may have nobody."""
    if isinstance(node, Entries):
        inner = Fields(node, below(fields.path, role), fields.book)
        inner.known(("members", "description"), "a role")
        members = inner.node("members")
        return () if members is None else _members(inner, "members", members)
    empty = isinstance(node, Items) and not node.items
    return () if empty else fields.texts(role)


def _person(fields: Fields) -> Person:
    fields.known(_PERSON_KEYS, "a person")
    fields.required("id", "add `id: alice`")
    person = fields.text("id") or ""
    facts = {key: plain(node) for key in _FACTS if (node := fields.node(key)) is not None}
    left = fields.node("left")
    gone: Json = False if left is None else plain(left)
    if not isinstance(gone, bool):
        fields.error("left", "must be true or false: cases have no calendar", "write `left: true`")
    return Person(
        person,
        fields.text("name") or person,
        fields.text("manager"),
        facts,
        _limits(fields),
        gone is True,
        fields.text("time_zone") or "UTC",
    )


def _limits(fields: Fields) -> dict[str, Decimal]:
    node = fields.node("limits")
    if node is None:
        return {}
    inner = mapping(node, below(fields.path, "limits"), fields.book)
    limits: dict[str, Decimal] = {}
    for currency, (_, amount) in inner.entries.items():
        if not _CURRENCY.fullmatch(currency):
            inner.error(currency, f"`{currency}` is no currency", "write a code such as EUR")
        elif isinstance(amount, Scalar) and _AMOUNT.fullmatch(amount.text):
            limits[currency] = Decimal(amount.text)
        else:
            inner.error(currency, "is no amount", "write a number from 0 up, as in 10000")
    return limits
