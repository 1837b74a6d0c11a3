"""What a recipe keeps confidential: nowhere in the clear, and shown to the entitled alone, whatever they ask."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from api import life_shapes, migrating, past_shapes, schemas
from api.past_rows import PastEntry
from contract import boxes
from contract.canonical import canonical
from recipes.model import Json
from recipes.parse import parse
from storage import events, history, idempotency, jobs, replay, revisions
from storage.commits import decisions_on
from storage.jobs import Line
from storage.org import PersonRow, RoleRow
from storage.pool import Pool, vault_of
from tests.integration.browsing import shown, signed_in
from tests.integration.carried import Carried
from tests.integration.delegating import delegate
from tests.integration.house import PEOPLE, ROLES, House, Workflow
from tests.integration.sweeping import swept
from tests.integration.sweeping import told as told_of_stale
from tests.integration.test_attachments import attach
from tests.integration.test_jobs import NOW, ends

WORD = "quillfeather"
"""Is in all that is confidential here, and in nothing else."""
GINA, HUGO = PersonRow("gina", "Gina Lund"), PersonRow("hugo", "Hugo Berg")
STAFF = (*PEOPLE, GINA, HUGO)
HELD = (*ROLES, RoleRow("ombuds", ("gina",)), RoleRow("finance", ("hugo",)))
GRIEVANCE = """
workflow: grievance
version: {version}
title: "About {{{{ whom }}}}"
owner: house
confidential: {{visible_to: [{visible_to}]}}
inputs: {{type: object, required: [whom], properties: {{whom: {{type: string}}, marks: {{type: number}}}}}}
steps:
  - {{id: file, run: file_case, with: {{whom: "{{{{ whom }}}}"}}}}
  - {{id: first, approver: "user:bob"}}
  - {{id: pool, candidates: role:hr}}
