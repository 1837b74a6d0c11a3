"""Every call of the API that changes something, under an `Idempotency-Key`: twice sent, once done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api import migrating, once, requests, webhooks
from contract.messages import Synced
from recipes.model import ActionStep, ApprovalStep, Ballot, Json, Recipe
from storage import mirror
from storage.pool import Pool
from tests.integration.house import House, leave, shared
from tests.integration.test_actions import REVIEW
from tests.integration.test_calendars import WORK
from tests.integration.test_imports import row
from tests.integration.test_recipes_api import SOURCE

CANARY = "quillfeather"
"""What people write: never in a box that opens with the house's keys."""
_DONE = """
SELECT (SELECT count(*) FROM audit), (SELECT count(*) FROM outbox), (SELECT count(*) FROM commands),
       (SELECT count(*) FROM delayed_decisions), (SELECT count(*) FROM webhooks), (SELECT count(*) FROM api_keys),
       (SELECT count(*) FROM saved_filters), (SELECT count(*) FROM slack_people)
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers behind a call of these tests: do not wait for it."""
    monkeypatch.setattr(requests, "PATIENCE", 0)
    monkeypatch.setattr(migrating, "PATIENCE", 0)
    monkeypatch.setattr(webhooks, "_TEST_SECONDS", 0)


