"""The past of another system: imported as a whole, marked, and never mixed with what is live."""

import csv
import json
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from api import past_shapes, schemas
from recipes.happenings import Actor
from recipes.model import Json
from storage import asking, audit, imports
from storage.errors import NeverCarriedOut
from storage.imports import Batch
from storage.pool import Pool
from storage.replay import replay
from tests.integration.house import House, leave

CSV, JSON, LINES = "text/csv", "application/json", "application/x-ndjson"
PAST = datetime(2019, 5, 13, 9, 30, tzinfo=UTC)


def row(number: int = 1, **changes: Json) -> dict[str, Json]:
    decision = {
        "step": "manager",
        "decision": "approve",
        "user": "bob",
        "comment": "Enjoy.",
        "at": "2019-05-13T13:02:00+02:00",
    }
    return {
        "external_id": f"L-{number}",
        "workflow": "leave",
        "requester": "alice",
        "inputs": {"days": 5},
        "submitted_at": "2019-05-13T09:30:00Z",
        "decisions": [decision],
        "outcome": "approved",
        "ended_at": "2019-05-13T11:02:00Z",
        "reason": "as the manager said",
    } | changes


async def send(
    house: House, body: Any, kind: str = JSON, status: int = 201, **query: str
) -> httpx.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    response = await house.post(
        "/v1/imports",
        "root",
        "admin",
        content=content,
        headers={"Content-Type": kind},
        params={"source": "hr-portal"} | query,
    )
    assert response.status_code == status, response.text
    return response


async def taken(house: House, body: Any, kind: str = JSON, status: int = 201, **query: str) -> Any:
    response = await send(house, body, kind, status, **query)
    return past_shapes.HistoryImport.model_validate(response.json())


async def problems(house: House, body: Any, kind: str = JSON) -> dict[str, str]:
    """What is wrong, by its place in the file."""
    found = (await send(house, body, kind, 422)).json()["errors"]
    return {
        it.get("pointer") or f"{it['row']}:{it.get('column', '')}": it["message"] for it in found
    }


async def test_it_stands_beside_the_others_as_it_was(house: House) -> None:
    live = await house.submit()
    made = await taken(house, [row()])
    assert (made.requests, made.decisions, made.already, made.again) == (1, 1, 0, False)
    request_id = imports.request_id("hr-portal", "L-1")
    shown = (await house.get(f"/v1/requests/{request_id}", "alice")).json()
    found = schemas.Request.model_validate(shown)
    assert found.imported is not None
    assert (found.imported.import_id, found.imported.external_id) == (made.id, "L-1")
    assert (found.state, found.title, found.created_at) == (
        "approved",
        "5 days for Alice Moreau",
        PAST,
    )
    assert (found.finalized_at, found.reason) == (
        datetime(2019, 5, 13, 11, 2, tzinfo=UTC),
        "as the manager said",
    )
    assert (found.temporal_url, found.waiting_for) == (None, [])
    [revision] = found.revisions
    assert (revision.number, revision.submitted_at) == (1, PAST)
    [decision], [task] = found.decisions, found.tasks
    assert (decision.user, decision.step, decision.comment) == ("bob", "manager", "Enjoy.")
    assert (task.state, task.closed_at) == ("decided", found.finalized_at)
    # Bob finds it, and live ones are told from it.
    listed = (await house.get("/v1/requests", "bob", params={"imported": "true"})).json()["items"]
    assert [it["id"] for it in listed] == [str(request_id)]
    others = (await house.get("/v1/requests", "root", "admin", params={"imported": "false"})).json()
    assert [it["id"] for it in others["items"]] == [live["id"]]
    assert others["items"][0]["imported"] is None
    # No workflow is to be started, and nothing counts it as in flight or live.
    assert len(house.delivery.starts) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM outbox") == 1
    stats = (await house.get("/v1/stats", "root", "admin")).json()
    assert (stats["requests"], stats["imported"]) == ({"created": 1}, 1)
    versions = (await house.get("/v1/recipes/leave/versions/1/requests", "root", "admin")).json()
    assert [it["id"] for it in versions["items"]] == [live["id"]]
    for query in ({"task": str(task.id)}, {"request": str(request_id), "step": "manager"}):
        explained = await house.get("/v1/org/explain", "root", "auditor", params=query)
        assert explained.status_code == 200, explained.text
    late = await house.post(f"/v1/requests/{request_id}/cancel", "alice", json={})
    assert late.status_code == 409