"""
SALARY = Path(__file__).parents[2] / "workflows_yaml" / "salary_change.v1.yaml"
RAISE: dict[str, Json] = {
    "person": "Alice Moreau",
    "starts_on": "2026-04-01",
    "before": 50000,
    "after": 54321.25,
    "why": f"{WORD}: another offer",
}
HIDDEN = ["/inputs/after", "/inputs/before", "/inputs/why"]


def grievance(version: int = 1, visible_to: str = "ombuds") -> str:
    return GRIEVANCE.format(version=version, visible_to=visible_to)


@pytest.fixture
async def office(house: House) -> House:
    """frank owns; gina is of the ombuds office, hugo of finance."""
    await house.import_org(STAFF, HELD)
    for text in (grievance(), SALARY.read_text()):
        await house.publish(parse(text).recipe)
    return house


async def said(office: House, who: str, path: str, **body: Json) -> Any:
    response = await office.post(path, who, json=body)
    assert response.status_code in (200, 201), response.text
    return response.json()


async def looked(office: House, who: str, path: str, *roles: str, **query: Any) -> Any:
    response = await office.get(path, who, *roles, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def request_as(office: House, request: str, who: str, *roles: str) -> dict[str, Any]:
    found: dict[str, Any] = await looked(office, who, f"/v1/requests/{request}", *roles)
    schemas.Request.model_validate(found)
    return found


async def surfaces(office: House, request: str, who: str, *roles: str) -> str:
    """All that somebody is shown about a request, wherever."""
    shown = await request_as(office, request, who, *roles)
    paths = [
        f"/v1/requests/{request}",
        f"/v1/requests/{request}/events?limit=200",
        f"/v1/requests/{request}/comments",
        "/v1/requests",
        "/v1/tasks?state=all",
        "/v1/questions?state=all",
        "/v1/notifications?state=all",
        "/v1/incidents",
        *(f"/v1/tasks/{it['id']}" for it in shown["tasks"]),
        *(f"/v1/org/explain?task={it['id']}" for it in shown["tasks"]),
        *(f"/v1/requests/{request}/attachments/{it['id']}" for it in shown["attachments"]),
    ]
    texts = [(await office.get(path, who, *roles)).text for path in paths]
    return "\n".join(texts).lower()


async def in_the_clear(admin: Pool, *words: str) -> list[str]:
    """The tables in which a superuser, who sees every row, finds one of the words."""
    names = await admin.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    spelled = [each.lower() for word in words for each in (word, word.encode().hex())]
    found: list[str] = []
    for table in names:
        rows = await admin.fetch(f"SELECT lower(t::text) AS row FROM {table['name']} t")
        found += [table["name"] for row in rows if any(word in row["row"] for word in spelled)]
    return found


@asynccontextmanager
async def told(office: House) -> AsyncIterator[Carried]:
    """A grievance of alice's with all that can be beside one: it came in twice, bob approved it, and it
    waits for hr. carol watches it."""
    flow = await office.begun("alice", "grievance", {"whom": f"{WORD} One", "marks": 1.5})
    carried = Carried(office, flow)
    request = flow.state.request_id
    at = f"/v1/requests/{request}"
    await filed(office, flow)
    task = f"/v1/tasks/{flow.task}"
    question = await said(office, "bob", f"{task}/questions", to="alice", text=f"{WORD}?")
    await said(office, "alice", f"/v1/questions/{question['id']}/answer", text=f"{WORD}!")
    await said(office, "alice", f"{at}/comments", text=f"{WORD} happened")
    pdf = b"%PDF-1.7\n%" + WORD.encode()
    made = await attach(office, request, "alice", f"{WORD}.pdf", pdf)
    assert made.status_code == 201, made.text
    await said(office, "alice", f"{at}/watchers", person="carol")
    await said(office, "bob", f"{task}/approvers", add="dave", where="after", comment=f"{WORD} too")
    changes = await office.decide("bob", flow.task, "request_changes", comment=f"{WORD}: when?")
    assert changes.status_code == 200, changes.text
    await carried.settled()
    again = {"whom": f"{WORD} Two", "marks": 2.5}
    await said(office, "alice", f"{at}/resubmit", inputs=again, comment=f"{WORD}: then")
    await carried.settled()
    await filed(office, flow)
    decided = await office.decide(
        "bob", flow.task, "approve", comment=f"{WORD}: so it is", reason=f"{WORD}: seen"
    )
    assert decided.json()["decision"]["comment"] == f"{WORD}: so it is"
    assert decided.json()["title"] == f"About {WORD} Two"
    await carried.settled()
    yield carried
    await carried.ended()


async def filed(office: House, flow: Workflow) -> None:
    job = flow.state.job
    assert job is not None
    about = UUID(flow.state.request_id)
    lines = [Line(1, NOW, "started"), Line(1, NOW, "failed", f"{WORD} not found")]
    await jobs.log(office.pool, about, UUID(job.id), lines)
    await ends(flow, {"case": f"case of {WORD}"})


# --- all of it ------------------------------------------------------------------------------------


async def test_all_of_a_request_for_the_entitled_alone(office: House, admin_pool: Pool) -> None:
    async with told(office) as carried:
        request = carried.flow.state.request_id
        for who, *roles in (("alice",), ("bob",), ("dave",), ("erin",), ("gina", "auditor")):
            found = await request_as(office, request, who, *roles)
            assert (found["title"], found["inputs"]) == (
                f"About {WORD} Two",
                {"whom": f"{WORD} Two", "marks": 2.5},
            )
            assert found["withheld"] == []
            assert [each["text"] for each in found["comments"]] == [f"{WORD} happened"]
            [question], [file] = found["questions"], found["attachments"]
            assert (question["text"], question["answer"]) == (f"{WORD}?", f"{WORD}!")
            assert (file["name"], len(file["sha256"])) == (f"{WORD}.pdf", 64)
            place = f"/v1/requests/{request}/attachments/{file['id']}"
            assert WORD.encode() in (await office.get(place, who, *roles)).content
            assert [each["comment"] for each in found["decisions"]] == [
                f"{WORD}: when?",
                f"{WORD}: so it is",
            ]
            assert found["decisions"][1]["reason"] == f"{WORD}: seen"
            first, second = found["revisions"]
            assert (first["title"], second["comment"]) == (f"About {WORD} One", f"{WORD}: then")
            whom = {"pointer": "/inputs/whom", "from": f"{WORD} One", "to": f"{WORD} Two"}
            assert whom in second["changed"]
            job = found["jobs"][0]
            assert (job["inputs"], job["output"]) == (
                {"whom": f"{WORD} One"},
                {"case": f"case of {WORD}"},
            )
            assert job["log"][1]["detail"] == f"{WORD} not found"
            [listed] = (await looked(office, who, "/v1/requests", *roles))["items"]
            assert (listed["title"], listed["withheld"]) == (f"About {WORD} Two", [])
        for who, *roles in (("frank",), ("carol",), ("root", "admin"), ("tess", "auditor")):
            assert WORD not in await surfaces(office, request, who, *roles)
            found = await request_as(office, request, who, *roles)
            assert (found["title"], found["inputs"]) == ("Grievance", {})
            assert found["withheld"] == ["/inputs", "/title"]
            assert found["comments"][0]["withheld"] == ["/text"]
            assert found["questions"][0]["withheld"] == ["/title", "/text", "/answer"]
            assert found["attachments"][0]["withheld"] == ["/name", "/sha256"]
            assert found["decisions"][1]["withheld"] == ["/comment", "/reason"]
            assert found["tasks"][0]["withheld"] == ["/title", "/decision/comment"]
            assert found["revisions"][1]["withheld"] == ["/title", "/comment", "/changed"]
            assert found["revisions"][1]["changed"] == []
            assert found["jobs"][0]["withheld"] == ["/inputs", "/output", "/log/1/detail"]
            place = f"/v1/requests/{request}/attachments/{found['attachments'][0]['id']}"
            assert (await office.get(place, who, *roles)).status_code == 403
        assert (await office.get(f"/v1/requests/{request}", "hugo")).status_code == 404
        assert await in_the_clear(admin_pool, WORD) == []


async def test_inboxes_say_what_it_is_about(office: House) -> None:
    async with told(office) as carried:
        [waiting] = (await looked(office, "erin", "/v1/tasks"))["items"]
        assert (waiting["title"], waiting["withheld"]) == (f"About {WORD} Two", [])
        task = await looked(office, "erin", f"/v1/tasks/{waiting['id']}")
        assert (task["inputs"]["whom"], task["withheld"]) == (f"{WORD} Two", [])
        for who in ("frank", "carol"):
            task = await looked(office, who, f"/v1/tasks/{waiting['id']}")
            assert (task["title"], task["inputs"]) == ("Grievance", {})
            assert task["withheld"] == ["/inputs", "/title"]
        closed = (await looked(office, "bob", "/v1/tasks", state="closed"))["items"]
        assert {each["title"] for each in closed} == {f"About {WORD} Two"}
        path = f"/v1/tasks/{waiting['id']}/claim"
        assert (await said(office, "erin", path))["title"] == f"About {WORD} Two"
        preview = await said(office, "erin", "/v1/decisions/preview", decision="approve", filter={})
        assert [each["title"] for each in preview["tasks"]] == [f"About {WORD} Two"]
        # Another request than was looked at: what has changed is for whoever may decide it.
        body: dict[str, str] = {"decision": "approve", "digest": "0" * 32}
        other = await office.post(f"/v1/tasks/{waiting['id']}/decisions", "erin", json=body)
        assert (other.status_code, other.json()["digest"]) == (409, waiting["digest"])
        first, *_ = await revisions.of_request(office.pool, UUID(carried.flow.state.request_id))
        body["digest"] = first.digest
        moved = await office.post(f"/v1/tasks/{waiting['id']}/decisions", "erin", json=body)
        assert f"{WORD} One" in {each["from"] for each in moved.json()["changed"]}


async def test_what_bulk_refuses_and_what_was_before_say_no_more(office: House) -> None:
    async with told(office) as carried:
        [waiting] = (await looked(office, "erin", "/v1/tasks"))["items"]
        won = await office.decide("dave", waiting["id"], comment=f"{WORD}: fine")
        assert won.status_code == 200, won.text
        items: Json = [{"task_id": waiting["id"], "decision": "approve"}]
        asked = (("erin",), ("frank",), ("carol",), ("hugo",), ("root", "admin"))
        answers = [await office.post("/v1/decisions", *who, json={"items": items}) for who in asked]
        assert [it.json()["items"][0]["status"] for it in answers] == [409, 403, 403, 404, 403]
        assert WORD not in "".join(it.text for it in answers)
        await carried.settled()
        assert (await request_as(office, waiting["request_id"], "erin"))["state"] == "approved"
        # Beside another grievance of hers, the last one is named to those alone who may read it.
        flow = await office.begun("alice", "grievance", {"whom": "nobody", "marks": 1})
        await filed(office, flow)
        for who, named in (("bob", True), ("frank", False)):
            await signed_in(office, who)
            page = await shown(office, f"/tasks/{flow.task}")
            assert f"/requests/{waiting['request_id']}" in page
            assert (WORD in page) is named


async def test_the_engine_has_all_of_it(office: House) -> None:
    async with told(office) as carried:
        state = carried.flow.state
        request = UUID(state.request_id)
        past = await history.state_at(office.pool, request, NOW.replace(year=2100))
        assert past.state.inputs == state.inputs
        assert past.state.results["first"]["comment"] == f"{WORD}: so it is"
        async with office.pool.acquire() as connection:
            again = await replay.replay(connection, request)
        assert again.findings == ()
        await office.pool.execute("DELETE FROM commits")
        past = await history.state_at(office.pool, request, NOW.replace(year=2100))
        assert past.state.results["first"]["comment"] == f"{WORD}: so it is"
        assert past.state.inputs == state.inputs


async def test_nobody_is_asked_what_they_may_not_read(office: House) -> None:
    async with told(office) as carried:
        task = carried.flow.task
        body = {"to": "hugo", "text": f"{WORD}?"}
        refused = await office.post(f"/v1/tasks/{task}/questions", "erin", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/to")
        assert "hugo may not see this request" in refused.json()["detail"]


async def test_a_decision_lost_in_a_race_keeps_its_comment(office: House) -> None:
    async with told(office) as carried:
        flow = carried.flow
        office.delivery.on_signal = None
        decided = await office.decide("erin", flow.task, "reject", comment=f"{WORD}: no")
        assert decided.status_code == 200
        [task] = flow.state.tasks
        request = await request_as(office, flow.state.request_id, "alice")
        assert request["decisions"][-1]["comment"] == f"{WORD}: no"
        row = await office.pool.fetchrow(
            "SELECT comment FROM decisions WHERE task_id = $1", UUID(task.id)
        )
        assert row is not None
        assert WORD not in row["comment"]
        [standing] = await decisions_on(office.pool, [UUID(task.id)])
        assert standing.comment == f"{WORD}: no"


STUCK = """
workflow: plea
version: 1
title: "Plea about {{ whom }}"
owner: house
confidential: {visible_to: [ombuds]}
inputs: {type: object, required: [whom], properties: {whom: {type: string}}}
steps:
  - {id: tell, type: notify, to: "user:hugo", message: There is a plea.}
  - {id: who, approver: role:empty}
