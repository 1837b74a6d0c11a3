"""The shipped recipe `vendor_order`, once it is approved: a purchase order in NetSuite for each request, carried by
real Temporal and Postgres; and what becomes of one that NetSuite refuses."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from activities.connections import Connection
from activities.netsuite import purchase_order
from activities.systems import Systems
from recipes.model import ActionStep, JobStep, Recipe, Retry
from recipes.parse import parse
from relay import delivery
from tests.integration.house import House
from tests.integration.netsuite_server import netsuite_server
from tests.integration.test_order_process import SECONDS, carried, ended
from tests.stack import TemporalServer

FILE = Path(__file__).parents[2] / "workflows_yaml" / "vendor_order.v1.yaml"
INPUTS: dict[str, Any] = {"vendor": "42", "item": "7", "quantity": 3, "price": 19.9}


def approved() -> Recipe:
    """The recipe from where it is approved; tried again soon."""
    recipe = parse(FILE.read_text()).recipe
    order, tell = recipe.on_approved
    assert isinstance(order, JobStep)
    soon = replace(order, retry=Retry(30, 1, 1))
    return replace(recipe, steps=(ActionStep("fine", "approve"),), on_approved=(soon, tell))


async def refused(house: House, request_id: str) -> dict[str, Any]:
    """The request, once it waits for people."""
    async with asyncio.timeout(SECONDS):
        while True:
            shown = dict((await house.get(f"/v1/requests/{request_id}", "alice")).json())
            if shown["incidents"]:
                return shown
            await asyncio.sleep(0.1)


async def test_an_order_for_each_request(house: House, temporal_server: TemporalServer) -> None:
    await house.publish(approved())
    async with netsuite_server(trouble=0.3) as netsuite:
        netsuite.items = ("7",)
        systems = Systems({"netsuite": Connection("netsuite", netsuite.url, timeout=3.0)})
        functions = {"netsuite_purchase_order": purchase_order}
        async with carried(house, temporal_server, functions, systems) as client:
            done = await asyncio.gather(
                *(ended(house, client, "vendor_order", INPUTS) for _ in range(30))
            )
            assert len(netsuite.orders) == 30
            assert sum(netsuite.did.values()) > 2
            netsuite.trouble = 0.0
            sent: list[asyncio.Task[Any]] = []
            house.delivery.on_signal = lambda request, message: sent.append(
                asyncio.ensure_future(delivery.signal(client, house.pool, request, message))
            )
            unknown = await house.submit("alice", "vendor_order", INPUTS | {"item": "8"})
            await delivery.start(client, house.delivery.starts[-1])
            waiting = await refused(house, str(unknown["id"]))
            netsuite.items = ("7", "8")
            path = f"/v1/requests/{unknown['id']}/retry"
            assert (await house.post(path, "root", "admin", json={})).status_code in (200, 202)
            handle = client.get_workflow_handle(str(unknown["id"]))
            await asyncio.wait_for(handle.result(), SECONDS)
            await asyncio.gather(*sent)
    orders = {order["externalId"]: order for order in netsuite.orders}
    for request in done:
        [job] = request["jobs"]
        order = orders[f"{request['id']}-order"]
        assert (request["state"], job["output"]["id"]) == ("approved", order["id"])
        assert order["memo"] == f"Approved in request {request['id']}"
        assert order["item"] == {"items": [{"item": {"id": "7"}, "quantity": 3, "rate": 19.9}]}
    # Refused in NetSuite's own words, put right by people, made once.
    [incident] = waiting["incidents"]
    assert incident["detail"] == "Invalid item. (item.items[0].item)"
    assert len(orders) == len(netsuite.orders) == 31
    assert orders[f"{unknown['id']}-order"]["item"]["items"][0]["item"] == {"id": "8"}
    told = (await house.get("/v1/notifications", "alice")).json()["items"]
    assert {it["message"] for it in told} == {
        f"Purchase order {order['id']} is made." for order in netsuite.orders
    }
