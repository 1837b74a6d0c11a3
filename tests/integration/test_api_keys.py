"""API keys: made and revoked by administrators, and what a service may do with one."""

from typing import Any

import httpx
import pytest

from storage.org import PersonRow
from storage.pool import Pool
from tests.integration.house import PEOPLE, House, token


async def _key(house: House, *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"service": "erp", "scopes": list(scopes), **more}
    made = await house.post("/v1/keys", "oscar", "admin", json=body)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def _call(house: House, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await house.client.request(method, path, headers=headers, **options)


async def test_a_key_from_making_to_revoking(house: House, admin_pool: Pool) -> None:
    made = await _key(house, "requests:read", description="Orders.", days=30)
    key, key_id = made.pop("key"), made["id"]
    assert (made["caller"], made["state"], made["made_by"]) == ("svc.erp", "active", "oscar")
    kept = await admin_pool.fetchval("SELECT api_keys::text FROM api_keys")
    assert key.rpartition("_")[2] not in kept
    assert (await _call(house, key, "GET", "/v1/requests")).json()["items"] == []
    listed = (await house.get("/v1/keys", "oscar", "admin")).json()["items"]
    assert [item["id"] for item in listed] == [key_id]
    assert listed[0]["last_used_at"] is not None
    revoked = await house.post(f"/v1/keys/{key_id}/revoke", "olga", "admin")
    assert (revoked.json()["state"], revoked.json()["revoked_by"]) == ("revoked", "olga")
    refused = await _call(house, key, "GET", "/v1/requests")
    assert refused.status_code == 401
    assert "was revoked at" in refused.json()["detail"]
    again = await house.post(f"/v1/keys/{key_id}/revoke", "olga", "admin")
    assert again.json()["type"] == "urn:countersign:problem:already_revoked"
    assert (await house.get("/v1/keys", "oscar", "admin")).json()["items"] == []
    everything = await house.get("/v1/keys", "oscar", "admin", params={"ended": "true"})
    assert [item["state"] for item in everything.json()["items"]] == ["revoked"]
    trail = await house.get("/v1/audit", "olga", "auditor", params={"workflow": "api_keys"})
    found = [(row["type"], row["actor"]["user"]) for row in trail.json()["items"]]
    assert found == [("key.revoked", "olga"), ("key.made", "oscar")]


async def test_what_its_scopes_open(house: House) -> None:
    key = (await _key(house, "requests:read", "recipes:write"))["key"]
    missing = await _call(house, key, "POST", "/v1/requests", json={"workflow": "leave"})
    assert (missing.status_code, missing.json()["scope"]) == (403, "requests:write")
    await house.submit()
    # An administrator while it publishes, and nobody in particular while it reads.
    assert (await _call(house, key, "GET", "/v1/requests")).json()["items"] == []
    recipe = "workflow: own\nversion: 1\nsteps:\n  - {id: a, approver: carol}\n"
    published = await _call(house, key, "POST", "/v1/recipes", content=recipe)
    assert published.status_code == 201, published.text
    auditor = (await _key(house, "requests:read", "audit:read"))["key"]
    assert len((await _call(house, auditor, "GET", "/v1/requests")).json()["items"]) == 1
    trail = await _call(house, auditor, "GET", "/v1/audit", params={"type": "recipe.published"})
    assert trail.json()["items"][0]["actor"] == {
        "user": "svc.erp",
        "role": "admin",
        "on_behalf_of": None,
        "via": [],
    }


async def test_a_service_in_the_directory_submits_as_any_person(house: House) -> None:
    key = (await _key(house, "requests:write"))["key"]
    body = {"workflow": "leave", "inputs": {"days": 2}}
    stranger = await _call(house, key, "POST", "/v1/requests", json=body)
    assert stranger.status_code == 403
    assert "svc.erp is not in the directory" in stranger.json()["detail"]
    await house.import_org((*PEOPLE, PersonRow("svc.erp", "The ERP", manager="bob")))
    made = await _call(house, key, "POST", "/v1/requests", json=body)
    assert (made.status_code, made.json()["requester"]) == (201, "svc.erp")


async def test_an_event_on_somebodys_initiative(house: House) -> None:
    key = (await _key(house, "events:send"))["key"]
    body = {"event": "ordered", "entity_type": "order", "entity_id": "1", "initiated_by": "alice"}
    sent = await _call(house, key, "POST", "/v1/events", json=body)
    assert (sent.status_code, sent.json()["requests"]) == (201, [])


async def test_no_key_makes_itself_an_approver(house: House) -> None:
    body = {"service": "erp", "scopes": ["org:write", "tasks:decide"]}
    refused = await house.post("/v1/keys", "oscar", "admin", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/scopes")


async def test_what_is_no_key(house: House, admin_pool: Pool) -> None:
    made = await _key(house, "requests:read")
    key = made["key"]
    other = "0" if key[-1] != "0" else "1"
    for wrong in (key[:-1] + other, "csk_0123456789abcdef_" + "0" * 64, "csk_x", key + "0"):
        refused = await _call(house, wrong, "GET", "/v1/requests")
        assert refused.status_code == 401, wrong
        assert refused.json()["detail"] == "this API key is not known"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
    await admin_pool.execute(
        "UPDATE api_keys SET made_at = made_at - interval '2 days', expires_at = now() - interval '1 day'"
    )
    expired = await _call(house, key, "GET", "/v1/requests")
    assert (expired.status_code, "expired at" in expired.json()["detail"]) == (401, True)


async def test_keys_are_made_by_administrators_in_person(house: House) -> None:
    body = {"service": "erp", "scopes": ["requests:read"]}
    assert (await house.post("/v1/keys", "alice", json=body)).status_code == 403
    assert (await house.get("/v1/keys", "alice")).status_code == 403
    admin = (await _key(house, "admin"))["key"]
    refused = await _call(house, admin, "POST", "/v1/keys", json=body)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "this is for people: no API key does it",
    )
    nowhere = await house.post("/v1/keys/0123456789abcdef/revoke", "oscar", "admin")
    assert nowhere.status_code == 404
    # Nobody's token says that they are a service.
    claimed = await _call(house, token("svc.erp"), "GET", "/v1/requests")
    assert claimed.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"service": "erp", "scopes": []},
        {"service": "erp", "scopes": ["requests:read", "requests:read"]},
        {"service": "erp", "scopes": ["everything"]},
        {"service": "E R P", "scopes": ["requests:read"]},
        {"service": "erp", "scopes": ["requests:read"], "days": 367},
        {"service": "erp"},
    ],
)
async def test_what_is_no_order_for_a_key(bare_house: House, body: dict[str, Any]) -> None:
    assert (await bare_house.post("/v1/keys", "oscar", "admin", json=body)).status_code == 422