"""


async def test_incidents_and_notifications_say_that_there_is_one(office: House) -> None:
    await office.publish(parse(STUCK).recipe)
    flow = await office.begun("alice", "plea", {"whom": WORD})
    assert [each.kind for each in flow.state.incidents] == ["NoApproverFound"]
    for who, *roles in (("frank",), ("root", "admin")):
        [incident] = (await looked(office, who, "/v1/incidents", *roles))["items"]
        assert (incident["title"], incident["withheld"]) == ("Plea", ["/title"])
    [message] = (await looked(office, "hugo", "/v1/notifications"))["items"]
    assert (message["title"], message["withheld"]) == ("Plea", ["/title"])
    assert message["message"] == "There is a plea."
    # Whoever is given it sees what it is about, and why they have it.
    give = {"seat": flow.state.incidents[0].seat, "to": "erin", "comment": f"{WORD}: yours"}
    carried = Carried(office, flow)
    path = f"/v1/requests/{flow.state.request_id}/reassign"
    assert WORD not in (await office.post(path, "frank", json=give)).text
    await carried.ended()
    [task] = (await looked(office, "erin", "/v1/tasks"))["items"]
    assert (task["title"], task["withheld"]) == (f"Plea about {WORD}", [])
    path = f"/v1/org/explain?task={task['id']}"
    assert f"{WORD}: yours" in (await office.get(path, "erin")).text
    assert WORD not in (await office.get(path, "root", "admin")).text


# --- some inputs ----------------------------------------------------------------------------------


async def raised(office: House) -> Workflow:
    """A raise that bob asks for; it waits for hr."""
    return await office.begun("bob", "salary_change", RAISE)


async def test_some_inputs_for_the_entitled_alone(office: House, admin_pool: Pool) -> None:
    flow = await raised(office)
    carried = Carried(office, flow)
    request, task = flow.state.request_id, flow.task
    title = "Salary of Alice Moreau from 2026-04-01"
    await said(office, "bob", f"/v1/requests/{request}/watchers", person="frank")
    await said(office, "dave", f"/v1/tasks/{task}/questions", to="hugo", text="Is there a budget?")
    assert (await attach(office, request, "bob")).status_code == 201
    for who in ("bob", "dave", "erin"):
        found = await request_as(office, request, who)
        assert (found["inputs"], found["withheld"]) == (RAISE, [])
    for who, *roles in (("frank",), ("hugo",), ("root", "admin"), ("tess", "auditor")):
        found = await request_as(office, request, who, *roles)
        assert found["inputs"] == {"person": "Alice Moreau", "starts_on": "2026-04-01"}
        assert (found["title"], found["withheld"]) == (title, HIDDEN)
        # Beside the inputs nothing is.
        assert found["questions"][0]["text"] == "Is there a budget?"
        assert found["attachments"][0]["name"] == "offer.pdf"
        place = f"/v1/requests/{request}/attachments/{found['attachments'][0]['id']}"
        assert (await office.get(place, who, *roles)).content.startswith(b"%PDF")
        seen = await surfaces(office, request, who, *roles)
        assert WORD not in seen
        assert "54321.25" not in seen
        task_seen = await looked(office, who, f"/v1/tasks/{task}", *roles)
        assert (task_seen["inputs"], task_seen["withheld"]) == (found["inputs"], HIDDEN)
    assert (await office.decide("dave", task)).status_code == 200
    await carried.settled()
    assert (await request_as(office, request, "carol"))["inputs"] == RAISE
    assert (await office.decide("carol", flow.task, comment="so be it")).status_code == 200
    await carried.ended()
    assert flow.state.state == "approved"
    [message] = (await looked(office, "hugo", "/v1/notifications"))["items"]
    assert message["message"].startswith("The salary of Alice Moreau changes")
    assert (await request_as(office, request, "dave"))["inputs"] == RAISE
    assert await in_the_clear(admin_pool, WORD, "54321.25") == []


async def test_a_file_of_a_private_request_is_its_own(office: House, admin_pool: Pool) -> None:
    one, two = await raised(office), await raised(office)
    open_one = await office.begun()
    for flow in (one, two, open_one):
        who = flow.state.requester
        made = await attach(office, flow.state.request_id, who)
        assert made.status_code == 201, made.text
        again = await attach(office, flow.state.request_id, who)
        assert (again.status_code, again.json()) == (200, made.json())
    rows = await admin_pool.fetch("SELECT sha256, sealed FROM blobs")
    assert len(rows) == 3
    real = bytes.fromhex(made.json()["sha256"])
    assert [row["sealed"] for row in rows if row["sha256"] == real] == [False]


async def test_what_a_body_was_cannot_be_tried_by_its_key(office: House, admin_pool: Pool) -> None:
    raw = json.dumps({"workflow": "grievance", "inputs": {"whom": WORD}}).encode()
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    first = await office.post("/v1/requests", "alice", content=raw, headers=headers)
    again = await office.post("/v1/requests", "alice", content=raw, headers=headers)
    assert (first.json()["id"], again.status_code) == (again.json()["id"], 201)
    other = await office.post("/v1/requests", "alice", content=raw + b" ", headers=headers)
    assert other.status_code == 422
    kept = await admin_pool.fetchval("SELECT fingerprint FROM idempotency_keys")
    keys = await vault_of(office.pool).writing(office.pool, UUID(first.json()["id"]))
    tried = [
        idempotency.fingerprint("POST", "/v1/requests", raw, salt)
        for salt in (boxes.salt_of(keys), b"")
    ]
    assert [kept == each for each in tried] == [True, False]


async def test_what_an_event_said_cannot_be_tried_by_its_id(
    office: House, admin_pool: Pool
) -> None:
    listening = grievance().replace(
        "owner: house", "owner: house\nentity: required\nstart: {events: [case.told]}"
    )
    await office.publish(parse(listening.replace("workflow: grievance", "workflow: told")).recipe)
    body = {
        "event": "case.told",
        "event_id": "E-1",
        "entity_type": "case",
        "entity_id": "1",
        "initiated_by": "alice",
        "inputs": {"whom": WORD},
    }

    async def send(**more: Any) -> Any:
        return await office.post("/v1/events", "root", "events", json=body | more)

    first, again = await send(), await send()
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert first.json() == again.json()
    assert (await send(inputs={"whom": "another"})).status_code == 422
    row = await admin_pool.fetchrow("SELECT fingerprint, requests FROM events")
    assert row is not None
    said = canonical({name: value for name, value in body.items() if name != "event_id"})
    salt = await events.salt(office.pool, row["requests"])
    tried = [events.fingerprint(said, each) for each in (salt, b"")]
    assert [row["fingerprint"] == each for each in tried] == [True, False]


# --- who is entitled ------------------------------------------------------------------------------


async def scopes(pool: Pool, request: str, reader: str | None, *roles: str) -> list[str]:
    """Of which scopes a plain query of the application's finds keys."""
    async with pool.acquire() as connection, connection.transaction():
        if reader is not None:
            said = """SELECT set_config('countersign.reader', $1, true), set_config('countersign.roles', $2, true),
                             set_config('countersign.requests', $3, true)"""
            await connection.execute(said, reader, ",".join(roles), f"{{{request}}}")
        rows = await connection.fetch(
            "SELECT scope FROM data_keys WHERE request_id = $1 ORDER BY scope DESC", UUID(request)
        )
    return [row["scope"] for row in rows]