@dataclass
class Keyed:
    """Sends calls with keys, each twice, and remembers of which routes."""

    house: House
    sent: set[str] = field(default_factory=set[str])

    async def twice(
        self, call: str, who: str, *roles: str, at: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """The answer, once it was seen that the same call again gets it again and does nothing, and another one
        under its key is refused."""
        method, path = call.split()
        for name, value in (at or {}).items():
            path = path.replace(f"{{{name}}}", str(value))
        key = {"Idempotency-Key": str(uuid4())}
        another = {"json": options.pop("another")} if "another" in options else {"content": b"{ }"}
        headers = options.pop("headers", {}) | key
        first = await self.house.call(method, path, who, *roles, headers=headers, **options)
        assert first.status_code < 300, (call, first.text)
        assert "idempotency-replayed" not in first.headers
        before = await self.house.pool.fetchrow(_DONE)
        again = await self.house.call(method, path, who, *roles, headers=headers, **options)
        way = once.way_of(call)
        if way == "secret":
            assert again.json()["type"].endswith(":answer_lost"), (call, again.text)
        elif first.status_code != 202 or way == "together":
            assert again.headers.get("idempotency-replayed") == "true", (call, again.text)
            assert again.status_code == first.status_code
            assert call == "POST /v1/requests" or again.content == first.content, call
        if first.status_code != 202 or way == "together":
            assert await self.house.pool.fetchrow(_DONE) == before, call
            other = await self.house.call(method, path, who, *roles, headers=headers, **another)
            assert other.json()["type"].endswith(":idempotency_key_reused"), (call, other.text)
        self.sent.add(call)
        return first.json()


async def test_every_call(house: House, admin_pool: Pool) -> None:
    keyed = Keyed(house)
    await _of_a_request(keyed)
    await _of_recipes(keyed)  # before requests are put where no workflow put them
    await _commands(keyed, admin_pool)
    await _of_tasks(keyed)
    await _of_the_directory(keyed)
    await _of_the_house(keyed, admin_pool)
    assert keyed.sent == _changing(house)
    boxes = await house.pool.fetch(
        "SELECT actor, key FROM idempotent_answers WHERE request_id IS NULL"
    )
    async with house.pool.acquire() as connection:
        for each in boxes:
            slot = once.idempotency.Slot(each["actor"], each["key"])
            kept = await once.idempotency.answered(connection, slot, once.Caller("nobody").reader)
            assert kept is not None
            assert CANARY.encode() not in kept, kept


def _changing(house: House) -> set[str]:
    paths = house.app.openapi()["paths"]
    calls = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    return {call for call in calls if once.way_of(call) != "nothing"}


async def _of_a_request(keyed: Keyed) -> None:
    made = {"workflow": "leave", "inputs": {"days": 5, "why": CANARY}}
    await keyed.twice("POST /v1/requests", "alice", json=made, another=made | {"version": 1})
    flow = await keyed.house.begun(inputs={"days": 5, "why": CANARY})
    at = {"request_id": flow.state.request_id, "task_id": flow.task, "person_id": "erin"}
    said = {"text": CANARY}
    await keyed.twice("POST /v1/requests/{request_id}/comments", "alice", at=at, json=said)
    await keyed.twice(
        "POST /v1/requests/{request_id}/attachments",
        "alice",
        at=at,
        params={"name": f"{CANARY}.txt"},
        content=b"a file",
        headers={"Content-Type": "text/plain"},
    )
    watchers = "/v1/requests/{request_id}/watchers"
    await keyed.twice(f"POST {watchers}", "alice", at=at, json={"person": "erin"})
    await keyed.twice(f"DELETE {watchers}/{{person_id}}", "alice", at=at)
    question = {"to": "erin", "text": CANARY}
    asked = await keyed.twice("POST /v1/tasks/{task_id}/questions", "bob", at=at, json=question)
    at["question_id"] = asked["id"]
    await keyed.twice("POST /v1/questions/{question_id}/answer", "erin", at=at, json=said)
    await keyed.twice("POST /v1/notifications/read", "alice", json={})
    about = {"event": "e", "entity_type": "t", "entity_id": "1"}
    await keyed.twice("POST /v1/events", "alice", json=about)


async def _commands(keyed: Keyed, admin_pool: Pool) -> None:
    house, path = keyed.house, "POST /v1/requests/{request_id}"

    async def begun(**options: Any) -> dict[str, Any]:
        flow = await house.begun(**options)
        tasks = [task.id for task in flow.state.tasks]
        return {"request_id": flow.state.request_id, "task_id": next(iter(tasks), None)}

    comment = {"comment": CANARY}
    await keyed.twice(f"{path}/cancel", "alice", at=await begun(), json=comment)
    to = comment | {"to": "erin"}
    task = await begun()
    await keyed.twice("POST /v1/tasks/{task_id}/reassign", "root", "admin", at=task, json=to)
    task = await begun()
    seat = await house.pool.fetchval("SELECT seat FROM tasks WHERE id = $1", task["task_id"])
    to |= {"seat": seat}
    await keyed.twice(f"{path}/reassign", "root", "admin", at=task, json=to)
    add = comment | {"add": "erin", "where": "beside"}
    task = await begun()
    await keyed.twice("POST /v1/tasks/{task_id}/approvers", "root", "admin", at=task, json=add)
    await house.publish(shared("role:empty", workflow="stuck"))
    stuck = await begun(workflow="stuck", inputs={})
    await keyed.twice(f"{path}/retry", "root", "admin", at=stuck, json=comment)
    back = await begun()
    await admin_pool.execute(
        "UPDATE requests SET state = 'rewound', step = NULL WHERE id = $1::text::uuid",
        back["request_id"],
    )
    inputs = {"inputs": {"days": 4, "why": CANARY}, **comment}
    await keyed.twice(f"{path}/resubmit", "alice", at=back, json=inputs)
    await keyed.twice("POST /v1/recipes", "root", "admin", content=REVIEW)
    document = await begun(workflow="review", inputs={"document": CANARY})
    at = document | {"action_id": "submit"}
    await keyed.twice(f"{path}/actions/{{action_id}}", "alice", at=at, json=comment)
    over = {"request_id": (await house.submit())["id"]}
    await admin_pool.execute(
        "UPDATE requests SET state = 'cancelled', finalized_at = now() WHERE id = $1::text::uuid",
        over["request_id"],
    )
    await admin_pool.execute("DELETE FROM outbox")
    await keyed.twice(f"{path}/erase", "root", "admin", at=over, json={"reason": "case 1"})


async def _of_tasks(keyed: Keyed) -> None:
    house, why = keyed.house, {"days": 5, "why": CANARY}
    at = {"task_id": (await house.begun(workflow="shared", inputs={})).task}
    await keyed.twice("POST /v1/tasks/{task_id}/claim", "dave", at=at)
    await keyed.twice("POST /v1/tasks/{task_id}/release", "dave", at=at)
    said = {"decision": "approve", "comment": CANARY}
    at = {"task_id": (await house.begun(inputs=why)).task}
    decide = "POST /v1/tasks/{task_id}/decisions"
    kept = await keyed.twice(decide, "bob", at=at, json=said | {"after": 60})
    undo = {"delayed_id": kept["delayed"]["id"]}
    await keyed.twice("DELETE /v1/delayed/{delayed_id}", "bob", at=undo)
    await keyed.twice(decide, "bob", at=at, json=said)
    tasks = [(await house.begun(inputs=why)).task for _ in range(2)]
    items = [said | {"task_id": task} for task in tasks]
    told = len(house.delivery.signals)
    await keyed.twice("POST /v1/decisions", "bob", json={"items": items})
    assert len(house.delivery.signals) == told + 2


async def _of_recipes(keyed: Keyed) -> None:
    house, path = keyed.house, "POST /v1/recipes/{name}/versions/{version}"
    await house.begun()
    await house.publish(leave(2, title="Another"))
    at = {"name": "leave", "version": 1}
    move = {"to": 2, "comment": "a better one"}
    await keyed.twice(f"{path}/migrate", "root", "admin", at=at, json=move)
    await keyed.twice(f"{path}/disable", "root", "admin", at=at, json={"reason": "old"})
    await keyed.twice(f"{path}/enable", "root", "admin", at=at)
    await keyed.twice("POST /v1/recipes", "root", "admin", content=SOURCE)
    await keyed.twice("POST /v1/calendars", "root", "admin", content=WORK)
    small = ActionStep("small", "approve", when="amount < 100")
    boss = ApprovalStep("boss", (Ballot("boss", approver="user:bob"),))
    schema: dict[str, Json] = {"type": "object", "properties": {"amount": {"type": "number"}}}
    await house.publish(Recipe("buy", 1, (small, boss), inputs=schema))
    await house.begun(workflow="buy", inputs={"amount": 9})
    wrong = {"workflow": "buy", "version": 1, "step": "small", "reason": "wrong", "mark": True}
    recall = await keyed.twice("POST /v1/recalls", "root", "admin", json=wrong)
    at = {"recall_id": recall["id"]}
    await keyed.twice("POST /v1/recalls/{recall_id}/continue", "root", "admin", at=at)


async def _of_the_directory(keyed: Keyed) -> None:
    person = {"id": "zoe", "name": "Zoe Ray"}
    await keyed.twice(
        "POST /v1/org/import",
        "root",
        "admin",
        json={"people": [person]},
        another={"people": [person | {"name": "Zoe"}]},
    )
    away = {"delegate": "erin", "from": "2030-01-01", "to": "2030-01-02"}
    given = await keyed.twice(
        "POST /v1/org/delegations", "carol", json=away, another=away | {"reason": "x"}
    )
    at = {"delegation_id": given["id"]}
    await keyed.twice("POST /v1/org/delegations/{delegation_id}/end", "carol", at=at, another={})
    await mirror.declare(keyed.house.pool, "https://hr.example.org", timedelta(hours=24))
    keyed.house.delivery.synced = Synced(people=3)
    await keyed.twice("POST /v1/org/mirror/sync", "root", "admin", json={})
    assert len(keyed.house.delivery.syncs) == 1
    slack = {"person": "bob", "slack_user": "U0123ABC"}
    await keyed.twice("POST /v1/slack/people", "root", "admin", json=slack)
    await keyed.twice(
        "DELETE /v1/slack/people/{person_id}", "root", "admin", at={"person_id": "bob"}
    )
    await keyed.twice("PUT /v1/me/preferences", "alice", json={"gather_minutes": 20})
    kept = await keyed.twice("POST /v1/me/filters", "alice", json={"name": "mine"})
    await keyed.twice("DELETE /v1/me/filters/{filter_id}", "alice", at={"filter_id": kept["id"]})


async def _of_the_house(keyed: Keyed, admin_pool: Pool) -> None:
    hold = {"workflow": "leave", "reason": "a law suit"}
    at = {
        "hold_id": (await keyed.twice("POST /v1/audit/holds", "olga", "auditor", json=hold))["id"]
    }
    end = {"reason": "it was settled"}
    await keyed.twice("POST /v1/audit/holds/{hold_id}/end", "olga", "auditor", at=at, json=end)
    key = {"service": "erp", "scopes": ["requests:read"]}
    at = {"key_id": (await keyed.twice("POST /v1/keys", "root", "admin", json=key))["id"]}
    await keyed.twice("POST /v1/keys/{key_id}/revoke", "root", "admin", at=at)
    await keyed.twice("POST /v1/sessions/end", "root", "admin", json={"person": "bob"})
    past = {"params": {"source": "old"}, "headers": {"Content-Type": "application/json"}}
    await keyed.twice("POST /v1/imports", "root", "admin", content=json.dumps([row()]), **past)
    url = {"url": "https://erp.example.org/hooks"}
    made = await keyed.twice("POST /v1/webhooks", "root", "admin", json=url)
    at = {"webhook_id": made["id"]}
    for deed in ("rotate", "pause", "resume", "test"):
        await keyed.twice(f"POST /v1/webhooks/{{webhook_id}}/{deed}", "root", "admin", at=at)
    resend = {"all": True}
    path = "POST /v1/webhooks/{webhook_id}/resend"
    await keyed.twice(path, "root", "admin", at=at, json=resend)
    await keyed.twice("DELETE /v1/webhooks/{webhook_id}", "root", "admin", at=at)
    dead = await admin_pool.fetchval(
        "INSERT INTO messages (id, person, channel, digest, state, due_at, ended_at)"
        " VALUES (gen_random_uuid(), 'bob', 'mail', false, 'dead', now(), now()) RETURNING id"
    )
    at = {"message_id": dead}
    await keyed.twice("POST /v1/messages/{message_id}/resend", "root", "admin", at=at)
    await keyed.twice("POST /v1/messages/resend", "root", "admin")
