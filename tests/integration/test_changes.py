"""Changes: requested, made and resubmitted over HTTP, and what is on record of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from api import problem_shapes, schemas, task_shapes
from api.revised import changed
from recipes.model import Json, Recipe
from recipes.parse import parse
from storage import history, replay, requests
from tests.integration.carried import Carried
from tests.integration.house import House, Workflow

OFFER = """
workflow: offer
version: {version}
title: "{{{{ item }}}} for {{{{ amount }}}}"
owner: house
keep_approvals: unaffected
inputs:
  type: object
  required: [item, amount]
  properties: {{item: {{type: string}}, amount: {{type: number, minimum: 1}}, note: {{type: string}}}}
  additionalProperties: false
steps:
  - {{id: text, approver: "user:bob", show: [item]}}
  - id: money
    branches:
      - {{id: one, approver: "user:carol", show: [item]}}
      - id: two
        approver: "user:dave"
        show: [amount]
        reasons: [dear, late]
        require_reason: [reject]
        outcomes:
          - {{id: with_conditions, name: Approve with conditions, as: approve, require_comment: true}}
          - {{id: again, name: Back to the text, as: rewind, to: text}}
"""
INPUTS: dict[str, Json] = {"item": "press", "amount": 100.5, "note": "a"}


def offer(version: int = 1) -> Recipe:
    return parse(OFFER.format(version=version)).recipe


@asynccontextmanager
async def offered(house: House) -> AsyncIterator[Carried]:
    await house.publish(offer())
    carried = Carried(house, await house.begun("alice", "offer", INPUTS))
    yield carried
    await carried.ended()


def task_of(flow: Workflow, who: str) -> str:
    return next(task.id for task in flow.state.tasks if task.assignment.user == who)


async def shown(house: House, carried: Carried, who: str = "alice") -> dict[str, Any]:
    await carried.settled()
    response = await house.get(f"/v1/requests/{carried.flow.state.request_id}", who)
    schemas.Request.model_validate(response.json())
    answer: dict[str, Any] = response.json()
    return answer


async def decided(house: House, carried: Carried, who: str, decision: str, **more: Json) -> None:
    response = await house.decide(who, task_of(carried.flow, who), decision, **more)
    assert response.status_code == 200, response.text
    task_shapes.Task.model_validate(response.json())
    await carried.settled()


async def resubmit(house: House, carried: Carried, who: str = "alice", **inputs: Json) -> Any:
    path = f"/v1/requests/{carried.flow.state.request_id}/resubmit"
    body = {"inputs": INPUTS | inputs, "comment": "here it is"}
    return await house.post(path, who, json=body)


async def events(house: House, carried: Carried, kind: str) -> list[dict[str, Any]]:
    path = f"/v1/requests/{carried.flow.state.request_id}/events"
    found = (await house.get(path, "alice", params={"limit": 200})).json()["items"]
    return [event for event in found if event["type"] == kind]


async def test_sent_back_changed_and_in_again(house: House) -> None:
    async with offered(house) as carried:
        task = task_of(carried.flow, "bob")
        silent = await house.decide("bob", task, "request_changes", comment=" ")
        assert silent.status_code == 422
        assert silent.json()["errors"][0]["pointer"] == "/comment"
        await decided(house, carried, "bob", "request_changes", comment="which press?")
        request = await shown(house, carried)
        assert (request["state"], request["step"], request["reason"]) == (
            "rewound",
            None,
            "which press?",
        )
        assert request["waiting_for"] == ["user:alice"]
        [decision] = request["decisions"]
        told = decision["decision"], decision["counts_as"], decision["to"]
        assert told == ("request_changes", "rewind", "requester")
        mine = {"state": "rewound", "mine": "true"}
        assert len((await house.get("/v1/requests", "alice", params=mine)).json()["items"]) == 1
        assert (await house.get("/v1/requests", "bob", params=mine)).json()["items"] == []
        both = {"mine": "true", "requester": "alice"}
        assert (await house.get("/v1/requests", "bob", params=both)).status_code == 422

        again = await resubmit(house, carried, item="a large press", note="b")
        assert again.status_code == 200, again.text
        request = await shown(house, carried)
        assert (request["state"], request["title"]) == ("pending", "a large press for 100.5")
        assert request["inputs"] == INPUTS | {"item": "a large press", "note": "b"}
        first, second = request["revisions"]
        assert (first["number"], first["title"], first["changed"]) == (1, "press for 100.5", [])
        assert (second["digest"], second["comment"]) == (request["digest"], "here it is")
        assert second["changed"] == [
            {"pointer": "/inputs/item", "from": "press", "to": "a large press"},
            {"pointer": "/inputs/note", "from": "a", "to": "b"},
        ]
        [rewound] = await events(house, carried, "request.rewound")
        assert (rewound["actor"]["user"], rewound["payload"]["comment"]) == ("bob", "which press?")
        [resubmitted] = await events(house, carried, "request.resubmitted")
        assert resubmitted["payload"]["revision"] == 2
        assert resubmitted["payload"]["inputs"]["item"] == "a large press"

        # The new task is about what the request says now.
        task = task_of(carried.flow, "bob")
        late = await house.decide("bob", task, digest=first["digest"])
        assert late.status_code == 409
        problem_shapes.AlreadyClosed.model_validate(late.json())
        assert late.json()["type"].endswith("digest_mismatch")
        assert late.json()["digest"] == second["digest"]
        assert late.json()["changed"] == second["changed"]
        assert (await house.decide("bob", task, digest=second["digest"])).status_code == 200


async def test_who_may_resubmit_what(house: House) -> None:
    async with offered(house) as carried:
        early = await resubmit(house, carried)
        assert (early.status_code, early.json()["state"]) == (409, "pending")
        await decided(house, carried, "bob", "request_changes", comment="no")
        assert (await resubmit(house, carried, "bob")).status_code == 403
        assert (await resubmit(house, carried, "erin")).status_code == 404
        assert (await resubmit(house, carried, "frank")).status_code == 403  # the owner
        wrong = await resubmit(house, carried, amount=0, color="red")
        assert wrong.status_code == 422
        assert {error["pointer"] for error in wrong.json()["errors"]} == {
            "/inputs/amount",
            "/inputs/color",
        }
        assert (await shown(house, carried))["state"] == "rewound"
        path = f"/v1/requests/{carried.flow.state.request_id}"
        assert (await house.post(f"{path}/cancel", "alice")).status_code == 200
        assert (await resubmit(house, carried)).json()["type"].endswith("already_final")


async def test_outcomes_of_a_recipe(house: House) -> None:
    async with offered(house) as carried:
        await decided(house, carried, "bob", "approve")
        task = task_of(carried.flow, "dave")
        seen = (await house.get(f"/v1/tasks/{task}", "dave")).json()
        task_shapes.TaskShown.model_validate(seen)
        assert [it["id"] for it in seen["outcomes"]] == [
            "approve",
            "reject",
            "request_changes",
            "with_conditions",
            "again",
        ]
        assert seen["outcomes"][3]["name"] == "Approve with conditions"
        assert seen["require_comment"] == ["with_conditions", "request_changes"]
        assert (seen["require_reason"], seen["reasons"]) == (["reject"], ["dear", "late"])
        assert seen["rewind_to"] == ["requester", "text", "money"]
        assert seen["inputs"] == {"amount": 100.5}
        for body, pointer in (
            ({"decision": "fine"}, "/decision"),
            ({"decision": "with_conditions"}, "/comment"),
            ({"decision": "reject"}, "/reason"),
            ({"decision": "reject", "reason": "ugly"}, "/reason"),
            ({"decision": "approve", "to": "text"}, "/to"),
            ({"decision": "request_changes", "comment": "x", "to": "nowhere"}, "/to"),
            ({"decision": "Fine!"}, "/decision"),
        ):
            refused = await house.post(f"/v1/tasks/{task}/decisions", "dave", json=body)
            assert refused.status_code == 422, body
            assert refused.json()["errors"][0]["pointer"] == pointer
        await decided(house, carried, "dave", "again")
        assert [task.seat for task in carried.flow.state.tasks] == ["text"]
        await decided(house, carried, "bob", "approve")
        await decided(house, carried, "dave", "with_conditions", comment="in May")
        await decided(house, carried, "carol", "approve")
        request = await shown(house, carried)
        assert request["state"] == "approved"
        told = [(it["decision"], it["counts_as"], it["to"]) for it in request["decisions"]]
        assert ("again", "rewind", "text") in told
        assert ("with_conditions", "approve", None) in told
        states = {it["assignee"]: it["state"] for it in request["tasks"] if it["step"] == "money"}
        assert states == {"carol": "decided", "dave": "decided"}


async def test_an_approval_is_kept_and_that_is_on_record(house: House) -> None:
    async with offered(house) as carried:
        text = task_of(carried.flow, "bob")
        await decided(house, carried, "bob", "approve")
        one = task_of(carried.flow, "carol")
        await decided(house, carried, "carol", "approve")
        await decided(house, carried, "dave", "request_changes", comment="too dear")
        assert (await resubmit(house, carried, amount=90)).status_code == 200
        assert [task.seat for task in carried.flow.state.tasks] == ["money/two"]
        kept = [event["payload"] for event in await events(house, carried, "approval.kept")]
        assert [(it["task_id"], it["user"], it["rests_on"]) for it in kept] == [
            (text, "bob", ["item"]),
            (one, "carol", ["item"]),
        ]
        # She has a part of the step, in this round, too.
        rounds = "SELECT array_agg(DISTINCT round) FROM tasks WHERE id = ANY($1::uuid[])"
        assert await house.pool.fetchval(rounds, [UUID(text), UUID(one)]) == [2]
        await decided(house, carried, "dave", "approve")
        assert (await shown(house, carried))["state"] == "approved"
        async with house.pool.acquire() as connection:
            again = await replay.replay(connection, UUID(carried.flow.state.request_id))
        assert again.findings == ()
        assert again.state == carried.flow.state


async def test_a_part_of_an_earlier_round_keeps_nobody_from_another(house: House) -> None:
    board = parse(
        "workflow: board\nversion: 1\nowner: house\ninputs: {properties: {n: {type: integer}}}\nsteps:\n"
        "  - id: board\n    branches:\n"
        "      - {id: one, approver: \"{{ n > 1 ? 'carol' : 'bob' }}\"}\n"
        "      - {id: two, approver: \"{{ n > 1 ? 'bob' : 'carol' }}\"}\n"
    ).recipe
    await house.publish(board)
    carried = Carried(house, await house.begun("alice", "board", {"n": 1}))
    await decided(house, carried, "bob", "approve")
    await decided(house, carried, "carol", "request_changes", comment="no")
    path = f"/v1/requests/{carried.flow.state.request_id}/resubmit"
    assert (await house.post(path, "alice", json={"inputs": {"n": 2}})).status_code == 200
    await decided(house, carried, "bob", "approve")  # of the other branch
    await decided(house, carried, "carol", "approve")
    assert (await shown(house, carried))["state"] == "approved"
    await carried.ended()


async def test_a_digest_of_another_version_is_told(house: House) -> None:
    async with offered(house) as carried:
        await house.publish(offer(2))
        other = await house.pool.fetchval("SELECT sha256 FROM recipes WHERE version = 2")
        request_id = UUID(carried.flow.state.request_id)
        seen = await requests.digest(house.pool, request_id, other, INPUTS)
        late = await house.decide("bob", task_of(carried.flow, "bob"), digest=seen)
        assert late.json()["recipe"] == {"from": 2, "to": 1}
        assert late.json()["changed"] == []
        unknown = await house.decide("bob", task_of(carried.flow, "bob"), digest="d" * 32)
        assert unknown.status_code == 409
        assert "changed" not in unknown.json()


async def test_many_are_sent_back_at_once(house: House) -> None:
    await house.publish(offer())
    flows = [await house.begun("alice", "offer", INPUTS) for _ in range(3)]
    await house.begun("alice", "leave")
    body: dict[str, Json] = {"decision": "request_changes", "filter": {"workflow": "offer"}}
    preview = (await house.post("/v1/decisions/preview", "bob", json=body)).json()
    task_shapes.DecisionsPreview.model_validate(preview)
    assert len(preview["need_comment"]) == len(preview["items"]) == 3
    items = [item | {"comment": "more"} for item in preview["items"]]
    items[1] |= {"to": "money"}
    results = (await house.post("/v1/decisions", "bob", json={"items": items})).json()
    assert [it["status"] for it in results["items"]] == [200, 422, 200]
    own = {"decision": "again"}
    assert (await house.post("/v1/decisions/preview", "bob", json=own)).json()["items"] == []
    for flow in flows:
        for request_id, message in house.delivery.signals:
            if str(request_id) == flow.state.request_id:
                await flow.befall(message)
    assert sorted(flow.state.state for flow in flows) == ["pending", "rewound", "rewound"]


async def test_what_was_so_before_is_known_when_its_transitions_are_forgotten(house: House) -> None:
    async with offered(house) as carried:
        await decided(house, carried, "bob", "approve")
        before = datetime.now(UTC)
        await decided(house, carried, "carol", "request_changes", comment="no")
        assert (await resubmit(house, carried, item="oven")).status_code == 200
        request_id = UUID(carried.flow.state.request_id)
        live = await history.state_at(house.pool, request_id, before)
        await carried.settled()
        await house.pool.execute("DELETE FROM commits")
        then = (await history.state_at(house.pool, request_id, before)).state
        now = (await history.state_at(house.pool, request_id, datetime.now(UTC))).state
        assert then.results == live.state.results
        assert then.results["text"]["decision"] == "approve"
        assert (then.inputs, then.revision) == (INPUTS, 1)
        assert (now.inputs["item"], now.revision, now.results) == ("oven", 2, {})
        assert now.deciders == {"text": ("bob",), "money": ("carol",)}


async def test_what_cannot_be(house: House, superuser: asyncpg.Connection) -> None:
    async with offered(house) as carried:
        await decided(house, carried, "bob", "approve")
        for change in (
            "UPDATE decisions SET counts_as = 'reject'",
            "UPDATE decisions SET decision = 'Fine!', counts_as = 'approve'",
            "UPDATE decisions SET decision = 'fine'",
            "UPDATE decisions SET rewind_to = 'text'",
            "UPDATE requests SET resubmit_by = now()",
            "UPDATE requests SET state = 'rewound'",
            "UPDATE revisions SET title = 'x'",
            "DELETE FROM revisions",
            "UPDATE tasks SET round = 0",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await superuser.execute(change)


def test_what_is_gone_or_new() -> None:
    assert changed({"a": 1}, {"b": None}) == [
        {"pointer": "/inputs/a", "from": 1},
        {"pointer": "/inputs/b", "to": None},
    ]