async def test_row_level_security_is_the_second_wall(office: House) -> None:
    flow = await raised(office)
    carried = Carried(office, flow)
    request = flow.state.request_id
    both, shared = ["shared", "confidential"], ["shared"]

    async def keys(reader: str | None, *roles: str) -> list[str]:
        return await scopes(office.pool, request, reader, *roles)

    await said(office, "bob", f"/v1/requests/{request}/watchers", person="frank")
    await said(office, "dave", f"/v1/tasks/{flow.task}/questions", to="hugo", text="Yes?")
    await delegate(office, "erin", "alice")
    assert await keys(None) == shared
    assert await keys("") == shared
    assert await keys("bob") == both  # the requester
    assert await keys("dave") == both  # a candidate by role, and visible to it
    assert await keys("alice") == both  # who stands in for a candidate
    for stranger in ("carol", "frank", "hugo", "gina", "nobody"):
        assert await keys(stranger) == shared
    # Roles of a token count where the recipe names them alone.
    assert await keys("root", "admin") == shared
    assert await keys("root", "auditor") == shared
    assert (await office.decide("dave", flow.task)).status_code == 200
    await carried.settled()
    assert await keys("alice") == shared  # what she stood in for is closed
    assert await keys("carol") == both  # an assignee
    give = {"to": "frank", "comment": "on leave"}
    await said(office, "carol", f"/v1/tasks/{flow.task}/reassign", **give)
    await carried.settled()
    assert await keys("carol") == both  # one who was
    assert await keys("frank") == both
    left = [replace(role, members=("erin",)) if role.name == "hr" else role for role in HELD]
    await office.import_org(STAFF, tuple(left))
    assert await keys("dave") == both  # who decided, though not of the role any more
    await carried.ended()