async def test_its_chain_says_when_it_occurred_and_when_it_was_recorded(house: House) -> None:
    made = await taken(house, [row()])
    request_id = imports.request_id("hr-portal", "L-1")
    trail = (await house.get(f"/v1/requests/{request_id}/events", "alice")).json()["items"]
    assert [event["type"] for event in trail] == [
        "request.created",
        "decision.recorded",
        "request.finalized",
    ]
    assert [event["actor"]["user"] for event in trail] == ["alice", "bob", "system:import"]
    now = datetime.now(UTC)
    for event in trail:
        assert event["payload"]["imported"] == {
            "import_id": str(made.id),
            "source": "hr-portal",
            "sha256": made.sha256,
            "external_id": "L-1",
        }
        assert datetime.fromisoformat(event["occurred_at"]).year == 2019
        assert now - datetime.fromisoformat(event["recorded_at"]) < timedelta(minutes=1)
    previous = bytes(32)
    for event in trail:
        assert event["prev_hash"] == previous.hex()
        previous = sha256(b"\0" + previous + event["body"].encode()).digest()
        assert event["hash"] == previous.hex()
    [said] = await asking.chain(house.pool, imports.CHAIN)
    assert (said.event_type, said.payload["requests"], said.actor["user"]) == (
        "history.imported",
        1,
        "root",
    )


async def test_the_same_file_or_request_again_changes_nothing(house: House) -> None:
    first = await taken(house, [row(1), row(2)])
    again = await taken(house, [row(1), row(2)], status=200)
    assert (again.again, again.id) == (True, first.id)
    more = await taken(house, [row(2), row(3)])
    assert (more.requests, more.already) == (1, 1)
    wrong = await problems(house, [row(4), row(3, outcome="rejected")])
    assert list(wrong) == ["/1/external_id"]
    assert "otherwise" in wrong["/1/external_id"]
    # Another system may have the same numbers.
    assert (await taken(house, [row(1)], source="old-wiki")).requests == 1
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 4
    listed = (await house.get("/v1/imports", "root", "auditor", params={"limit": 2})).json()
    page = past_shapes.HistoryImportPage.model_validate(listed)
    assert [it.source for it in page.items] == ["old-wiki", "hr-portal"]
    rest = {"cursor": page.next_cursor or ""}
    last = (await house.get("/v1/imports", "root", "auditor", params=rest)).json()["items"]
    assert [it["id"] for it in last] == [str(first.id)]
    assert (await house.get("/v1/imports", "alice")).status_code == 403


async def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(house: House) -> None:
    decided_late = {"step": "manager", "decision": "maybe", "user": "bob", "at": "2019-05-13"}
    found = await problems(
        house,
        [
            row(1, workflow="nowhere"),
            row(2, inputs={"days": 0, "way": 1}),
            row(3, ended_at="2019-05-12T00:00:00Z", outcme="approved"),
            row(4, decisions=[decided_late]),
            row(5, ended_at="2999-01-01T00:00:00Z", version=7),
            row(5, entity={"type": "booking", "id": "1"}),
            row(6, ended_at="2019-05-12T00:00:00Z"),
        ],
    )
    assert found["/0/workflow"] == "there is no recipe nowhere"
    assert found["/4/workflow"] == "there is no recipe leave version 7"
    assert found["/2/outcme"] == "unknown key `outcme`: did you mean `outcome`?"
    assert "time with its zone" in found["/3/decisions/0/at"]
    assert found["/4/ended_at"] == "is in the future"
    assert found["/5/external_id"] == "`L-5` is here twice"
    assert "takes no entity" in found["/5/entity"]
    assert found["/6/ended_at"] == "is before submitted_at"
    assert found["/6/decisions/0/at"] == "is not between submitted_at and ended_at"
    assert {"/1/inputs/days", "/3/decisions/0/decision"} <= found.keys()
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 0
    assert await house.pool.fetchval("SELECT count(*) FROM imports") == 0
    refused = await house.post("/v1/imports", "alice", content="[]", params={"source": "x"})
    assert refused.status_code == 403
    nobody = await send(house, "[]", status=422)
    assert "no requests" in nobody.json()["detail"]
    assert (await send(house, "{}", status=422)).json()["errors"][0]["pointer"] == ""
    assert (await send(house, "{", status=400)).json()["detail"].startswith("the body is not JSON")
    assert (await send(house, "x", "text/html", 415)).status_code == 415
    await send(house, [row()], status=422, source="Not A Name")
    unnamed = await house.post("/v1/imports", "root", "admin", content="[]")
    assert unnamed.json()["errors"][0]["parameter"] == "source"


