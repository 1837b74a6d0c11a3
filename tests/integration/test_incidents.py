"""Incidents are seen by those who can help, and by nobody else."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api import schemas
from recipes.model import ApprovalStep, Ballot, Json, Quorum, Recipe
from storage import commits
from storage.org import PersonRow, RoleRow
from tests.integration.house import House, Workflow, leave


def stuck(workflow: str = "stuck", owner: str | None = "role:house") -> Recipe:
    """Two branches that both must approve, of roles that nobody holds; `house` owns it."""
    ballots = (Ballot("one", approver="role:empty"), Ballot("two", approver="role:empty"))
    step = ApprovalStep("both", ballots, Quorum("all"), type="parallel")
    return Recipe(workflow, 1, (step,), owner=owner)


async def listed(house: House, who: str, *roles: str, **query: Any) -> list[Json]:
    response = await house.get("/v1/incidents", who, *roles, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Json] = response.json()
    schemas.IncidentPage.model_validate(page)
    return list(page["items"])


@pytest.fixture
async def flow(house: House) -> Workflow:
    """A request of alice's whose both seats are incidents."""
    await house.publish(stuck())
    return await house.begun("alice", "stuck", {})


async def test_the_owner_role_gets_them(house: House, flow: Workflow) -> None:
    for who, roles, count in (
        ("frank", (), 2),  # holds `house`
        ("root", ("admin",), 2),
        ("root", ("auditor",), 2),
        ("root", (), 0),
        ("alice", (), 0),  # sees them on her request
        ("bob", (), 0),
    ):
        assert len(await listed(house, who, *roles)) == count, who
    first, second = await listed(house, "frank")
    assert (first["request_id"], first["title"]) == (flow.state.request_id, "Stuck")
    assert (first["workflow"], first["version"], first["requester"]) == ("stuck", 1, "alice")
    assert (first["step"], first["seat"], second["seat"]) == ("both", "both/one", "both/two")
    assert (first["kind"], first["actions"]) == ("NoApproverFound", ["retry", "reassign"])
    assert "role empty has no member" in first["detail"]
    [shown, _] = (await house.get(f"/v1/requests/{flow.state.request_id}", "alice")).json()[
        "incidents"
    ]
    assert datetime.fromisoformat(first["since"]) == datetime.fromisoformat(shown["at"])


async def test_the_role_counts_as_it_is_held_now(house: House, flow: Workflow) -> None:
    del flow
    await house.import_org((), (RoleRow("house", ("erin",)),))
    assert (len(await listed(house, "frank")), len(await listed(house, "erin"))) == (0, 2)
    await house.import_org((PersonRow("erin", "Erin Novak", left=True),), ())
    assert await listed(house, "erin") == []


async def test_what_each_may_do(house: House, flow: Workflow) -> None:
    del flow
    await house.begun("frank", "stuck", {})
    actions = {
        (who, item["requester"]): item["actions"]
        for who, roles in (("frank", ()), ("root", ("admin",)), ("aud", ("auditor",)))
        for item in await listed(house, who, *roles)
    }
    both = ["retry", "reassign"]
    assert actions == {
        ("frank", "alice"): both,
        ("frank", "frank"): ["retry"],  # their own request: nobody chooses who decides it
        ("root", "alice"): both,
        ("root", "frank"): both,
        ("aud", "alice"): [],
        ("aud", "frank"): [],
    }


async def test_filters_and_pages(house: House, flow: Workflow) -> None:
    await house.publish(stuck("nobodys", None))
    flows = [flow, *[await house.begun("alice", name, {}) for name in ("nobodys", "stuck")]]
    ids = [each.state.request_id for each in flows for _ in range(2)]
    everything = await listed(house, "root", "admin")
    assert [item["request_id"] for item in everything] == ids  # the oldest first
    assert len(await listed(house, "frank")) == 4
    assert len(await listed(house, "root", "admin", workflow="nobodys")) == 2
    assert len(await listed(house, "root", "admin", kind="NoApproverFound")) == 6
    assert await listed(house, "root", "admin", kind="DelegationCycle") == []
    paged: list[Json] = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        response = await house.get("/v1/incidents", "root", "admin", params=query)
        page = response.json()
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert paged == everything


@pytest.mark.parametrize("query", [{"colour": "red"}, {"limit": 0}, {"cursor": "zzz"}])
async def test_what_is_not_understood(house: House, query: dict[str, Any]) -> None:
    assert (await house.get("/v1/incidents", "frank", params=query)).status_code == 422


async def test_what_is_put_right_is_gone(house: House, flow: Workflow) -> None:
    await house.import_org((), (RoleRow("empty", ("bob", "carol")),))
    await house.post(f"/v1/requests/{flow.state.request_id}/retry", "frank")
    await flow.befall(house.delivery.signals[-1][1])
    assert await listed(house, "frank") == []


async def test_one_that_stands_beside_the_state(house: House) -> None:
    flow = await house.begun()
    await commits.flag_failing(house.pool, flow.state, "disk full", datetime.now(UTC))
    [item] = await listed(house, "frank")
    assert (item["kind"], item["step"], item["seat"]) == ("CommitFailed", None, None)
    assert item["actions"] == ["retry"]


async def test_requests_that_need_people(house: House, flow: Workflow) -> None:
    await house.publish(leave(2, workflow="other"))
    fine = await house.begun("alice", "other")
    for who, roles in (("root", ("admin",)), ("alice", ()), ("frank", ())):
        found = {
            wanted: [
                UUID(item["id"])
                for item in (
                    await house.get("/v1/requests", who, *roles, params={"incident": wanted})
                ).json()["items"]
            ]
            for wanted in ("true", "false")
        }
        assert found == {
            "true": [UUID(flow.state.request_id)],
            "false": [UUID(fine.state.request_id)],
        }
    wrong = await house.get("/v1/requests", "alice", params={"incident": "maybe"})
    assert wrong.status_code == 422
