"""When a rule was wrong: what it decided, and recalling it, in parts, each request once."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from api import past_shapes, schemas
from recipes.model import ActionStep, ApprovalStep, Ballot, EntityRule, Json, Level, Recipe
from storage import asking, recalls
from storage.cold import Cold
from storage.moving import Mover
from storage.pool import Pool
from storage.store import Folder
from storage.trail import Trail
from tests.integration import ancient
from tests.integration.house import House, Workflow
from tests.integration.sealed import KEY, seal

BUY: dict[str, Json] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "currency": {"type": "string"},
        "to": {"type": "object"},
    },
    "required": ["amount"],
}
SMALL = ActionStep("small", "approve", when="amount < 100")
BOSS = ApprovalStep(
    "boss", (Ballot("boss", approver="{{ employee.manager }}"),), employee_paths=("manager",)
)
RULE: dict[str, Json] = {"workflow": "buy", "version": 1, "step": "small"}
WHY = {"reason": "all of one night", "review_workflow": "review"}


def buy(version: int = 1, workflow: str = "buy", **changes: Any) -> Recipe:
    values: dict[str, Any] = {"steps": (SMALL, BOSS), "inputs": BUY} | changes
    return Recipe(workflow, version, **values)


@pytest.fixture
async def shop(house: House) -> House:
    """Three small purchases that a rule approved, and a large one that waits for bob."""
    await house.publish(buy())
    await house.publish(buy(workflow="review", steps=(BOSS,)))
    for amount, currency in ((99, "EUR"), (20.5, "EUR"), (7, "USD")):
        inputs = {"amount": amount, "currency": currency, "to": {"city": "Oslo"}}
        await house.begun("alice", "buy", inputs)
    await house.begun("alice", "buy", {"amount": 500})
    return house


async def asked(shop: House, *, status: int = 200, **query: Any) -> Any:
    response = await shop.get("/v1/audit/impact", "root", "auditor", params=RULE | query)
    assert response.status_code == status, response.text
    return past_shapes.Impact.model_validate(response.json()) if status == 200 else response.json()


async def begin(shop: House, status: int = 201, **body: Json) -> httpx.Response:
    query = {"dry_run": "true"} if status == 200 else {}
    response = await shop.post("/v1/recalls", "root", "admin", json=RULE | body, params=query)
    assert response.status_code == status, response.text
    return response


async def begun(shop: House, **body: Json) -> past_shapes.Recall:
    return past_shapes.Recall.model_validate((await begin(shop, **body)).json())


async def go_on(shop: House, recall: past_shapes.Recall, limit: int = 100) -> past_shapes.Recall:
    path = f"/v1/recalls/{recall.id}/continue"
    response = await shop.post(path, "root", "admin", params={"limit": limit})
    assert response.status_code == 200, response.text
    return past_shapes.Recall.model_validate(response.json())


async def requests_of(shop: House, recall: past_shapes.Recall, **query: Any) -> Any:
    path = f"/v1/recalls/{recall.id}/requests"
    found = await shop.get(path, "root", "auditor", params=query)
    return past_shapes.RecalledPage.model_validate(found.json())


async def shown(shop: House, request_id: Any) -> schemas.Request:
    response = await shop.get(f"/v1/requests/{request_id}", "root", "auditor")
    return schemas.Request.model_validate(response.json())


async def test_all_that_a_rule_decided(shop: House) -> None:
    found = await asked(shop)
    assert (found.requests, found.recalled, found.in_flight) == (3, 0, 1)
    assert (found.rule, found.action) == ("amount < 100", "approve")
    assert [item.inputs["amount"] for item in found.items] == [7, 20.5, 99]
    assert found.last_at == found.items[0].decided_at
    assert found.first_at == found.items[-1].decided_at
    grouped = await asked(shop, sum="amount", by="currency")
    assert [(g.value, g.requests, g.sum) for g in grouped.groups] == [
        ("EUR", 2, "119.5"),
        ("USD", 1, "7"),
    ]
    [whole] = (await asked(shop, sum="amount")).groups
    assert (whole.value, whole.requests, whole.sum) == (None, 3, "126.5")
    first = await asked(shop, limit=2)
    rest = await asked(shop, limit=2, cursor=first.next_cursor)
    assert [item.inputs["amount"] for item in (*first.items, *rest.items)] == [7, 20.5, 99]
    assert rest.next_cursor is None


async def test_conditions_and_times_narrow_it(shop: House) -> None:
    expected: dict[str, list[float]] = {
        "amount < 20.5": [7],
        'amount >= 20.5 && currency == "EUR"': [20.5, 99],
        'to.city == "Oslo"': [7, 20.5, 99],
        "nothing == 1": [],
    }
    for condition, amounts in expected.items():
        found = await asked(shop, where=condition)
        assert [item.inputs["amount"] for item in found.items] == amounts, condition
        assert found.requests == len(amounts), condition
    both = await asked(shop, where='amount > 7 && currency == "EUR"')
    assert both.requests == 2
    last = both.items[0].decided_at
    assert (await asked(shop, since=last.isoformat())).requests == 2
    assert (await asked(shop, until=last.isoformat())).requests == 1


@dataclass
class Old:
    """Purchases of months long over, whose rows of the audit can move to the cold tier."""

    shop: House
    admin_pool: Pool
    mover: Mover

    async def bought(self, day: date, amount: int, rule: str | None = "amount < 100") -> UUID:
        """One that the rule approved on a day: a row of the shop's with another id, and its chain."""
        bought = await ancient.of(self.admin_pool, "buy", {"amount": amount})
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        await self.admin_pool.execute(COPY, bought.id, bought.inputs, at)
        await bought.say(at, "request.created", {"title": "x", "inputs": bought.inputs}, "alice")
        completed: dict[str, Json] = {"step": "small", "outcome": "approve", "rule": rule}
        await bought.say(at, "step.completed", completed, "system:engine")
        other: dict[str, Json] = {"step": "boss", "outcome": "approve"}
        await bought.say(at, "step.completed", other, "system:engine")
        return bought.id

    async def move(self, *moving: date) -> None:
        await seal(self.shop.pool)
        for month in moving:
            assert (await self.mover.move(month)).state == "cold"


JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
COPY = """
INSERT INTO requests
SELECT (jsonb_populate_record(r, jsonb_build_object(
            'id', $1::uuid, 'inputs', $2::jsonb, 'created_at', $3::timestamptz, 'finalized_at', $3))).*
  FROM requests r WHERE workflow = 'buy' AND state = 'approved' LIMIT 1
"""


@pytest.fixture
async def old(shop: House, admin_pool: Pool, tmp_path: Path) -> Old:
    place = Folder(tmp_path)
    trail = Trail(place, Cold())
    shop.app.state.services = replace(shop.app.state.services, trail=trail)
    for month in (JANUARY, FEBRUARY):
        await ancient.partition(admin_pool, month)
    return Old(shop, admin_pool, Mover(shop.pool, place, (KEY,)))


async def test_what_it_decided_in_the_cold_tier_counts_too(shop: House, old: Old) -> None:
    first = await old.bought(date(2024, 1, 5), 30)
    second = await old.bought(date(2024, 2, 6), 60, rule=None)

    async def found() -> list[Any]:
        answers = [
            await asked(shop, sum="amount"),
            await asked(shop, where="amount < 40", by="amount"),
            await asked(shop, since="2024-01-06T00:00:00Z", until="2024-03-01T00:00:00Z"),
            await asked(shop, until="2024-01-05T12:00:00Z"),
            await asked(shop, limit=2),
        ]
        answers.append(await asked(shop, limit=10, cursor=answers[-1].next_cursor))
        return answers

    before = await found()
    assert (before[0].requests, before[0].groups[0].sum) == (5, "216.5")
    assert [item.id for item in before[0].items[3:]] == [second, first]
    assert [item.id for item in before[2].items] == [second]
    assert before[3].requests == 0
    for month in (JANUARY, FEBRUARY):
        await old.move(month)
        assert await found() == before
    assert before[0].deleted_months == []
    shop.app.state.services = replace(shop.app.state.services, trail=Trail(None, Cold()))
    away = await shop.get("/v1/audit/impact", "root", "auditor", params=RULE)
    assert away.status_code == 503
    assert "COUNTERSIGN_AUDIT_STORE" in away.json()["detail"]


async def test_what_it_decided_in_the_cold_tier_is_recalled_too(shop: House, old: Old) -> None:
    old_one = await old.bought(date(2024, 1, 5), 30)
    await old.move(JANUARY)
    plan = past_shapes.RecallPlan.model_validate((await begin(shop, 200, **WHY)).json())
    assert (plan.requests, plan.counts) == (4, {"possible": 4})
    recall = await begun(shop, **WHY)
    assert recall.counts.waiting == 4
    # Moved since it began: taken in when nothing waits any more.
    later = await old.bought(date(2024, 2, 6), 60)
    await old.move(FEBRUARY)
    recall = await go_on(shop, recall)
    assert (recall.counts.waiting, recall.counts.recalled) == (1, 4)
    recall = await go_on(shop, recall)
    assert (recall.counts.recalled, recall.finished_at is None) == (5, False)
    for request_id in (old_one, later):
        assert (await shown(shop, request_id)).recall_id == recall.id
    assert (await asked(shop)).recalled == 5