async def test_csv_says_the_same_by_columns(house: House) -> None:
    await house.publish(leave(2, inputs=None, implied=("days",), title=None))
    header = (
        "external_id;workflow;version;requester;inputs.days;inputs.why;submitted_at;decisions.1.step;"
        "decisions.1.decision;decisions.1.user;decisions.1.on_behalf_of;decisions.1.at;outcome;ended_at"
    )
    when = "2019-05-13T09:30:00Z"
    first = f"007;leave;1;alice;5;12;{when};manager;approve;carol;bob;{when};approved;{when}"
    short = f"008;leave;1;alice;2.5;;{when};;;;;;cancelled;{when}"
    made = await taken(house, "\n".join((header, first, "", short)), CSV)
    assert (made.requests, made.decisions) == (2, 1)
    shown = (
        await house.get(f"/v1/requests/{imports.request_id('hr-portal', '007')}", "bob")
    ).json()
    assert shown["inputs"] == {"days": 5, "why": "12"}
    [decision] = shown["decisions"]
    assert (decision["user"], decision["on_behalf_of"]) == ("carol", "bob")
    bad = first.replace(";5;", ";many;").replace("007", "009").replace("approved", "granted")
    gap = header.replace("decisions.1.", "decisions.2.")
    assert set(await problems(house, f"{header}\n{bad}", CSV)) == {"2:outcome"}
    assert set(await problems(house, f"{header}\n{bad.replace('granted', 'approved')}", CSV)) == {
        "2:inputs.days"
    }
    found = await problems(house, f"{gap}\n{first}", CSV)
    assert found["2:decisions.1.step"] == "is missing"
    found = await problems(house, f"{header};inputs;desicions.1.at\n{first};;;", CSV)
    assert set(found) == {"1:inputs", "1:desicions.1.at"}
    found = await problems(house, "external_id;workflow;external_id\n", CSV)
    assert found["1:"] == "has no column requester, submitted_at, outcome, ended_at"
    assert found["1:external_id"] == "is there twice"
    assert "header" in (await problems(house, f"{header}\n{first};;;;x", CSV))["2:"]


async def test_json_lines_say_the_same_line_by_line(house: House) -> None:
    lines = "\n".join(json.dumps(row(number)) for number in (1, 2))
    assert (await taken(house, f"{lines}\n\n", LINES)).requests == 2
    wrong = json.dumps(row(3, decisions=[{"step": "manager"}]))
    found = await problems(house, f"{json.dumps(row(4))}\n{wrong}", LINES)
    assert found["2:decisions.1.user"] == "is missing"
    assert (await send(house, "{}\n{", LINES, 400)).json()["detail"].startswith("line 2")


async def test_what_is_odd_but_was_so_is_a_warning(house: House) -> None:
    own = {"step": "boss", "decision": "approve", "user": "zoe", "at": "2019-05-13T10:00:00Z"}
    plan = await taken(house, [row(requester="zoe", decisions=[own])], status=200, dry_run="true")
    assert (plan.dry_run, plan.id, plan.requests) == (True, None, 1)
    assert [it.message for it in plan.warnings] == [
        "not in the directory: zoe",
        "zoe decided their own request",
        "leave version 1 has no step boss",
    ]
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 0
    made = await taken(house, [row(requester="zoe", decisions=[own])])
    assert made.warnings == plan.warnings
    title = await house.pool.fetchval("SELECT title FROM requests")
    assert title == "5 days for zoe"


async def test_a_backtest_takes_them_if_it_is_asked_to(house: House) -> None:
    candidate = "workflow: leave\nversion: 2\nsteps: [{id: a, approver: role:hr}]"
    await taken(house, [row()])
    body = {"recipe": candidate}
    path = "/v1/recipes/backtest"
    without = await house.post(path, "root", "admin", json=body)
    assert without.status_code == 422
    with_them = await house.post(path, "root", "admin", json=body | {"imported": True})
    assert with_them.json()["summary"]["requests"] == 1


