"""Readers of the directory's files: what they make of each format, and where they say a problem is."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic_core import to_json

from api import org_file
from api.errors import Problem
from api.org_entries import Reading

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OURS = "urn:countersign:params:scim:schemas:extension:2.0:User"


def _csv(text: str) -> Reading:
    return org_file.read(text.encode(), "csv")


def _scim(payload: Any) -> Reading:
    return org_file.read(to_json(payload), "scim")


def test_csv_in_full() -> None:
    text = (
        "\ufeffid,Name,email,manager,department,time_zone,joined,left,roles,limits,title\r\n"
        'ann,"Ann, the first",ann@x.org,ben,Sales,Europe/Paris,2020-03-01,2030-12-31,"a; b","EUR 10000; usd 12.50",Boss\r\n'
        "\r\n"
        "ben,Ben,,,,,,yes,,,\r\n"
    )
    ann, ben = _csv(text).people
    assert (ann.name, ann.manager, ann.department) == ("Ann, the first", "ben", "Sales")
    assert (ann.joined, ann.left) == (date(2020, 3, 1), date(2030, 12, 31))
    assert (ann.roles, ann.attributes) == (("a", "b"), {"title": "Boss"})
    assert ann.limits == {"EUR": Decimal(10000), "USD": Decimal("12.50")}
    assert (ben.left, ben.roles, ben.limits, ben.time_zone) == (True, (), {}, "UTC")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters_and_what_is_not_said(delimiter: str) -> None:
    found = _csv(delimiter.join(("id", "manager", "cost")) + "\n" + delimiter.join("abc") + "\n")
    assert found.keeps == {"name", "email", "department", "time_zone", "limits"}
    assert found.attributes == {"cost"}
    assert (found.people[0].manager, found.people[0].roles) == ("b", None)


def test_csv_problems_by_row_and_column() -> None:
    found = _csv(
        "id,name,left,limits,roles\n"
        "a b,A,,,\n"
        "ok,,,,\n"
        "\n"
        "c,C,31.12.2026,EUR x; nonsense,a b\n"
        "d,D,,,,,more\n"
    )
    places = [(p["row"], p.get("column")) for p in found.problems]
    assert places == [
        (2, "id"), (3, "name"), (5, "limits"), (5, "roles"), (5, "limits"), (5, "left"), (6, None),
    ]  # fmt: skip
    assert found.people == []


@pytest.mark.parametrize(
    "source",
    [b"\xff\xfe", b"name\nAnn\n", b"id,id\na,b\n", b'id,name\na,"b\n', b"id,name\n", b" "],
)
def test_csv_that_is_none(source: bytes) -> None:
    with pytest.raises(Problem):
        org_file.read(source, "csv")


def _users() -> list[Any]:
    return [
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "id": "1",
            "externalId": "E1",
            "userName": "ann",
            "name": {"formatted": "Ann A"},
            "emails": [{"value": "x@x.org"}, {"value": "ann@x.org", "primary": True}],
            "timezone": "Europe/Paris",
            "active": "True",
            "phoneNumbers": [],
            ENTERPRISE: {
                "department": "Sales",
                "manager": {"$ref": "../Users/2"},
                "costCenter": "7",
            },
        },
        {"id": "2", "USERNAME": "ben", "displayName": "Ben", "active": False, "phoneNumbers": []},
    ]


def test_scim_list() -> None:
    group = {
        "displayName": "HR Admins",
        "members": [{"value": "1"}, {"value": "g", "type": "Group"}],
    }
    found = _scim({"totalResults": 3, "Resources": [*_users(), group]})
    ann, ben = found.people
    assert (ann.id, ann.name, ann.email, ann.manager) == ("ann", "Ann A", "ann@x.org", "ben")
    assert (ann.department, ann.time_zone, ann.left) == ("Sales", "Europe/Paris", False)
    assert ann.attributes == {"cost_center": "7", "external_id": "E1"}
    assert (ben.id, ben.left) == ("ben", True)
    [role] = found.roles
    assert (role.name, role.members, role.description) == ("HR-Admins", ("ann",), "HR Admins")
    assert found.keeps == {"limits"}
    said = [warning["message"] for warning in found.warnings]
    assert said == [
        "the group HR Admins is the role HR-Admins",
        "not kept: groups in groups",
        "not kept: phoneNumbers (2 times)",
    ]


def test_scim_bulk_and_single() -> None:
    ann, ben = _users()
    ann[ENTERPRISE]["manager"] = {"value": "bulkId:q"}
    ben[OURS] = {"limits": {"EUR": "10"}}
    operations = [
        {"method": "PUT", "path": "/Users/1", "data": ann},
        {"method": "post", "path": "/Users", "bulkId": "q", "data": ben},
        {"method": "DELETE", "path": "/Users/9"},
    ]
    found = _scim({"Operations": operations})
    assert [person.manager for person in found.people] == ["ben", None]
    assert (found.keeps, found.people[1].limits) == (frozenset(), {"EUR": Decimal(10)})
    assert [p["pointer"] for p in found.problems] == ["/Operations/2/method"]
    assert _scim(_users()[1]).people[0].id == "ben"


def test_scim_problems_by_pointer() -> None:
    users = [{"userName": "a b", "displayName": "A"}, {"userName": "c"}, {"displayName": "D"}, 5]
    found = _scim({"Resources": users})
    assert [p["pointer"] for p in found.problems] == [
        "/Resources/3",
        "/Resources/0/userName",
        "/Resources/1/displayName",
    ]
    with pytest.raises(Problem):
        _scim([1])


def test_yaml_days_and_amounts() -> None:
    source = b"people: [{id: a, name: A, joined: 2026-01-01, left: 2030-01-01T00:00:00Z, limits: {EUR: 0.1}}]"
    [row] = org_file.read(source, "yaml").people
    assert (row.joined, row.left) == (date(2026, 1, 1), datetime(2030, 1, 1, tzinfo=UTC))
    assert row.limits == {"EUR": Decimal("0.1")}
    wrong = (
        b"people: [{id: a, name: A, joined: true, left: soon, limits: {EUR: 12345678901234567.5}}]"
    )
    problems = org_file.read(wrong, "yaml").problems
    assert [p["pointer"].rpartition("/")[2] for p in problems] == ["EUR", "joined", "left"]


def test_media_types() -> None:
    assert org_file.format_of("text/csv; charset=utf-8") == "csv"
    assert org_file.format_of(None) == "yaml"
    with pytest.raises(Problem):
        org_file.format_of("image/png")


def test_what_is_nested_too_deep_is_refused_before_it_is_loaded() -> None:
    with pytest.raises(Problem, match="nested deeper than 100"):
        org_file.read(b"people: " + b"[" * 50_000 + b"]" * 50_000, "yaml")


@pytest.mark.parametrize("amount", ["1e-999999999", "0e-999999999", "0e999999999"])
def test_an_amount_that_would_fill_the_memory_written_out(amount: str) -> None:
    reading = _csv(f"id,name,limits\nzed,Zed,EUR {amount}\n")
    [problem] = reading.problems
    assert (problem["row"], problem["column"]) == (2, "limits")
    assert "must be an amount" in str(problem["message"])


def test_columns_by_the_thousand() -> None:
    """In a moment; each held against each other, it would be minutes."""
    header = ",".join(["id", "name", *(f"a{n}" for n in range(30_000))])
    began = time.process_time()
    assert len(_csv(f"{header}\nzed,Zed\n").people) == 1
    assert time.process_time() - began < 5
