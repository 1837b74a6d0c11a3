"""Entities and events: what requests are about, who may start them, and what starts them by itself."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import recipe_shapes, schemas
from contract.messages import StartInput
from recipes.happenings import Commanded, Decided, Rechecked, Together
from recipes.model import ActionStep, EntityRule, Json, Start
from storage import outbox
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave

SAMPLES = Path(__file__).resolve().parents[2] / "workflows_yaml"
EVENT = "booking.cancellation_requested"
BOOKING: dict[str, Json] = {"type": "booking", "id": "4711"}
SENT: dict[str, Json] = {
    "event": EVENT,
    "event_id": "e-1",
    "entity_type": "booking",
    "entity_id": "4711",
    "initiated_by": "alice",
    "inputs": {"days": 2, "refund": 10},
}


async def publish(house: House, workflow: str = "about", version: int = 1, **changes: Any) -> None:
    values: dict[str, Any] = {
        "workflow": workflow,
        "entity": EntityRule(required=True),
        "start": Start(events=(EVENT,)),
    }
    await house.publish(leave(version, **(values | changes)))


async def submit(house: House, workflow: str = "about", **more: Json) -> httpx.Response:
    body = {"workflow": workflow, "inputs": {"days": 5}, **more}
    return await house.post("/v1/requests", "alice", json=body)


async def send(house: House, who: str = "booker", *roles: str, **changes: Json) -> httpx.Response:
    body = {name: value for name, value in (SENT | changes).items() if value is not None}
    return await house.post("/v1/events", who, *(roles or ("events",)), json=body)


async def count(pool: Pool, table: str) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


# --- entities -------------------------------------------------------------------------------------


async def test_a_request_is_about_an_entity(house: House) -> None:
    await publish(house, title="{{ request.entity.type }} {{ request.entity.id }}")
    response = await submit(house, entity=BOOKING)
    assert response.status_code == 201
    made = schemas.Request.model_validate(response.json())
    assert (made.entity, made.title) == (schemas.Entity(type="booking", id="4711"), "booking 4711")
    shown = await house.get(f"/v1/requests/{made.id}", "alice")
    assert shown.json() == response.json()
    [start] = house.delivery.starts
    assert start == await outbox.start_input(house.pool, made.id)
    [event] = (await house.get(f"/v1/requests/{made.id}/events", "alice")).json()["items"]
    assert event["payload"]["entity"] == BOOKING
    assert (await submit(house, "leave")).json()["entity"] is None


async def test_an_entity_where_the_recipe_wants_it(house: House) -> None:
    await publish(house)
    for workflow, entity, said in (
        ("about", None, "about version 1 needs an entity"),
        ("leave", BOOKING, "leave version 1 takes no entity"),
    ):
        refused = await submit(house, workflow, entity=entity, inputs={"days": 0})
        assert refused.status_code == 422
        places = {error["pointer"]: error["message"] for error in refused.json()["errors"]}
        assert said in places["/entity"]
        assert "/inputs/days" in places
    for bad in ({"type": "a b", "id": "1"}, {"type": "a", "id": " 1"}, {"type": "a"}, {"id": ""}):
        refused = await submit(house, entity=bad)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"].startswith("/entity/")
    assert (await submit(house, entity={"type": "booking", "id": 4711})).json()["entity"] == BOOKING
    assert (await submit(house, entity={"type": "booking", "id": True})).status_code == 422


async def test_lists_by_entity(house: House) -> None:
    await publish(house)
    ids = []
    for kind, number in (("booking", "1"), ("booking", "2"), ("unit", "1")):
        made = await submit(house, entity={"type": kind, "id": number})
        ids.append(made.json()["id"])
    await submit(house, "leave")
    expected: dict[str, list[str]] = {
        "entity_type=booking": [ids[1], ids[0]],
        "entity_type=booking&entity_id=1": [ids[0]],
        "entity_type=unit&entity_id=1&incident=false": [ids[2]],
        "entity_type=unit&entity_id=2": [],
    }
    for who, roles in (("alice", ()), ("root", ("admin",))):
        for query, wanted in expected.items():
            found = await house.get(f"/v1/requests?{query}", who, *roles)
            assert [item["id"] for item in found.json()["items"]] == wanted
            schemas.RequestPage.model_validate(found.json())
    lone = await house.get("/v1/requests?entity_id=1", "alice")
    assert (lone.status_code, lone.json()["errors"][0]["parameter"]) == (422, "entity_id")
    assert (await house.get("/v1/requests?entity_type=booking", "dave")).json()["items"] == []


async def test_one_open_request_about_an_entity(house: House) -> None:
    await publish(house, entity=EntityRule(one_open=True))
    await publish(house, "others", entity=EntityRule(one_open=True))
    first = (await submit(house, entity=BOOKING)).json()
    second = await submit(house, entity=BOOKING)
    assert (second.status_code, second.json()["request_id"]) == (409, first["id"])
    assert first["id"] in second.json()["detail"]
    assert second.json()["type"].endswith("already_open")
    # Another workflow, another entity, and none are something else.
    assert (await submit(house, "others", entity=BOOKING)).status_code == 201
    assert (await submit(house, entity={**BOOKING, "id": "4712"})).status_code == 201
    assert [(await submit(house)).status_code for _ in range(2)] == [201, 201]
    # A later version that allows several counts the open ones of before; once they end it is free.
    flow = Workflow(house.pool, house.delivery.starts[0])
    await flow.begin()
    await house.decide("bob", flow.task)
    await flow.befall(_told(house))
    assert flow.state.final
    assert (await submit(house, entity=BOOKING)).status_code == 201


async def test_one_open_counts_those_of_versions_that_allowed_several(house: House) -> None:
    await publish(house)
    first = (await submit(house, entity=BOOKING)).json()
    assert (await submit(house, entity=BOOKING)).status_code == 201
    await publish(house, version=2, entity=EntityRule(required=True, one_open=True))
    assert (await submit(house, entity=BOOKING)).json()["request_id"] == first["id"]


async def test_of_many_at_once_one_is_open(house: House) -> None:
    await publish(house, entity=EntityRule(required=True, one_open=True))
    for number in range(4):
        entity = {"type": "booking", "id": f"race-{number}"}
        sending = {"event_id": None, "entity_id": entity["id"]}
        answers = await asyncio.gather(
            *(submit(house, entity=entity) for _ in range(5)),
            *(send(house, **sending) for _ in range(5)),
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] + [409] * 9
        made = next(answer.json() for answer in answers if answer.status_code == 201)
        made_id = made["requests"][0]["id"] if "requests" in made else made["id"]
        refused = {a.json().get("request_id") for a in answers if a.status_code == 409}
        assert refused == {made_id}
    assert await count(house.pool, "requests") == 4
    assert await count(house.pool, "outbox") == 4


async def test_one_open_with_an_idempotency_key(house: House) -> None:
    await publish(house, entity=EntityRule(one_open=True))
    body = {"workflow": "about", "inputs": {"days": 5}, "entity": BOOKING}
    headers = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(house.post("/v1/requests", "alice", json=body, headers=headers) for _ in range(8))
    )
    again = await house.post("/v1/requests", "alice", json=body, headers=headers)
    made = [answer.json()["id"] for answer in (*answers, again) if answer.status_code == 201]
    assert (again.status_code, set(made)) == (201, {again.json()["id"]})
    # Whoever comes while the first is at it is told so, and never that somebody else's is open.
    others = {answer.json()["type"] for answer in answers if answer.status_code != 201}
    assert others <= {"urn:countersign:problem:idempotency_key_in_flight"}


# --- who may submit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        (("role:hr",), {"dave", "erin"}),
        (("hr", "user:alice"), {"dave", "erin", "alice"}),
        (("alice", "house"), {"alice", "frank"}),
        (("role:empty", "user:nobody"), set()),
        ((), {"alice", "bob", "dave", "erin", "frank"}),
    ],
)
async def test_who_may_submit(house: House, who: tuple[str, ...], allowed: set[str]) -> None:
    await publish(house, entity=None, start=Start(who=who))
    body = {"workflow": "about", "inputs": {"days": 5}}
    for person in ("alice", "bob", "dave", "erin", "frank"):
        # No role of a token makes somebody one of them.
        response = await house.post("/v1/requests", person, "admin", "hr", json=body)
        assert response.status_code == (201 if person in allowed else 403)
        if person not in allowed:
            assert response.json()["detail"].endswith(f"leaves that to {', '.join(who)}")


async def test_the_role_is_looked_at_now(house: House) -> None:
    await publish(house, entity=None, start=Start(who=("role:hr",)))
    body = {"workflow": "about", "inputs": {"days": 5}}
    assert (await house.post("/v1/requests", "dave", json=body)).status_code == 201
    people = {"roles": {"hr": ["erin"]}}
    changed = await house.post("/v1/org/import", "root", "admin", json=people)
    assert changed.status_code == 200, changed.text
    assert (await house.post("/v1/requests", "dave", json=body)).status_code == 403


async def test_the_recipe_shows_what_starts_it(house: House) -> None:
    await publish(house, start=Start(("role:hr",), (EVENT,)))
    shown = (await house.get("/v1/recipes/about", "alice")).json()
    assert shown["start"] == {"who": ["role:hr"], "events": [EVENT]}
    assert shown["entity"] == {"required": True, "one_open": False}
    recipe_shapes.RecipeShown.model_validate(shown)


# --- events ---------------------------------------------------------------------------------------


async def test_an_event_starts_everything_that_listens(house: House) -> None:
    await publish(house, "b_second")
    await publish(house, "a_first", start=Start(("role:hr",), ("other", EVENT)))
    await publish(house, "c_disabled")
    await publish(house, "d_no_more")
    await publish(house, "d_no_more", 2, start=Start(events=("other",)))
    await publish(house, "e_newest")
    await publish(house, "e_newest", 2)
    await publish(house, "f_older")
    await publish(house, "f_older", 2)
    for name, version in (("c_disabled", 1), ("f_older", 2)):
        path = f"/v1/recipes/{name}/versions/{version}/disable"
        await house.post(path, "root", "admin", json={"reason": "stop"})
    response = await send(house)
    assert response.status_code == 201, response.text
    answer = schemas.EventReceived.model_validate(response.json())
    started = [(each.workflow, each.version) for each in answer.requests]
    assert started == [("a_first", 1), ("b_second", 1), ("e_newest", 2), ("f_older", 1)]
    assert [start.state.request_id for start in house.delivery.starts] == [
        str(each.id) for each in answer.requests
    ]
    for each, start in zip(answer.requests, house.delivery.starts, strict=True):
        assert start == await outbox.start_input(house.pool, each.id)
        shown = (await house.get(f"/v1/requests/{each.id}", "alice")).json()
        assert (shown["requester"], shown["entity"]) == ("alice", BOOKING)
        assert shown["inputs"] == {"days": 2}  # of what came, what the recipe declares
        [event] = (await house.get(f"/v1/requests/{each.id}/events", "alice")).json()["items"]
        assert event["actor"]["user"] == "booker"
        assert (event["actor"]["role"], event["actor"]["on_behalf_of"]) == ("events", "alice")
        assert event["payload"]["event"] == {"id": "e-1", "name": EVENT}
        assert event["payload"]["requester"] == "alice"
    received = await house.pool.fetchrow("SELECT * FROM audit WHERE event_type = 'event.received'")
    assert received is not None
    assert received["payload"]["requests"] == response.json()["requests"]
    assert received["actor"]["user"] == "booker"


async def test_once_per_event_id(house: House) -> None:
    await publish(house)
    first = await send(house)
    again = await send(house, "other-booker")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    changes: tuple[dict[str, Any], ...] = (
        {"inputs": {"days": 3}},
        {"entity_id": "4712"},
        {"initiated_by": "bob"},
    )
    for change in changes:
        other = await send(house, **change)
        assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/event_id")
        assert other.json()["type"].endswith("event_id_reused")
    # The answer stays the same, whatever becomes of the recipe.
    await house.post(
        "/v1/recipes/about/versions/1/disable", "root", "admin", json={"reason": "stop"}
    )
    assert (await send(house)).json() == first.json()
    assert await count(house.pool, "requests") == 1
    # Without an id each is a new one.
    await publish(house, version=2)
    made = [(await send(house, event_id=None)).json() for _ in range(2)]
    assert made[0]["event_id"] != made[1]["event_id"]
    assert await count(house.pool, "requests") == 3


async def test_the_same_event_many_times_at_once(house: House) -> None:
    await publish(house)
    await publish(house, "too")
    for number in range(4):
        answers = await asyncio.gather(
            *(send(house, event_id=f"race-{number}") for _ in range(8)),
            *(send(house, event_id=f"race-{number}", entity_id="9") for _ in range(4)),
        )
        made = {tuple(each["id"] for each in a.json()["requests"]) for a in answers if a.is_success}
        assert len(made) == 1
        assert {a.status_code for a in answers} == {201, 422}
    assert await count(house.pool, "requests") == 8
    assert len(house.delivery.starts) == 8


async def test_all_or_nothing(house: House) -> None:
    await publish(house, "fine")
    strict = {"type": "object", "properties": {"guest": {"type": "string"}}, "required": ["guest"]}
    await publish(house, "strict", inputs=strict, title=None)
    await publish(house, "alone", entity=EntityRule(one_open=True))
    before = (await submit(house, "alone", entity=BOOKING)).json()["id"]
    refused = await send(house)
    assert refused.status_code == 422
    found = [(e["workflow"], e["version"], e.get("pointer")) for e in refused.json()["errors"]]
    assert found == [("alone", 1, None), ("strict", 1, "/inputs/guest")]
    assert refused.json()["errors"][0]["request_id"] == before
    assert "nothing was started: alone version 1" in refused.json()["detail"]
    assert await count(house.pool, "requests") == 1
    assert await count(house.pool, "events") == 0
    assert len(house.delivery.starts) == 1
    one = await send(house, inputs={"days": 1, "guest": "R. Miles"})
    assert (one.status_code, one.json()["request_id"]) == (409, before)
    # The id is free still: put right, the event comes again.
    put_right = await send(house, entity_id="4712", inputs={"days": 1, "guest": "R. Miles"})
    assert put_right.status_code == 201
    started = [each["workflow"] for each in put_right.json()["requests"]]
    assert started == ["alone", "fine", "strict"]


async def test_nobody_listens(house: House) -> None:
    response = await send(house, event="unit.sold")
    assert (response.status_code, response.json()) == (201, {"event_id": "e-1", "requests": []})
    [heard] = await house.pool.fetch("SELECT * FROM audit WHERE event_type = 'event.received'")
    assert (heard["payload"]["event"], heard["payload"]["requests"]) == ("unit.sold", [])


async def test_for_others_by_systems_alone(house: House) -> None:
    await publish(house)
    mine = await send(house, "alice", "auditor")
    assert mine.status_code == 201
    theirs = await send(house, "bob", "auditor")
    assert (theirs.status_code, theirs.json()["title"]) == (403, "Not allowed")
    assert (await send(house, "root", "admin", event_id="e-2")).status_code == 201
    # A person's ids are their own: the systems' first one counts.
    assert "idempotency-replayed" not in (await send(house)).headers
    [event] = (
        await house.get(f"/v1/requests/{mine.json()['requests'][0]['id']}/events", "alice")
    ).json()["items"]
    assert (event["actor"]["user"], event["actor"]["on_behalf_of"]) == ("alice", None)


async def test_a_person_who_may_not_submit_sends_no_event_either(house: House) -> None:
    await publish(house, start=Start(("role:hr",), (EVENT,)))
    refused = await send(house, "alice", "auditor", initiated_by=None)
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["workflow"] == "about"
    assert (await send(house, "dave", "auditor", initiated_by=None)).status_code == 201
    assert (await send(house)).status_code == 201


async def test_somebody_has_to_ask(house: House) -> None:
    await publish(house)
    unknown = await send(house, initiated_by="zoe")
    assert unknown.status_code == 422
    assert unknown.json()["errors"] == [
        {"pointer": "/initiated_by", "message": "zoe is not in the directory"}
    ]
    nobody = await send(house, initiated_by=None)
    assert nobody.status_code == 422
    assert "say on whose initiative" in nobody.json()["detail"]
    assert (await send(house, "zoe", "auditor", initiated_by=None)).status_code == 403
    bob = {"people": [{"id": "bob", "name": "Bob", "left": True}]}
    assert (await house.post("/v1/org/import", "root", "admin", json=bob)).status_code == 200
    assert "bob has left" in (await send(house, initiated_by="bob")).json()["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "a b"},
        {"event_id": "a b"},
        {"event_id": ""},
        {"entity_type": None},
        {"entity_id": None},
        {"entity_id": 1.5},
        {"inputs": [1]},
        {"more": 1},
    ],
)
async def test_what_is_no_event(house: House, change: dict[str, Json]) -> None:
    assert (await send(house, **change)).status_code == 422


async def test_tables_hold_to_it(house: House, admin_pool: Pool) -> None:
    await publish(house, entity=EntityRule(one_open=True))
    await submit(house, entity=BOOKING)
    for change in (
        "entity_id = NULL",
        "entity_type = NULL",
        "entity_type = 'a b'",
        "entity_id = ''",
    ):
        with pytest.raises(Exception, match="violates check constraint"):
            await admin_pool.execute(f"UPDATE requests SET {change}")


# --- life, with entities --------------------------------------------------------------------------


async def test_simulate_and_backtest_know_entities(house: House) -> None:
    step = ActionStep("no", "reject", when="request.entity.id == '4711'")
    await publish(house, steps=(step, *leave().steps))
    path = "/v1/recipes/about/versions/1/simulate"
    body = {"inputs": {"days": 1}, "requester": "alice"}
    missing = await house.post(path, "root", "admin", json=body)
    assert missing.json()["errors"][0]["pointer"] == "/entity"
    found = await house.post(path, "root", "admin", json={**body, "entity": BOOKING})
    assert found.json()["state"] == "rejected"
    await submit(house, entity=BOOKING)
    candidate = (
        "workflow: about\nversion: 2\nentity: required\ninputs: {properties: {days: true}}\n"
        "steps: [{id: never, action: reject, when: request.entity.id == '4711'}]\n"
    )
    without = candidate.partition("entity")[0] + "steps: [{id: a, action: approve}]\n"
    expected: dict[str, list[str]] = {candidate: [], without: ["/entity"]}
    for text, refused in expected.items():
        result = await house.post("/v1/recipes/backtest", "root", "admin", json={"recipe": text})
        assert result.status_code == 200, result.text
        [item] = result.json()["items"]
        assert [each.split(":")[0] for each in item["refused"]] == refused


# --- the booking system ---------------------------------------------------------------------------


def _told(house: House) -> Commanded | Decided | Rechecked | Together:
    return house.delivery.signals[-1][1]


class Bookings:
    """The sample recipe with its organisation, and the requests that the booking system has started."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def furnish(self) -> None:
        org = (SAMPLES / "sample_org.yaml").read_bytes()
        recipe = (SAMPLES / "booking_cancellation.v2.yaml").read_bytes()
        for path, content in (("/v1/org/import", org), ("/v1/recipes", recipe)):
            response = await self.house.post(
                path,
                "oscar",
                "admin",
                content=content,
                headers={"Content-Type": "application/yaml"},
            )
            assert response.is_success, response.text

    async def cancel(self, booking: str) -> tuple[str, Workflow]:
        body = {"event_id": f"cancel-{booking}", "entity_id": booking, "inputs": {"refund": 780.5}}
        response = await send(self.house, **body)
        assert response.status_code == 201, response.text
        [made] = response.json()["requests"]
        start: StartInput = self.house.delivery.starts[-1]
        flow = Workflow(self.house.pool, start)
        await flow.begin()
        return made["id"], flow

    async def inbox(self, who: str) -> list[str]:
        items = (await self.house.get("/v1/tasks", who)).json()["items"]
        return [f"{item['title']}, {item['step']}" for item in items]

    async def hold(self, role: str, *people: str) -> None:
        body = {"roles": {role: list(people)}}
        response = await self.house.post("/v1/org/import", "oscar", "admin", json=body)
        assert response.status_code == 200, response.text


