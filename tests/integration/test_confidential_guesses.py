"""What is confidential is not guessed either: no answer and no dry run tells a right guess from a wrong one."""

import pytest

from api import life_shapes, past_shapes
from recipes.model import Json
from recipes.parse import parse
from tests.integration.carried import Carried
from tests.integration.house import House
from tests.integration.test_attachments import attach
from tests.integration.test_jobs import ends
from tests.integration.test_questions import ask

ALL_OF_IT = """
workflow: grievance
version: 1
title: "About {{ whom }}"
owner: house
confidential: {visible_to: [hr]}
inputs: {type: object, required: [whom], properties: {whom: {type: string}}}
steps:
  - {id: first, approver: "user:bob"}
"""
SCORE = """
workflow: score
version: {version}
title: Score
owner: house
confidential: {{visible_to: [hr], fields: [salary]}}
inputs: {{type: object, properties: {{who: {{type: string}}, salary: {{type: number}}}}}}
steps:
  - {{id: file, run: file_case, with: {{who: "{{{{ who }}}}"}}}}
  - {{id: first, approver: "user:bob"}}
"""
PROBE = (
    """  - {{id: probe, approver: "user:carol", when: "steps.file.output.case == '{guess}'"}}\n"""
)
BONUS = """
workflow: {workflow}
version: 1
confidential: {{visible_to: [hr], fields: [amount]}}
inputs: {{type: object, properties: {{amount: {{type: number}}}}}}
steps:
  - {{id: small, when: amount < {limit}, action: approve}}
  - {{id: boss, approver: "user:carol"}}
"""


@pytest.fixture
async def office(house: House) -> House:
    """frank owns; dave and erin are hr."""
    await house.import_org()
    await house.publish(parse(ALL_OF_IT).recipe)
    return house


async def test_nobody_writes_what_they_could_not_read(office: House) -> None:
    flow = await office.begun("alice", "grievance", {"whom": "x"})
    comments = f"/v1/requests/{flow.state.request_id}/comments"
    asked = await ask(office, "frank", flow.task, "alice")
    assert (asked.status_code, "for those whom its recipe names" in asked.text) == (403, True)
    for who, *roles in (("frank",), ("root", "admin"), ("tess", "auditor")):
        refused = await office.post(comments, who, *roles, json={"text": "seen"})
        assert refused.status_code == 403, who
        assert "for those whom its recipe names" in refused.json()["detail"]
    assert (await ask(office, "bob", flow.task, "alice")).json()["text"] == "Is it so?"
    for who in ("alice", "bob"):
        made = await office.post(comments, who, json={"text": "seen"})
        assert (made.status_code, made.json()["text"], made.json()["withheld"]) == (201, "seen", [])
    # Beside some inputs nothing is: who sees the request writes.
    await office.publish(parse(BONUS.format(workflow="bonus", limit=1)).recipe)
    partly = await office.begun("alice", "bonus", {"amount": 9})
    place = f"/v1/requests/{partly.state.request_id}/comments"
    made = await office.post(place, "tess", "auditor", json={"text": "seen"})
    assert (made.status_code, made.json()["text"]) == (201, "seen")


async def test_a_file_is_not_found_by_adding_it(office: House) -> None:
    flow = await office.begun("alice", "grievance", {"whom": "x"})
    request = flow.state.request_id
    kept = (await attach(office, request, "alice", "a.pdf")).json()
    wrong = await attach(office, request, "frank", "b.pdf")
    right = await attach(office, request, "frank", "a.pdf")
    assert (wrong.status_code, right.status_code) == (201, 201)
    told = [
        {name: value for name, value in answer.json().items() if name not in ("id", "added_at")}
        for answer in (wrong, right)
    ]
    assert told[0] == told[1]
    assert told[0]["withheld"] == ["/name", "/sha256"]
    assert right.json()["id"] != kept["id"]
    # Who may read it is told as ever that it is there.
    again = await attach(office, request, "bob", "a.pdf")
    assert (again.status_code, again.json()["name"]) == (200, "a.pdf")


async def test_a_backtest_tells_no_output(office: House) -> None:
    """The input that is confidential was left empty: what the task gave is sealed all the same."""
    first = parse(SCORE.format(version=1)).recipe
    await office.publish(first)
    flow = await office.begun("alice", "score", {"who": "x"})
    await ends(flow, {"case": "quill"})
    carried = Carried(office, flow)
    await carried.settled()

    async def tried(guess: str, who: str) -> life_shapes.Backtest:
        body = {"recipe": SCORE.format(version=2) + PROBE.format(guess=guess)}
        response = await office.post("/v1/recipes/backtest", who, "auditor", json=body)
        assert response.status_code == 200, response.text
        return life_shapes.Backtest.model_validate(response.json())

    right, wrong = [await tried(guess, "tess") for guess in ("quill", "other")]
    assert right == wrong
    assert (right.items, right.withheld) == ([], 1)
    [seen] = (await tried("quill", "dave")).items
    assert seen.added == ["user:carol"]


async def test_a_dry_run_of_a_recall_tries_nothing_unseen(office: House) -> None:
    for workflow, limit in (("bonus", 100), ("low", 50), ("high", 60)):
        await office.publish(parse(BONUS.format(workflow=workflow, limit=limit)).recipe)
    await office.begun("alice", "bonus", {"amount": 54})
    body: dict[str, Json] = {"workflow": "bonus", "version": 1, "step": "small", "reason": "wrong"}

    async def planned(review: str, who: str) -> past_shapes.RecallPlan:
        response = await office.post(
            "/v1/recalls",
            who,
            "admin",
            json=body | {"review_workflow": review},
            params={"dry_run": "true"},
        )
        assert response.status_code == 200, response.text
        return past_shapes.RecallPlan.model_validate(response.json())

    low, high = await planned("low", "root"), await planned("high", "root")
    assert low == high
    [item] = low.items
    assert (item.outcome, item.withheld, low.counts) == (
        "withheld",
        ["/inputs/amount"],
        {"withheld": 1},
    )
    told = [(await planned(review, "dave")).items[0].outcome for review in ("low", "high")]
    assert told == ["possible", "refused"]
