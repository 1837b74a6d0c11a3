"""The application as a whole: what every route has in common."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from pydantic import BaseModel

from api import bodies, people_shapes, problem_shapes, schemas
from api.app import create_app
from recipes.model import Json
from settings import Settings
from storage.pool import Pool
from tests.integration.house import House, Recorder, make_settings, token
from tests.stack import Database

OPEN = {
    ("GET", "/healthz"): 200,
    ("GET", "/readyz"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/codec/sign-in"): 200,
    ("POST", "/codec/sign-out"): 303,
}


def _operations(house: House) -> list[tuple[str, str, dict[str, Any]]]:
    page = house.app.openapi()
    return [
        (method.upper(), path, operation)
        for path, operations in page["paths"].items()
        for method, operation in operations.items()
    ]


async def test_every_route_is_documented(bare_house: House) -> None:
    documented = {(method, path) for method, path, _ in _operations(bare_house)}
    assert documented == {
        ("POST", "/v1/requests"),
        ("POST", "/v1/requests/{request_id}/erase"),
        ("GET", "/v1/reports"),
        ("POST", "/v1/calendars"),
        ("GET", "/v1/calendars"),
        ("GET", "/v1/calendars/{name}"),
        ("POST", "/v1/events"),
        ("GET", "/v1/requests"),
        ("GET", "/v1/requests/{request_id}"),
        ("GET", "/v1/requests/{request_id}/events"),
        ("GET", "/v1/requests/{request_id}/diagram.svg"),
        ("POST", "/v1/requests/{request_id}/cancel"),
        ("POST", "/v1/requests/{request_id}/resubmit"),
        ("POST", "/v1/requests/{request_id}/retry"),
        ("POST", "/v1/requests/{request_id}/reassign"),
        ("GET", "/v1/requests/{request_id}/actions"),
        ("POST", "/v1/requests/{request_id}/actions/{action_id}"),
        ("POST", "/v1/tasks/{task_id}/reassign"),
        ("POST", "/v1/tasks/{task_id}/approvers"),
        ("GET", "/v1/incidents"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tasks/{task_id}"),
        ("POST", "/v1/tasks/{task_id}/decisions"),
        ("POST", "/v1/tasks/{task_id}/claim"),
        ("POST", "/v1/requests/{request_id}/watchers"),
        ("DELETE", "/v1/requests/{request_id}/watchers/{person_id}"),
        ("POST", "/v1/requests/{request_id}/attachments"),
        ("GET", "/v1/requests/{request_id}/attachments/{attachment_id}"),
        ("POST", "/v1/tasks/{task_id}/questions"),
        ("GET", "/v1/notifications"),
        ("POST", "/v1/notifications/read"),
        ("GET", "/v1/me/preferences"),
        ("PUT", "/v1/me/preferences"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/resend"),
        ("POST", "/v1/messages/{message_id}/resend"),
        ("GET", "/v1/slack/people"),
        ("POST", "/v1/slack/people"),
        ("DELETE", "/v1/slack/people/{person_id}"),
        ("GET", "/v1/questions"),
        ("POST", "/v1/questions/{question_id}/answer"),
        ("POST", "/v1/requests/{request_id}/comments"),
        ("GET", "/v1/requests/{request_id}/comments"),
        ("POST", "/v1/tasks/{task_id}/release"),
        ("POST", "/v1/decisions"),
        ("POST", "/v1/decisions/preview"),
        ("POST", "/v1/recipes"),
        ("POST", "/v1/recipes/check"),
        ("POST", "/v1/recipes/simulate"),
        ("POST", "/v1/recipes/backtest"),
        ("GET", "/v1/recipes/{name}/diff"),
        ("POST", "/v1/recipes/{name}/versions/{version}/migrate"),
        ("GET", "/v1/recipes/{name}/versions/{version}/diagram.svg"),
        ("GET", "/v1/recipes/{name}/versions/{version}/diagram.mmd"),
        ("GET", "/v1/recipes/{name}/versions/{version}/requests"),
        ("POST", "/v1/recipes/{name}/versions/{version}/simulate"),
        ("GET", "/v1/recipes"),
        ("GET", "/v1/recipes/{name}"),
        ("GET", "/v1/recipes/{name}/versions/{version}"),
        ("POST", "/v1/recipes/{name}/versions/{version}/disable"),
        ("POST", "/v1/recipes/{name}/versions/{version}/enable"),
        ("POST", "/v1/org/import"),
        ("GET", "/v1/imports"),
        ("POST", "/v1/imports"),
        ("GET", "/v1/org/names"),
        ("GET", "/v1/org/people"),
        ("GET", "/v1/org/people/{person_id}"),
        ("GET", "/v1/org/roles"),
        ("GET", "/v1/audit"),
        ("GET", "/v1/audit/checkpoints"),
        ("GET", "/v1/audit/impact"),
        ("GET", "/v1/recalls"),
        ("POST", "/v1/recalls"),
        ("GET", "/v1/recalls/{recall_id}"),
        ("GET", "/v1/recalls/{recall_id}/requests"),
        ("POST", "/v1/recalls/{recall_id}/continue"),
        ("GET", "/v1/webhooks"),
        ("POST", "/v1/webhooks"),
        ("GET", "/v1/webhooks/{webhook_id}"),
        ("DELETE", "/v1/webhooks/{webhook_id}"),
        ("POST", "/v1/webhooks/{webhook_id}/rotate"),
        ("POST", "/v1/webhooks/{webhook_id}/pause"),
        ("POST", "/v1/webhooks/{webhook_id}/resume"),
        ("POST", "/v1/webhooks/{webhook_id}/test"),
        ("GET", "/v1/webhooks/{webhook_id}/dead"),
        ("POST", "/v1/webhooks/{webhook_id}/resend"),
        ("GET", "/v1/feed"),
        ("GET", "/v1/audit/proof"),
        ("GET", "/v1/audit/verify"),
        ("GET", "/v1/audit/months"),
        ("GET", "/v1/audit/holds"),
        ("POST", "/v1/audit/holds"),
        ("POST", "/v1/audit/holds/{hold_id}/end"),
        ("GET", "/v1/delayed"),
        ("GET", "/v1/delayed/{delayed_id}"),
        ("DELETE", "/v1/delayed/{delayed_id}"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/keys/{key_id}/revoke"),
        ("POST", "/v1/sessions/end"),
        ("GET", "/v1/org/mirror"),
        ("POST", "/v1/org/mirror/sync"),
        ("GET", "/v1/org/delegations"),
        ("POST", "/v1/org/delegations"),
        ("POST", "/v1/org/delegations/{delegation_id}/end"),
        ("GET", "/v1/org/explain"),
        ("POST", "/v1/org/explain"),
        ("POST", "/codec/decode"),
        ("GET", "/codec/sign-in"),
        ("POST", "/codec/sign-in"),
        ("POST", "/codec/sign-out"),
        ("GET", "/v1/me/counts"),
        ("GET", "/v1/me/filters"),
        ("POST", "/v1/me/filters"),
        ("DELETE", "/v1/me/filters/{filter_id}"),
        ("GET", "/v1/stats"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }
    for method, path, operation in _operations(bare_house):
        assert operation["summary"], path
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, status)
            expected = "application/problem+json" if status >= "400" else None
            for media in answer.get("content", {}):
                assert expected in (media, None), (method, path, status)


async def test_the_page_refers_to_nothing_that_is_not_there(bare_house: House) -> None:
    page = (await bare_house.client.get("/openapi.json")).text
    shapes = bare_house.app.openapi()["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', page):
        assert name in shapes
    docs = await bare_house.client.get("/docs")
    assert docs.status_code == 200


async def test_every_route_needs_a_token(bare_house: House) -> None:
    for method, path, _ in _operations(bare_house):
        place = path.replace("{name}", "leave").replace("{version}", "1")
        place = place.replace("{key_id}", "0123456789abcdef")
        place = re.sub(r"\{\w+_id\}", str(uuid4()), place)
        response = await bare_house.client.request(method, place)
        expected = OPEN.get((method, path), 401)
        assert response.status_code == expected, (method, path, response.text)


async def test_what_is_not_there(bare_house: House) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/requests", 405),
        ("GET", "/v1/tasks/not-a-uuid", 422),
        ("GET", "/v1/recipes/No%00Name", 422),
    ):
        response = await bare_house.call(method, path, "alice")
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem_shapes.ProblemDetails.model_validate(response.json())


async def test_request_ids(bare_house: House) -> None:
    given = await bare_house.client.get("/healthz", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    bad = await bare_house.client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert re.fullmatch("[0-9a-f]{32}", bad.headers["x-request-id"])


async def test_figures(house: House) -> None:
    flow = await house.begun()
    await house.get(f"/v1/tasks/{flow.task}", "bob")
    await house.client.get("/nowhere/at/all")
    for who in ("bob", "bob", "carol"):
        await house.decide(who, flow.task)
    text = (await house.client.get("/metrics")).text
    for line in (
        'countersign_http_requests_total{method="GET",route="/v1/tasks/{task_id}",status="200"} 1.0',
        'countersign_http_requests_total{method="POST",route="/v1/requests",status="201"} 1.0',
        'countersign_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'countersign_decisions_total{counts_as="approve",workflow="leave"} 1.0',
        "countersign_outbox_rows 2.0",
    ):
        assert line in text
    assert flow.task not in text


async def test_stats(house: House) -> None:
    await house.begun()
    await house.submit()
    response = await house.get("/v1/stats", "alice")
    stats = schemas.Stats.model_validate(response.json())
    assert stats.requests == {"created": 1, "pending": 1}
    assert (stats.open_tasks, stats.incidents, stats.outbox) == (1, 0, 2)


async def test_without_postgres(tmp_path: Path) -> None:
    """The API starts, says 503 to what needs Postgres, and nothing worse."""
    settings = make_settings(tmp_path, f"postgresql://nobody@/nothing?host={tmp_path}")
    delivery = Recorder()

    async def recorded(_: Settings, __: Pool) -> Recorder:
        return delivery

    app = create_app(settings, recorded)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            headers = {"Authorization": f"Bearer {token('alice', 'admin')}"}
            assert (await client.get("/healthz")).status_code == 200
            assert "countersign_outbox_rows NaN" in (await client.get("/metrics")).text
            body: Json = {"workflow": "leave", "inputs": {}}
            for response in (
                await client.get("/readyz"),
                await client.get("/v1/tasks", headers=headers),
                await client.get("/v1/stats", headers=headers),
                await client.post("/v1/requests", headers=headers, json=body),
                await client.post(
                    f"/v1/tasks/{uuid4()}/decisions", headers=headers, json={"decision": "approve"}
                ),
            ):
                assert response.status_code == 503, response.text
                assert response.headers["retry-after"] == "2"
                assert response.headers["content-type"] == "application/problem+json"
    assert delivery.starts == delivery.signals == []


async def test_postgres_that_goes_away_and_comes_back(house: House, database: Database) -> None:
    flow = await house.begun()
    name = database.admin_url.rsplit("/", 1)[1].partition("?")[0]
    maintenance = await asyncpg.connect(database.admin_url.replace(name, "postgres"))
    await maintenance.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    await maintenance.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )
    responses = [await house.decide("bob", flow.task) for _ in range(3)]
    assert {response.status_code for response in responses} == {503}
    await maintenance.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
    await maintenance.close()
    assert (await house.decide("bob", flow.task)).status_code == 200
    assert len(house.delivery.signals) == 1


async def test_a_decision_whose_connection_dies_is_none_or_whole(
    house: House, admin_pool: Pool
) -> None:
    """Backends are killed again and again; what was answered with 200 stands, once, with all it needs."""
    stop, tries = asyncio.Event(), 0

    async def killer() -> None:
        while not stop.is_set():
            # Of 30 tries the second half is spared, so that a slow machine gets on, too.
            if tries % 30 < 15:
                await admin_pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE random() < 0.3"
                    " AND datname = current_database() AND usename = 'countersign_app'"
                )
            await asyncio.sleep(0.003)

    flows = [await house.begun() for _ in range(40)]
    killing = asyncio.create_task(killer())
    answers: dict[str, int] = {}
    for flow in flows:
        task, response = flow.task, await house.decide("bob", flow.task)
        while response.status_code == 503:
            tries += 1
            response = await house.decide("bob", task)
        answers[task] = response.status_code
    stop.set()
    await killing
    assert set(answers.values()) == {200}
    decided = await admin_pool.fetchval("SELECT count(*) FROM decisions")
    told = await admin_pool.fetchval("SELECT count(*) FROM outbox WHERE kind = 'signal'")
    recorded = await admin_pool.fetchval(
        "SELECT count(*) FROM audit WHERE event_type = 'decision.recorded'"
    )
    assert (decided, told, recorded) == (40, 40, 40)


@pytest.mark.parametrize("path", ["/healthz", "/v1/tasks"])
async def test_unexpected_errors_tell_nothing(house: House, path: str) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise ValueError("secret")

    kept, house.app.state.services = house.app.state.services, Broken()
    response = await house.get(path, "alice")
    house.app.state.services = kept
    if path == "/healthz":
        assert response.status_code == 200
    else:
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.headers["content-type"] == "application/problem+json"


async def test_examples_are_what_they_are_examples_of(bare_house: House) -> None:
    shown = 0
    for module in (schemas, people_shapes, bodies):
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, BaseModel):
                extra: Any = model.model_config.get("json_schema_extra") or {}
                for example in extra.get("examples", []):
                    model.model_validate(example)
                    shown += 1
    assert shown >= 8
