"""The codec endpoint opens what Temporal keeps for administrators and auditors, puts it on record, and answers
no page but the Temporal Web UI; by a token or by a session of its sign-in page."""

import json
import re
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

import temporal_codec
from recipes.model import Confidential
from storage.pool import vault_of
from temporal_client import PayloadConverter
from tests.integration.house import House, leave, token
from tests.keeper import make_keys

UI = "http://127.0.0.1:8233"
DECODE = "/codec/decode?preserveStorageRefs=true"
SIGN_IN = "/codec/sign-in"
PLAIN, OTHER = PayloadConverter().to_payloads([{"why": "because of the twins"}, "clear"])


def body(*payloads: Payload) -> Any:
    return json.loads(json_format.MessageToJson(Payloads(payloads=payloads)))


async def sealed(house: House, request_id: str, payload: Payload = PLAIN) -> Payload:
    keys = await vault_of(house.pool).writing(house.pool, UUID(request_id))
    assert keys is not None
    return temporal_codec.sealed(payload, keys)


async def revealed(house: House, request_id: str) -> list[dict[str, Any]]:
    events = (await house.get(f"/v1/requests/{request_id}/events", "tess", "auditor")).json()
    return [each for each in events["items"] if each["type"] == "content.revealed"]


async def test_it_opens_what_the_caller_may_see_and_records_it(house: House) -> None:
    made, other = await house.submit(), await house.submit()
    mine, theirs = await sealed(house, made["id"]), await sealed(house, other["id"])
    asked = body(mine, OTHER, theirs, mine)
    answered = await house.post(DECODE, "tess", "auditor", json=asked)
    assert answered.status_code == 200
    assert answered.json() == body(PLAIN, OTHER, PLAIN, PLAIN)
    [event] = await revealed(house, made["id"])
    assert event["payload"] == {"through": "temporal_codec", "payloads": 2}
    assert (event["actor"]["user"], event["actor"]["role"]) == ("tess", "auditor")
    assert [each["payload"]["payloads"] for each in await revealed(house, other["id"])] == [1]
    await house.post(DECODE, "root", "admin", json=body(mine))
    assert [each["actor"]["role"] for each in await revealed(house, made["id"])] == [
        "auditor",
        "admin",
    ]


async def test_what_cannot_be_opened_is_given_back_as_it_came(house: House) -> None:
    made = await house.submit()
    good = await sealed(house, made["id"])
    damaged = Payload(metadata=good.metadata, data=good.data[:-1])
    nameless = Payload(metadata={"encoding": temporal_codec.ENCODING}, data=good.data)
    unknown = temporal_codec.sealed(PLAIN, make_keys(uuid4()))
    moved = Payload(metadata={**good.metadata, "key": unknown.metadata["key"]}, data=good.data)
    asked = body(damaged, nameless, unknown, moved, OTHER)
    answered = await house.post(DECODE, "tess", "auditor", json=asked)
    assert answered.json() == asked
    assert await revealed(house, made["id"]) == []
    assert (await house.post(DECODE, "tess", "auditor", json={"payloads": []})).json() == {}


@pytest.mark.parametrize(
    ("who", "roles", "opens"),
    [
        ("tess", ("auditor",), False),
        ("root", ("admin",), True),
        ("dave", ("auditor",), True),
        ("alice", ("auditor",), True),
    ],
)
async def test_what_is_confidential_is_opened_for_those_whom_the_recipe_names(
    house: House, who: str, roles: tuple[str, ...], opens: bool
) -> None:
    """A role of a token or of the directory; and its requester. They are auditors or administrators, too."""
    secret = Confidential(("admin", "hr"), ("why",))
    await house.publish(leave(2, confidential=secret))
    made = await house.submit()
    asked = body(await sealed(house, made["id"]))
    answered = await house.post(DECODE, who, *roles, json=asked)
    assert answered.status_code == 200
    assert answered.json() == (body(PLAIN) if opens else asked)
    assert len(await revealed(house, made["id"])) == opens


@pytest.mark.parametrize(
    ("who", "roles", "status"), [("alice", (), 403), ("bob", ("events",), 403), (None, (), 401)]
)
async def test_only_administrators_and_auditors(
    house: House, who: str | None, roles: tuple[str, ...], status: int
) -> None:
    made = await house.submit()
    asked = body(await sealed(house, made["id"]))
    answered = await house.call("POST", DECODE, who, *roles, json=asked)
    assert answered.status_code == status
    assert await revealed(house, made["id"]) == []


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"payloads": 3}', b'{"payloads": [{"data": 1}]}']
)
async def test_a_body_that_is_none_is_refused(house: House, raw: bytes) -> None:
    answered = await house.post(DECODE, "tess", "auditor", content=raw)
    assert answered.status_code == 422
    assert "not Payloads" in answered.json()["detail"]


