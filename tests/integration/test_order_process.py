"""Recipes of tasks alone, carried out by real functions over real Temporal and Postgres; and that a record
is made exactly once for every order, by a system that is as unreliable as such are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from activities import registry
from activities.commit import Activities
from activities.connections import Connection, Lookup
from activities.http_call import http
from activities.registry import Function
from activities.systems import Systems
from contract.names import TASK_QUEUE
from recipes.model import HTTP
from recipes.parse import parse
from relay import delivery
from tests.integration.books_server import books_server
from tests.integration.house import House
from tests.integration.order_jobs import CHARGED
from tests.stack import TemporalServer
from worker import jobs
from worker.workflow import ApprovalWorkflow

SECONDS = 180
ORDER_PROCESS = """
workflow: order_process
version: 1
owner: house
inputs:
  type: object
  required: [order_id, amount]
  properties: {order_id: {type: string}, amount: {type: number}, shaky: {type: boolean}, to: {type: string}}
steps:
  - id: validate
    run: validate_order
    with: {order_id: "{{ order_id }}", amount: "{{ amount }}"}
    on_failure: reject
    output: {type: object, required: [order_id], properties: {order_id: {type: string}, amount: {type: number}}}
  - id: deduct
    run: deduct_money
    with: {amount: "{{ steps.validate.output.amount }}", shaky: "{{ shaky }}"}
  - id: mail
    run: send_email
    with: {to: "{{ to == null ? 'alice@example.org' : to }}", subject: "Order {{ order_id }}"}
    on_failure: continue
  - {id: tell, to: "user:{{ request.requester }}", message: "paid by {{ steps.deduct.output.charge }}"}
"""
ONBOARDING = """
workflow: user_onboarding
version: 1
owner: house
inputs: {type: object, required: [name], properties: {name: {type: string}}}
steps:
  - {id: account, run: create_account, with: {name: "{{ name }}"}}
  - {id: welcome, run: send_email, with: {to: "{{ steps.account.output.account }}@example.org"}}
  - {id: role, run: assign_role, with: {account: "{{ steps.account.output.account }}"}}
"""
BOOKING = """
workflow: purchase
version: 1
owner: house
inputs: {type: object, required: [order], properties: {order: {type: string}}}
steps: [{id: fine, action: approve}]
on_approved:
  - id: book
    run: http
    with:
      connection: books
      path: [records]
      body: {order: "{{ order }}", external_id: "{{ request.id }}:book"}
    retry: {attempts: 30, first: 1s, most: 1s}
    output: {type: object, properties: {status: {type: integer}}}
"""


@asynccontextmanager
async def carried(
    house: House,
    server: TemporalServer,
    functions: dict[str, Function],
    systems: Systems | None = None,
) -> AsyncIterator[Client]:
    """With workers that carry requests out, and run these functions."""
    client = await temporal_client.connect(server.address, server.namespace, house.pool)
    requests = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ApprovalWorkflow],
        activities=[Activities(house.pool).commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with requests, jobs.build(client, house.pool, house.settings, functions, systems):
        yield client


async def ended(house: House, client: Client, workflow: str, inputs: Any) -> dict[str, Any]:
    """A request, submitted by alice and carried to its end."""
    made = await house.submit("alice", workflow, inputs)
    [begun] = [it for it in house.delivery.starts if it.state.request_id == made["id"]]
    await delivery.start(client, begun)
    try:
        await asyncio.wait_for(client.get_workflow_handle(made["id"]).result(), SECONDS)
    except TimeoutError:
        shown = (await house.get(f"/v1/requests/{made['id']}", "alice")).json()
        pytest.fail(f"not ended: {shown['incidents']} {shown['jobs']}")
    return dict((await house.get(f"/v1/requests/{made['id']}", "alice")).json())


async def test_an_order_and_a_new_user(house: House, temporal_server: TemporalServer) -> None:
    for text in (ORDER_PROCESS, ONBOARDING):
        await house.publish(parse(text).recipe)
    functions = registry.load("tests.integration.order_jobs")
    async with carried(house, temporal_server, functions) as client:
        order = {"order_id": "ORD-001", "amount": 1500, "shaky": True}
        done = await ended(house, client, "order_process", order)
        refused = await ended(house, client, "order_process", order | {"amount": 0})
        unsent = await ended(house, client, "order_process", order | {"to": "nowhere"})
        user = await ended(house, client, "user_onboarding", {"name": "Nina"})
    assert done["state"] == "approved"
    assert [(it["step"], it["state"], it["attempts"]) for it in done["jobs"]] == [
        ("validate", "succeeded", 1),
        ("deduct", "succeeded", 2),
        ("mail", "succeeded", 1),
    ]
    deduct = done["jobs"][1]
    assert deduct["inputs"] == {"amount": 1500, "shaky": True}
    assert [(line["attempt"], line["what"], line["detail"]) for line in deduct["log"]] == [
        (1, "started", None),
        (1, "failed", "ConnectionError: the bank hung up"),
        (2, "started", None),
        (2, "succeeded", None),
    ]
    assert deduct["output"] == CHARGED[deduct["idempotency_key"]]
    assert done["jobs"][0]["log"][1]["detail"] == "order ORD-001 is good"
    # The failures: rejected at once, and passed over.
    assert (refused["state"], refused["reason"]) == (
        "rejected",
        "an order needs an amount above zero",
    )
    assert [it["attempts"] for it in refused["jobs"]] == [1]
    assert (unsent["state"], unsent["jobs"][-1]["error"]) == ("approved", "nowhere is no address")
    assert [it["output"] for it in user["jobs"]] == [
        {"account": "nina"},
        "sent to nina@example.org",
        ["nina", "member"],
    ]
    told = (await house.get("/v1/notifications", "alice")).json()["items"]
    assert len(told) == 2
    assert told[-1]["message"] == f"paid by {deduct['output']['charge']}"


@pytest.mark.parametrize("honours", [True, False], ids=["by its key", "by looking it up"])
async def test_exactly_one_record_for_every_order(
    house: House, temporal_server: TemporalServer, honours: bool
) -> None:
    orders = 100
    few = asyncio.Semaphore(10)
    lookup = None
    if not honours:
        lookup = Lookup("/records?external_id={{ key }}", "status == 200 && size(body) > 0")
    async with books_server(honours=honours, trouble=0.2) as books:
        # Long enough that a call which was given up is not still on its way when it is looked up.
        connection = Connection("books", books.url, timeout=3.0, lookup=lookup)
        await house.publish(parse(BOOKING).recipe)
        systems = Systems({"books": connection})
        async with carried(house, temporal_server, {HTTP: http}, systems) as client:

            async def one(number: int) -> dict[str, Any]:
                async with few:
                    return await ended(house, client, "purchase", {"order": f"o-{number}"})

            done = await asyncio.gather(*(one(number) for number in range(orders)))
    made = sorted(record["order"] for record in books.records)
    assert made == sorted(f"o-{n}" for n in range(orders))
    assert min(books.did[how] for how in ("503", "429", "done and silent", "twice")) > 0
    assert all(it["state"] == "approved" and not it["incidents"] for it in done)
    numbers = {record["order"]: record["number"] for record in books.records}
    for request in done:
        [booked] = request["jobs"]
        body = booked["output"]["body"]
        record = body if honours else (body[0] if isinstance(body, list) else body)
        assert record["number"] == numbers[request["inputs"]["order"]]
