"""Undo: a decision that is sent later counts as one made then, once, unless it is taken back before."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx

from api import delayed_shapes
from api.delayed import send_due
from storage import delayed
from storage.pool import Pool
from tests.integration.erasing import where
from tests.integration.house import House

_PATIENCE = 60


async def keep(house: House, who: str, task: str, **said: Any) -> httpx.Response:
    body = {"decision": "approve", "after": 60, **said}
    return await house.post(f"/v1/tasks/{task}/decisions", who, json=body)


async def kept(house: House, who: str, task: str, **said: Any) -> dict[str, Any]:
    answered = await keep(house, who, task, **said)
    assert answered.status_code == 202, answered.text
    return delayed_shapes.DecisionDelayed.model_validate(answered.json()).model_dump(mode="json")[
        "delayed"
    ]


async def listed(house: House, who: str) -> list[dict[str, Any]]:
    answered = (await house.get("/v1/delayed", who)).json()
    return delayed_shapes.DelayedPage.model_validate(answered).model_dump(mode="json")["items"]


async def became(house: House, who: str, made: dict[str, Any]) -> str | None:
    """What became of a delayed decision; None if it is not there, or not theirs."""
    answered = await house.get(f"/v1/delayed/{made['id']}", who)
    if answered.status_code == 404:
        return None
    return delayed_shapes.Delayed.model_validate(answered.json()).state


async def state(house: House, who: str, task: str) -> dict[str, Any]:
    found: dict[str, Any] = (await house.get(f"/v1/tasks/{task}", who)).json()
    return found


async def come_due(house: House) -> None:
    """Its time comes, and whoever looks next sends it: the API's own loop, or this."""
    async with house.pool.acquire() as connection:
        await connection.execute(
            "UPDATE delayed_decisions SET made_at = made_at - interval '1 hour',"
            " send_at = made_at - interval '1 hour' + interval '1 second' WHERE ended_at IS NULL"
        )
    await over(house)


async def over(house: House) -> None:
    async with asyncio.timeout(_PATIENCE):
        while await house.pool.fetchval(
            "SELECT count(*) FROM delayed_decisions WHERE ended_at IS NULL"
        ):
            await send_due(house.app.state.services)
            await asyncio.sleep(0.05)


async def test_a_decision_is_sent_when_its_time_comes(house: House) -> None:
    task = (await house.begun()).task
    made = await kept(house, "bob", task, after=1, comment="Enjoy.")
    assert (made["title"], made["name"]) == ("5 days for Alice Moreau", "Approve")
    # Nobody helps here: the API's own loop sends it.
    async with asyncio.timeout(_PATIENCE):
        while True:
            found = await state(house, "bob", task)
            if found["state"] == "decided":
                break
            await asyncio.sleep(0.1)
    assert (found["decision"]["user"], found["decision"]["comment"]) == ("bob", "Enjoy.")
    await over(house)  # others see what is committed before its sender does
    assert len(house.delivery.signals) == 1
    assert await listed(house, "bob") == []
    assert await became(house, "bob", made) == "sent"
    late = await house.call("DELETE", f"/v1/delayed/{made['id']}", "bob")
    assert (late.status_code, late.json()["type"]) == (409, "urn:countersign:problem:sent")


async def test_until_then_it_is_undone_and_nothing_was_decided(house: House) -> None:
    task = (await house.begun()).task
    made = await kept(house, "bob", task)
    assert await listed(house, "bob") == [made]
    assert [await became(house, who, made) for who in ("bob", "alice")] == ["waiting", None]
    for other in ("alice", "root"):
        found = await house.call("DELETE", f"/v1/delayed/{made['id']}", other, "admin")
        assert found.status_code == 404
    undone = await house.call("DELETE", f"/v1/delayed/{made['id']}", "bob")
    assert (undone.status_code, undone.json()) == (200, made)
    assert await listed(house, "bob") == []
    assert await became(house, "bob", made) is None
    assert (await state(house, "bob", task))["state"] == "open"
    assert (await house.call("DELETE", f"/v1/delayed/{made['id']}", "bob")).status_code == 404


async def test_whoever_changes_their_mind_is_taken_at_their_last_word(house: House) -> None:
    task = (await house.begun()).task
    first = await kept(house, "bob", task)
    second = await kept(house, "bob", task, decision="reject", comment="No.")
    assert (second["id"], await listed(house, "bob")) == (first["id"], [second])
    await come_due(house)
    assert (await state(house, "bob", task))["decision"]["decision"] == "reject"


async def test_it_is_refused_as_a_decision_would_be(house: House) -> None:
    task = (await house.begun()).task
    refused: list[tuple[str, dict[str, Any], int]] = [
        ("erin", {}, 404),
        ("alice", {}, 403),
        ("bob", {"decision": "maybe"}, 422),
        ("bob", {"decision": "reject"}, 422),
        ("bob", {"digest": "another"}, 409),
        ("bob", {"after": 0}, 422),
        ("bob", {"after": 61}, 422),
    ]
    for who, said, status in refused:
        now = await keep(house, who, task, **said)
        assert now.status_code == status, (said, now.text)
    assert await house.pool.fetchval("SELECT count(*) FROM delayed_decisions") == 0
    await house.decide("bob", task)
    assert (await keep(house, "bob", task)).json()["decision"]["user"] == "bob"
    assert (await keep(house, "bob", task, decision="reject", comment="x")).status_code == 409


