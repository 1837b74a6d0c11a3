"""Ask the audit trail: who decided what, on whose behalf, under which version, about what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes.model import EntityRule, Json
from storage.pool import Pool
from tests.integration.house import House, leave, shared

AMOUNTS: tuple[Json, ...] = (70000, 60000.5, 50000, 49999.99)


async def _ask(house: House, **asked: Any) -> list[dict[str, Any]]:
    """All that is found, page by page of two."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = await house.get(
            "/v1/audit", "olga", "auditor", params={"limit": 2, **asked, **cursor}
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
async def orders(house: House) -> House:
    """Orders of four amounts, decided by bob; the second for frank by a delegation."""
    await house.publish(shared("user:bob", workflow="orders"))
    for n, amount in enumerate(AMOUNTS):
        inputs = {"amount": amount, "supplier": f"Acme Corp {n}", "urgent": n == 1}
        flow = await house.begun("alice", "orders", inputs)
        decided = await house.decide("bob", flow.task, comment=f"number {n} for Łódź")
        assert decided.status_code == 200, decided.text
    return house


async def test_every_decision_over_50000(orders: House) -> None:
    found = await _ask(
        orders, type="decision.recorded", workflow="orders", where="amount > 50000", version=1
    )
    assert [row["inputs"]["amount"] for row in found] == ["60000.5", 70000]
    for row in found:
        assert row["actor"]["user"] == "bob"
        assert row["outcome"] == "approve"
        assert (row["requester"], row["version"]) == ("alice", 1)


@pytest.mark.parametrize(
    ("where", "amounts"),
    [
        ("amount >= 50000", [50000, "60000.5", 70000]),
        ("amount == 60000.5", ["60000.5"]),
        ("amount != 60000.5", ["49999.99", 50000, 70000]),
        ("amount < 50000 || amount == 70000", ["49999.99", 70000]),
        ("urgent == true", ["60000.5"]),
        ("urgent != true && amount > 1", ["49999.99", 50000, 70000]),
        ('supplier == "Acme Corp 2"', [50000]),
        ('supplier != "Acme Corp 2" && supplier > "Acme Corp 1"', ["49999.99"]),
        ('amount == "EUR"', []),
        ("supplier > 5", []),
        ("absent != 5", []),
        ('absent != "x"', []),
        ("supplier.deep == 1", []),
    ],
)
async def test_conditions(orders: House, where: str, amounts: list[Json]) -> None:
    found = await _ask(orders, type="decision.recorded", where=where)
    assert [row["inputs"]["amount"] for row in found] == amounts
    requests = await orders.get("/v1/requests", "alice", params={"where": where})
    assert len(requests.json()["items"]) == len(amounts)


async def test_words(orders: House) -> None:
    decisions = {"type": "decision.recorded"}
    assert len(await _ask(orders, words="acme corp", **decisions)) == len(AMOUNTS)
    assert len(await _ask(orders, words="CORP 2", **decisions)) == 1
    assert [row["payload"]["comment"] for row in await _ask(orders, words="Łódź 3")] == [
        "number 3 for Łódź"
    ]
    assert await _ask(orders, words="Globex") == []
    requests = await orders.get("/v1/requests", "alice", params={"words": "ACME 1"})
    assert len(requests.json()["items"]) == 1


async def test_who_when_and_what(orders: House) -> None:
    assert {row["actor"]["user"] for row in await _ask(orders, actor="bob")} == {"bob"}
    assert await _ask(orders, on_behalf_of="bob") == []
    imported = await _ask(orders, role="admin", type="org.imported")
    assert [(row["inputs"], row["title"]) for row in imported] == [(None, None)]
    assert len(await _ask(orders, outcome="approve")) >= len(AMOUNTS)
    now = datetime.now(UTC)
    assert await _ask(orders, since=(now + timedelta(hours=1)).isoformat()) == []
    assert await _ask(orders, until=(now - timedelta(hours=1)).isoformat()) == []
    everything = await _ask(orders)
    times = [row["occurred_at"] for row in everything]
    assert times == sorted(times, reverse=True)
    assert len({(row["request_id"], row["seq"]) for row in everything}) == len(everything)
    one = everything[-1]["request_id"]
    assert {row["request_id"] for row in await _ask(orders, request=one)} == {one}


async def test_entities(house: House) -> None:
    await house.publish(leave(2, entity=EntityRule()))
    about = {"type": "booking", "id": "4711"}
    body = {"workflow": "leave", "inputs": {"days": 5}, "entity": about}
    assert (await house.post("/v1/requests", "alice", json=body)).status_code == 201
    await house.submit()
    [row] = await _ask(house, entity_type="booking", entity_id="4711")
    assert (row["entity"], row["version"]) == (about, 2)
    assert await _ask(house, entity_type="booking", entity_id="4712") == []


async def test_it_answers_when_the_request_is_gone(orders: House, admin_pool: Pool) -> None:
    await admin_pool.execute("DELETE FROM decisions")
    await admin_pool.execute("TRUNCATE requests CASCADE")
    found = await _ask(orders, type="decision.recorded", where="amount > 60000.4")
    assert [row["title"] for row in found] == ["Orders", "Orders"]


async def test_for_auditors_and_administrators_alone(house: House) -> None:
    refused = await house.get("/v1/audit", "alice")
    assert refused.status_code == 403
    assert "auditor" in refused.json()["detail"]
    assert (await house.get("/v1/audit", "olga", "admin")).status_code == 200


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"where": "amount = 5"}, "column 8"),
        ({"where": "amount > 5; DELETE"}, "column 11"),
        ({"entity_id": "4711"}, "needs entity_type"),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}, "after since"),
        ({"cursor": "WzFd"}, "cursor"),
        ({"amount": "5"}, "unknown query parameter"),
        ({"version": "0"}, "version"),
    ],
)
async def test_what_cannot_be_asked(house: House, asked: dict[str, str], said: str) -> None:
    refused = await house.get("/v1/audit", "olga", "auditor", params=asked)
    assert refused.status_code == 422
    assert said in refused.text


async def test_the_largest_inputs_have_words(house: House) -> None:
    words = " ".join(f"{n:x}" for n in range(46_000))
    await house.submit(inputs={"days": 5, "why": words})
    assert len(await _ask(house, words="Moreau b3af")) == 1
    await house.submit(inputs={"days": 6, "why": words[:-4] + "a" * 30_000})
    assert len(await _ask(house, words="days Moreau")) == 2
    assert len(await _ask(house, words="Moreau b3ae")) == 1
