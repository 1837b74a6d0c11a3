"""Versions over HTTP: what differs, what is in flight on which."""

from dataclasses import replace
from typing import Any

import pytest

from api import life_shapes, recipe_shapes, schemas
from recipes.model import ApprovalStep, Level
from tests.integration.house import House, leave


async def test_what_two_versions_differ_in(house: House) -> None:
    step = leave().steps[0]
    assert isinstance(step, ApprovalStep)
    ballot = replace(step.ballots[0], levels=(Level(7200, "expire"),))
    await house.publish(leave(2, steps=(replace(step, ballots=(ballot,)),), title="Leave"))
    queries: list[dict[str, int]] = [{}, {"from": 1, "to": 2}, {"to": 2}]
    for query in queries:
        response = await house.get("/v1/recipes/leave/diff", "alice", params=query)
        found = life_shapes.RecipeDiff.model_validate(response.json())
        assert (found.workflow, found.before, found.after) == ("leave", 1, 2)
        assert [(change.place, change.before, change.after) for change in found.changes] == [
            ("title", "{{ days }} days for {{ employee.name }}", "Leave"),
            ("steps.manager.timeout", "1h", "2h"),
            ("steps.manager.on_timeout", "escalate", "expire"),
        ]
        assert found.changes[1].text == "1h becomes 2h"
    query = {"from": 2, "to": 2}
    same = await house.get("/v1/recipes/leave/diff", "alice", params=query)
    assert same.json()["changes"] == []


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("/v1/recipes/leave/diff", {}, 422, "no version before 1"),
        ("/v1/recipes/leave/diff", {"from": 7}, 404, "leave has no version 7 (it has 1)"),
        ("/v1/recipes/leave/diff", {"to": 7}, 404, "leave has no version 7 (it has 1)"),
        ("/v1/recipes/leave/diff", {"from": 0}, 422, "from"),
        ("/v1/recipes/nothing/diff", {}, 404, "no such recipe"),
        ("/v1/recipes/leave/versions/7/requests", {}, 404, "leave has no version 7"),
    ],
)
async def test_versions_that_are_not_there(
    house: House, path: str, query: dict[str, int], status: int, words: str
) -> None:
    response = await house.get(path, "alice", params=query)
    assert response.status_code == status
    assert words in response.json()["detail"]


async def test_what_is_in_flight(house: House) -> None:
    first = await house.begun("alice")
    await house.publish(leave(2))
    second = [await house.submit("alice") for _ in range(2)]
    other = await house.submit("dave")
    ended = await house.begun("alice")
    assert (await house.decide("bob", ended.task)).status_code == 200
    await ended.befall(house.delivery.signals[-1][1])
    assert ended.state.final
    listed = recipe_shapes.RecipePage.model_validate(
        (await house.get("/v1/recipes", "alice")).json()
    )
    assert [(item.workflow, item.in_flight) for item in listed.items] == [
        ("leave", {1: 1, 2: 3}),
        ("shared", {}),
    ]
    path = "/v1/recipes/leave/versions/{}/requests"

    async def seen(version: int, who: str, *roles: str, **query: Any) -> list[str]:
        response = await house.get(path.format(version), who, *roles, params=query)
        page = schemas.RequestPage.model_validate(response.json())
        if page.next_cursor:
            more = query | {"cursor": page.next_cursor}
            return [
                *map(str, [i.id for i in page.items]),
                *await seen(version, who, *roles, **more),
            ]
        return [str(item.id) for item in page.items]

    mine = [item["id"] for item in reversed(second)]
    assert await seen(1, "alice") == [first.state.request_id]
    assert await seen(2, "alice") == mine
    assert await seen(2, "root", "admin", limit=1) == [other["id"], *mine]
    # Whoever owns the recipe sees them all; whoever is asked sees those.
    assert await seen(2, "frank") == [other["id"], *mine]
    assert await seen(1, "bob") == [first.state.request_id]
    assert await seen(2, "erin") == []


async def test_pictures(house: House) -> None:
    path = "/v1/recipes/leave/versions/1/diagram"
    picture = await house.get(f"{path}.svg", "alice")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert "default-src 'none'" in picture.headers["content-security-policy"]
    assert '<title id="title">leave version 1</title>' in picture.text
    text = await house.get(f"{path}.mmd", "alice")
    assert text.headers["content-type"].startswith("text/vnd.mermaid")
    assert text.text.startswith("flowchart TD\n")
    for kind in ("svg", "mmd"):
        missing = await house.get(f"/v1/recipes/leave/versions/7/diagram.{kind}", "alice")
        assert missing.status_code == 404
