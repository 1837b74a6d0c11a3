"""The mapping file: what it can say, and what is wrong with it, by line."""

from pathlib import Path

import pytest

from activities import mapping
from activities.mapping import Flag, Manager, MappingInvalid, Pages, Roles

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "deploy" / "directories").glob("*.yaml"))
REST = "request: {path: /people}\nperson: {id: id, name: name}\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_good(path: Path) -> None:
    found = mapping.parse(path.read_bytes(), path.name)
    assert found.person.id
    assert found.items


def test_there_is_an_example_for_each_of_both() -> None:
    assert [path.stem for path in EXAMPLES] == ["bamboohr", "workday"]


def test_everything_it_can_say() -> None:
    found = mapping.parse(
        b"""
request:
  path: /people
  auth: header
  header: X-Key
  headers: {Accept: application/json}
  parameters: {active: true, size: 5}
pages: {by: offset, parameter: skip, size: 50, size_parameter: take, total: meta.total}
items: data[0].people
person:
  id: '"employee.id"'
  name: [first, last]
  manager: {path: boss, match: email}
  left: {path: status, is: [Terminated, Retired]}
  last_day: ends
  roles: {path: groups, names: {HR: hr}}
  limits: {EUR: limit.eur}
""",
        "map.yaml",
    )
    assert found.auth == "header"
    assert found.header == "X-Key"
    assert found.parameters == {"active": "true", "size": "5"}
    assert found.items == ("data", 0, "people")
    assert found.pages == Pages("offset", "skip", (), 1, 50, "take", ("meta", "total"))
    person = found.person
    assert person.id == ("employee.id",)
    assert person.name == (("first",), ("last",))
    assert person.manager == Manager(("boss",), "email")
    assert person.left == Flag(("status",), ("Terminated", "Retired"))
    assert person.roles == Roles(("groups",), {"HR": "hr"})
    assert person.limits == {"EUR": ("limit", "eur")}
    assert person.department is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "map.yaml is empty"),
        ("- a", "map.yaml:1:1: error: is no mapping"),
        ("a: [", "is not YAML"),
        ("person: {id: id, name: name}", "`request` is missing"),
        ("request: {path: /p}", "`person` is missing"),
        ("request: /people\nperson: {id: id, name: name}", "must have keys of its own"),
        ("request: {}\nperson: {id: id, name: name}", "map.yaml:1:10: error: request: `path`"),
        (REST + "itmes: data", "map.yaml:3:1: error: itmes: unknown key `itmes` in a mapping"),
        (REST + "items: a..b", "map.yaml:3:8: error: items: `a..b` is no path"),
        (REST.replace("/people", "people"), "request.path: must be the path alone"),
        (REST.replace("/people", "https://x/p"), "request.path: must be the path alone"),
        (REST.replace("/people", "/p, auth: bearrer"), "did you mean `bearer`?"),
        (REST.replace("/people", "/p, headers: {Cookie: x}"), "must not stand in a file"),
        (REST.replace("/people", "/p, headers: {'a b': x}"), "is no name of a header"),
        (REST.replace("/people", "/p, headers: {A: ü}"), "has odd characters"),
        (REST.replace("/people", "/p, headers: {A: [x]}"), "request.headers.A: must be text"),
        (REST + "pages: {by: cursor, next: n}", "name the parameter that carries it"),
        (REST + "pages: {by: link}", "say where in the answer it is"),
        (REST + "pages: {by: page, parameter: p, size: 5}", "go together"),
        (REST + "pages: {by: pages}", "did you mean `page`?"),
        (REST + "pages: {}", "`by` is missing"),
        (REST.replace("id: id, ", ""), "`id` is missing"),
        (REST.replace("name: name", "name: []"), "person.name: is an empty list"),
        (REST.replace("name: name", "name: name, active: {path: a}"), "list the texts"),
        (REST.replace("name: name", "name: name, active: a, left: b"), "keep one of them"),
        (REST.replace("name: name", "name: name, limits: {euro: a}"), "is no currency"),
        (REST.replace("name: name", "name: name, manager: {match: id}"), "`path` is missing"),
        (REST.replace("name: name", "name: name, roles: {}"), "`path` is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_a_fix(text: str, said: str) -> None:
    with pytest.raises(MappingInvalid) as caught:
        mapping.parse(text.encode(), "map.yaml")
    assert said in str(caught.value)
    assert "(" in str(caught.value)  # where the fix is


def test_all_that_is_wrong_is_said_at_once() -> None:
    text = b"request: {path: people, auth: x}\nperson: {id: a..b}\n"
    with pytest.raises(MappingInvalid) as caught:
        mapping.parse(text, "map.yaml")
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ("[0].a", (0, "a")),
        ("a[0][1]", ("a", 0, 1)),
        ('"x.y".z', ("x.y", "z")),
        ("Employee ID", ("Employee ID",)),
        ("", None),
        (".a", None),
        ("a.", None),
        ("a..b", None),
        ("a.[0]", None),
        ("a]", None),
        ('a"b"', None),
    ],
)
def test_paths(text: str, path: tuple[str | int, ...] | None) -> None:
    assert mapping.path_of(text) == path


def test_values_at_paths() -> None:
    item = {"a": {"b": [{"c": 1}, 2]}}
    assert mapping.value_at(item, ("a", "b", 0, "c")) == 1
    assert mapping.value_at(item, ("a", "b", 2)) is None
    assert mapping.value_at(item, ("a", 0)) is None
    assert mapping.value_at(item, ("a", "b", "c")) is None
    assert mapping.value_at(item, ("a", "x", "c")) is None
