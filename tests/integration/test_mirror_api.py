"""GET /v1/org/mirror and POST /v1/org/mirror/sync: who may, and what they are told."""

from datetime import timedelta

import pytest

from api import org_shapes
from contract.messages import SyncAsked, Synced
from storage import asking, mirror, org
from tests.integration.house import House


@pytest.fixture(name="mirroring")
async def mirroring_fixture(house: House) -> House:
    await mirror.declare(house.pool, "https://hr.example.org", timedelta(hours=24))
    return house


async def test_without_a_mirror_there_is_none(house: House) -> None:
    shown = await house.get("/v1/org/mirror", "admin", "admin")
    assert shown.status_code == 404
    assert "COUNTERSIGN_DIRECTORY_URL" in shown.json()["detail"]
    synced = await house.post("/v1/org/mirror/sync", "admin", "admin")
    assert synced.status_code == 404
    assert house.delivery.syncs == []


async def test_how_it_stands(mirroring: House) -> None:
    async with mirroring.pool.acquire() as connection:
        await mirror.failed(connection, "hr.example.org answers 500")
    found = org_shapes.Mirror.model_validate(
        (await mirroring.get("/v1/org/mirror", "admin", "admin")).json()
    )
    assert found.source == "https://hr.example.org"
    assert found.failing == "hr.example.org answers 500"
    assert found.synced_at is None
    assert not found.stale  # the people who are there count for a day


@pytest.mark.parametrize("roles", [(), ("auditor",)])
async def test_it_is_for_administrators(mirroring: House, roles: tuple[str, ...]) -> None:
    assert (await mirroring.get("/v1/org/mirror", "alice", *roles)).status_code == 403
    assert (await mirroring.post("/v1/org/mirror/sync", "alice", *roles)).status_code == 403
    assert mirroring.delivery.syncs == []


async def test_reading_it_now_is_told_and_recorded(mirroring: House) -> None:
    mirroring.delivery.synced = Synced(people=3, changes={"people_left": 2})
    body = {"most_gone": 2}
    done = await mirroring.post("/v1/org/mirror/sync", "admin", "admin", json=body)
    assert done.status_code == 200
    assert org_shapes.Synced.model_validate(done.json()).changes == {"people_left": 2}
    assert mirroring.delivery.syncs == [SyncAsked(2)]
    event = (await asking.chain(mirroring.pool, org.CHAIN))[-1]
    assert event.event_type == "directory.sync_asked"
    assert event.actor["user"] == "admin"
    assert event.payload == {"most_gone": 2}


async def test_one_that_takes_long_and_one_that_is_under_way(mirroring: House) -> None:
    running = await mirroring.post("/v1/org/mirror/sync", "admin", "admin")
    assert (running.status_code, running.json()) == (202, {"status": "running"})
    mirroring.delivery.synced = "taken"
    taken = await mirroring.post("/v1/org/mirror/sync", "admin", "admin")
    assert taken.status_code == 409


async def test_what_is_no_number(mirroring: House) -> None:
    body = {"most_gone": -1}
    refused = await mirroring.post("/v1/org/mirror/sync", "admin", "admin", json=body)
    assert refused.status_code == 422