async def test_the_database_keeps_the_two_apart(house: House, pool: Pool) -> None:
    live = UUID((await house.submit())["id"])
    made = await taken(house, [row()])
    past = imports.request_id("hr-portal", "L-1")
    task = "INSERT INTO tasks (id, request_id, step, seat, assignee, digest, opened_at, imported"
    values = "VALUES ($1, $2, 's', 's', 'bob', 'd', now(), $3"
    for request_id, imported in ((past, False), (live, True)):
        with pytest.raises((asyncpg.ForeignKeyViolationError, asyncpg.CheckViolationError)):
            await pool.execute(f"{task}) {values})", uuid4(), request_id, imported)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(f"{task}) {values})", uuid4(), past, True)
    for change in (
        "imported = false, import_id = NULL, source = NULL, external_id = NULL, row_sha256 = NULL",
        "external_id = 'other'",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await pool.execute(f"UPDATE requests SET {change} WHERE id = $1", past)
    # Nobody carries it on, and nothing is marked but by an import that is under way.
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE requests SET seq = seq + 1 WHERE id = $1", past)
    mark = {"imported": {"import_id": str(made.id)}}
    event = audit.event("comment.added", PAST, mark, {}, Actor("bob"))
    for request_id in (live, past, uuid4()):
        with pytest.raises(asyncpg.RestrictViolationError):
            await audit.append(pool, request_id, "leave", 1, [event])
    with pytest.raises(asyncpg.RestrictViolationError):
        await pool.execute(
            "INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, state, seq,"
            " finalized_at, imported, import_id, source, external_id, row_sha256) VALUES (gen_random_uuid(),"
            " 'leave', 1, 'bob', 't', '{}', 'd', 'approved', 1, now(), true, $1, 'hr-portal', 'L-9', sha256('x'))",
            made.id,
        )
    batch = Batch(uuid4(), "x", b"0" * 32, Actor("root"), PAST, 0, [])
    mark = {"imported": {"import_id": str(batch.id)}}
    event = audit.event("comment.added", PAST, mark, {}, Actor("bob"))
    async with pool.acquire() as connection, connection.transaction():
        await imports.load(connection, batch, [])
        with pytest.raises(asyncpg.RestrictViolationError):
            await audit.append(connection, live, "leave", 1, [event])


async def test_it_is_verified_but_not_carried_out_again(house: House) -> None:
    await taken(house, [row()])
    past = imports.request_id("hr-portal", "L-1")
    async with house.pool.acquire() as connection:
        with pytest.raises(NeverCarriedOut):
            await replay(connection, past)


async def test_a_foreign_key_of_a_request_does_not_hold_up_its_commit(house: House) -> None:
    """Whoever writes a decision looks at its request's key; the two would wait for each other."""
    live = UUID((await house.submit())["id"])
    async with house.pool.acquire() as looking, looking.transaction():
        await looking.execute("SELECT FROM requests WHERE id = $1 FOR KEY SHARE", live)
        async with house.pool.acquire() as writing, writing.transaction():
            await writing.execute("SET LOCAL lock_timeout = '1s'")
            change = "UPDATE requests SET seq = seq + 1, state = 'pending' WHERE id = $1"
            assert await writing.execute(change, live) == "UPDATE 1"


async def test_five_thousand_take_seconds(house: House) -> None:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            "external_id",
            "workflow",
            "requester",
            "inputs.days",
            "submitted_at",
            "decisions.1.step",
            "decisions.1.decision",
            "decisions.1.user",
            "decisions.1.at",
            "outcome",
            "ended_at",
        ]
    )
    for number in range(5000):
        then = (PAST + timedelta(hours=number)).isoformat()
        decided = (PAST + timedelta(hours=number + 3)).isoformat()
        who = ("alice", "bob") if number % 2 else ("bob", "carol")
        row_before = [f"L-{number}", "leave", who[0], number % 20 + 1, then]
        writer.writerow([*row_before, "manager", "approve", who[1], decided, "approved", decided])
    began = time.perf_counter()
    made = await taken(house, out.getvalue(), CSV)
    assert time.perf_counter() - began < 60  # 4 s where nobody else is busy
    assert (made.requests, made.decisions) == (5000, 5000)
    assert await house.pool.fetchval("SELECT count(*) FROM audit WHERE seq = 3") == 5000
    broken = """
    SELECT count(*) FROM audit a LEFT JOIN audit b ON b.request_id = a.request_id AND b.seq = a.seq - 1
     WHERE a.prev_hash <> coalesce(b.hash, decode(repeat('00', 32), 'hex'))"""
    assert await house.pool.fetchval(broken) == 0
    again = await taken(house, out.getvalue(), CSV, status=200)
    assert again.again