async def test_a_role_that_ended_opens_nothing_any_more(office: House) -> None:
    async with told(office) as carried:
        request = carried.flow.state.request_id
        both, shared = ["shared", "confidential"], ["shared"]
        assert await scopes(office.pool, request, "gina") == both
        for who in ("frank", "carol"):  # of the owner role; a watcher
            assert await scopes(office.pool, request, who) == shared
        left = [replace(role, members=()) if role.name == "ombuds" else role for role in HELD]
        await office.import_org(STAFF, tuple(left))
        assert await scopes(office.pool, request, "gina") == shared
        # As an auditor she sees that there is one, and no more.
        assert WORD not in await surfaces(office, request, "gina", "auditor")


async def test_a_key_that_is_not_asked_about_is_shown_to_nobody(office: House) -> None:
    one, other = await raised(office), await raised(office)
    assert await scopes(office.pool, one.state.request_id, "bob") == ["shared", "confidential"]
    async with office.pool.acquire() as connection, connection.transaction():
        said = "SELECT set_config('countersign.reader', 'bob', true), set_config('countersign.requests', $1, true)"
        await connection.execute(said, f"{{{other.state.request_id}}}")
        asked = "SELECT request_id FROM data_keys WHERE scope = 'confidential'"
        [row] = await connection.fetch(asked)
        assert row["request_id"] == UUID(other.state.request_id)
        await connection.execute("SELECT set_config('countersign.reader', 'frank', true)")
        assert await connection.fetch(asked) == []


async def left(admin: Pool, person: str) -> None:
    """They are not employed any more, from now on."""
    query = "UPDATE people SET employed = employed - tstzmultirange(tstzrange(now(), NULL)) WHERE id = $1"
    await admin.execute(query, person)


async def test_whoever_leaves_reads_what_is_their_own_alone(
    office: House, admin_pool: Pool
) -> None:
    both, shared = ["shared", "confidential"], ["shared"]
    async with told(office) as carried:
        request = carried.flow.state.request_id
        [task] = carried.flow.state.tasks
        assert task.assignment.candidates
        # The requester; who was asked, and decided; candidates; who has a role of the recipe.
        for who in ("alice", "bob", "dave", "erin", "gina"):
            assert await scopes(office.pool, request, who) == both
            await left(admin_pool, who)
            expected = both if who == "alice" else shared
            assert await scopes(office.pool, request, who) == expected
        assert WORD not in await surfaces(office, request, "bob")