async def test_months_that_were_deleted_are_named(shop: House, old: Old) -> None:
    await old.bought(date(2024, 1, 5), 30)
    await old.move(JANUARY)
    assert await old.mover.expire(JANUARY, 1)
    found = await asked(shop)
    assert (found.requests, found.deleted_months) == (3, ["2024-01"])
    assert (await asked(shop, since="2024-06-01T00:00:00Z")).deleted_months == []
    assert (await asked(shop, until="2024-01-01T00:00:00Z")).deleted_months == []
    plan = past_shapes.RecallPlan.model_validate((await begin(shop, 200, **WHY)).json())
    assert (plan.requests, plan.deleted_months) == (3, ["2024-01"])


async def test_what_is_no_rule_is_said(shop: House) -> None:
    no_rule = await asked(shop, status=422, step="boss")
    assert "those are: small" in no_rule["detail"]
    assert (await asked(shop, status=404, version=7))["status"] == 404
    bad = await asked(shop, status=422, where="amount <")
    assert bad["errors"][0]["parameter"] == "where"
    nothing = await shop.get("/v1/audit/impact", "root", "auditor")
    assert nothing.json()["errors"][0]["parameter"] == "workflow"
    wrong = await shop.get("/v1/audit/impact", "alice", params=RULE)
    assert wrong.status_code == 403
    cursor = await asked(shop, status=422, cursor="W251bGwsIng")
    assert cursor["errors"][0]["parameter"] == "cursor"


async def test_reopened_requests_ask_people(shop: House) -> None:
    plan = past_shapes.RecallPlan.model_validate((await begin(shop, 200, **WHY)).json())
    assert (plan.requests, plan.counts, plan.in_flight) == (3, {"possible": 3}, 1)
    assert await shop.pool.fetchval("SELECT count(*) FROM recalls") == 0
    recall = await begun(shop, **WHY)
    assert (recall.counts.waiting, recall.review_version) == (3, 1)
    # The version takes no more of them, from the same moment on.
    late = await shop.post(
        "/v1/requests", "alice", json={"workflow": "buy", "inputs": {"amount": 1}}
    )
    assert late.status_code == 409
    recall = await go_on(shop, recall, limit=2)
    assert (recall.counts.waiting, recall.counts.recalled, recall.finished_at) == (1, 2, None)
    recall = await go_on(shop, recall)
    assert recall.counts.recalled == 3
    assert recall.finished_at is not None
    assert await go_on(shop, recall) == recall
    [first, *others] = (await requests_of(shop, recall)).items
    assert len(others) == 2
    old, new = await shown(shop, first.request_id), await shown(shop, first.reopened_as)
    assert (old.state, old.recall_id, new.reopens) == ("approved", recall.id, old.id)
    assert old.recalled is not None
    assert (old.recalled.reason, old.recalled.by, old.recalled.reopened_as) == (
        "all of one night",
        "root",
        new.id,
    )
    assert (new.workflow, new.requester, new.inputs, new.state) == (
        "review",
        "alice",
        old.inputs,
        "created",
    )
    # The relay starts them, as many at a time as workers can carry.
    waiting = "SELECT count(*) FROM outbox o JOIN requests r ON r.id = o.request_id WHERE r.workflow = 'review'"
    assert await shop.pool.fetchval(waiting + " AND o.kind = 'start'") == 3
    assert {start.recipe.workflow for start in shop.delivery.starts} == {"buy"}
    [created] = await asking.chain(shop.pool, new.id)
    assert (created.actor["user"], created.payload["requester"]) == ("root", "alice")
    assert (created.payload["reopens"], created.payload["recall_id"]) == (
        str(old.id),
        str(recall.id),
    )
    *_, told = await asking.chain(shop.pool, old.id)
    assert (told.event_type, told.payload["reopened_as"]) == ("request.recalled", str(new.id))
    trail = await asking.chain(shop.pool, recall.id)
    assert [event.event_type for event in trail] == ["recall.begun", "recall.finished"]
    assert trail[0].payload["requests"] == 3
    assert trail[1].payload["counts"] == {"recalled": 3}
    assert (await asked(shop)).recalled == 3