async def test_booking_cancellations(bare_house: House) -> None:
    """Reference system (1): by event, two steps, role inbox, approve and reject with comments, 409 for
    the second, and a role that changes hands in mid-flight."""
    house, bookings = bare_house, Bookings(bare_house)
    await bookings.furnish()
    request, flow = await bookings.cancel("4711")

    # Everybody of the role finds it in their inbox; finance do not yet.
    waiting = ["Cancel booking 4711, guest_services"]
    assert await bookings.inbox("mallory") == await bookings.inbox("nina") == waiting
    assert await bookings.inbox("carol") == []
    about = await house.get("/v1/requests?entity_type=booking&entity_id=4711", "mallory")
    assert [item["id"] for item in about.json()["items"]] == [request]
    # The booking system asks again: the same answer. Another cancellation of it waits for this one.
    again = await send(house, event_id="cancel-4711", inputs={"refund": 780.5})
    assert again.json()["requests"][0]["id"] == request
    assert (await send(house, event_id="other")).json()["request_id"] == request

    # Two approve at once: one is first, the other is told who was.
    task = flow.task
    answers = await asyncio.gather(
        house.decide("mallory", task, comment="we know them"), house.decide("nina", task)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    late = next(answer.json() for answer in answers if answer.status_code == 409)
    assert late["winner"]["user"] in {"mallory", "nina"}
    assert (await house.decide("alice", task)).status_code == 403

    # Finance change before the second step begins: who held the role at submission decides.
    await bookings.hold("finance", "erin")
    await flow.befall(_told(house))
    confirming = ["Cancel booking 4711, finance"]
    assert await bookings.inbox("dave") == await bookings.inbox("carol") == confirming
    assert await bookings.inbox("erin") == []
    assert (await house.decide("erin", flow.task)).status_code == 404
    bare = await house.decide("dave", flow.task, "reject")
    assert bare.status_code == 422
    refused = await house.decide("dave", flow.task, "reject", comment="not refundable")
    assert refused.status_code == 200
    await flow.befall(_told(house))
    shown = (await house.get(f"/v1/requests/{request}", "alice")).json()
    assert (shown["state"], shown["entity"]) == ("rejected", {"type": "booking", "id": "4711"})
    assert shown["decisions"][-1]["comment"] == "not refundable"

    # It has ended: the booking can be cancelled anew, by those who hold the roles now.
    request, flow = await bookings.cancel("4712")
    await house.decide("nina", flow.task)
    await flow.befall(_told(house))
    assert await bookings.inbox("erin") == ["Cancel booking 4712, finance"]
    await house.decide("erin", flow.task, comment="fine")
    await flow.befall(_told(house))
    assert (await house.get(f"/v1/requests/{request}", "alice")).json()["state"] == "approved"

    # By hand it is guest services alone who may ask for it.
    body = {"workflow": "booking_cancellation", "entity": {"type": "booking", "id": "1"}}
    assert (await house.post("/v1/requests", "alice", json=body)).status_code == 403
    assert (await house.post("/v1/requests", "nina", json=body)).status_code == 201
