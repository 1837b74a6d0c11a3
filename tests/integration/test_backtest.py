"""A candidate on past requests over HTTP, with the directory as of their day."""

from dataclasses import replace
from typing import Any

from api import life_shapes
from recipes.model import ApprovalStep, Ballot, Json
from tests.integration.house import PEOPLE, House, leave

CANDIDATE = """
workflow: leave
version: 3
owner: house
inputs: {type: object, properties: {days: {type: number, maximum: 9}, why: {type: string}}, required: [days]}
steps:
  - {id: manager, approver: "{{ employee.manager }}"}
  - {id: hr, when: days > 2, approver: role:hr}
  - {id: stuck, when: "days == 1 && inputs.why == 'x'", approver: role:empty}
"""


async def _tried(house: House, **body: Json) -> Any:
    response = await house.post("/v1/recipes/backtest", "root", "auditor", json=body)
    assert response.status_code == 200, response.text
    return life_shapes.Backtest.model_validate(response.json())


async def test_past_requests_through_a_candidate(house: House) -> None:
    four_eyes = ApprovalStep("second", (Ballot("second", approver="role:hr"),))
    manager = leave().steps[0]
    await house.submit("alice", inputs={"days": 5})
    await house.publish(leave(2, steps=(manager, four_eyes)))
    second = await house.submit("alice", inputs={"days": 2})
    await house.submit("dave", inputs={"days": 10})
    await house.submit("erin", inputs={"days": 1, "why": "x"})
    # Whom alice has for a manager since then does not matter.
    people = tuple(replace(p, manager="frank") if p.id == "alice" else p for p in PEOPLE)
    await house.import_org(people)
    before = await house.pool.fetch("SELECT name, turn FROM roles ORDER BY name")
    found = await _tried(house, recipe=CANDIDATE)
    assert (found.workflow, found.version) == ("leave", 3)
    erin, dave, alice, first = found.items
    assert (first.version, first.before.asked, first.after and first.after.asked) == (
        1,
        ["user:bob"],
        ["user:bob", "role:hr"],
    )
    assert (first.added, first.removed, first.route_changed) == (["role:hr"], [], True)
    assert (alice.request_id, alice.version) == (alice.request_id, 2)
    assert str(alice.request_id) == second["id"]
    assert (alice.two_person_break, alice.removed, alice.before.people) == (True, ["role:hr"], 2)
    assert dave.after is None
    assert [text.partition(":")[0] for text in dave.refused] == ["/days"]
    assert [(each.kind, each.step) for each in erin.new_incidents] == [("NoApproverFound", "stuck")]
    assert erin.state_changed
    counted = found.summary
    assert (counted.requests, counted.same, counted.refused) == (4, 0, 1)
    assert (counted.two_person_breaks, counted.new_incidents) == (1, 1)
    assert await house.pool.fetch("SELECT name, turn FROM roles ORDER BY name") == before
    assert len((await _tried(house, recipe=CANDIDATE, limit=1)).items) == 1
    since = erin.created_at.isoformat()
    assert len((await _tried(house, recipe=CANDIDATE, since=since)).items) == 1


async def test_wrong_backtests(house: House) -> None:
    async def refused(status: int, *roles: str, **body: Json) -> Any:
        response = await house.post("/v1/recipes/backtest", "alice", *roles, json=body)
        assert response.status_code == status, response.text
        return response.json()

    await refused(403, recipe=CANDIDATE)
    nothing = await refused(422, "admin", recipe=CANDIDATE)
    assert nothing["detail"] == "there are no requests of workflow leave to try it on"
    await house.submit("alice")
    later = await refused(422, "admin", recipe=CANDIDATE, since="2999-01-01T00:00:00Z")
    assert "since 2999-01-01 00:00 UTC" in later["detail"]
    bad = await refused(422, "admin", recipe="workflow: leave", file="x.yaml")
    assert bad["errors"][0]["file"] == "x.yaml"
    assert (await refused(422, "admin"))["errors"][0]["pointer"] == "/recipe"
    assert (await refused(422, "admin", recipe="", limit=0))["errors"][0]["pointer"] == "/limit"
