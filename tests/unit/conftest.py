"""Commands as tests call them: against an API of canned answers."""

import httpx
import pytest

from cli.client import Api
from tests.unit.fake_api import FakeApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()

    def connect(url: str | None, person: str | None, roles: list[str] | None = None) -> Api:
        del url, roles
        return Api("http://api.test", person or "-", httpx.MockTransport(fake))

    for module in (
        "actions",
        "adding",
        "api_keys",
        "asking",
        "attachments",
        "backtest",
        "calendars",
        "decisions",
        "delegations",
        "erasure",
        "events",
        "explain",
        "history",
        "holds",
        "incidents",
        "messages",
        "migrate",
        "mirror",
        "notifications",
        "org",
        "preferences",
        "questions",
        "reassign",
        "recalls",
        "recipes",
        "remarks",
        "requests",
        "resubmit",
        "simulate",
        "tasks",
        "tiers",
        "versions",
        "webhooks",
    ):
        monkeypatch.setattr(f"cli.{module}.connect", connect)
    return fake
