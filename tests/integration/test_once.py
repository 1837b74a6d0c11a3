"""`Idempotency-Key` on calls that make something: carried out once, answered the same each time."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from api import requests
from recipes.happenings import Commanded
from storage import idempotency
from storage.idempotency import Slot
from storage.pool import Pool
from storage.vault import Reader
from tests.integration.house import House
from tests.stack import Database

PDF = b"%PDF-1.7\n%nothing more"
KEYED = {"Idempotency-Key": "k-1"}
FLIGHT = "urn:countersign:problem:idempotency_key_in_flight"
REUSED = "urn:countersign:problem:idempotency_key_reused"


async def _twice(house: House, path: str, who: str, *roles: str, **options: Any) -> httpx.Response:
    """The same call with the same key twice: the first answer, which the second must repeat."""
    headers = KEYED | options.pop("headers", {})
    first = await house.post(path, who, *roles, headers=headers, **options)
    again = await house.post(path, who, *roles, headers=headers, **options)
    assert first.status_code == 201, first.text
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers.get("location") == first.headers.get("location")
    replayed = [each.headers.get("idempotency-replayed") for each in (first, again)]
    assert replayed == [None, "true"]
    return first


async def test_what_is_made_once(house: House) -> None:
    flow = await house.begun()
    request = flow.state.request_id
    await _twice(house, f"/v1/requests/{request}/comments", "alice", json={"text": "please"})
    question = {"to": "erin", "text": "is that so?"}
    await _twice(house, f"/v1/tasks/{flow.task}/questions", "bob", json=question)
    file = {"params": {"name": "offer.pdf"}, "content": PDF}
    typed = {"Content-Type": "application/pdf"}
    await _twice(house, f"/v1/requests/{request}/attachments", "frank", headers=typed, **file)
    away = {"delegate": "erin", "from": "2030-01-01", "to": "2030-01-02"}
    await _twice(house, "/v1/org/delegations", "carol", json=away)
    hold = {"workflow": "leave", "reason": "a law suit"}
    await _twice(house, "/v1/audit/holds", "olga", "auditor", json=hold)
    shown = (await house.get(f"/v1/requests/{request}", "alice")).json()
    assert [len(shown[name]) for name in ("comments", "questions", "attachments")] == [1, 1, 1]
    counted = "SELECT (SELECT count(*) FROM delegations) + (SELECT count(*) FROM audit_holds)"
    assert await house.pool.fetchval(counted) == 2


async def test_another_call_under_the_same_key(house: House) -> None:
    flow = await house.begun()
    comments = f"/v1/requests/{flow.state.request_id}/comments"
    await _twice(house, comments, "alice", json={"text": "please"})
    other = await house.post(comments, "alice", headers=KEYED, json={"text": "now"})
    assert (other.status_code, other.json()["type"]) == (422, REUSED)
    body = {"workflow": "leave", "inputs": {"days": 1}}
    submitted = await house.post("/v1/requests", "alice", headers=KEYED, json=body)
    assert (submitted.status_code, submitted.json()["type"]) == (422, REUSED)
    mine = {"Idempotency-Key": "k-2"}
    assert (await house.post("/v1/requests", "alice", headers=mine, json=body)).status_code == 201
    said = await house.post(comments, "alice", headers=mine, json={"text": "please"})
    assert (said.status_code, said.json()["type"]) == (422, REUSED)
    # A key is its caller's own.
    assert (await house.post(comments, "bob", headers=KEYED, json={"text": "b"})).status_code == 201


async def test_what_was_refused_may_come_again(house: House) -> None:
    request = (await house.submit())["id"]
    comments = f"/v1/requests/{request}/comments"
    assert (
        await house.post(comments, "erin", headers=KEYED, json={"text": "x"})
    ).status_code == 404
    assert (await house.post(comments, "erin", headers=KEYED, json={"text": ""})).status_code == 422
    await house.post(f"/v1/requests/{request}/watchers", "alice", json={"person": "erin"})
    assert (
        await house.post(comments, "erin", headers=KEYED, json={"text": "x"})
    ).status_code == 201


@pytest.mark.parametrize("made", ["comment", "request"])
async def test_a_call_in_flight(house: House, database: Database, made: str) -> None:
    request = (await house.submit())["id"]
    path = "/v1/requests" if made == "request" else f"/v1/requests/{request}/comments"
    body = {"text": "x"} if made == "comment" else {"workflow": "leave", "inputs": {"days": 1}}
    elsewhere = await asyncpg.connect(database.url)
    async with elsewhere.transaction():
        # Another API has just begun with the same call.
        assert await idempotency.alone(elsewhere, "alice", "k-1")
        waits = await house.post(path, "alice", headers=KEYED, json=body)
        assert (waits.status_code, waits.json()["type"]) == (409, FLIGHT)
        assert waits.headers["retry-after"] == "1"
    await elsewhere.close()
    assert (await house.post(path, "alice", headers=KEYED, json=body)).status_code == 201


async def test_many_at_once_make_one(house: House) -> None:
    request = (await house.submit())["id"]
    path = f"/v1/requests/{request}/comments"
    answers = await asyncio.gather(
        *(house.post(path, "alice", headers=KEYED, json={"text": "x"}) for _ in range(12))
    )
    assert {each.status_code for each in answers} <= {201, 409}
    assert len({each.content for each in answers if each.status_code == 201}) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM comments") == 1


async def test_nothing_is_kept_of_what_fails_at_the_end(house: House, admin_pool: Pool) -> None:
    """The answer and what was made are of one transaction: neither is there without the other."""
    request = (await house.submit())["id"]
    path = f"/v1/requests/{request}/comments"
    await admin_pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON idempotent_answers EXECUTE FUNCTION refuse()"
    )
    failed = await house.post(path, "alice", headers=KEYED, json={"text": "x"})
    assert failed.status_code == 500
    assert await house.pool.fetchval("SELECT count(*) FROM comments") == 0
    cancelled = await house.post(f"/v1/requests/{request}/cancel", "alice", headers=KEYED)
    assert cancelled.status_code == 500
    assert await house.pool.fetchval("SELECT count(*) FROM commands") == 0
    assert house.delivery.signals == []
    await admin_pool.execute("DROP TRIGGER refuse ON idempotent_answers")
    assert (await house.post(path, "alice", headers=KEYED, json={"text": "x"})).status_code == 201


async def test_a_command_is_recorded_once_and_its_outcome_told_each_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0)
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}/cancel"
    first = await house.post(path, "alice", headers=KEYED)
    assert first.status_code == 202
    [(_, told)] = house.delivery.signals
    assert isinstance(told, Commanded)
    await flow.befall(told)
    monkeypatch.setattr(requests, "PATIENCE", 2)
    again = await house.post(path, "alice", headers=KEYED)
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    assert again.headers["idempotency-replayed"] == "true"
    assert len(house.delivery.signals) == 1
    assert (await house.post(path, "alice")).status_code == 409


async def test_answers_are_sealed_and_go_with_the_keys(house: House, admin_pool: Pool) -> None:
    request = (await house.submit())["id"]
    path = f"/v1/requests/{request}/comments"
    body = {"text": "canary"}
    await house.post(path, "alice", headers=KEYED, json=body)
    hold = {"workflow": "shared", "reason": "canary"}
    await house.post("/v1/audit/holds", "olga", "auditor", headers=KEYED, json=hold)
    kept = await admin_pool.fetch("SELECT request_id, box FROM idempotent_answers")
    assert [b"canary" in row["box"] for row in kept] == [False, False]
    assert sorted(str(row["request_id"]) for row in kept) == sorted([request, "None"])
    # Another row's box is no answer of this key's.
    await admin_pool.execute("UPDATE idempotent_answers SET key = 'k-9' WHERE actor = 'olga'")
    moved = {"Idempotency-Key": "k-9"}
    lost = await house.post("/v1/audit/holds", "olga", "auditor", headers=moved, json=hold)
    assert (lost.status_code, lost.json()["type"]) == (409, "urn:countersign:problem:answer_lost")
    await admin_pool.execute(
        "UPDATE requests SET state = 'cancelled', finalized_at = now() WHERE id = $1::text::uuid",
        request,
    )
    await admin_pool.execute("DELETE FROM outbox")
    erased = await house.post(
        f"/v1/requests/{request}/erase", "oscar", "admin", json={"reason": "case 1"}
    )
    assert erased.status_code == 200, erased.text
    left = await admin_pool.fetchval(
        "SELECT count(*) FROM idempotent_answers WHERE request_id IS NOT NULL"
    )
    assert left == 0


async def test_old_answers_are_forgotten(house: House, admin_pool: Pool) -> None:
    async with house.pool.acquire() as connection, connection.transaction():
        for number in range(3):
            await idempotency.keep(
                connection, Slot("alice", f"k-{number}"), None, Reader("alice"), b"{}"
            )
    await admin_pool.execute(
        "UPDATE idempotent_answers SET created_at = now() - interval '8 days' WHERE key = 'k-0'"
    )
    assert await idempotency.forget(house.pool, 7) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM idempotent_answers") == 2
