"""The directory over HTTP: all or nothing, and what was so stays known."""

import asyncio
import time
from typing import Any

import pytest

from api import org_shapes
from recipes.model import Json
from storage.org import PersonRow
from storage.org_plan import Changes
from storage.pool import Pool
from tests.integration.house import House

FILE = """\
people:
  - {id: ann, name: Ann, email: ann@example.org, manager: ben, department: Sales}
  - {id: ben, name: Ben}
  - {id: cid, name: Cid}
roles:
  finance: [ben]
  legal: {description: Lawyers, members: [ann, cid]}
"""


async def _import(house: House, source: str) -> org_shapes.Imported:
    response = await house.post("/v1/org/import", "root", "admin", content=source)
    assert response.status_code == 200, response.text
    return org_shapes.Imported.model_validate(response.json())


def _counts(changes: org_shapes.Imported) -> dict[str, int]:
    """Those that are not 0."""
    named = changes.model_dump()
    counts = {name: named[name] for name in Changes.__slots__}
    return {name: count for name, count in counts.items() if count}


async def test_import_and_again(bare_house: House) -> None:
    changes = await _import(bare_house, FILE)
    assert _counts(changes) == {
        "people_added": 3,
        "managers_changed": 1,
        "departments_changed": 1,
        "roles_added": 2,
        "members_added": 3,
    }
    again = await _import(bare_house, FILE)
    assert (_counts(again), again.differing, again.differences) == ({}, 0, [])
    people = org_shapes.PersonPage.model_validate(
        (await bare_house.get("/v1/org/people", "ann")).json()
    )
    assert [(p.id, p.manager) for p in people.items] == [
        ("ann", "ben"),
        ("ben", None),
        ("cid", None),
    ]
    roles = org_shapes.RolePage.model_validate(
        (await bare_house.get("/v1/org/roles", "ann")).json()
    )
    assert [(r.name, r.members) for r in roles.items] == [
        ("finance", ["ben"]),
        ("legal", ["ann", "cid"]),
    ]
    assert (people.items[0].department, people.items[1].department) == ("Sales", None)
    assert await bare_house.pool.fetchval("SELECT count(*) FROM audit") == 1


async def test_what_ids_are_called(house: House) -> None:
    await house.pool.execute(
        "UPDATE people SET employed = employed * tstzmultirange(tstzrange(NULL, now())) WHERE id = 'erin'"
    )
    asked = await house.get("/v1/org/names?ids=erin,%20bob,nobody", "alice")
    found = org_shapes.NamePage.model_validate(asked.json())
    assert [(it.id, it.name, it.here) for it in found.items] == [
        ("bob", "Bob Tanaka", True),
        ("erin", "Erin Novak", False),
    ]
    many = ",".join(f"p{number}" for number in range(201))
    refused = await house.get(f"/v1/org/names?ids={many}", "alice")
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "ids")


async def test_json_and_a_list_of_roles_too(bare_house: House) -> None:
    body = {
        "people": [{"id": "ann", "name": "Ann"}],
        "roles": [{"name": "finance", "members": ["ann"]}],
    }
    response = await bare_house.post("/v1/org/import", "root", "admin", json=body)
    assert (response.status_code, response.json()["members_added"]) == (200, 1)


async def test_a_change_ends_one_interval_and_begins_the_next(bare_house: House) -> None:
    await _import(bare_house, FILE)
    changed = FILE.replace("manager: ben", "manager: cid").replace("[ann, cid]", "[cid]")
    changes = await _import(bare_house, changed)
    assert (changes.managers_changed, changes.members_removed, changes.people_changed) == (1, 1, 0)
    old, new = await bare_house.pool.fetch(
        "SELECT manager, lower(valid) AS begins, upper(valid) AS ends FROM manager_lines"
        " WHERE person = 'ann' ORDER BY lower(valid)"
    )
    assert (old["manager"], new["manager"]) == ("ben", "cid")
    assert old["ends"] == new["begins"]
    assert new["ends"] is None
    ended = await bare_house.pool.fetchval(
        "SELECT upper(valid) FROM role_members WHERE role = 'legal' AND person = 'ann'"
    )
    assert ended == old["ends"]
    assert (await _import(bare_house, FILE)).members_added == 1


