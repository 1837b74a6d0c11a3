"""A command that comes after the end is refused, once, and the audit trail says so."""

import asyncio
from uuid import UUID

import pytest

from api import requests
from storage import outbox
from tests.integration.house import House, opened

TRAIL = "SELECT event_type, actor, payload, snapshot FROM audit WHERE request_id = $1 ORDER BY seq"


@pytest.fixture
async def late(house: House, monkeypatch: pytest.MonkeyPatch) -> tuple[UUID, UUID]:
    """A request that was approved while a cancel was under way: its id, the command's."""
    monkeypatch.setattr(requests, "PATIENCE", 0.01)
    flow = await house.begun()
    request_id = flow.state.request_id
    told = await house.post(f"/v1/requests/{request_id}/cancel", "alice")
    assert told.status_code == 202
    await house.decide("bob", flow.task)
    await flow.befall(house.delivery.signals[-1][1])
    assert flow.state.state == "approved"
    return UUID(request_id), UUID(told.json()["command_id"])


async def test_it_is_refused_and_recorded(house: House, late: tuple[UUID, UUID]) -> None:
    request_id, command_id = late
    before = await house.pool.fetch(TRAIL, request_id)
    await asyncio.gather(*(outbox.settle_late(house.pool, command_id) for _ in range(4)))
    [command] = await house.pool.fetch("SELECT * FROM commands")
    assert (command["applied"], command["detail"]) == (False, "the request is already approved")
    *earlier, last = await house.pool.fetch(TRAIL, request_id)
    assert earlier == before
    [event] = await opened(house.pool, str(request_id), [last])
    assert event["event_type"] == "command.settled"
    assert event["actor"]["user"] == "system:engine"
    assert event["payload"] == {
        "command_id": str(command_id),
        "command": "cancel",
        "applied": False,
        "detail": "the request is already approved",
    }
    assert event["snapshot"] == {"state": "approved", "seq": 2, "step": None}


async def test_an_open_requests_command_is_not_touched(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.01)
    flow = await house.begun()
    told = await house.post(f"/v1/requests/{flow.state.request_id}/cancel", "alice")
    await outbox.settle_late(house.pool, UUID(told.json()["command_id"]))
    assert await house.pool.fetchval("SELECT settled_at FROM commands") is None
