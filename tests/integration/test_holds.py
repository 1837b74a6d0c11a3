"""Legal holds over HTTP: who may set and end them, and what is on record."""

from typing import Any

import pytest

from tests.integration.house import House


async def _set(house: House, body: dict[str, Any], who: str = "olga", *roles: str) -> Any:
    return await house.post("/v1/audit/holds", who, *(roles or ("auditor",)), json=body)


async def test_a_hold_is_set_and_ended(house: House) -> None:
    made = await _set(house, {"workflow": "leave", "reason": "a law suit"})
    assert made.status_code == 201, made.text
    hold = made.json()
    assert (hold["workflow"], hold["set_by"], hold["ended_at"]) == ("leave", "olga", None)
    listed = (await house.get("/v1/audit/holds", "ann", "admin")).json()
    assert listed["items"] == [hold]
    path = f"/v1/audit/holds/{hold['id']}/end"
    ended = await house.post(path, "ann", "admin", json={"reason": "settled"})
    assert (ended.json()["ended_by"], ended.json()["end_reason"]) == ("ann", "settled")
    again = await house.post(path, "ann", "admin", json={"reason": "settled"})
    assert again.status_code == 409
    assert (await house.get("/v1/audit/holds", "olga", "auditor")).json()["items"] == []
    everything = await house.get("/v1/audit/holds", "olga", "auditor", params={"ended": "true"})
    assert everything.json()["items"] == [ended.json()]
    trail = await house.get("/v1/audit", "olga", "auditor", params={"workflow": "audit"})
    found = [(row["type"], row["actor"]["user"]) for row in trail.json()["items"]]
    assert found == [("hold.ended", "ann"), ("hold.set", "olga")]


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x"},
        {"workflow": "leave", "month": "2026-05", "reason": "x"},
        {"month": "2026-13", "reason": "x"},
        {"workflow": "leave"},
        {"workflow": "leave", "reason": ""},
    ],
)
async def test_what_is_no_hold(house: House, body: dict[str, Any]) -> None:
    assert (await _set(house, body)).status_code == 422


async def test_not_by_everybody(house: House) -> None:
    body = {"month": "2026-05", "reason": "x"}
    assert (await house.post("/v1/audit/holds", "alice", json=body)).status_code == 403
    hold = (await _set(house, body)).json()
    path = f"/v1/audit/holds/{hold['id']}/end"
    assert (await house.post(path, "alice", json={"reason": "x"})).status_code == 403
    for calls in ("/v1/audit/holds", "/v1/audit/months"):
        assert (await house.get(calls, "alice")).status_code == 403
    nowhere = "/v1/audit/holds/00000000-0000-0000-0000-000000000000/end"
    assert (await house.post(nowhere, "olga", "auditor", json={"reason": "x"})).status_code == 404
    assert (await house.get("/v1/audit/months", "olga", "auditor")).json()["items"] == []