async def test_marked_requests_stay_as_they_are(shop: House) -> None:
    recall = await begun(shop, mark=True, reason="for the record", where="amount < 50")
    assert recall.counts.waiting == 2
    assert recall.where == "amount < 50"
    before = await shop.pool.fetchval("SELECT count(*) FROM requests")
    recall = await go_on(shop, recall, limit=1)
    recall = await go_on(shop, recall)
    assert (recall.counts.recalled, recall.finished_at is None) == (2, False)
    assert await shop.pool.fetchval("SELECT count(*) FROM requests") == before
    [item, _] = (await requests_of(shop, recall)).items
    marked = await shown(shop, item.request_id)
    assert (marked.state, marked.recalled and marked.recalled.reason) == (
        "approved",
        "for the record",
    )
    # What one recall has, another leaves to it.
    other = await begun(shop, **WHY)
    assert other.counts.waiting == 1
    listed = (await shop.get("/v1/recalls", "root", "auditor", params={"limit": 1})).json()
    newest = past_shapes.RecallPage.model_validate(listed)
    assert [it.id for it in newest.items] == [other.id]
    rest = {"cursor": newest.next_cursor or ""}
    older = (await shop.get("/v1/recalls", "root", "auditor", params=rest)).json()["items"]
    assert [it["id"] for it in older] == [str(recall.id)]
    assert (await shop.get(f"/v1/recalls/{recall.id}", "root", "auditor")).json()["id"] == str(
        recall.id
    )


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ((SMALL, BOSS), "approved"),
        ((ActionStep("never", "reject", when="amount < 100"), BOSS), "rejected"),
        (
            (
                ApprovalStep(
                    "boss", (Ballot("boss", approver="role:hr", levels=(Level(60, "approve"),)),)
                ),
            ),
            "approved",
        ),
    ],
)
async def test_a_review_that_would_decide_by_itself_is_refused(
    shop: House, steps: Any, state: str
) -> None:
    await shop.publish(buy(workflow="lax", steps=steps))
    plan = (await begin(shop, 200, reason="x", review_workflow="lax")).json()
    said = f"lax version 1 would make it {state} without anybody's decision"
    assert {item["detail"] for item in plan["items"]} == {said}
    recall = await go_on(shop, await begun(shop, reason="x", review_workflow="lax"))
    assert (recall.counts.refused, recall.counts.recalled) == (3, 0)
    items = (await requests_of(shop, recall, state="refused")).items
    assert {item.detail for item in items} == {said}
    assert (await shown(shop, items[0].request_id)).recall_id is None
    # They stay to be recalled another way.
    assert (await begun(shop, **WHY)).counts.waiting == 3


async def test_what_cannot_be_reopened_says_why(shop: House) -> None:
    strict = BUY | {"properties": {"amount": {"maximum": 50}}}
    await shop.publish(
        buy(workflow="strict", steps=(BOSS,), inputs=strict, entity=EntityRule(one_open=True))
    )
    recall = await go_on(shop, await begun(shop, reason="x", review_workflow="strict"))
    assert (recall.counts.refused, recall.counts.recalled) == (1, 2)
    [refused] = (await requests_of(shop, recall, state="refused")).items
    assert (refused.detail or "").startswith("/inputs/amount:")


async def test_one_entity_is_reopened_once_at_a_time(house: House) -> None:
    rule = EntityRule(one_open=True)
    await house.publish(buy(entity=EntityRule()))
    await house.publish(buy(workflow="review", steps=(BOSS,), entity=rule))
    for _ in range(2):
        body = {"workflow": "buy", "inputs": {"amount": 5}, "entity": {"type": "po", "id": "1"}}
        made = await house.post("/v1/requests", "alice", json=body)
        assert made.status_code == 201
        await Workflow(house.pool, house.delivery.starts[-1]).begin()
    recall = await go_on(house, await begun(house, **WHY))
    assert (recall.counts.refused, recall.counts.recalled) == (1, 1)
    [refused] = (await requests_of(house, recall, state="refused")).items
    assert "is open" in (refused.detail or "")


async def test_several_go_on_at_once_and_each_is_recalled_once(shop: House) -> None:
    for amount in range(20):
        await shop.begun("alice", "buy", {"amount": amount})
    recall = await begun(shop, **WHY)
    await asyncio.gather(*(go_on(shop, recall) for _ in range(4)))
    recall = await go_on(shop, recall)
    assert recall.counts.recalled == 23
    assert await shop.pool.fetchval("SELECT count(reopens) FROM requests") == 23
    finished = "SELECT count(*) FROM audit WHERE event_type = 'recall.finished'"
    assert await shop.pool.fetchval(finished) == 1


