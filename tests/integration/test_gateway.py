"""What goes around every call: rates, other origins, and what the log says of it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import LogCapture

from api.app import create_app
from tests.integration.house import House, Recorder, leave, make_settings, token
from tests.stack import Database

ELSEWHERE = "https://app.example.org"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@asynccontextmanager
async def _api(folder: Path, database: Database, **settings: Any) -> AsyncIterator[House]:
    made = make_settings(folder, database.url, **settings)
    recorder = Recorder()

    async def recorded(*_: Any) -> Recorder:
        return recorder

    app = create_app(made, recorded)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield House(client, app.state.services.pool, recorder, made, app)


async def test_one_call_too_many(database: Database, tmp_path: Path) -> None:
    async with _api(tmp_path, database, rate_limit=2) as house:
        await house.import_org()
        clock = 1000.0
        house.app.state.services.limits._now = lambda: clock
        first = await house.get("/v1/requests", "alice")
        assert first.headers["ratelimit-policy"] == '"person";q=2;w=60'
        assert first.headers["ratelimit"] == '"person";r=1;t=30'
        # What is refused for another reason counts, too.
        assert (await house.get("/v1/audit", "alice")).status_code == 403
        refused = await house.get("/v1/requests", "alice")
        assert (refused.status_code, refused.headers["content-type"]) == (
            429,
            "application/problem+json",
        )
        assert refused.json()["type"] == "urn:countersign:problem:rate_limited"
        assert refused.headers["retry-after"] == "30"
        assert refused.headers["ratelimit"] == '"person";r=0;t=60'
        assert (await house.get("/v1/requests", "bob")).status_code == 200
        for path in ("/healthz", "/openapi.json"):
            assert "ratelimit" not in (await house.client.get(path)).headers
        # A page is one call, however many of the API's it makes.
        picked = {"person": "carol", "next": "/"}
        await house.client.post("/sign-in", data=picked, headers={"origin": "http://api"})
        shown = await house.client.get("/", headers={"accept": "text/html"})
        assert shown.headers["ratelimit"] == '"person";r=1;t=30'
        await house.client.get("/")
        page = await house.client.get("/", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
        clock += 30
        assert (await house.get("/v1/requests", "alice")).status_code == 200


async def test_one_guess_too_many(database: Database, tmp_path: Path) -> None:
    async with _api(tmp_path, database, refused_rate_limit=3) as house:
        house.app.state.services.strangers._now = lambda: 1000.0
        mine = {"authorization": f"Bearer {token('alice')}"}
        assert (await house.client.get("/v1/requests", headers=mine)).status_code == 200
        guesses = ("Bearer x.y.z", f"Bearer csk_{'0' * 16}_{'0' * 64}")
        for number, guess in enumerate(guesses):
            headers = {"authorization": guess}
            guessed = await house.client.get("/v1/requests", headers=headers)
            assert guessed.status_code == 401
            assert guessed.headers["ratelimit"] == f'"refused";r={2 - number};t={20 * number + 20}'
        form = {"token": "guess"}
        assert (await house.client.post("/codec/sign-in", data=form)).status_code == 401
        refused = await house.client.get("/v1/requests", headers={"authorization": guesses[1]})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
        assert refused.json()["type"] == "urn:countersign:problem:rate_limited"
        refused = await house.client.post("/codec/sign-in", data=form)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
        assert refused.headers["content-type"] == "text/html; charset=utf-8"
        # Who was here before goes on; who was not waits.
        assert (await house.client.get("/v1/requests", headers=mine)).status_code == 200
        assert (await house.get("/v1/requests", "bob")).status_code == 429


async def test_pages_of_others(database: Database, tmp_path: Path) -> None:
    async with _api(
        tmp_path, database, cors_origins=f"{ELSEWHERE}, http://localhost:3000"
    ) as house:
        asks = {
            "Origin": ELSEWHERE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        }
        preflight = await house.client.options("/v1/requests", headers=asks)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == ELSEWHERE
        assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        stranger = asks | {"Origin": "https://evil.example"}
        refused = await house.client.options("/v1/requests", headers=stranger)
        assert "access-control-allow-origin" not in refused.headers
        headers = {"Origin": "http://localhost:3000"}
        called = await house.call("GET", "/v1/requests", "alice", headers=headers)
        assert called.headers["access-control-allow-origin"] == headers["Origin"]
        assert "RateLimit" in called.headers["access-control-expose-headers"]
        refused = await house.client.get("/v1/requests", headers=headers)
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (
            401,
            True,
        )
        # Pages of ours are not for pages of others.
        for path in ("/", "/sign-in", "/codec/sign-in"):
            shown = await house.client.get(path, headers=headers)
            assert "access-control-allow-origin" not in shown.headers, path


async def test_nobody_elses_pages_without_a_setting(bare_house: House) -> None:
    called = await bare_house.call("GET", "/v1/requests", "alice", headers={"Origin": ELSEWHERE})
    assert "access-control-allow-origin" not in called.headers


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged, with what every line of a request carries."""
    capture = LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.configure(processors=before)


async def test_lines_of_a_request_say_whose_it_is(house: House, lines: list[Any]) -> None:
    headers = {"X-Request-Id": "abc-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    await house.call("GET", "/v1/stats", "alice", headers=headers)
    await house.client.get("/healthz")
    await house.client.get("/v1/stats", headers={"Authorization": f"Bearer {token('bob')}x"})
    first, probe, refused = [line for line in lines if line["event"] == "answered"]
    about = ("call_id", "trace_id", "actor", "method", "route", "status", "log_level")
    assert [first[name] for name in about] == [
        "abc-1",
        TRACE,
        "alice",
        "GET",
        "/v1/stats",
        200,
        "info",
    ]
    assert (probe["log_level"], "actor" in probe, probe["trace_id"] == TRACE) == (
        "debug",
        False,
        False,
    )
    assert (refused["status"], "actor" in refused) == (401, False)
    assert structlog.contextvars.get_contextvars() == {}


async def test_lines_from_within_carry_the_same(house: House, lines: list[Any]) -> None:
    # A title that fails is told, and the request is made all the same.
    await house.publish(leave(version=2, title="{{ 1 / (days - days) }}"))
    headers = {"X-Request-Id": "abc-2"}
    body = {"workflow": "leave", "inputs": {"days": 5}}
    made = await house.call("POST", "/v1/requests", "alice", json=body, headers=headers)
    assert made.status_code == 201
    [told] = [line for line in lines if line["event"] == "title not rendered"]
    assert (told["actor"], told["call_id"], len(told["trace_id"])) == ("alice", "abc-2", 32)
