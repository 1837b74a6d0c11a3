"""Rows of the directory out of another system's items; and lists that can't be right."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from activities import mapping, people
from activities.pages import SourceFailed
from activities.people import Mapped
from storage.org import PersonRow

PLAIN = "id: id, name: name"


def mapped(items: list[Any], person: str = PLAIN) -> Mapped:
    text = f"request: {{path: /people}}\nperson: {{{person}}}\n"
    return people.rows(items, mapping.parse(text.encode(), "map.yaml"))


def one(item: dict[str, Any], person: str) -> PersonRow:
    [row] = mapped([{"id": "ann", "name": "Ann"} | item], f"{PLAIN}, {person}").people
    return row


def test_what_is_not_mapped_is_not_said() -> None:
    found = mapped([{"id": 17, "name": " Ann \n Lee\x00 "}])
    assert found.people == (PersonRow("17", "Ann Lee"),)
    assert found.unsaid == {
        "email",
        "manager",
        "department",
        "time_zone",
        "limits",
        "attributes",
    }


def test_everything_that_can_be_mapped() -> None:
    row = one(
        {
            "first": "Ann",
            "mail": "ann@example.org",
            "job": {"unit": "Sales", "title": "Head"},
            "zone": "Europe/Berlin",
            "limit": Decimal("5000.50"),
            "groups": ["HR", "Unknown", "HR"],
            "end": "2030-12-31T00:00:00",
        },
        "email: mail, department: job.unit, title: job.title, time_zone: zone,"
        " limits: {EUR: limit}, roles: {path: groups, names: {HR: hr}}, last_day: end",
    )
    assert row == PersonRow(
        id="ann",
        name="Ann",
        email="ann@example.org",
        attributes={"title": "Head"},
        left=date(2030, 12, 31),
        department="Sales",
        time_zone="Europe/Berlin",
        limits={"EUR": Decimal("5000.50")},
        roles=("hr",),
    )


def test_a_person_without_a_name_is_called_by_their_id() -> None:
    assert mapped([{"id": "ann"}]).people[0].name == "ann"


def test_names_are_joined() -> None:
    found = mapped([{"id": "a", "f": "Ann", "l": "Lee"}], "id: id, name: [f, m, l]")
    assert found.people[0].name == "Ann Lee"


@pytest.mark.parametrize(
    ("value", "person", "left"),
    [
        ("1", "active: s", False),
        ("0", "active: s", True),
        (True, "active: s", False),
        (False, "active: s", True),
        (1, "left: s", True),
        ("No", "left: s", False),
        ("Active", "active: {path: s, is: [Active, On Leave]}", False),
        ("Terminated", "active: {path: s, is: [Active, On Leave]}", True),
        ("Terminated", "left: {path: s, is: [Terminated]}", True),
        (None, "left: {path: s, is: [Terminated]}", False),
        (None, "last_day: s", False),
        ("", "last_day: s", False),
    ],
)
def test_who_has_left(value: Any, person: str, left: bool) -> None:
    assert one({"s": value}, person).left is left


LINE = [
    {"id": "ann", "name": "Ann", "mail": "ANN@x", "boss": "ben"},
    {"id": "ben", "name": "Ben", "mail": "ben@x", "boss": "ben"},
    {"id": "cy", "name": "Cy", "mail": "cy@x", "boss": "nobody"},
    {"id": "di", "name": "Di", "mail": "di@x"},
]


def test_managers_are_those_of_the_list_and_nobody_their_own() -> None:
    found = mapped(LINE, f"{PLAIN}, manager: boss")
    assert [row.manager for row in found.people] == ["ben", None, None, None]
    assert found.doubts == ("1 managers are not on the list",)


def test_managers_by_their_address_or_name() -> None:
    items = [{**LINE[0]}, {**LINE[1], "boss": "Ann@X"}]
    by_mail = mapped(items, f"{PLAIN}, email: mail, manager: {{path: boss, match: email}}")
    assert [row.manager for row in by_mail.people] == [None, "ann"]
    named = [{**LINE[0], "boss": "BEN"}, LINE[1], {**LINE[2], "boss": "Ann"}]
    by_name = mapped(named, f"{PLAIN}, manager: {{path: boss, match: name}}")
    assert [row.manager for row in by_name.people] == ["ben", None, "ann"]


def test_two_of_a_name_are_nobodys_manager_by_it() -> None:
    items = [{"id": "a", "name": "Ann"}, {"id": "b", "name": "Ann"}, {"id": "c", "boss": "Ann"}]
    found = mapped(items, f"{PLAIN}, manager: {{path: boss, match: name}}")
    assert found.people[2].manager is None
    assert found.doubts == ("1 managers' names are not theirs alone",)


def test_circles_of_managers_are_cut_out() -> None:
    lines = {"a": "b", "b": "c", "c": "b", "d": "a", "e": "f", "f": "e", "g": None}
    items = [{"id": person, "boss": boss} for person, boss in lines.items()]
    found = mapped(items, f"{PLAIN}, manager: boss")
    assert {row.id: row.manager for row in found.people} == {
        "a": "b",
        "b": None,
        "c": None,
        "d": "a",
        "e": None,
        "f": None,
        "g": None,
    }
    assert found.doubts == ("4 people would manage each other in a circle",)


def test_what_is_in_doubt_is_counted() -> None:
    items = [{"id": "a", "z": "Mars/Base", "r": "a role!"}]
    found = mapped(items, f"{PLAIN}, time_zone: z, roles: r")
    assert found.people[0].time_zone == "UTC"
    assert found.people[0].roles == ()
    assert len(found.doubts) == 2


@pytest.mark.parametrize(
    ("items", "person", "said"),
    [
        ([], PLAIN, "is empty"),
        (["ann"], PLAIN, "number 1 of the list is no object"),
        ([{"id": "ann"}, {"name": "Ben"}], PLAIN, "number 2 of the list has no id"),
        ([{"id": "  "}], PLAIN, "has no id"),
        ([{"id": "Ann Lee"}], PLAIN, "an id that we can't keep"),
        ([{"id": {"a": 1}}], PLAIN, "does not have a text at `person.id`"),
        ([{"id": "ann"}, {"id": "ann"}], PLAIN, "the id ann 2 times"),
        ([{"id": "ann", "x": []}], f"{PLAIN}, email: x", "person.email"),
        ([{"id": "ann", "x": "perhaps"}], f"{PLAIN}, active: x", "true or false"),
        ([{"id": "ann"}], f"{PLAIN}, active: x", "true or false"),
        ([{"id": "ann", "x": "soon"}], f"{PLAIN}, last_day: x", "a day such as"),
        ([{"id": "ann", "x": "much"}], f"{PLAIN}, limits: {{EUR: x}}", "a number"),
        ([{"id": "ann", "x": "Infinity"}], f"{PLAIN}, limits: {{EUR: x}}", "an amount"),
        ([{"id": "ann", "x": -1}], f"{PLAIN}, limits: {{EUR: x}}", "an amount"),
        ([{"id": "ann", "x": [1]}], f"{PLAIN}, roles: x", "names of roles"),
    ],
)
def test_lists_that_cannot_be_right(items: list[Any], person: str, said: str) -> None:
    with pytest.raises(SourceFailed, match="list") as caught:
        mapped(items, person)
    assert said in str(caught.value)