async def test_leaving_and_coming_back(bare_house: House) -> None:
    await _import(bare_house, FILE)
    gone = await _import(bare_house, "people: [{id: cid, name: Cid, left: true}]")
    assert gone.people_left == 1
    listed = (await bare_house.get("/v1/org/people", "ann")).json()["items"]
    assert [person["id"] for person in listed] == ["ann", "ben"]
    roles = (await bare_house.get("/v1/org/roles", "ann")).json()["items"]
    assert roles[1]["members"] == ["ann"]
    assert (await _import(bare_house, "people: [{id: cid, name: Cid}]")).people_returned == 1


@pytest.mark.parametrize(
    ("source", "status", "pointer"),
    [
        ("people: [{id: ann, name: Ann, manager: zoe}]", 422, "/people/0/manager"),
        ("people: [{id: ann, name: Ann, manager: ann}]", 422, "/people/0"),
        ("people: [{id: ann, name: Ann, left: true}]", 422, "/people/0/left"),
        ("people: [{id: ann, name: Ann}, {id: ann, name: Bo}]", 422, "/people/1"),
        ("people: [{id: ann}]", 422, "/people/0/name"),
        ("people: [{id: 'a b', name: Ann}]", 422, "/people/0/id"),
        ("people: [{id: ann, name: Ann, colour: red}]", 422, "/people/0/colour"),
        ("roles: {finance: [zoe]}", 422, "/roles/finance/members/0"),
        ("people: [{id: ann, name: Ann, attributes: {x: .inf}}]", 422, "/people/0/attributes/x"),
        (
            "people: [{id: ann, name: Ann, attributes: {x: [.nan]}}]",
            422,
            "/people/0/attributes/x/0",
        ),
        (
            "people: [{id: a, name: A, attributes: {x: !!binary '/w=='}}]",
            422,
            "/people/0/attributes/x",
        ),
        ("people: [{id: a, name: A, attributes: {x: !!set {a}}}]", 422, "/people/0/attributes/x"),
        ("people: [{id: a, name: A, attributes: {x: 2026-01-01}}]", 422, "/people/0/attributes/x"),
        ("people: [{id: a, name: A, attributes: {x: {.inf: 1}}}]", 422, "/people/0/attributes/x"),
        (
            "people: [{id: a, name: A, attributes: {x: 0xfffffffffffffffff}}]",
            422,
            "/people/0/attri",
        ),
        (
            f"people: [{{id: a, name: A, attributes: {{x: {'[' * 40}{']' * 40}}}}}]",
            422,
            "/people/0/attri",
        ),
        (
            f"people: [{{id: a, name: A, attributes: {{x: 0x{'f' * 5000}}}}}]",
            422,
            "/people/0/attri",
        ),
        ('people: [{id: a, name: A, attributes: {x: "a\\0b"}}]', 422, "/people/0/attributes"),
        ("robots: []", 422, "/robots"),
        ("[1, 2]", 422, ""),
    ],
)
async def test_files_that_are_refused(
    bare_house: House, source: str, status: int, pointer: str
) -> None:
    before = f"people: [{{id: bob, name: Bob}}]\n{source}" if source.startswith("roles") else source
    response = await bare_house.post("/v1/org/import", "root", "admin", content=before)
    assert response.status_code == status, response.text
    assert response.json()["errors"][0]["pointer"].startswith(pointer)
    assert await bare_house.pool.fetchval("SELECT count(*) FROM people") == 0


@pytest.mark.parametrize(
    "source",
    [
        b"a: [",
        b"\xff",
        b"a: &x [1]\nb: *x",
        b"!!python/object:os.system {}",
        b"[" * 50_000,
        b"roles: {fin: [], fin: []}",
    ],
)
async def test_files_that_are_no_yaml(bare_house: House, source: bytes) -> None:
    response = await bare_house.post("/v1/org/import", "root", "admin", content=source)
    assert response.status_code in (400, 422), response.text


async def test_problems_are_plain_and_all_at_once(bare_house: House) -> None:
    async def post(source: str) -> Any:
        response = await bare_house.post("/v1/org/import", "root", "admin", content=source)
        assert response.status_code == 422, response.text
        return [(e["pointer"], e["message"]) for e in response.json()["errors"]]

    assert await post("people: [{id: a, name: 'A', manger: b}]\nroles: {x: {membres: [a]}}") == [
        ("/people/0/manger", "unknown key `manger`: did you mean `manager`?"),
        ("/roles/x/membres", "unknown key `membres`: did you mean `members`?"),
    ]
    assert await post(
        "people: [{id: a, name: A, manager: b}, {id: b, name: B, manager: a},"
        " {id: b, name: B, manager: a}, {id: c, name: C, manager: zoe}]\nroles: {x: [yan]}"
    ) == [
        ("/people/2", "b is here twice"),
        ("/people/3/manager", "there is no person zoe"),
        ("/roles/x/members/0", "there is no person yan"),
        ("/people/0/manager", "these would manage each other: a -> b -> a"),
    ]
    assert (await post(""))[0][1].startswith("names no people")