async def test_browsers_may_ask_from_the_web_ui_alone(house: House) -> None:
    asks = {"Access-Control-Request-Method": "POST"}
    preflight = await house.client.options(DECODE, headers={"Origin": UI, **asks})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == UI
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert "x-namespace" in preflight.headers["access-control-allow-headers"]
    answered = await house.post(DECODE, "tess", "auditor", json={}, headers={"Origin": UI})
    assert answered.headers["access-control-allow-origin"] == UI
    # Also with a refusal, so that the Web UI can tell what is the matter.
    refused = await house.client.post(DECODE, json={}, headers={"Origin": UI})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, UI)
    for origin in ("http://127.0.0.1:9999", "https://127.0.0.1:8233", "null"):
        preflight = await house.client.options(DECODE, headers={"Origin": origin, **asks})
        answered = await house.post(DECODE, "tess", "auditor", json={}, headers={"Origin": origin})
        for response in (preflight, answered):
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers


async def test_nothing_is_encoded(house: House) -> None:
    answered = await house.post("/codec/encode", "root", "admin", json={"payloads": []})
    assert answered.status_code == 404


async def signed_in(house: House, text: str, **headers: str) -> httpx.Response:
    return await house.client.post(SIGN_IN, data={"token": text}, headers=headers)


async def test_a_session_of_the_sign_in_page_counts_for_the_web_ui(house: House) -> None:
    page = await house.client.get(SIGN_IN)
    assert page.status_code == 200
    assert 'type="password"' in page.text
    came = await signed_in(house, token("tess", "auditor"), Origin="http://api")
    assert (came.status_code, came.headers["location"]) == (303, SIGN_IN)
    cookie = came.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/codec", "Max-Age=3"):
        assert attribute in cookie
    made = await house.submit()
    asked = body(await sealed(house, made["id"]))
    answered = await house.client.post(DECODE, json=asked, headers={"Origin": UI})
    assert answered.json() == body(PLAIN)
    [event] = await revealed(house, made["id"])
    assert event["actor"]["user"] == "tess"
    assert "Signed in as <strong>tess</strong>" in (await house.client.get(SIGN_IN)).text
    # Not for what a browser does not say is the Web UI, nor for any other call.
    assert (await house.client.post(DECODE, json=asked)).status_code == 401
    assert (await house.client.get("/v1/requests")).status_code == 401
    out = await house.client.post("/codec/sign-out", headers={"Origin": "http://api"})
    assert out.status_code == 303
    refused = await house.client.post(DECODE, json=asked, headers={"Origin": UI})
    assert refused.status_code == 401


async def test_who_cannot_sign_in_reads_why(house: House) -> None:
    nobody = await signed_in(house, token("alice"))
    assert (nobody.status_code, "set-cookie" in nobody.headers) == (403, False)
    assert "only administrators and auditors" in nobody.text
    bad = await signed_in(house, "<script>alert(1)</script>")
    assert bad.status_code == 401
    assert "the token is refused" in bad.text
    assert "<script" not in bad.text
    foreign = await signed_in(house, token("tess", "auditor"), Origin="http://evil.example")
    assert (foreign.status_code, "set-cookie" in foreign.headers) == (403, False)
    out = await house.client.post("/codec/sign-out", headers={"Origin": "null"})
    assert out.status_code == 403
    empty = await house.client.post(SIGN_IN, content=b"\xff")
    assert empty.status_code == 401


async def test_a_session_lasts_no_longer_than_its_token_nor_than_an_hour(house: House) -> None:
    now = int(time.time())
    for lives, most in ((120, 120), (7200, 3600)):
        came = await signed_in(house, token("tess", "auditor", exp=now + lives))
        found = re.search(r"countersign_codec=([^;]+);.*Max-Age=(\d+)", came.headers["set-cookie"])
        assert found is not None
        assert most - 5 <= int(found[2]) <= most
        said = jwt.decode(found[1], options={"verify_signature": False})
        assert most - 5 <= said["exp"] - now <= most + 5


async def test_a_session_that_ended_or_is_forged_counts_for_nothing(house: House) -> None:
    [key, *_] = vault_of(house.pool).derived("countersign-codec")
    said = {"sub": "tess", "roles": ["admin"], "aud": "countersign-codec"}
    ended = jwt.encode({**said, "exp": int(time.time()) - 1}, key, algorithm="HS256")
    forged = jwt.encode({**said, "exp": int(time.time()) + 60}, bytes(32), algorithm="HS256")
    for cookie in (ended, forged, token("tess", "admin"), "nonsense"):
        headers = {"Origin": UI, "Cookie": f"countersign_codec={cookie}"}
        assert (await house.client.post(DECODE, json={}, headers=headers)).status_code == 401


async def test_the_page_runs_nothing_and_is_shown_in_no_frame(house: House) -> None:
    page = await house.client.get(SIGN_IN)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_in_production_the_cookie_goes_over_tls_alone(house: House) -> None:
    settings = house.settings.model_copy(update={"environment": "production"})
    services = house.app.state.services
    house.app.state.services = type(services)(
        settings, *(getattr(services, name) for name in services.__slots__[1:])
    )
    came = await signed_in(house, token("tess", "auditor"))
    assert "Secure" in came.headers["set-cookie"]
