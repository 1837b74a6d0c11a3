"""Whoever left holds no role any more, although the role's list still has them."""

import pytest

from recipes.model import Json
from storage.org import PersonRow
from tests.integration.house import House, Workflow

GONE = (
    PersonRow("frank", "Frank Weber", manager="carol", left=True),
    PersonRow("dave", "Dave Singh", manager="carol", left=True),
)


@pytest.fixture
async def owned(house: House) -> Workflow:
    """A request that `house`, so frank, owns."""
    return await house.begun()


@pytest.fixture
async def pooled(house: House) -> Workflow:
    """A request waiting for `hr`, so for dave."""
    return await house.begun(workflow="shared", inputs={})


async def _items(house: House, path: str, who: str) -> list[Json]:
    items: list[Json] = (await house.get(path, who)).json()["items"]
    return items


async def test_an_owner_who_left(house: House, owned: Workflow) -> None:
    path = f"/v1/requests/{owned.state.request_id}"
    assert (await house.get(path, "frank")).status_code == 200
    assert len(await _items(house, "/v1/requests", "frank")) == 1
    await house.import_org(GONE, ())
    assert (await house.get(path, "frank")).status_code == 404
    assert (await house.post(f"{path}/retry", "frank")).status_code == 404
    assert (await house.get(f"{path}/events", "frank")).status_code == 404
    assert await _items(house, "/v1/requests", "frank") == []


async def test_a_member_who_left(house: House, pooled: Workflow) -> None:
    path = f"/v1/tasks/{pooled.task}"
    assert (await house.get(path, "dave")).status_code == 200
    assert len(await _items(house, "/v1/tasks", "dave")) == 1
    await house.import_org(GONE, ())
    assert (await house.get(path, "dave")).status_code == 404
    assert (await house.decide("dave", pooled.task)).status_code == 404
    assert await _items(house, "/v1/tasks", "dave") == []
    assert await _items(house, "/v1/requests", "dave") == []
    assert (await house.decide("erin", pooled.task)).status_code == 200