async def test_nobody_manages_whoever_manages_them(bare_house: House) -> None:
    async def post(source: str) -> Any:
        return await bare_house.post("/v1/org/import", "root", "admin", content=source)

    at_once = await post(
        "people: [{id: x, name: X, manager: a}, {id: b, name: B, manager: c},"
        " {id: c, name: C, manager: a}, {id: a, name: A, manager: b}]"
    )
    assert at_once.status_code == 422
    assert at_once.json()["errors"] == [
        {
            "pointer": "/people/1/manager",
            "message": "these would manage each other: b -> c -> a -> b",
            "fix": "one of them reports to somebody else, or to nobody",
        }
    ]
    await _import(bare_house, FILE)
    # With what is there already; ann reports to ben.
    later = await post("people: [{id: cid, name: Cid}, {id: ben, name: Ben, manager: ann}]")
    assert later.status_code == 422
    [error] = later.json()["errors"]
    assert error["pointer"] == "/people/1/manager"
    assert error["message"].endswith("ben -> ann -> ben")
    assert (await post("people: [{id: ben, name: Ben}]")).status_code == 200
    turned = "people: [{id: ann, name: Ann}, {id: ben, name: Ben, manager: ann}]"
    assert (await post(turned)).status_code == 200


async def test_a_long_line_of_managers_is_judged_quickly(bare_house: House) -> None:
    people: list[Json] = [{"id": f"p{n}", "name": "P", "manager": f"p{n + 1}"} for n in range(5000)]
    file: Json = {"people": [*people, {"id": "p5000", "name": "P", "manager": "p0"}]}
    begun = time.perf_counter()
    response = await bare_house.post("/v1/org/import", "root", "admin", json=file)
    assert response.status_code == 422
    assert time.perf_counter() - begun < 5
    assert len(response.text) < 2000


async def test_only_administrators_import(bare_house: House) -> None:
    response = await bare_house.post("/v1/org/import", "ann", content=FILE)
    assert response.status_code == 403


async def test_two_imports_at_once_come_one_after_the_other(
    bare_house: House, admin_pool: Pool
) -> None:
    people: list[Json] = [{"id": f"p{n}", "name": f"P {n}"} for n in range(20)]
    files: list[Json] = [
        {"people": [{**p, "manager": boss} for p in people] + [{"id": boss, "name": boss}]}
        for boss in ("x", "y")
    ]
    for _ in range(5):
        responses = await asyncio.gather(
            *(bare_house.post("/v1/org/import", "root", "admin", json=file) for file in files)
        )
        assert [response.status_code for response in responses] == [200, 200]
    overlaps = await admin_pool.fetchval(
        "SELECT count(*) FROM manager_lines WHERE upper_inf(valid) GROUP BY person HAVING count(*) > 1"
    )
    assert overlaps is None


