"""Every call of the API with whatever its OpenAPI page allows, and what it does not: no answer is an accident of ours."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import migrating, requests, webhooks
from api.app import create_app
from settings import Settings
from storage.org import PersonRow
from storage.pool import Pool
from tests.integration.house import PEOPLE, ROLES, House, Recorder, leave, make_settings, token
from tests.stack import Database

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""For each call, of what is allowed and of what is not. By hand: thousands."""
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class Client:
    """Calls the API from what is not asynchronous, as generated tests are."""

    runner: asyncio.Runner
    http: httpx.AsyncClient
    there: dict[str, Any]

    def call(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.http.request(method, url, **options))


@pytest.fixture
def client(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The API, as an administrator calls it who is in the directory. Nothing is waited for."""
    monkeypatch.setattr(requests, "PATIENCE", 0)
    monkeypatch.setattr(migrating, "PATIENCE", 0)
    monkeypatch.setattr(webhooks, "_TEST_SECONDS", 0)
    made = make_settings(tmp_path, database.url, rate_limit=0)

    delivery = Recorder()

    async def recorded(_: Settings, __: Pool) -> Recorder:
        return delivery

    app = create_app(made, recorded)
    headers = {"Authorization": f"Bearer {token('root', 'admin', 'auditor', 'events')}"}
    lifespan = app.router.lifespan_context(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with asyncio.Runner() as runner:
        runner.run(lifespan.__aenter__())
        http = httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)
        house = House(http, app.state.services.pool, delivery, made, app)
        yield Client(runner, http, runner.run(_there(house)))
        runner.run(lifespan.__aexit__(None, None, None))


async def _there(house: House) -> dict[str, Any]:
    """Something of each kind that calls are about, by the names of parameters."""
    root = PersonRow("root", "Root")
    await house.import_org((root, *PEOPLE), ROLES)
    await house.publish(leave())
    flow = await house.begun()
    hook = {"url": "https://erp.example.org/hooks"}
    made = await house.post("/v1/webhooks", "root", "admin", json=hook)
    return {
        "request_id": flow.state.request_id,
        "task_id": flow.task,
        "webhook_id": made.json()["id"],
        "person_id": "bob",
        "name": "leave",
        "version": 1,
    }


def test_every_call(client: Client) -> None:
    schema = schemathesis.openapi.from_dict(client.call("GET", "/openapi.json").json())
    wrong: list[str] = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path.startswith(("/v1/", "/codec/decode")):
            for mode in GenerationMode:
                wrong += _tried(client, operation, mode)
    assert wrong == [], "\n\n".join(wrong)


def _tried(
    client: Client, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
) -> list[str]:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Case[Any]) -> None:
        _call(client, case, mode)

    try:
        one()
    except (Exception, FailureGroup) as error:  # noqa: BLE001 (all are told at the end)
        return [f"{operation.label} ({mode.value}): {error}"]
    return []


def _call(client: Client, case: Case[Any], mode: GenerationMode) -> None:
    if case.path == "/v1/feed":
        case.query.pop("wait", None)
    if mode is GenerationMode.POSITIVE:
        # Nobody guesses an id that there is.
        case.path_parameters |= {
            name: client.there[name] for name in case.path_parameters if name in client.there
        }
    sent = case.as_transport_kwargs(base_url="http://api")
    sent.pop("cookies", None)
    sent["content"] = sent.pop("data", None)
    try:
        answered = client.call(**sent)
    except httpx.InvalidURL:  # longer than httpx sends any
        reject()
    case.validate_response(answered, checks=_CHECKS)
