"""Requests: submission and its keys, who sees what, commands, the audit trail."""

import asyncio
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from api import schemas
from contract.names import ENGINE_VERSION
from recipes.happenings import Commanded
from recipes.model import ActionStep, Json
from storage import outbox
from storage.org import PersonRow, RoleRow
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave, shared

EVIDENCE = (Path(__file__).resolve().parents[2] / "docs/evidence.md").read_text()
LEAVE = {"workflow": "leave", "inputs": {"days": 5}}


async def test_submit(house: House) -> None:
    response = await house.post("/v1/requests", "alice", json=LEAVE)
    assert response.status_code == 201
    made = schemas.Request.model_validate(response.json())
    assert response.headers["location"] == f"/v1/requests/{made.id}"
    assert (made.title, made.state, made.version) == ("5 days for Alice Moreau", "created", 1)
    assert made.temporal_url == f"http://127.0.0.1:8233/namespaces/default/workflows/{made.id}"
    shown = (await house.get(f"/v1/requests/{made.id}", "alice")).json()
    assert shown == response.json()
    [start] = house.delivery.starts
    assert (start.engine, start.state.request_id) == (ENGINE_VERSION, str(made.id))
    assert start == await outbox.start_input(house.pool, made.id)
    [row] = await house.pool.fetch("SELECT * FROM outbox")
    assert (row["kind"], row["id"]) == ("start", house.delivery.rows[0])
    assert 1 < (row["due_at"] - row["created_at"]).total_seconds() < 3


async def test_same_key_same_request(house: House) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await house.post("/v1/requests", "alice", json=LEAVE, headers=headers)
    again = await house.post("/v1/requests", "alice", json=LEAVE, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = {**LEAVE, "inputs": {"days": 6}}
    changed = await house.post("/v1/requests", "alice", json=other, headers=headers)
    assert changed.status_code == 422
    assert changed.json()["type"].endswith("idempotency_key_reused")
    somebody = await house.post("/v1/requests", "bob", json=LEAVE, headers=headers)
    assert somebody.json()["id"] != first.json()["id"]
    assert len(house.delivery.starts) == 2


async def test_same_key_again_after_the_recipe_was_disabled(house: House) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await house.post("/v1/requests", "alice", json=LEAVE, headers=headers)
    await house.post(
        "/v1/recipes/leave/versions/1/disable", "root", "admin", json={"reason": "stop"}
    )
    again = await house.post("/v1/requests", "alice", json=LEAVE, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


async def test_a_key_used_many_times_at_once_makes_one_request(house: House) -> None:
    for number in range(5):
        headers = {"Idempotency-Key": f"race-{number}"}
        bodies = [LEAVE] * 8 + [{**LEAVE, "inputs": {"days": 9}}] * 8
        responses = await asyncio.gather(
            *(house.post("/v1/requests", "alice", json=body, headers=headers) for body in bodies)
        )
        made = {r.json()["id"] for r in responses if r.status_code == 201}
        assert len(made) == 1
        waiting = [r.json()["type"] for r in responses if r.status_code == 409]
        assert set(waiting) <= {"urn:countersign:problem:idempotency_key_in_flight"}
        again = [
            (await house.post("/v1/requests", "alice", json=body, headers=headers)).status_code
            for body in (bodies[0], bodies[-1])
        ]
        assert sorted(again) == [201, 422]
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 5
    assert await house.pool.fetchval("SELECT count(*) FROM outbox") == 5
    assert len(house.delivery.starts) == 5


@pytest.mark.parametrize("key", ["", "x" * 256, "with space"])
async def test_keys_that_are_refused(house: House, key: str) -> None:
    headers = {"Idempotency-Key": key}
    response = await house.post("/v1/requests", "alice", json=LEAVE, headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"workflow": "leave", "inputs": {}}, 422, "/inputs"),
        ({"workflow": "leave", "inputs": {"days": "five"}}, 422, "/inputs/days"),
        ({"workflow": "leave", "inputs": {"days": 5, "extra": 1}}, 422, "/inputs"),
        ({"workflow": "leave", "inputs": {"days": 5, "why": "a\x00"}}, 422, "/inputs"),
        ({"workflow": "leave", "inputs": []}, 422, "/inputs"),
        ({"workflow": "leave", "inputs": {"days": 5}, "x": 1}, 422, "/x"),
        ({"workflow": "leave", "inputs": {"days": 5}, "version": 9}, 422, "/version"),
        ({"workflow": "leave", "version": 2**40}, 422, "/version"),
        ({"workflow": "nothing"}, 422, "/workflow"),
        ({"workflow": "No Name"}, 422, "/workflow"),
        ({}, 422, "/workflow"),
    ],
)
async def test_submissions_that_are_refused(
    house: House, body: Json, status: int, pointer: str
) -> None:
    response = await house.post("/v1/requests", "alice", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["pointer"].startswith(pointer)
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 0


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'{"workflow":"leave","inputs":{"days":NaN}}', 400),
        (b'{"workflow":"leave","inputs":{"days":1e999}}', 422),
        (b'{"workflow":"leave","inputs":{"days":5,"why":"\\ud800"}}', 400),
        (b'{"workflow":"shared","inputs":{"n":1' + b"0" * 5000 + b"}}", 400),
        (b"[" * 100_000, 400),
        (b" " * (1024 * 1024 + 1), 413),
    ],
)
async def test_bodies_that_are_no_json(house: House, raw: bytes, status: int) -> None:
    response = await house.post("/v1/requests", "alice", content=raw)
    assert response.status_code == status, response.text