async def test_lists_come_in_pages(bare_house: House) -> None:
    await bare_house.import_org(tuple(PersonRow(f"p{n}", f"P {n}") for n in range(5)), ())
    seen: list[str] = []
    query: dict[str, Json] = {"limit": 2}
    while True:
        page = (await bare_house.get("/v1/org/people", "p0", params=query)).json()
        seen += [person["id"] for person in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["p0", "p1", "p2", "p3", "p4"]


async def _send(
    house: House, source: str, media_type: str = "application/yaml", **asked: Json
) -> Any:
    headers = {"Content-Type": media_type}
    return await house.post(
        "/v1/org/import", "root", "admin", content=source, headers=headers, params=asked
    )


async def test_a_dry_run_says_what_the_import_then_does(bare_house: House) -> None:
    await _import(bare_house, FILE)
    changed = """\
people:
  - {id: ann, name: Anna, email: ann@example.org, manager: cid, time_zone: Europe/Paris,
     limits: {EUR: 100.50}, title: Boss}
  - {id: cid, name: Cid, left: 2199-12-31}
  - {id: ben, name: Ben, left: true}
  - {id: dan, name: Dan, department: New, joined: 2020-01-01}
roles: {legal: {description: Lawyers, members: [dan, cid]}}
"""
    before = await bare_house.pool.fetchval("SELECT count(*) FROM audit")
    dry = (await _send(bare_house, changed, dry_run=True)).json()
    assert await bare_house.pool.fetchval("SELECT count(*) FROM audit") == before
    assert await bare_house.pool.fetchval("SELECT name FROM people WHERE id = 'ann'") == "Ann"
    real = (await _send(bare_house, changed)).json()
    said = [
        [(d["subject"], d["fact"], d["from"], d["to"]) for d in found["differences"]]
        for found in (dry, real)
    ]
    timeless = [[d for d in found if d[:2] != ("user:ben", "leaves")] for found in said]
    assert timeless[0] == timeless[1]
    assert ("user:ann", "manager", "ben", "cid") in said[1]
    assert ("user:ann", "department", "Sales", None) in said[1]
    assert ("user:ann", "limits.EUR", None, "100.5") in said[1]
    assert ("user:ann", "attributes.title", None, "Boss") in said[1]
    assert ("user:cid", "leaves", None, "2200-01-01T00:00:00Z") in said[1]
    assert ("role:legal", "member", "ann", None) in said[1]
    assert (dry["dry_run"], dry["truncated"], dry["people_left"]) == (True, False, 2)
    assert (await _send(bare_house, changed)).json()["differing"] == 0
    seen = (await bare_house.get("/v1/org/people/dan", "ann")).json()
    assert (seen["joined"], seen["department"], seen["limits"]) == (
        "2020-01-01T00:00:00Z",
        "New",
        None,
    )
    ann = (await bare_house.get("/v1/org/people/ann", "ann")).json()
    assert (ann["managers"], ann["roles"], ann["limits"]) == (["cid"], [], {"EUR": "100.5"})


async def test_csv_leaves_alone_what_it_has_no_column_for(bare_house: House) -> None:
    await _import(bare_house, FILE)
    file = "id,department,roles\nann,Law,finance;new\ngone,,\n"
    refused = await _send(bare_house, file, "text/csv")
    assert refused.json()["errors"][0] == {
        "row": 3,
        "column": "name",
        "message": "is missing",
        "fix": "give the name of whoever is new",
    }
    changes = (await _send(bare_house, file.replace("gone,,\n", ""), "text/csv")).json()
    assert changes["differing"] == 5
    ann = (await bare_house.get("/v1/org/people/ann", "ann")).json()
    assert (ann["name"], ann["manager"], ann["department"]) == ("Ann", "ben", "Law")
    assert ann["roles"] == ["finance", "new"]


async def test_a_feed_leaves_out_who_had_left_before(bare_house: House) -> None:
    file = "id,name,manager,left\nann,Ann,zed,\nzed,Zed,,2020-01-01\n"
    found = (await _send(bare_house, file, "text/csv")).json()
    assert (found["people_added"], found["people_left_out"]) == (1, 1)
    assert found["warnings"][0]["row"] == 3


async def test_a_whole_directory(bare_house: House) -> None:
    everybody = ", ".join(f"{{id: p{n}, name: P}}" for n in range(30))
    await _import(bare_house, f"people: [{everybody}]\nroles: {{a: [p1], b: [p2]}}")
    few = "people: [{id: p1, name: P}]\nroles: {a: [p1]}"
    refused = await _send(bare_house, few, whole=True)
    assert (refused.status_code, refused.json()["type"][-14:]) == (409, "mass_departure")
    found = (await _send(bare_house, few, whole=True, allow_mass_departure=True)).json()
    assert (found["people_left"], found["members_removed"]) == (29, 1)


async def test_every_mistake_at_once(bare_house: House) -> None:
    file = "people: [{id: a}, {id: b, name: B, manager: zoe, time_zone: Europe/Pari, limits: {eur: -1}}]"
    errors = (await _send(bare_house, file)).json()["errors"]
    assert [e["pointer"] for e in errors] == [
        "/people/0/name",
        "/people/1/time_zone",
        "/people/1/limits",
        "/people/1/limits",
        "/people/1/manager",
    ]
    assert errors[1]["fix"] == "did you mean Europe/Paris?"


async def test_people_as_of_a_moment(bare_house: House) -> None:
    await _import(bare_house, FILE)
    then = await bare_house.pool.fetchval("SELECT clock_timestamp()")
    await _import(bare_house, "people: [{id: ann, name: Ann, left: true}]")
    now = (await bare_house.get("/v1/org/people", "ben", params={"q": "ann"})).json()
    asked = {"q": "ann", "at": then.isoformat()}
    past = (await bare_house.get("/v1/org/people", "ben", params=asked)).json()
    assert (len(now["items"]), len(past["items"])) == (0, 1)
    assert (await bare_house.get("/v1/org/people/nobody", "ben")).status_code == 404