async def test_whoever_somebody_decides_for_reads_it(office: House, admin_pool: Pool) -> None:
    both, shared = ["shared", "confidential"], ["shared"]
    await delegate(office, "bob", "frank")
    flow = await office.begun("alice", "grievance", {"whom": WORD})
    carried = Carried(office, flow)
    request = flow.state.request_id
    await filed(office, flow)
    [task] = flow.state.tasks
    assert (task.assignment.user, task.assignment.on_behalf_of) == ("frank", "bob")
    assert (await request_as(office, request, "bob"))["inputs"] == {"whom": WORD}
    assert await scopes(office.pool, request, "frank") == both
    assert (await office.decide("frank", task.id)).status_code == 200
    await carried.settled()
    assert await scopes(office.pool, request, "bob") == both
    await left(admin_pool, "bob")
    assert await scopes(office.pool, request, "bob") == shared
    assert await scopes(office.pool, request, "frank") == both
    await carried.ended()


async def test_token_roles_that_a_recipe_names(office: House) -> None:
    await office.publish(parse(grievance(2, "auditor")).recipe)
    made = await office.submit("alice", "grievance", {"whom": WORD})
    assert (await request_as(office, made["id"], "tess", "auditor"))["inputs"] == {"whom": WORD}
    assert (await request_as(office, made["id"], "root", "admin"))["inputs"] == {}


async def test_a_handler_that_forgets_to_ask_shows_boxes(office: House) -> None:
    """Whatever the application reads by itself, there is no word of it."""
    async with told(office):
        rows: list[asyncpg.Record] = []
        for table in (
            "requests",
            "revisions",
            "tasks",
            "decisions",
            "comments",
            "questions",
            "commands",
            "attachments",
            "jobs",
            "job_log",
            "commits",
            "outbox",
            "audit",
            "audit_subjects",
            "audit_words",
        ):
            rows += await office.pool.fetch(f"SELECT t::text AS row FROM {table} t")
        assert len(rows) > 30
        assert not [row for row in rows if WORD in row["row"].lower()]


# --- what administrators ask ----------------------------------------------------------------------


async def test_migrating_shows_nothing(office: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "PATIENCE", 0.01)
    async with told(office):
        stricter = grievance(2).replace("type: number", "type: number, maximum: 1")
        await office.publish(parse(stricter).recipe)
        response = await office.post(
            "/v1/recipes/grievance/versions/1/migrate",
            "root",
            "admin",
            json={"to": 2, "comment": "a better one"},
            params={"dry_run": "true"},
        )
        [item] = life_shapes.Migrated.model_validate(response.json()).items
        assert (item.title, item.outcome) == ("Grievance", "refused")
        assert item.reasons == ["version 2 does not take its inputs: some are confidential"]


async def test_backtests_leave_out_what_the_caller_may_not_see(office: House) -> None:
    await office.submit("bob", "salary_change", RAISE)
    candidate = SALARY.read_text().replace("version: 1", "version: 2")

    async def tried(who: str, *roles: str, text: str = candidate) -> life_shapes.Backtest:
        body = {"recipe": text}
        response = await office.post("/v1/recipes/backtest", who, *roles, json=body)
        assert response.status_code == 200, response.text
        return life_shapes.Backtest.model_validate(response.json())

    blind = await tried("tess", "auditor")
    assert (blind.items, blind.withheld, blind.summary.requests) == ([], 1, 0)
    sees = await tried("dave", "auditor")
    assert (len(sees.items), sees.withheld) == (1, 0)
    assert "hr_check approved" in sees.items[0].before.steps


SMALL = """
workflow: bonus
version: 1
title: A bonus
confidential: {{visible_to: [ombuds]{fields}}}
inputs: {{type: object, properties: {{amount: {{type: number}}, team: {{type: string}}}}}}
steps:
  - {{id: small, when: amount < 100, action: approve}}
  - {{id: boss, approver: "user:carol"}}
"""
PLAIN = """
workflow: review
version: 1
inputs: {type: object, properties: {amount: {type: number}, team: {type: string}}}
steps:
  - {id: boss, approver: "user:carol"}
"""


async def test_what_a_rule_decided_is_not_asked_by_what_is_sealed(office: House) -> None:
    await office.publish(parse(SMALL.format(fields=", fields: [amount]")).recipe)
    await office.begun("alice", "bonus", {"amount": 54, "team": "a"})
    rule = {"workflow": "bonus", "version": 1, "step": "small"}

    async def asked(**query: Any) -> Any:
        return await office.get("/v1/audit/impact", "tess", "auditor", params=rule | query)

    found = past_shapes.Impact.model_validate((await asked(by="team", where='team == "a"')).json())
    assert (found.requests, found.groups[0].value) == (1, "a")
    assert (found.items[0].inputs, found.items[0].withheld) == ({"team": "a"}, ["/inputs/amount"])
    for query in ({"by": "amount"}, {"sum": "amount"}, {"where": "amount < 9 || team == 'b'"}):
        refused = await asked(**query)
        assert refused.status_code == 422
        assert "amount is confidential in bonus version 1" in refused.json()["detail"]