async def test_nothing_waits_until_a_task_has_run_out_of_time(
    house: House,
) -> None:
    """Its own timer must not be first, not even a little: three seconds later it would be."""
    for due, status, state_then in ((63, 200, "decided"), (3600, 202, "open"), (-5, 202, "open")):
        task = (await house.begun()).task
        await house.pool.execute(
            "UPDATE tasks SET due_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1",
            UUID(task),
            due,
        )
        answered = await keep(house, "bob", task, after=60)
        assert (answered.status_code, (await state(house, "bob", task))["state"]) == (
            status,
            state_then,
        )
        assert len(await listed(house, "bob")) == (status == 202)
        await house.pool.execute("DELETE FROM delayed_decisions")


async def test_who_comes_too_late_is_told_who_was_first(house: House) -> None:
    task = (await house.begun("carol", "shared", {})).task
    made = await kept(house, "dave", task)
    await house.decide("erin", task)
    await come_due(house)
    [refused] = await listed(house, "dave")
    assert (refused["id"], refused["refused"]["kind"]) == (made["id"], "already_decided")
    assert refused["refused"]["detail"].startswith("already decided by erin at")
    assert refused["refused"]["winner"]["user"] == "erin"
    assert await became(house, "dave", made) == "refused"
    assert (await house.call("DELETE", f"/v1/delayed/{made['id']}", "dave")).status_code == 200
    assert await listed(house, "dave") == []


async def test_what_has_changed_meanwhile_is_not_decided_unseen(house: House) -> None:
    task = (await house.begun()).task
    await kept(house, "bob", task)
    await house.pool.execute("UPDATE tasks SET digest = 'another' WHERE id = $1", UUID(task))
    await come_due(house)
    [refused] = await listed(house, "bob")
    assert (refused["refused"]["kind"], refused["refused"]["winner"]) == ("digest_mismatch", None)
    assert (await state(house, "bob", task))["state"] == "open"


async def test_what_one_decided_otherwise_meanwhile_is_no_news(house: House) -> None:
    task = (await house.begun()).task
    made = await kept(house, "bob", task)
    await house.decide("bob", task, "reject", comment="No.")
    await come_due(house)
    assert await listed(house, "bob") == []
    assert await became(house, "bob", made) == "replaced"
    assert (await state(house, "bob", task))["decision"]["decision"] == "reject"


async def test_what_a_process_that_died_had_begun_is_carried_out_once(house: House) -> None:
    """It took two, and died after it had decided one of them."""
    tasks = [(await house.begun()).task for _ in range(2)]
    made = [await kept(house, "bob", task) for task in tasks]
    await house.pool.execute(
        "UPDATE delayed_decisions SET made_at = made_at - interval '1 hour',"
        " send_at = made_at - interval '1 hour' + interval '1 second',"
        " taken_until = clock_timestamp() + interval '1 hour'"
    )
    assert await send_due(house.app.state.services) == 0
    late = await house.call("DELETE", f"/v1/delayed/{made[1]['id']}", "bob")
    assert late.status_code == 409
    assert (await keep(house, "bob", tasks[1])).json()["type"].endswith(":sent")
    await house.decide("bob", tasks[0])
    await house.pool.execute("UPDATE delayed_decisions SET taken_until = clock_timestamp()")
    await over(house)
    assert [(await state(house, "bob", task))["state"] for task in tasks] == ["decided"] * 2
    assert await house.pool.fetchval("SELECT count(*) FROM decisions") == 2
    assert await listed(house, "bob") == []


async def test_it_is_sealed_and_goes_with_its_request(house: House, admin_pool: Pool) -> None:
    flow = await house.begun("carol", "shared", {})
    canary = f"canary{uuid4().hex}"
    await kept(house, "dave", flow.task, comment=canary)
    assert await where(admin_pool, canary) == {}
    await house.decide("erin", flow.task)
    await flow.befall(house.delivery.signals[-1][1])
    await house.pool.execute("DELETE FROM outbox")
    request = flow.state.request_id
    erased = await house.post(
        f"/v1/requests/{request}/erase", "root", "admin", json={"reason": "Case 1."}
    )
    assert erased.status_code == 200, erased.text
    assert await house.pool.fetchval("SELECT count(*) FROM delayed_decisions") == 0


async def test_what_ended_is_forgotten_after_a_day(house: House, admin_pool: Pool) -> None:
    task = (await house.begun()).task
    await kept(house, "bob", task)
    await come_due(house)
    await delayed.forget(house.pool)
    assert await house.pool.fetchval("SELECT count(*) FROM delayed_decisions") == 1
    async with admin_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE delayed_decisions SET ended_at = now() - interval '2 days'"
        )
    await delayed.forget(house.pool)
    assert await house.pool.fetchval("SELECT count(*) FROM delayed_decisions") == 0


async def test_a_refusal_is_shown_until_it_is_dismissed(house: House, admin_pool: Pool) -> None:
    flow = await house.begun("alice", "shared", {})
    await kept(house, "dave", flow.task)
    assert (await house.decide("erin", flow.task)).status_code == 200
    await come_due(house)
    for days, shown in ((29, 1), (31, 0)):
        async with admin_pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "UPDATE delayed_decisions SET ended_at = now() - make_interval(days => $1)", days
            )
        await delayed.forget(house.pool)
        assert len(await listed(house, "dave")) == shown
