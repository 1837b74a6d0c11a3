"""Commands as tests call them: against an API of canned answers."""

import httpx
import pytest

from cli.caller import Caller
from cli.client import Api
from tests.unit.fake_api import FakeApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()

    def connect(caller: Caller) -> Api:
        return Api("http://api.test", caller.as_person or "-", httpx.MockTransport(fake))

    monkeypatch.setattr(Caller, "connect", connect)
    return fake