async def test_what_is_decided_meanwhile_is_taken_in(shop: House) -> None:
    await shop.submit("alice", "buy", {"amount": 3})
    under_way = shop.delivery.starts[-1]
    recall = await begun(shop, mark=True, reason="x")
    assert recall.counts.waiting == 3
    await Workflow(shop.pool, under_way).begin()
    recall = await go_on(shop, recall)
    assert (recall.counts.waiting, recall.finished_at) == (1, None)
    recall = await go_on(shop, recall)
    assert recall.counts.recalled == 4
    assert recall.finished_at is not None


async def test_what_breaks_off_is_done_again_as_a_whole(
    shop: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = await begun(shop, **WHY)
    recalled = recalls.recalled

    async def killed(*arguments: Any, **more: Any) -> None:
        await recalled(*arguments, **more)
        raise ConnectionError("killed before the commit")

    monkeypatch.setattr(recalls, "recalled", killed)
    path = f"/v1/recalls/{recall.id}/continue"
    assert (await shop.post(path, "root", "admin")).status_code == 503
    assert await shop.pool.fetchval("SELECT count(*) FROM requests WHERE reopens IS NOT NULL") == 0
    monkeypatch.undo()
    assert (await go_on(shop, recall)).counts.recalled == 3
    assert await shop.pool.fetchval("SELECT count(reopens) FROM requests") == 3


async def test_wrong_recalls(shop: House) -> None:
    denied = await shop.post("/v1/recalls", "alice", json=RULE | WHY)
    assert denied.status_code == 403
    both = (await begin(shop, 422, mark=True, **WHY)).json()
    assert "either review_workflow" in both["detail"]
    odd = (await begin(shop, 422, where="amount <", **WHY)).json()
    assert odd["errors"][0]["pointer"] == "/where"
    assert "either" in (await begin(shop, 422, reason="x")).json()["detail"]
    alone = await begin(shop, 422, reason="x", mark=True, review_version=1)
    assert "needs review_workflow" in alone.json()["detail"]
    same = await begin(shop, 422, reason="x", review_workflow="buy")
    assert same.json()["errors"][0]["pointer"] == "/review_version"
    assert (await begin(shop, 404, reason="x", review_workflow="nowhere")).status_code == 404
    none = await begin(shop, 409, where="amount > 1000", **WHY)
    assert none.json()["type"].endswith("nothing_to_recall")
    assert await shop.pool.fetchval("SELECT count(*) FROM recipe_switches") == 0
    off = {"reason": "off"}
    await shop.post("/v1/recipes/review/versions/1/disable", "root", "admin", json=off)
    assert (await begin(shop, 409, **WHY)).json()["type"].endswith("recipe_disabled")
    assert (await shop.post(f"/v1/recalls/{uuid4()}/continue", "root", "admin")).status_code == 404
    assert (await shop.get("/v1/recalls", "alice")).status_code == 403


async def test_a_review_that_is_disabled_meanwhile_waits(shop: House) -> None:
    recall = await begun(shop, **WHY)
    path = "/v1/recipes/review/versions/1"
    await shop.post(f"{path}/disable", "root", "admin", json={"reason": "off"})
    refused = await shop.post(f"/v1/recalls/{recall.id}/continue", "root", "admin")
    assert refused.status_code == 409
    await shop.post(f"{path}/enable", "root", "admin")
    assert (await go_on(shop, recall)).counts.recalled == 3


async def test_the_database_keeps_recalls_whole(shop: House, pool: Pool) -> None:
    recall = await go_on(shop, await begun(shop, **WHY))
    [item, other, _] = (await requests_of(shop, recall)).items
    open_id = await pool.fetchval("SELECT id FROM requests WHERE finalized_at IS NULL LIMIT 1")
    for statement, *arguments in (
        ("UPDATE requests SET recall_id = $1 WHERE id = $2", recall.id, open_id),
        ("UPDATE requests SET recall_id = NULL WHERE id = $1", item.request_id),
        ("UPDATE requests SET reopens = $1 WHERE id = $2", item.request_id, other.request_id),
        ("UPDATE recalled_requests SET state = 'waiting' WHERE request_id = $1", item.request_id),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await pool.execute(statement, *arguments)