@pytest.mark.parametrize("fields", ["", ", fields: [amount]"])
async def test_a_recall_keeps_it_confidential(office: House, admin_pool: Pool, fields: str) -> None:
    await office.publish(parse(SMALL.format(fields=fields)).recipe)
    await office.publish(parse(PLAIN).recipe)
    quiet = SMALL.replace("bonus", "again").replace(
        "  - {{id: small, when: amount < 100, action: approve}}\n", ""
    )
    await office.publish(parse(quiet.format(fields=fields)).recipe)
    flow = await office.begun("alice", "bonus", {"amount": 54.125})
    assert flow.state.state == "approved"
    body: dict[str, Json] = {"workflow": "bonus", "version": 1, "step": "small", "reason": "wrong"}

    async def begin(review: str, **more: Any) -> Any:
        return await office.post(
            "/v1/recalls", "root", "admin", json=body | {"review_workflow": review}, params=more
        )

    refused = await begin("review")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "/review_workflow",
    )
    plan = past_shapes.RecallPlan.model_validate((await begin("again", dry_run="true")).json())
    # She who plans it may not see what is in it: it is tried when it is recalled.
    assert [each.outcome for each in plan.items] == ["withheld"]
    made = await begin("again")
    assert made.status_code == 201, made.text
    path = f"/v1/recalls/{made.json()['id']}"
    assert (await office.post(f"{path}/continue", "root", "admin")).status_code == 200
    [item] = (await looked(office, "root", f"{path}/requests", "admin"))["items"]
    past_shapes.RecalledRequest.model_validate(item)
    again = await request_as(office, item["reopened_as"], "alice")
    assert (again["inputs"], again["withheld"]) == ({"amount": 54.125}, [])
    assert "54.125" not in await surfaces(office, item["reopened_as"], "root", "admin")
    assert await in_the_clear(admin_pool, "54.125") == []


# --- state machines, imports ----------------------------------------------------------------------

MACHINE = """
workflow: case
version: 1
kind: state_machine
title: "{{ about }}"
owner: house
confidential: {visible_to: [ombuds]}
inputs: {type: object, required: [about], properties: {about: {type: string}}}
states:
  - {id: draft, initial: true}
  - {id: review}
  - {id: done, final: true}
actions:
  - {id: submit, from: draft, to: review, who: "user:{{ request.requester }}"}
  - {id: finish, from: review, to: done, who: role:hr, require_comment: true}
"""


async def test_a_state_machine_keeps_what_was_said(office: House, admin_pool: Pool) -> None:
    await office.publish(parse(MACHINE).recipe)
    flow = await office.begun("alice", "case", {"about": WORD})
    carried = Carried(office, flow)
    request = flow.state.request_id
    await said(office, "alice", f"/v1/requests/{request}/actions/submit", comment=f"{WORD} goes in")
    await carried.settled()
    for who in ("alice", "dave"):
        found = await request_as(office, request, who)
        assert (found["title"], found["history"][0]["comment"]) == (WORD, f"{WORD} goes in")
        actions = await looked(office, who, f"/v1/requests/{request}/actions")
        assert actions["status"] == "review"
    hidden = await request_as(office, request, "frank")
    assert (hidden["title"], hidden["history"][0]["comment"]) == ("Case", None)
    assert hidden["history"][0]["withheld"] == ["/comment"]
    assert WORD not in await surfaces(office, request, "frank")
    moved = await office.post(f"/v1/requests/{request}/actions/submit", "dave", json={})
    assert moved.status_code in (403, 409)
    await said(office, "dave", f"/v1/requests/{request}/actions/finish", comment=f"{WORD} is over")
    await carried.ended()
    assert await in_the_clear(admin_pool, WORD) == []


FIRED = """
workflow: {name}
version: 1
kind: state_machine
confidential: {{visible_to: [ombuds], fields: [about]}}
inputs: {{type: object, required: [about], properties: {{about: {{type: string}}}}}}
states:
  - {{id: draft, initial: true}}
  - {{id: done, final: true}}
actions:
  - {{id: finish, from: draft, to: done, who: {who}}}
"""


@pytest.mark.parametrize(
    ("who", "entitled", "delegated"),
    [
        ("role:hr", {"dave", "erin"}, ("erin", "all")),
        ("hr", {"dave", "erin"}, ("erin", "role:hr")),
        ("carol", {"carol"}, ("carol", "workflow:case")),
        ('"user:carol"', {"carol"}, ("carol", "all")),
        ('"{{ employee.manager }}"', {"bob"}, ("bob", "all")),
        ('"{{employee.manager}}"', {"bob"}, ("bob", "workflow:case")),
        ('["user:{{ request.requester }}", role:empty]', set(), ("alice", "all")),
    ],
)
async def test_whoever_may_fire_an_action_reads_it(
    office: House, admin_pool: Pool, who: str, entitled: set[str], delegated: tuple[str, str]
) -> None:
    """In person, or for somebody who delegated; and nobody else does."""
    acting, scope = delegated
    for name in ("case", "other"):
        await office.publish(parse(FIRED.format(name=name, who=who)).recipe)
    case, other = [
        (await office.begun("alice", name, {"about": WORD})).state.request_id
        for name in ("case", "other")
    ]

    async def readers(request: str) -> set[str]:
        both = ["shared", "confidential"]
        return {it.id for it in STAFF if await scopes(office.pool, request, it.id) == both}

    assert await readers(case) == {"alice", "gina"} | entitled
    # By a second delegation, too.
    await delegate(office, acting, "hugo", scope=scope)
    await delegate(office, "hugo", "frank", scope=scope)
    assert await readers(case) == {"alice", "gina", "frank"} | entitled
    within = {"frank"} if not scope.startswith("workflow:") else set()
    assert await readers(other) == {"alice", "gina"} | entitled | within
    for request in (case, other):
        for person in await readers(request) - {"alice", "gina"}:
            [action] = (await looked(office, person, f"/v1/requests/{request}/actions"))["items"]
            assert action["available"], (person, action["why_not"])
    assert (await request_as(office, case, "frank"))["inputs"] == {"about": WORD}
    await left(admin_pool, acting)
    expected = ({"alice", "gina"} | entitled) - ({acting} - {"alice"})
    assert await readers(case) == expected


