"""Recipes over HTTP: published once, checked line by line, switched off and on."""

from pathlib import Path

import pytest

from api import recipe_shapes
from recipes.model import Confidential
from storage import recipes
from tests.integration.house import House, leave

SOURCE = """\
workflow: laptop
version: 1
title: A laptop
owner: house
steps:
  - id: manager
    type: approval
    approver: "{{ employee.manager }}"
"""
YAML = {"Content-Type": "application/yaml"}


async def test_publish_again_and_change(house: House) -> None:
    path = "/v1/recipes"
    first = await house.post(path, "root", "admin", content=SOURCE, headers=YAML)
    assert first.status_code == 201, first.text
    published = recipe_shapes.Published.model_validate(first.json())
    assert first.headers["location"] == "/v1/recipes/laptop/versions/1"
    assert (published.source, published.published_by, published.versions) == (SOURCE, "root", [1])
    again = await house.post(path, "root2", "admin", content=SOURCE)
    assert (again.status_code, again.json()["published_by"]) == (200, "root")
    assert (first.json()["unchanged"], again.json()["unchanged"]) == (False, True)
    other = await house.post(path, "root", "admin", content=SOURCE + "# changed\n")
    assert other.status_code == 409
    assert "version 2" in other.json()["detail"]
    request = await house.submit("alice", "laptop", {})
    assert request["title"] == "A laptop"
    events = await house.pool.fetch(
        "SELECT event_type, actor FROM audit WHERE request_id = $1", recipes.chain("laptop")
    )
    assert [(e["event_type"], e["actor"]["user"]) for e in events] == [("recipe.published", "root")]


async def test_only_administrators_publish(house: House) -> None:
    for roles in ((), ("auditor",)):
        response = await house.post("/v1/recipes", "alice", *roles, content=SOURCE)
        assert response.status_code == 403


async def test_all_that_is_wrong_is_told_at_once(house: House) -> None:
    bad = SOURCE.replace("approver:", "aprover:").replace("title: A laptop", "colour: red")
    headers = {"X-File-Name": "laptop.yaml"}
    response = await house.post("/v1/recipes", "root", "admin", content=bad, headers=headers)
    assert response.status_code == 422
    problems = [
        recipe_shapes.RecipeProblem.model_validate(item) for item in response.json()["errors"]
    ]
    assert {problem.line for problem in problems} >= {3, 8}
    assert {problem.file for problem in problems} == {"laptop.yaml"}
    assert all(problem.fix for problem in problems)
    checked = await house.post("/v1/recipes/check", "alice", content=bad)
    answer = recipe_shapes.RecipeChecked.model_validate(checked.json())
    assert (checked.status_code, answer.valid) == (200, False)
    assert await house.pool.fetchval("SELECT count(*) FROM recipes") == 2


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"a\x00b", b"- 1", SOURCE.encode() + b"# \x00"])
async def test_sources_that_are_no_recipe(house: House, raw: bytes) -> None:
    response = await house.post("/v1/recipes", "root", "admin", content=raw)
    assert response.status_code == 422, response.text


async def test_check_says_what_publication_would(house: House) -> None:
    response = await house.post("/v1/recipes/check", "alice", content=SOURCE)
    answer = recipe_shapes.RecipeChecked.model_validate(response.json())
    assert (answer.valid, answer.workflow, answer.version) == (True, "laptop", 1)
    assert await house.pool.fetchval("SELECT count(*) FROM recipes") == 2


async def test_list_and_show(house: House) -> None:
    await house.publish(leave(2))
    listed = recipe_shapes.RecipePage.model_validate(
        (await house.get("/v1/recipes", "alice")).json()
    )
    assert [(item.workflow, item.version, item.versions) for item in listed.items] == [
        ("leave", 2, [2, 1]),
        ("shared", 1, [1]),
    ]
    page = (await house.get("/v1/recipes", "alice", params={"limit": 1})).json()
    assert [item["workflow"] for item in page["items"]] == ["leave"]
    query = {"limit": 1, "cursor": page["next_cursor"]}
    rest = (await house.get("/v1/recipes", "alice", params=query)).json()
    assert ([item["workflow"] for item in rest["items"]], rest["next_cursor"]) == (["shared"], None)
    shown = await house.get("/v1/recipes/leave", "alice")
    assert recipe_shapes.RecipeShown.model_validate(shown.json()).version == 2
    old = recipe_shapes.RecipeShown.model_validate(
        (await house.get("/v1/recipes/leave/versions/1", "alice")).json()
    )
    assert (old.version, old.implied, old.steps[0]["id"]) == (1, [], "manager")
    for cursor in ("Ingi", "WyJcdWQ4MDAiXQ", "WyJcdTAwMDAiXQ"):
        response = await house.get("/v1/recipes", "alice", params={"cursor": cursor})
        assert response.status_code == 422
    for absent in ("/v1/recipes/nothing", "/v1/recipes/leave/versions/9"):
        assert (await house.get(absent, "alice")).status_code == 404


async def test_what_is_confidential_is_shown(house: House) -> None:
    rule = Confidential(("hr",), ("days",))
    await house.publish(leave(2, title="Leave", confidential=rule))
    await house.publish(leave(3, confidential=Confidential(("hr", "admin"))))
    for version, told in (
        (1, None),
        (2, {"visible_to": ["hr"], "fields": ["days"]}),
        (3, {"visible_to": ["hr", "admin"], "fields": None}),
    ):
        shown = (await house.get(f"/v1/recipes/leave/versions/{version}", "alice")).json()
        recipe_shapes.RecipeShown.model_validate(shown)
        assert shown["confidential"] == told


async def test_the_kill_switch(house: House) -> None:
    path = "/v1/recipes/leave/versions/1"
    body = {"reason": "audit"}
    assert (await house.post(f"{path}/disable", "alice", json=body)).status_code == 403
    assert (await house.post(f"{path}/enable", "alice")).status_code == 403
    assert (await house.post(f"{path}/disable", "root", "admin", json={})).status_code == 422
    for _ in range(2):
        response = await house.post(f"{path}/disable", "root", "admin", json=body)
        disabled = recipe_shapes.RecipeShown.model_validate(response.json()).disabled
        assert disabled is not None
        assert (disabled.by, disabled.reason) == ("root", "audit")
    for _ in range(2):
        response = await house.post(f"{path}/enable", "root", "admin")
        assert response.json()["disabled"] is None
    absent = "/v1/recipes/leave/versions/9"
    assert (await house.post(f"{absent}/enable", "root", "admin")).status_code == 404
    events = await house.pool.fetch(
        "SELECT event_type FROM audit WHERE request_id = $1 ORDER BY seq", recipes.chain("leave")
    )
    assert [e["event_type"] for e in events] == [
        "recipe.published",
        "recipe.disabled",
        "recipe.enabled",
    ]


async def test_the_shipped_recipes_and_people_go_in(bare_house: House) -> None:
    folder = Path(__file__).parents[2] / "workflows_yaml"
    org = (folder / "sample_org.yaml").read_bytes()
    response = await bare_house.post("/v1/org/import", "root", "admin", content=org)
    assert response.status_code == 200, response.text
    for path in sorted(folder.glob("*.calendar.yaml")):
        response = await bare_house.post(
            "/v1/calendars", "root", "admin", content=path.read_bytes()
        )
        assert response.status_code == 201, response.text
    for path in sorted(folder.glob("*.v*.yaml")):
        source = path.read_bytes()
        response = await bare_house.post("/v1/recipes", "root", "admin", content=source)
        assert response.status_code == 201, response.text