async def test_a_body_of_unknown_length_is_cut_off(house: House) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 65_536

    response = await house.post("/v1/requests", "alice", content=endless())
    assert response.status_code == 413


async def test_untyped_recipes_name_the_input_and_its_steps(house: House) -> None:
    step = ActionStep("auto_approve_short", "approve", when="days < 3")
    await house.publish(leave(1, workflow="loose", inputs=None, implied=("days",), steps=(step,)))
    response = await house.post("/v1/requests", "alice", json={"workflow": "loose", "inputs": {}})
    assert response.status_code == 422
    assert "days" in response.text
    assert "auto_approve_short" in response.text


async def test_only_people_of_the_directory_submit(house: House) -> None:
    stranger = await house.post("/v1/requests", "zoe", json=LEAVE)
    assert stranger.status_code == 403
    assert "org import" in stranger.json()["detail"]
    await house.import_org((PersonRow("alice", "Alice Moreau", left=True),), ())
    assert (await house.post("/v1/requests", "alice", json=LEAVE)).status_code == 403


async def test_the_highest_version_that_is_not_disabled_is_taken(house: House) -> None:
    await house.publish(leave(2))
    await house.publish(leave(3))
    assert (await house.submit())["version"] == 3
    path = "/v1/recipes/leave/versions/3"
    await house.post(f"{path}/disable", "root", "admin", json={"reason": "wrong"})
    assert (await house.submit())["version"] == 2
    refused = await house.post("/v1/requests", "alice", json={**LEAVE, "version": 3})
    assert refused.status_code == 409
    assert "wrong" in refused.json()["detail"]
    for version in (1, 2):
        await house.post(
            f"/v1/recipes/leave/versions/{version}/disable", "root", "admin", json={"reason": "all"}
        )
    assert (await house.post("/v1/requests", "alice", json=LEAVE)).status_code == 409
    await house.post(f"{path}/enable", "root", "admin")
    assert (await house.submit())["version"] == 3


async def test_a_title_that_cannot_be_rendered_does_not_stop_a_request(house: House) -> None:
    await house.publish(leave(2, title="{{ why + 'x' }}"))
    assert (await house.submit())["title"] == "Leave"
    await house.publish(leave(3, title="long " * 100))
    title = (await house.submit())["title"]
    assert (len(title), title[-1]) == (200, "…")


# --- who sees what ----------------------------------------------------------------------------------


async def test_who_sees_a_request(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    sees = {
        ("alice",): 200,
        ("bob",): 200,  # asked
        ("frank",): 200,  # in the recipe's owner role
        ("root", "admin"): 200,
        ("root", "auditor"): 200,
        ("root",): 404,
        ("erin",): 404,
        ("carol",): 404,
    }
    for (who, *roles), status in sees.items():
        for part in ("", "/events"):
            assert (await house.get(path + part, who, *roles)).status_code == status, who
        task = await house.get(f"/v1/tasks/{flow.task}", who, *roles)
        assert task.status_code == status, who
    absent = await house.get(f"/v1/requests/{uuid4()}", "alice")
    hidden = await house.get(path, "erin")
    assert absent.json() == hidden.json()


async def test_who_was_asked_once_still_sees(house: House) -> None:
    flow = await house.begun()
    await flow.tick(datetime(2100, 1, 1, tzinfo=UTC))  # escalated to carol
    path = f"/v1/requests/{flow.state.request_id}"
    assert (await house.get(path, "carol")).json()["waiting_for"] == ["user:carol"]
    assert (await house.get(path, "bob")).status_code == 200
    assert (await house.get(f"/v1/tasks/{flow.task}", "bob")).status_code == 200


async def test_the_list_holds_what_concerns_me(house: House) -> None:
    mine = await house.begun("alice")
    pool = await house.begun("carol", "shared", {})
    hers = await house.submit("erin")

    async def ids(who: str, *roles: str, **query: str) -> list[str]:
        response = await house.get("/v1/requests", who, *roles, params=query)
        assert response.status_code == 200, response.text
        return [item["id"] for item in schemas_checked(response.json())]

    a, c, e = mine.state.request_id, pool.state.request_id, hers["id"]
    assert await ids("root", "admin") == [e, c, a]
    assert await ids("root") == []
    assert await ids("alice") == [a]
    assert await ids("bob") == [c, a]  # asked: by name in the pool, and as manager
    assert await ids("erin") == [e, c]  # her own, and by role hr
    assert await ids("frank") == [e, a]  # owner of `leave`
    assert await ids("root", "auditor", state="pending") == [c, a]
    assert await ids("root", "auditor", workflow="leave") == [e, a]
    assert await ids("root", "auditor", requester="erin") == [e]
    assert await ids("root", "auditor", q="ERIN") == [e]
    assert await ids("root", "auditor", q="%") == []
    await house.decide("dave", pool.task)
    assert await ids("dave") == [c]


def schemas_checked(page: Json) -> list[Json]:
    schemas.RequestPage.model_validate(page)
    items: list[Json] = page["items"]
    return items


async def test_pages(house: House) -> None:
    made = [(await house.submit())["id"] for _ in range(7)]
    for who, roles in (("alice", ()), ("root", ("admin",))):
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 3}
        while True:
            answer = (await house.get("/v1/requests", who, *roles, params=query)).json()
            seen += [item["id"] for item in answer["items"]]
            if answer["next_cursor"] is None:
                break
            query["cursor"] = answer["next_cursor"]
        assert seen == made[::-1]