async def test_a_name_that_is_a_role_is_no_person(office: House) -> None:
    """`who: dave` is the role of that name, once there is one."""
    await office.publish(parse(FIRED.format(name="case", who="dave")).recipe)
    request = (await office.begun("alice", "case", {"about": WORD})).state.request_id
    assert await scopes(office.pool, request, "dave") == ["shared", "confidential"]
    await office.import_org(STAFF, (*HELD, RoleRow("dave", ("carol",))))
    assert await scopes(office.pool, request, "dave") == ["shared"]
    assert await scopes(office.pool, request, "carol") == ["shared", "confidential"]


async def test_what_is_imported_is_sealed_too(office: House, admin_pool: Pool) -> None:
    await office.publish(parse(PLAIN).recipe)
    decision: dict[str, Json] = {
        "step": "first",
        "decision": "reject",
        "user": "bob",
        "at": "2019-05-03T09:00:00Z",
        "comment": f"{WORD}: never",
    }
    entry = {
        "external_id": "G-1",
        "workflow": "grievance",
        "version": 1,
        "requester": "alice",
        "inputs": {"whom": WORD},
        "submitted_at": "2019-05-02T09:00:00Z",
        "ended_at": "2019-05-03T09:00:00Z",
        "outcome": "rejected",
        "reason": f"{WORD}: no",
        "decisions": [decision],
    }

    async def send(text: str, **more: str) -> Any:
        return await office.post(
            "/v1/imports",
            "root",
            "admin",
            params={"source": "old"} | more,
            content=text,
            headers={"Content-Type": "application/x-ndjson"},
        )

    line = json.dumps(entry)
    response = await send(line)
    assert response.status_code == 201, response.text
    again = await send(line + "\n", dry_run="true")
    assert (again.status_code, again.json()["already"]) == (200, 1)
    other = await send(line.replace("never", "ever"), dry_run="true")
    assert (other.status_code, "and otherwise" in other.text) == (422, True)
    # What tells that it is the same cannot be tried by somebody who guesses what it may be.
    [kept] = await admin_pool.fetch("SELECT id, row_sha256 FROM requests WHERE source = 'old'")
    guess = canonical(PastEntry.model_validate(entry).model_dump(mode="json")).encode()
    keys = await vault_of(office.pool).writing(office.pool, kept["id"])
    assert kept["row_sha256"] == sha256(boxes.salt_of(keys) + guess).digest()
    assert kept["row_sha256"] != sha256(guess).digest()
    [item] = (await looked(office, "alice", "/v1/requests", imported="true"))["items"]
    assert (item["title"], item["reason"]) == (f"About {WORD}", f"{WORD}: no")
    await said(office, "alice", f"/v1/requests/{item['id']}/comments", text=f"{WORD} again")
    found = await request_as(office, item["id"], "bob")
    assert found["decisions"][0]["comment"] == f"{WORD}: never"
    assert found["comments"][0]["text"] == f"{WORD} again"
    hidden = await request_as(office, item["id"], "frank")
    assert hidden["withheld"] == ["/inputs", "/title", "/reason"]
    assert await in_the_clear(admin_pool, WORD) == []


# --- approval limits ------------------------------------------------------------------------------

PAID = """
workflow: paid
version: 1
title: A payment
confidential: {visible_to: [ombuds], fields: [amount]}
inputs: {type: object, required: [amount], properties: {amount: {type: number}}}
steps:
  - {id: boss, approver: "user:bob", authority: {amount: amount, currency: EUR}}
"""


def limited(**limits: int) -> tuple[PersonRow, ...]:
    return tuple(
        replace(person, limits={"EUR": Decimal(limits[person.id])} if person.id in limits else {})
        for person in STAFF
    )


async def test_a_sealed_amount_is_held_against_limits_by_its_workflow(
    office: House, admin_pool: Pool
) -> None:
    await office.import_org(limited(bob=9000, carol=99000, dave=1), HELD)
    await office.publish(parse(PAID).recipe)
    flow = await office.begun("alice", "paid", {"amount": 7654.25})
    [task] = flow.state.tasks
    assert task.assignment.user == "bob"
    assert await in_the_clear(admin_pool, "7654.25") == []
    why = await looked(office, "alice", "/v1/org/explain", task=task.id)
    assert (why["now"]["user"], why["stale"]) == ("bob", False)
    await once_more(office, task.id)
    # Who has it may approve more, or less, or others may: their workflow looks, each time once.
    await office.import_org(limited(bob=9000, carol=99000, dave=2), HELD)
    assert await swept(office) == set()
    await office.import_org(limited(bob=8000, carol=99000, dave=2), HELD)
    assert {it for each in await told_of_stale(office.pool) for it in each.task_ids} == {task.id}
    assert await swept(office) == set()
    await office.import_org(limited(bob=5000, carol=99000, dave=2), HELD)
    [message] = await told_of_stale(office.pool)
    await flow.befall(message)
    [task] = flow.state.tasks
    assert task.assignment.user == "carol"
    await once_more(office, task.id)
    # Whom it passed over may approve it again.
    await office.import_org(limited(bob=8000, carol=99000, dave=2), HELD)
    [message] = await told_of_stale(office.pool)
    assert message.task_ids == (task.id,)
    await flow.befall(message)
    [task] = flow.state.tasks
    assert task.assignment.user == "bob"
    await once_more(office, task.id)


async def once_more(office: House, task: str) -> None:
    """What changed just before a task was opened is looked at once more, and no more than that."""
    assert await swept(office) == {task}
    assert await swept(office) == set()
