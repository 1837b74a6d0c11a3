"""Jobs on real Postgres: what is kept of them, what people see, and that a request has one at a time."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from api import automatic_shapes, recipe_shapes, schemas
from recipes.happenings import Actor, Commanded, JobEnded
from recipes.model import ApprovalStep, Ballot, JobStep, NotifyStep, Recipe, WaitStep
from storage import asking, commits, jobs
from storage.jobs import Line
from storage.trail import HOT_ALONE
from tests.integration.house import House, Workflow
from tests.stack import AUDITOR

NOW = datetime.now(UTC)


def order(workflow: str = "order", **changes: Any) -> Recipe:
    """Validate, charge, tell the requester; then book it."""
    values: dict[str, Any] = {
        "workflow": workflow,
        "version": 1,
        "owner": "house",
        "inputs": {"type": "object"},
        "steps": (
            JobStep("validate", "validate_order", {"order": "{{ request.id }}"}),
            JobStep("charge", "charge_card", {"of": "{{ steps.validate.output.amount }}"}),
            NotifyStep("mail", ("user:alice", "role:hr"), "charged {{ steps.charge.output }}"),
        ),
        "on_approved": (JobStep("book", "book_sale"),),
    }
    return Recipe(**(values | changes))


async def ends(flow: Workflow, output: Any = None, failure: str | None = None) -> None:
    job = flow.state.job
    assert job is not None
    await flow.befall(JobEnded(job.id, NOW, output, failure, attempts=2, again=job.again))


async def shown(house: House, flow: Workflow, who: str = "alice") -> dict[str, Any]:
    response = await house.get(f"/v1/requests/{flow.state.request_id}", who)
    assert response.status_code == 200, response.text
    schemas.Request.model_validate(response.json())
    return dict(response.json())


async def test_a_sequence_is_seen_as_it_goes(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    request = UUID(flow.state.request_id)
    [validate] = (await shown(house, flow))["jobs"]
    assert (validate["step"], validate["state"], validate["run"]) == (
        "validate",
        "running",
        "validate_order",
    )
    assert validate["inputs"] == {"order": str(request)}
    assert validate["idempotency_key"] == f"{request}:validate"
    await jobs.log(
        house.pool,
        UUID(flow.state.request_id),
        UUID(validate["id"]),
        [Line(1, NOW, "started"), Line(1, NOW, "said", "half of it"), Line(2, NOW, "started")],
    )
    await ends(flow, {"amount": 1500})
    await ends(flow, "c-1")
    assert flow.state.state == "approved"
    await ends(flow, None)
    found = await shown(house, flow)
    assert [(it["step"], it["state"], it["output"]) for it in found["jobs"]] == [
        ("validate", "succeeded", {"amount": 1500}),
        ("charge", "succeeded", "c-1"),
        ("book", "succeeded", None),
    ]
    first = found["jobs"][0]
    assert (first["attempts"], [line["what"] for line in first["log"]]) == (
        2,
        ["started", "said", "started"],
    )
    assert found["jobs"][1]["inputs"] == {"of": 1500}
    events = [row.event_type for row in await asking.chain(house.pool, request)]
    assert events == [
        "request.created",
        "job.started",
        "job.succeeded",
        "step.completed",
        "job.started",
        "job.succeeded",
        "step.completed",
        "notification.sent",
        "step.completed",
        "request.finalized",
        "job.started",
        "job.succeeded",
        "step.completed",
    ]


async def test_the_audit_trail_holds_no_inputs_but_their_digests(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    await ends(flow, {"amount": "secret"})
    rows = await HOT_ALONE.events_of(house.pool, AUDITOR, UUID(flow.state.request_id))
    assert all("secret" not in str(row) for row in rows)
    [done] = [row for row in rows if row.event_type == "job.succeeded"]
    assert len(done.payload["output_sha256"]) == 64
    assert done.payload["output_sha256"].encode() not in done.body


async def test_a_failure_waits_for_retry(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    await ends(flow, failure="no such order")
    found = await shown(house, flow)
    assert [it["kind"] for it in found["incidents"]] == ["JobFailed"]
    assert (found["jobs"][0]["state"], found["jobs"][0]["error"]) == ("failed", "no such order")
    listed = (await house.get("/v1/incidents", "frank")).json()["items"]
    assert listed[0]["detail"] == "no such order"
    retry = Commanded(str(uuid4()), "retry", Actor("frank"), NOW)
    await flow.befall(retry)
    [again] = (await shown(house, flow))["jobs"]
    assert (again["state"], again["error"]) == ("running", None)
    assert again["idempotency_key"] == found["jobs"][0]["idempotency_key"]
    await ends(flow, {"amount": 1})
    assert [it["state"] for it in (await shown(house, flow))["jobs"]] == ["succeeded", "running"]


async def test_a_callback_that_failed_is_retried_though_the_request_is_final(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    for output in ({"amount": 1}, "c-1"):
        await ends(flow, output)
    await ends(flow, failure="the books are closed")
    found = await shown(house, flow)
    assert (found["state"], found["incidents"][0]["step"]) == ("approved", "book")
    request = flow.state.request_id
    refused = await house.post(f"/v1/requests/{request}/cancel", "alice")
    assert refused.json()["type"].endswith("already_final")
    said = await house.post(f"/v1/requests/{request}/retry", "frank")
    assert said.status_code == 202
    [(_, message)] = house.delivery.signals
    assert isinstance(message, Commanded)
    await flow.befall(message)
    await ends(flow)
    found = await shown(house, flow)
    assert (found["state"], found["incidents"]) == ("approved", [])
    nothing = await house.post(f"/v1/requests/{request}/retry", "frank")
    assert nothing.json()["type"].endswith("already_final")


async def test_cancelled_and_done_all_the_same(house: House) -> None:
    await house.publish(order(on_cancelled=(JobStep("refund", "refund"),)))
    flow = await house.begun("alice", "order", {})
    await flow.befall(Commanded(str(uuid4()), "cancel", Actor("alice"), NOW))
    [job] = (await shown(house, flow))["jobs"]
    assert (job["state"], job["output"]) == ("cancelled", None)
    await ends(flow, {"amount": 3})
    assert [(it["step"], it["state"]) for it in (await shown(house, flow))["jobs"]] == [
        ("validate", "succeeded"),
        ("refund", "running"),
    ]


async def test_what_a_wait_waits_for_is_seen(house: House) -> None:
    steps = (WaitStep("pause", 3600), ApprovalStep("boss", (Ballot("boss", approver="bob"),)))
    await house.publish(Recipe("later", 1, steps, inputs={"type": "object"}))
    flow = await house.begun("alice", "later", {})
    found = await shown(house, flow)
    assert (found["step"], found["tasks"]) == ("pause", [])
    until = datetime.fromisoformat(found["waits_until"])
    assert until == flow.state.waits_until
    await flow.tick(until)
    found = await shown(house, flow)
    assert (found["step"], found["waits_until"]) == ("boss", None)


async def test_a_key_is_used_once_and_a_request_has_one_job_at_a_time(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    insert = """INSERT INTO jobs (id, request_id, step, run, inputs, idempotency_key, started_at)
                VALUES ($1, $2, 'x', 'x', '{}', $3, now())"""
    request = UUID(flow.state.request_id)
    with pytest.raises(asyncpg.UniqueViolationError, match="jobs_one_running_per_request"):
        await house.pool.execute(insert, uuid4(), request, "another")
    await ends(flow, failure="no")
    with pytest.raises(asyncpg.UniqueViolationError, match="idempotency_key"):
        await house.pool.execute(insert, uuid4(), request, f"{request}:validate")
    for wrong in ("error = NULL", "state = 'succeeded'", "ended_at = NULL"):
        with pytest.raises(asyncpg.CheckViolationError):
            await house.pool.execute(f"UPDATE jobs SET {wrong}")


async def test_how_it_was_carried_out_is_kept_while_something_is_done(house: House) -> None:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    for output in ({"amount": 1}, "c-1"):
        await ends(flow, output)
    count = "SELECT count(*) FROM commits"
    await commits.forget(house.pool, -1)
    assert await house.pool.fetchval(count) == 3
    await ends(flow, failure="no")
    await commits.forget(house.pool, -1)
    assert await house.pool.fetchval(count) == 4
    await flow.befall(Commanded(str(uuid4()), "retry", Actor("frank"), NOW))
    await ends(flow)
    await commits.forget(house.pool, -1)
    assert await house.pool.fetchval(count) == 0


# --- notifications -------------------------------------------------------------------------------


async def told(house: House, who: str, **query: Any) -> list[dict[str, Any]]:
    response = await house.get("/v1/notifications", who, params=query)
    assert response.status_code == 200, response.text
    automatic_shapes.NotificationPage.model_validate(response.json())
    return list(response.json()["items"])


async def test_everybody_named_is_told_and_reads_it_once(house: House) -> None:
    steps = (NotifyStep("tell", ("user:alice", "role:hr", "role:empty"), "it is {{ 1 + 1 }}"),)
    await house.publish(Recipe("news", 1, steps, inputs={"type": "object"}))
    for _ in range(3):
        await house.begun("alice", "news", {})
    for who in ("alice", "dave", "erin"):  # the requester too
        assert [it["message"] for it in await told(house, who)] == ["it is 2"] * 3
    assert await told(house, "bob") == []
    first = await told(house, "dave", limit=2)
    page = (await house.get("/v1/notifications", "dave", params={"limit": 2})).json()
    [last] = await told(house, "dave", limit=2, cursor=page["next_cursor"])
    assert last["id"] not in {it["id"] for it in first}
    left = await house.post("/v1/notifications/read", "dave", json={"ids": [last["id"]]})
    assert left.json() == {"unread": 2}
    assert [it["id"] for it in await told(house, "dave")] == [it["id"] for it in first]
    # Nobody reads for others.
    own = await house.post("/v1/notifications/read", "bob", json={"ids": [first[0]["id"]]})
    assert own.json() == {"unread": 0}
    assert len(await told(house, "dave")) == 2
    assert (await house.post("/v1/notifications/read", "dave")).json() == {"unread": 0}
    assert len(await told(house, "dave", state="all")) == 3
    assert len(await told(house, "erin")) == 3


async def test_a_cursor_of_another_list_is_refused(house: House) -> None:
    response = await house.get("/v1/notifications", "dave", params={"cursor": "WyJ4Il0"})
    assert response.status_code == 422


# --- functions -----------------------------------------------------------------------------------

YAML = """
workflow: pay
version: 1
owner: house
inputs: {type: object}
steps: [{id: pay, run: charge_card}, {id: call, run: http}]
"""


async def test_publication_warns_of_functions_that_no_worker_has(house: House) -> None:
    async def warned() -> list[str]:
        response = await house.post("/v1/recipes/check", "alice", content=YAML.encode())
        found = recipe_shapes.RecipeChecked.model_validate(response.json())
        return [problem.message for problem in found.problems]

    assert await warned() == []  # no worker has ever said which it has
    await jobs.say(house.pool, ["http", "charge_cards"])
    assert await warned() == ["no worker has a function `charge_card`"]
    await jobs.say(house.pool, ["http", "charge_card"])
    assert await warned() == []
    assert await jobs.said(house.pool) == {"http", "charge_card"}


async def test_functions_that_recipes_in_use_need(house: House) -> None:
    await house.publish(order())
    machine = Recipe("m", 1, (), inputs={"type": "object"}, on_rejected=(JobStep("x", "bark"),))
    await house.publish(machine)
    names = [(it.workflow, it.function) for it in await jobs.missing(house.pool, ["http"])]
    assert names == [
        ("m", "bark"),
        ("order", "book_sale"),
        ("order", "charge_card"),
        ("order", "validate_order"),
    ]
    flow = await house.begun("alice", "order", {})
    for workflow in ("order", "m"):
        await house.post(
            f"/v1/recipes/{workflow}/versions/1/disable", "root", "admin", json={"reason": "x"}
        )
    left = await jobs.missing(house.pool, ["validate_order", "charge_card"])
    assert [it.function for it in left] == ["book_sale"]  # one is in flight
    for output in ({"amount": 1}, "c-1", None):
        await ends(flow, output)
    assert await jobs.missing(house.pool, []) == []