@pytest.mark.parametrize("path", ["/v1/requests", "/v1/tasks", "/v1/recipes", "/v1/org/people"])
async def test_lists_refuse_what_they_do_not_know(house: House, path: str) -> None:
    for query in ({"colour": "red"}, {"limit": 0}, {"limit": 201}, {"cursor": "zzz"}):
        response = await house.get(path, "alice", params=query)
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == next(iter(query))
    response = await house.get(path, "alice", params={"colour": "red", "size": "9"})
    assert "colour, size" in response.json()["detail"]


# --- commands ---------------------------------------------------------------------------------------


def _apply(house: House, flow: Workflow) -> None:
    """Let the workflow take a signal up as soon as it is told."""
    waiting: list[asyncio.Task[Any]] = []

    def told(_: UUID, message: Any) -> None:
        waiting.append(asyncio.create_task(flow.befall(message)))

    house.delivery.on_signal = told


async def test_cancel(house: House) -> None:
    flow = await house.begun()
    _apply(house, flow)
    path = f"/v1/requests/{flow.state.request_id}"
    response = await house.post(f"{path}/cancel", "alice", json={"comment": "called off"})
    assert response.status_code == 200, response.text
    shown = schemas.Request.model_validate(response.json())
    assert (shown.state, shown.reason, shown.tasks[0].state) == (
        "cancelled",
        "called off",
        "cancelled",
    )
    again = await house.post(f"{path}/cancel", "alice")
    assert again.status_code == 409
    assert again.json()["detail"] == "the request is already cancelled"
    late = await house.decide("bob", str(shown.tasks[0].id))
    assert (late.status_code, late.json()["state"]) == (409, "cancelled")


async def test_cancel_that_comes_too_late(house: House) -> None:
    """A decision is on its way to the workflow when the cancellation comes: one of them wins."""
    flow = await house.begun()
    await house.decide("bob", flow.task)
    [(_, decided)] = house.delivery.signals

    async def in_order(message: Any) -> None:
        await flow.befall(decided)  # type: ignore[arg-type]
        await flow.befall(message)

    tasks: list[asyncio.Task[None]] = []
    house.delivery.on_signal = lambda _, m: tasks.append(asyncio.create_task(in_order(m)))
    response = await house.post(f"/v1/requests/{flow.state.request_id}/cancel", "alice")
    assert response.status_code == 409
    assert response.json()["detail"] == "the request is already approved"


