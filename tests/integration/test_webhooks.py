"""Webhooks: every event to every endpoint, each request's in their order, whatever endpoints and relays do."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from contract.webhooks import TRIP, spelt
from recipes.happenings import Actor
from recipes.model import Confidential
from relay import webhooks
from relay.endpoint import Endpoint, Next
from relay.posting import Poster
from relay.webhooks import Webhooks
from storage import feed, parked
from storage import webhooks as endpoints
from storage.bell import Bell
from storage.commands import now
from storage.pool import Pool
from storage.vault import Vault
from storage.webhooks import NewWebhook
from tests.integration.house import House, leave
from tests.integration.receiver import Message, Receiver, receiving
from tests.integration.sealed import happen
from tests.stack import REGION, Database

OSCAR = Actor("oscar", "admin")
EVENTS = (Path(__file__).parents[2] / "docs/events.md").read_text()
EXAMPLE = re.search(r"```python\n(import base64.*?)```", EVENTS, re.DOTALL)
SECRET = "quillfeather"
FIGURES = (webhooks.waiting, webhooks.dead, webhooks.open_, webhooks.missed)


def verified(secret: bytes, message: Message) -> str:
    """As docs/events.md has receivers do it."""
    assert EXAMPLE is not None
    names: dict[str, Any] = {}
    exec(EXAMPLE[1], names)  # noqa: S102 - what docs/events.md says, run
    found: str = names["verified"](spelt(secret), message.headers, message.body)
    return found


def poster() -> Poster:
    return Poster(production=False, allowed=(ip_network("127.0.0.0/8"),), timeout=15)


async def made(
    pool: Pool,
    url: str,
    types: tuple[str, ...] | None = None,
    workflows: tuple[str, ...] | None = None,
) -> tuple[UUID, bytes]:
    """An endpoint and its secret. What was before is not for it."""
    while await feed.sequence(pool):
        pass
    item = NewWebhook(uuid4(), url, "", types, workflows)
    async with pool.acquire() as connection, connection.transaction():
        _, secret = await endpoints.add(connection, item, OSCAR, await now(connection))
    return item.id, secret


async def begun(pool: Pool, webhook_id: UUID, owner: str = "one") -> Endpoint:
    found = Endpoint(pool, poster(), webhook_id, owner)
    assert await found.hold()
    return found


async def look(endpoint: Endpoint, pool: Pool) -> Next:
    """Look until there is nothing more to do now."""
    await feed.sequence(pool)
    while (found := await endpoint.look()) is Next.MORE:
        pass
    return found


async def all_due(admin: Pool) -> None:
    """As if it were much later."""
    await admin.execute(
        "UPDATE webhook_parked SET next_at = clock_timestamp() WHERE next_at IS NOT NULL"
    )
    await admin.execute(
        "UPDATE webhooks SET probe_at = clock_timestamp() WHERE probe_at IS NOT NULL"
    )


async def _failed_before(admin: Pool, age: str) -> None:
    """As if what failed had done so first that long ago."""
    await admin.execute(
        "UPDATE webhook_parked SET failed_at = clock_timestamp() - $1::text::interval WHERE attempts > 0",
        age,
    )


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


def of(there: Receiver, request: UUID) -> list[int]:
    """Which events of a request were taken, by their seq."""
    return [
        it.event["data"]["seq"] for it in there.taken if it.event["partitionkey"] == str(request)
    ]


async def test_an_endpoint_has_every_event_signed_and_in_order(
    house: House, there: Receiver
) -> None:
    webhook, secret = await made(house.pool, there.url, workflows=("leave",))
    mine = await begun(house.pool, webhook)
    flow = await house.begun("alice", "leave", {"days": 5})
    await house.submit("alice", "shared", {})
    assert (await house.decide("bob", flow.task, comment="fine")).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    assert await look(mine, house.pool) is Next.WAIT
    page = await house.get(
        "/v1/feed", "tess", "auditor", params={"workflow": "leave", "limit": 200}
    )
    told = [each for each in page.json()["items"] if "subject" in each]
    assert [message.event for message in there.taken] == told
    assert [verified(secret, message) for message in there.taken] == [each["id"] for each in told]
    assert there.taken[0].headers["content-type"] == "application/cloudevents+json"
    assert "fine" in there.taken[2].body.decode()
    with pytest.raises(ValueError, match="not signed"):
        verified(bytes(32), there.taken[0])
    row = await endpoints.one(house.pool, webhook)
    assert row is not None
    assert (row["behind"], row["parked"], row["dead"], row["failures"]) == (0, 0, 0, 0)
    assert row["delivered_at"] is not None


async def test_two_secrets_sign_for_a_day(pool: Pool, admin_pool: Pool, there: Receiver) -> None:
    webhook, first = await made(pool, there.url)
    mine = await begun(pool, webhook)
    async with pool.acquire() as connection, connection.transaction():
        row = await endpoints.locked(connection, webhook)
        assert row is not None
        second = await endpoints.rotate(connection, row, OSCAR, await now(connection))
    await look(mine, pool)
    for secret in (first, second):
        assert verified(secret, there.taken[-1])
    await admin_pool.execute("UPDATE webhook_secrets SET ends_at = now() WHERE ends_at IS NOT NULL")
    await happen(pool)
    await look(mine, pool)
    assert verified(second, there.taken[-1])
    with pytest.raises(ValueError, match="not signed"):
        verified(first, there.taken[-1])
    kept = await admin_pool.fetchval("SELECT string_agg(wrapped, '') FROM webhook_secrets")
    assert first not in kept
    assert second not in kept


async def test_secrets_move_to_the_next_region_key(pool: Pool, there: Receiver) -> None:
    webhook, secret = await made(pool, there.url)
    fresh = REGION.__class__("next", bytes(range(1, 33)))
    both = Vault([fresh, REGION])
    assert await endpoints.rewrap(pool, both) == 1
    assert await endpoints.rewrap(pool, both) == 0
    row = await pool.fetchrow("SELECT region, wrapped FROM webhook_secrets")
    assert row is not None
    assert Vault([fresh]).unwrap(webhook, row["region"], row["wrapped"]) == secret


async def test_what_fails_holds_up_its_request_alone(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    bad, good = uuid4(), uuid4()
    failing = [2]
    there.answer = lambda it: (
        "500"
        if it.event["partitionkey"] == str(bad) and it.event["data"]["seq"] in failing
        else "200"
    )
    await happen(pool, bad, rows=4)
    await happen(pool, good, rows=2)
    await look(mine, pool)
    await happen(pool, bad)
    await happen(pool, good)
    await look(mine, pool)
    assert (of(there, bad), of(there, good)) == ([1], [1, 2, 3])
    row = await endpoints.one(pool, webhook)
    assert row is not None
    assert (row["parked"], row["behind"], row["last_error"]) == (4, 0, "500")
    await all_due(admin_pool)
    await look(mine, pool)
    assert of(there, bad) == [1]
    assert await attempts(pool, webhook) == [2, 0, 0, 0]
    failing.clear()
    await all_due(admin_pool)
    await look(mine, pool)
    assert of(there, bad) == [1, 2, 3, 4, 5]
    assert await attempts(pool, webhook) == []


async def attempts(pool: Pool, webhook: UUID) -> list[int]:
    """At each event that is parked, in their order."""
    query = "SELECT attempts FROM webhook_parked WHERE webhook_id = $1 ORDER BY position"
    return [row["attempts"] for row in await pool.fetch(query, webhook)]


async def test_while_all_fails_nothing_piles_up(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    """The cursor rests; one event at a time is tried, an old one and a new one by turns; the first that goes
    through opens it for all."""
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    requests = [await happen(pool, rows=2) for _ in range(TRIP + 20)]
    there.seen.clear()
    there.answer = lambda _: "close"
    assert await look(mine, pool) is Next.REST
    # 16 at once, one more after each failure but the last; and one twice, on a connection that was kept.
    assert TRIP <= len(there.seen) <= TRIP + 16
    before = len(there.seen)
    for request in requests:
        await happen(pool, request)
    await feed.sequence(pool)
    assert await mine.look() is Next.REST
    assert len(there.seen) == before
    state = await endpoints.one(pool, webhook)
    assert state is not None
    assert (state["behind"], state["parked"]) == (TRIP + 20, 2 * (TRIP + 20))
    # Long dead, if anything died meanwhile.
    await _failed_before(admin_pool, "4 days")
    for probe in range(1, 5):
        await all_due(admin_pool)
        assert await mine.look() is Next.REST
        assert len(there.seen) == before + probe
    assert await pool.fetchval("SELECT probes FROM webhooks") == 4
    assert await pool.fetchval("SELECT count(dead_at) FROM webhook_parked") == 0
    there.answer = lambda _: "200"
    there.taken.clear()
    await all_due(admin_pool)
    assert await mine.look() is Next.MORE
    assert len(there.taken) == 1
    await look(mine, pool)
    for request in requests:
        assert of(there, request) == [1, 2, 3]
    assert await attempts(pool, webhook) == []
    assert not await pool.fetchval("SELECT failures FROM webhooks")


async def test_one_that_is_gone_is_paused(pool: Pool, admin_pool: Pool, there: Receiver) -> None:
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    there.answer = lambda _: "410"
    request = await happen(pool, rows=2)
    await feed.sequence(pool)
    await mine.look()
    assert await mine.look() is Next.END
    row = await endpoints.one(pool, webhook)
    assert row is not None
    assert row["paused_why"] == "410: it is gone"
    assert await parked.with_work(pool) == []
    there.answer = lambda _: "200"
    async with pool.acquire() as connection, connection.transaction():
        assert await endpoints.resume(connection, webhook, OSCAR, await now(connection))
    await all_due(admin_pool)
    await look(mine, pool)
    assert of(there, request) == [1, 2]
    types = await pool.fetch(
        "SELECT event_type FROM audit WHERE workflow_id = 'webhooks' ORDER BY seq"
    )
    assert [row["event_type"] for row in types] == [
        "webhook.added",
        "webhook.paused",
        "webhook.resumed",
    ]


async def test_dead_events_hold_up_nothing_and_are_sent_again(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    requests = [uuid4() for _ in range(2)]
    there.answer = lambda it: (
        "500"
        if it.event["partitionkey"] in map(str, requests) and it.event["data"]["seq"] == 1
        else "200"
    )
    for request in requests:
        await happen(pool, request, rows=3)
    await look(mine, pool)
    await _failed_before(admin_pool, "71 hours")
    await happen(pool)  # it takes others: it is not down
    await all_due(admin_pool)
    await look(mine, pool)
    assert await parked.dead(pool, webhook, 0, 9) == []
    await _failed_before(admin_pool, "73 hours")
    await happen(pool)
    await all_due(admin_pool)
    await look(mine, pool)
    assert [of(there, request) for request in requests] == [[2, 3], [2, 3]]
    dead = await parked.dead(pool, webhook, 0, 9)
    assert [(row["seq"], row["attempts"], row["last_error"]) for row in dead] == [(1, 3, "500")] * 2
    await all_due(admin_pool)
    await look(mine, pool)
    assert len(await parked.dead(pool, webhook, 0, 9)) == 2
    there.answer = lambda _: "200"
    async with pool.acquire() as connection, connection.transaction():
        assert await parked.resend(connection, webhook, dead[0]["event_id"]) == 1
        assert await parked.resend(connection, webhook, uuid4()) == 0
    await look(mine, pool)
    assert len(await parked.dead(pool, webhook, 0, 9)) == 1
    async with pool.acquire() as connection, connection.transaction():
        assert await parked.resend(connection, webhook, None) == 1
    await look(mine, pool)
    assert [sorted(of(there, request)) for request in requests] == [[1, 2, 3], [1, 2, 3]]
    assert await attempts(pool, webhook) == []


@pytest.mark.parametrize("erased", [False, True])
async def test_what_is_parked_is_told_as_it_is_then(
    house: House, admin_pool: Pool, there: Receiver, *, erased: bool
) -> None:
    """Of a confidential request ids and states alone; and nothing else of one that is erased before it is sent."""
    if not erased:
        await house.publish(leave(2, confidential=Confidential(("hr",))))
    webhook, _ = await made(house.pool, there.url)
    mine = await begun(house.pool, webhook)
    there.answer = lambda _: "500"
    flow = await house.begun("alice", "leave", {"days": 5, "why": f"{SECRET} why"})
    assert (await house.decide("bob", flow.task, comment=f"{SECRET} said")).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])
    await look(mine, house.pool)
    assert (SECRET in there.seen[-1].body.decode()) is erased
    if erased:
        await house.pool.execute("DELETE FROM outbox")
        path = f"/v1/requests/{flow.state.request_id}/erase"
        assert (await house.post(path, "root", "admin", json={"reason": "x"})).status_code == 200
    there.answer = lambda _: "200"
    await all_due(admin_pool)
    await look(mine, house.pool)
    mark = "erased" if erased else "confidential"
    told = [it.event["data"] for it in there.taken if it.event.get("subject")]
    assert len(told) >= 5
    for data in told:
        assert data[mark] is True
        assert data["request_id"] == flow.state.request_id
    for word in (SECRET, "alice", "bob", "Moreau"):
        assert word not in "".join(
            it.body.decode() for it in there.taken if it.event.get("subject")
        )


async def test_what_was_forgotten_before_is_counted(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    """What an endpoint wanted, that is: the other one wants nothing of it. Also where nobody looks after it."""
    webhook, _ = await made(pool, there.url)
    other, _ = await made(pool, there.url, workflows=("other",))
    mine = await begun(pool, webhook)
    await look(mine, pool)
    there.taken.clear()
    await happen(pool, rows=5)
    await feed.sequence(pool)
    await admin_pool.execute(
        "UPDATE feed SET fed_at = now() - interval '99 days' WHERE position <= $1",
        mine.position + 3,
    )
    assert await feed.forget(pool, 30) > 0
    await look(mine, pool)
    assert [it.event["data"]["seq"] for it in there.taken] == [4, 5]
    row = await endpoints.one(pool, webhook)
    assert row is not None
    assert (row["missed"], row["behind"]) == (3, 0)
    another = await endpoints.one(pool, other)
    assert another is not None
    assert (another["missed"], another["behind"] > 3) == (0, True)


async def test_what_was_given_up_long_ago_is_forgotten_and_counted(
    pool: Pool, admin_pool: Pool, there: Receiver
) -> None:
    webhook, _ = await made(pool, there.url)
    mine = await begun(pool, webhook)
    await look(mine, pool)
    there.answer = lambda it: "500" if it.event["data"]["seq"] == 1 else "200"
    for _ in range(2):
        await happen(pool)
    await look(mine, pool)
    await admin_pool.execute("UPDATE webhook_parked SET next_at = NULL, dead_at = now()")
    assert await parked.forget(pool, 90) == 0
    first = (await parked.dead(pool, webhook, 0, 1))[0]["position"]
    await admin_pool.execute(
        "UPDATE webhook_parked SET dead_at = now() - interval '91 days' WHERE position = $1", first
    )
    assert await parked.forget(pool, 90) == 1
    assert await webhooks.measure(pool) is False
    told = {gauge: gauge.labels(str(webhook))._value.get() for gauge in FIGURES}
    assert told == {
        webhooks.waiting: 0,
        webhooks.dead: 1,
        webhooks.open_: 0,
        webhooks.missed: 1,
    }


async def test_a_mistake_of_ours_is_told_and_the_endpoint_is_looked_after_again(
    pool: Pool, database: Database, there: Receiver
) -> None:
    class Mistaken(Poster):
        mistakes = 1

        @override
        async def post(
            self, url: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, str | None]:
            if self.mistakes:
                self.mistakes -= 1
                raise KeyError("a mistake")
            return await super().post(url, headers, body)

    webhook, _ = await made(pool, there.url)
    request = await happen(pool)
    await feed.sequence(pool)
    mistaken = Mistaken(production=False, allowed=(ip_network("127.0.0.0/8"),), timeout=15)
    relay = Webhooks(pool, mistaken, Bell(database.url))
    with capture_logs() as lines:
        async with asyncio.timeout(120):
            while not of(there, request):
                await relay.find()
                await asyncio.sleep(0.01)
    await relay.close()
    told = [line for line in lines if line["log_level"] == "error"]
    assert [(line["what"], line["webhook"]) for line in told] == [("a webhook", str(webhook))]
    assert told[0]["error"] == "KeyError: 'a mistake'"


async def test_several_relays_one_of_which_dies(
    pool: Pool, admin_pool: Pool, database: Database, there: Receiver
) -> None:
    """Every event comes at least once, and each request's first time in their order, while all of them sequence and
    deliver, writers write, and the endpoint refuses now and then."""
    await made(pool, there.url)
    turn = iter(range(10**9))
    there.answer = lambda _: "500" if next(turn) % 11 == 5 else "200"
    bell = Bell(database.url)
    ringing = asyncio.create_task(bell.run())
    relays = [Webhooks(pool, poster(), bell) for _ in range(3)]
    requests = [uuid4() for _ in range(12)]

    async def write() -> None:
        for n in range(60):
            await happen(pool, requests[n % 12])

    writing = asyncio.gather(write(), write())
    killed = False

    async def done() -> bool:
        count = await pool.fetchval("SELECT count(*) FROM audit WHERE workflow_id = 'leave'")
        return count == len(
            {it.id for it in there.taken if it.event["data"]["workflow"] == "leave"}
        )

    async with asyncio.timeout(120):
        while not (writing.done() and killed and await done()):
            await feed.sequence(pool)
            for relay in relays:
                await relay.find()
            # Without waiting for rows that a relay has: each might wait for the other.
            await admin_pool.execute(
                "UPDATE webhook_parked p SET next_at = clock_timestamp() FROM (SELECT webhook_id, position"
                " FROM webhook_parked WHERE next_at IS NOT NULL FOR UPDATE SKIP LOCKED) free"
                " WHERE (p.webhook_id, p.position) = (free.webhook_id, free.position)"
            )
            await admin_pool.execute(
                "UPDATE webhooks SET probe_at = clock_timestamp() WHERE probe_at IS NOT NULL"
            )
            if not killed and len(there.taken) > 20:
                killed = await _kill(admin_pool, relays)
            await asyncio.sleep(0.02)
    await writing
    for relay in relays:
        await relay.close()
    ringing.cancel()
    for request in requests:
        first = list(dict.fromkeys(of(there, request)))
        assert first == list(range(1, 11)), request


async def _kill(admin: Pool, relays: list[Webhooks]) -> bool:
    """The relay that has the lease dies without letting go; its lease ends."""
    owner = await admin.fetchval(
        "SELECT lease_owner FROM feed_consumers WHERE name LIKE 'webhook:%'"
    )
    for relay in list(relays):
        if relay._owner == owner:
            relays.remove(relay)
            for task in relay._tasks.values():
                task.cancel()
            await admin.execute(
                "UPDATE feed_consumers SET lease_owner = 'dead', leased_until = clock_timestamp()"
            )
            return True
    return False


# --- the API ------------------------------------------------------------------------------------------


async def test_a_webhook_from_making_to_removing(house: House, there: Receiver) -> None:
    body = {"url": there.url, "types": ["approval.request.created"], "description": "Ours."}
    assert (await house.post("/v1/webhooks", "alice", json=body)).status_code == 403
    refused = await house.post("/v1/webhooks", "oscar", "admin", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/url"
    assert "COUNTERSIGN_WEBHOOK_ALLOW" in refused.json()["detail"]
    made = await house.post(
        "/v1/webhooks", "oscar", "admin", json={**body, "url": "https://hook.example.org/x"}
    )
    assert made.status_code == 201, made.text
    item = made.json()
    path = f"/v1/webhooks/{item['id']}"
    assert item.pop("secret").startswith("whsec_")
    assert (await house.get(path, "oscar", "admin")).json() == item
    listed = await house.get("/v1/webhooks", "oscar", "admin", params={"limit": 1})
    assert listed.json() == {"items": [item], "next_cursor": None}
    rotated = await house.post(f"{path}/rotate", "oscar", "admin")
    assert rotated.json()["secret"].startswith("whsec_")
    paused = await house.post(f"{path}/pause", "oscar", "admin")
    assert (paused.json()["state"], paused.json()["paused_why"]) == ("paused", "paused by oscar")
    assert (await house.post(f"{path}/pause", "oscar", "admin")).status_code == 409
    assert (await house.post(f"{path}/resume", "oscar", "admin")).json()["state"] == "active"
    assert (await house.post(f"{path}/resume", "oscar", "admin")).status_code == 409
    assert (await house.get(f"{path}/dead", "oscar", "admin")).json()["items"] == []
    for asked, status in (
        ({"all": True}, 200),
        ({"all": False}, 422),
        ({"event_id": str(uuid4())}, 404),
    ):
        again = await house.post(f"{path}/resend", "oscar", "admin", json=asked)
        assert again.status_code == status, again.text
    assert (await house.call("DELETE", path, "oscar", "admin")).json()["id"] == item["id"]
    for method, place in (("GET", path), ("POST", f"{path}/pause"), ("POST", f"{path}/rotate")):
        assert (await house.call(method, place, "oscar", "admin")).status_code == 404
    assert await house.pool.fetchval("SELECT count(*) FROM feed_consumers") == 0
    trail = await house.get("/v1/audit", "tess", "auditor", params={"workflow": "webhooks"})
    assert "hook.example.org/x" not in trail.text
    assert [row["type"] for row in trail.json()["items"]][::-1] == [
        "webhook.added",
        "webhook.rotated",
        "webhook.paused",
        "webhook.resumed",
        "webhook.removed",
    ]


@pytest.mark.parametrize(("what", "outcome"), [("200", "sent"), ("500", "failed")])
async def test_a_test_goes_through_a_relay(
    house: House, there: Receiver, what: str, outcome: str
) -> None:
    webhook, secret = await made(house.pool, there.url)
    there.answer = lambda _: what
    asking = asyncio.create_task(house.post(f"/v1/webhooks/{webhook}/test", "oscar", "admin"))
    mine = await begun(house.pool, webhook)
    while await house.pool.fetchval("SELECT test_id IS NULL FROM webhooks"):
        pass
    there.seen.clear()
    await mine.look()
    answer = await asking
    assert (answer.status_code, answer.json()["outcome"]) == (200, outcome)
    message = there.seen[0]
    assert message.event["type"] == "webhook.test"
    assert verified(secret, message) == answer.json()["id"]