async def test_a_command_nobody_applies_is_accepted(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    response = await house.post(f"{path}/cancel", "root", "admin")
    assert response.status_code == 202
    pending = schemas.CommandPending.model_validate(response.json())
    assert response.headers["location"] == path
    [(_, message)] = house.delivery.signals
    assert isinstance(message, Commanded)
    assert (message.command_id, message.actor.role) == (str(pending.command_id), "admin")
    assert await house.pool.fetchval("SELECT count(*) FROM outbox WHERE kind = 'signal'") == 1


async def test_who_may_cancel_and_retry(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    for command, who, status in (
        ("cancel", "bob", 403),
        ("cancel", "frank", 403),
        ("cancel", "erin", 404),
        ("retry", "alice", 403),
        ("retry", "bob", 403),
        ("retry", "erin", 404),
        ("retry", "frank", 409),  # the owner may, but there is no incident
    ):
        response = await house.post(f"{path}/{command}", who)
        assert response.status_code == status, (command, who, response.text)
    assert (await house.post(f"/v1/requests/{uuid4()}/cancel", "alice")).status_code == 404
    assert await house.pool.fetchval("SELECT count(*) FROM commands") == 0


async def test_retry_after_the_cause_was_put_right(house: House) -> None:
    await house.publish(shared("role:empty", workflow="nobody"))
    flow = await house.begun("alice", "nobody", {})
    path = f"/v1/requests/{flow.state.request_id}"
    shown = schemas.Request.model_validate((await house.get(path, "alice")).json())
    assert [incident.kind for incident in shown.incidents] == ["NoApproverFound"]
    _apply(house, flow)
    await house.import_org((), (RoleRow("empty", ("erin",)),))
    response = await house.post(f"{path}/retry", "root", "admin", json={"comment": "erin has it"})
    assert response.status_code == 200, response.text
    assert response.json()["incidents"] == []
    assert response.json()["waiting_for"] == ["role:empty"]


# --- the audit trail --------------------------------------------------------------------------------


async def test_the_chain_verifies(house: House) -> None:
    flow = await house.begun()
    await house.decide("bob", flow.task, comment="ça va — “ja”")
    [(_, message)] = house.delivery.signals
    await flow.befall(message)  # type: ignore[arg-type]
    request_id = UUID(flow.state.request_id)
    answer = (await house.get(f"/v1/requests/{request_id}/events", "alice")).json()
    events = schemas.EventPage.model_validate(answer).items
    assert [event.type for event in events] == [
        "request.created",
        "task.assigned",
        "decision.recorded",
        "step.completed",
        "request.finalized",
    ]
    rows = await house.pool.fetch(
        "SELECT * FROM audit WHERE request_id = $1 ORDER BY seq", request_id
    )
    prev = bytes(32)
    for number, (row, event) in enumerate(zip(rows, events, strict=True), 1):
        assert (row["seq"], event.seq) == (number, number)
        assert row["prev_hash"] == prev
        prev = hashlib.sha256(b"\x00" + prev + row["body"]).digest()
        assert (row["hash"], event.hash) == (prev, prev.hex())
    assert _verified_as_documented(answer["items"])
    assert not _verified_as_documented(answer["items"][1:])
    head = await house.pool.fetchrow("SELECT * FROM audit_heads WHERE request_id = $1", request_id)
    assert head is not None
    assert (head["seq"], head["hash"]) == (len(rows), prev)


async def test_events_come_in_pages(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}/events"
    first = (await house.get(path, "alice", params={"limit": 1})).json()
    rest = (await house.get(path, "alice", params={"cursor": first["next_cursor"]})).json()
    assert [item["seq"] for item in first["items"] + rest["items"]] == [1, 2]
    assert rest["next_cursor"] is None
    # From the end: the last ones before a place, with what follows them.
    for before, seqs in ((1000, [2]), (2, [1]), (1, list[int]())):
        last = (await house.get(path, "alice", params={"limit": 1, "before": before})).json()
        assert [item["seq"] for item in last["items"]] == seqs
        if before == 1000:
            assert last["next_cursor"] is None
            continue
        on = (await house.get(path, "alice", params={"cursor": last["next_cursor"]})).json()
        assert on["items"][0]["seq"] == before
    both = {"before": 2, "cursor": first["next_cursor"]}
    assert (await house.get(path, "alice", params=both)).status_code == 422


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET payload = '{}'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "INSERT INTO audit SELECT * FROM audit",
        "UPDATE audit_heads SET seq = 9",
        "DELETE FROM decisions",
        "UPDATE recipes SET source = ''",
        "DELETE FROM recipes",
    ],
)
async def test_the_application_cannot_change_the_past(house: House, statement: str) -> None:
    await house.submit()
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
        await house.pool.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET payload = '{}'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "TRUNCATE audit_rest",
        "UPDATE recipes SET source = ''",
        "TRUNCATE recipes CASCADE",
    ],
)
async def test_nor_can_the_owner(house: House, admin_pool: Pool, statement: str) -> None:
    await house.submit()
    async with admin_pool.acquire() as connection:
        await connection.execute("SET ROLE countersign_owner")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)
        await connection.execute("RESET ROLE")


def _verified_as_documented(events: list[Json]) -> bool:
    """Whether the lines of docs/evidence.md, run as they stand, find the chain whole."""
    program = EVIDENCE.partition("<!-- verify -->\n```python\n")[2].partition("```")[0]
    command = (sys.executable, "-c", program)
    done = subprocess.run(
        command, input=json.dumps(events), text=True, check=False, capture_output=True
    )
    return done.returncode == 0 and "the chain holds" in done.stdout
