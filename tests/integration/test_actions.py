"""State machines over HTTP: a document reviewed from draft to publication, and all that is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api import recipe_shapes, requests, schemas
from contract.messages import Message
from recipes.asks import Answer, Refusal
from recipes.happenings import Commanded
from recipes.model import Json
from recipes.parse import parse
from tests.integration.delegating import delegate
from tests.integration.house import House, Workflow

REVIEW = """workflow: review
version: 1
kind: state_machine
title: "{{ document }}"
owner: house
inputs:
  type: object
  required: [document]
  properties: {document: {type: string}, reader: {type: string}}
states:
  - {id: draft, initial: true}
  - {id: in_review, timers: [{after: 48h, fire: take_back}]}
  - {id: parked, enabled: false}
  - {id: published, final: true}
  - {id: dropped, final: true, outcome: rejected}
actions:
  - {id: submit, name: Submit, from: draft, to: in_review, who: "user:{{ request.requester }}"}
  - {id: return, from: in_review, to: draft, who: role:hr, require_comment: true}
  - {id: publish, from: in_review, to: published, who: [role:hr, "{{ employee.manager }}"], not_requester: true}
  - {id: take_back, from: in_review, to: draft, who: "user:{{ reader }}"}
  - {id: park, from: in_review, to: parked, who: role:hr}
  - {id: rush, from: draft, to: published, enabled: false}
  - {id: drop, from: [draft, in_review], to: dropped}
"""


@pytest.fixture
async def office(house: House) -> House:
    """dave and erin hold hr, frank the owner role; alice reports to bob, bob to carol."""
    await house.publish(parse(REVIEW).recipe)
    return house


async def written(office: House, who: str = "alice", **inputs: Json) -> Workflow:
    """A document of alice's, whose workflow takes up commands as soon as it is told."""
    flow = await office.begun(who, "review", {"document": "Hours", **inputs})
    waiting: list[asyncio.Task[Any]] = []
    office.delivery.on_signal = lambda _, message: waiting.append(
        asyncio.create_task(flow.befall(message))
    )
    return flow


async def fire(
    office: House, flow: Workflow, who: str, action: str, *roles: str, **body: Json
) -> httpx.Response:
    path = f"/v1/requests/{flow.state.request_id}/actions/{action}"
    return await office.post(path, who, *roles, json=body)


async def shown(office: House, flow: Workflow, who: str = "alice") -> dict[str, Any]:
    response = await office.get(f"/v1/requests/{flow.state.request_id}", who)
    assert response.status_code == 200, response.text
    return dict(schemas.Request.model_validate(response.json()).model_dump(by_alias=True))


async def actions(office: House, flow: Workflow, who: str, *roles: str) -> dict[str, Any]:
    path = f"/v1/requests/{flow.state.request_id}/actions"
    response = await office.get(path, who, *roles)
    assert response.status_code == 200, response.text
    page = schemas.ActionPage.model_validate(response.json())
    return {"at": (page.status, page.moves)} | {
        item.id: item.why_not if not item.available else True for item in page.items
    }


def both_at_once(
    office: House, flow: Workflow, first: Callable[[Commanded], bool]
) -> Callable[[], Awaitable[None]]:
    """The workflow takes up two commands when both are told, those that are `first` before others."""
    told: list[Commanded] = []
    both = asyncio.Event()

    def hear(_: UUID, message: Message) -> None:
        assert isinstance(message, Commanded)
        told.append(message)
        if len(told) == 2:
            both.set()

    async def carried() -> None:
        await both.wait()
        for message in sorted(told, key=lambda it: not first(it)):
            await flow.befall(message)

    office.delivery.on_signal = hear
    return carried


def moves(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(it["action"], it["from"], it["to"], it["user"]) for it in found["history"]]


async def test_from_draft_to_publication(office: House) -> None:
    flow = await written(office)
    found = await shown(office, flow)
    assert (found["state"], found["status"], found["history"]) == ("pending", "draft", [])
    assert found["waiting_for"] == ["user:alice"]
    assert (await fire(office, flow, "alice", "submit")).json()["status"] == "in_review"
    back = await fire(office, flow, "erin", "return", comment="Sundays?")
    assert back.status_code == 200
    assert back.json()["history"][-1]["comment"] == "Sundays?"
    await fire(office, flow, "alice", "submit")
    found = await shown(office, flow)
    assert found["waiting_for"] == ["role:hr", "user:bob"]
    assert (await fire(office, flow, "bob", "publish")).status_code == 200
    found = await shown(office, flow)
    assert (found["state"], found["status"], found["moves"]) == ("approved", "published", 4)
    assert found["waiting_for"] == []
    assert moves(found) == [
        ("submit", "draft", "in_review", "alice"),
        ("return", "in_review", "draft", "erin"),
        ("submit", "draft", "in_review", "alice"),
        ("publish", "in_review", "published", "bob"),
    ]
    assert found["history"][1]["role"] == "hr"
    events = await office.get(f"/v1/requests/{flow.state.request_id}/events", "alice")
    kinds = [item["type"] for item in events.json()["items"]]
    assert kinds[:3] == ["request.created", "command.received", "command.settled"]
    assert kinds.count("action.fired") == 4
    assert kinds[-1] == "request.finalized"


async def test_the_five_actions_that_are_refused(office: House) -> None:
    flow = await written(office)
    unknown = await fire(office, flow, "alice", "shred")
    assert unknown.status_code == 404
    assert "there are submit, return, publish" in unknown.json()["detail"]
    disabled = await fire(office, flow, "alice", "rush")
    assert (disabled.status_code, disabled.json()["detail"]) == (409, "action `rush` is disabled")
    wrong = await fire(office, flow, "dave", "return", comment="x")
    assert wrong.status_code == 409
    assert wrong.json()["detail"] == (
        "action `return` leads out of `in_review`; the request is in `draft`"
    )
    await fire(office, flow, "alice", "submit")
    parked = await fire(office, flow, "dave", "park")
    assert parked.status_code == 409
    assert parked.json()["detail"].startswith(
        "action `park` leads into `parked`, which is disabled;"
    )
    assert parked.json()["moved"]["user"] == "alice"
    await fire(office, flow, "dave", "publish")
    final = await fire(office, flow, "alice", "submit")
    assert final.status_code == 409
    detail = final.json()["detail"]
    assert detail.startswith("`published` is a final state: nothing leads out of it; dave moved it")
    assert final.json()["request_status"] == "published"
    # Nothing of that was recorded as a command.
    assert await office.pool.fetchval("SELECT count(*) FROM commands") == 2


async def test_who_may_fire(office: House) -> None:
    flow = await written(office)
    stranger = await fire(office, flow, "carol", "submit")
    assert stranger.status_code == 404, "who may not see it does not learn that it is there"
    assert (await office.get(f"/v1/requests/{flow.state.request_id}", "carol")).status_code == 404
    refused = await fire(office, flow, "bob", "submit")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "action `submit` is for user:alice"
    nobody = await fire(office, flow, "frank", "take_back")
    assert nobody.status_code == 403
    assert "cannot be told" in nobody.json()["detail"]
    outsider = await fire(office, flow, "auditor", "drop", "auditor")
    assert outsider.status_code == 403
    assert "not, or no longer, in the directory" in outsider.json()["detail"]
    await fire(office, flow, "alice", "submit")
    silent = await fire(office, flow, "erin", "return", comment=" ")
    assert silent.status_code == 422
    assert silent.json()["errors"][0]["pointer"] == "/comment"
    assert (await fire(office, flow, "frank", "drop")).status_code == 200
    assert flow.state.state == "rejected"


async def test_the_requester_where_the_recipe_says_others(office: House) -> None:
    flow = await written(office, "dave")
    await fire(office, flow, "dave", "submit")
    own = await fire(office, flow, "dave", "publish")
    assert own.status_code == 403
    assert own.json()["detail"] == (
        "action `publish` is not for the requester, nor on their behalf"
    )
    # Not so: taking it back is for whoever holds the role, and a machine approves nothing.
    assert (await fire(office, flow, "dave", "return", comment="x")).status_code == 200


async def test_a_delegate_acts_on_behalf(office: House) -> None:
    flow = await written(office)
    await delegate(office, "bob", "carol")
    await fire(office, flow, "alice", "submit")
    assert (await fire(office, flow, "carol", "publish")).status_code == 200
    last = (await shown(office, flow, "carol"))["history"][-1]
    assert (last["user"], last["on_behalf_of"], last["via"]) == ("carol", "bob", [])


async def test_a_delegate_of_the_requester_is_no_other(office: House) -> None:
    flow = await written(office, "dave")
    await delegate(office, "dave", "carol")
    await fire(office, flow, "carol", "submit")
    refused = await fire(office, flow, "carol", "publish")
    assert refused.status_code == 200, "carol is dave's manager, too"
    assert (await shown(office, flow, "carol"))["history"][-1]["on_behalf_of"] is None


async def test_a_role_counts_as_it_is_held_now(office: House) -> None:
    flow = await written(office)
    await fire(office, flow, "alice", "submit")
    await office.pool.execute(
        "UPDATE role_members SET valid = tstzrange(lower(valid), clock_timestamp()) WHERE person = 'erin'"
    )
    assert (await fire(office, flow, "erin", "publish")).status_code == 404
    assert (await fire(office, flow, "dave", "publish")).status_code == 200


async def test_what_can_be_fired_and_why_not_the_rest(office: House) -> None:
    flow = await written(office)
    assert await actions(office, flow, "alice") == {
        "at": ("draft", 0),
        "submit": True,
        "return": "action `return` leads out of `in_review`; the request is in `draft`",
        "publish": "action `publish` leads out of `in_review`; the request is in `draft`",
        "take_back": "action `take_back` leads out of `in_review`; the request is in `draft`",
        "park": "action `park` leads out of `in_review`; the request is in `draft`",
        "rush": "action `rush` is disabled",
        "drop": True,
    }
    await fire(office, flow, "alice", "submit")
    found = await actions(office, flow, "alice")
    assert found["at"] == ("in_review", 1)
    assert found["return"] == "action `return` is for role:hr"
    assert (await actions(office, flow, "dave"))["publish"] is True
    seen = await actions(office, flow, "root", "admin")
    assert "directory" in seen["drop"]


async def test_an_approval_has_none(office: House) -> None:
    flow = await office.begun()
    path = f"/v1/requests/{flow.state.request_id}/actions"
    for response in (await office.get(path, "alice"), await office.post(f"{path}/go", "alice")):
        assert response.status_code == 404
        assert response.json()["detail"] == "leave is no state machine: it has no actions"


async def test_of_two_at_once_one_wins_and_the_other_learns_who(office: House) -> None:
    flow = await written(office)
    await fire(office, flow, "alice", "submit")
    carried = both_at_once(office, flow, lambda _: True)
    one, two, _ = await asyncio.gather(
        fire(office, flow, "dave", "publish"),
        fire(office, flow, "frank", "drop"),
        carried(),
    )
    assert sorted((one.status_code, two.status_code)) == [200, 409]
    [loser] = [each for each in (one, two) if each.status_code == 409]
    assert loser.json()["detail"].startswith("the request is already ")
    assert (await shown(office, flow))["moves"] == 2


async def test_of_two_at_once_the_second_is_refused_though_it_would_fit(office: House) -> None:
    """alice drops what dave has just returned: she has seen it in review."""
    flow = await written(office)
    await fire(office, flow, "alice", "submit")
    stale = await fire(office, flow, "alice", "drop", moves=0)
    assert stale.status_code == 409
    assert (
        "it has moved since you saw it, and is in `in_review`; alice moved"
        in (stale.json()["detail"])
    )
    carried = both_at_once(office, flow, lambda told: told.action != "drop")
    back, drop, _ = await asyncio.gather(
        fire(office, flow, "dave", "return", comment="x"),
        fire(office, flow, "alice", "drop"),
        carried(),
    )
    assert (back.status_code, drop.status_code) == (200, 409)
    assert drop.json()["detail"].startswith(
        "it has moved since you saw it, and is in `draft`; dave moved it there by `return` at 20"
    )
    assert flow.state.status == "draft"


async def test_a_timer_fires_and_survives_the_loss_of_its_workflow(office: House) -> None:
    flow = await written(office)
    await fire(office, flow, "alice", "submit")
    [timer] = flow.state.timers
    assert abs(timer.at - datetime.now(UTC) - timedelta(hours=48)) < timedelta(minutes=1)
    await flow.tick(timer.at)
    found = await shown(office, flow)
    assert (found["status"], moves(found)[-1]) == (
        "draft",
        ("take_back", "in_review", "draft", "system:engine"),
    )


async def test_lists_by_status_show_what_concerns_me(office: House) -> None:
    one, two = await written(office), await written(office)
    await fire(office, two, "alice", "submit")

    async def listed(who: str, **query: str) -> set[str]:
        response = await office.get("/v1/requests", who, params=query)
        page = schemas.RequestPage.model_validate(response.json())
        return {str(item.id) for item in page.items}

    assert await listed("alice", status="in_review") == {two.state.request_id}
    assert await listed("alice", status="draft") == {one.state.request_id}
    both = {one.state.request_id, two.state.request_id}
    assert await listed("dave") == both, "hr has actions of it"
    assert await listed("frank") == both, "house owns it"
    assert await listed("carol") == set()
    assert await listed("bob") == set(), "whom an expression names is not listed"
    await fire(office, two, "bob", "publish")
    assert await listed("bob", status="published") == {two.state.request_id}, "but it is by now"


async def test_cancelled_it_refuses_everything(office: House) -> None:
    flow = await written(office)
    path = f"/v1/requests/{flow.state.request_id}/cancel"
    assert (await office.post(path, "alice")).status_code == 200
    refused = await fire(office, flow, "alice", "submit")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "the request is already cancelled",
    )
    assert (await actions(office, flow, "alice"))["submit"] == "the request is already cancelled"


async def test_before_a_worker_takes_it_up_it_is_where_it_begins(
    office: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PATIENCE", 0.01)
    made = await office.submit("alice", "review", {"document": "Hours"})
    assert (made["status"], made["moves"]) == (None, 0)
    response = await office.post(f"/v1/requests/{made['id']}/actions/submit", "alice")
    assert response.status_code == 202
    [(to, message)] = office.delivery.signals
    assert isinstance(message, Commanded)
    assert (to, message.action, message.moves) == (UUID(str(made["id"])), "submit", 0)


async def test_the_recipe_is_shown_as_a_machine(office: House) -> None:
    found = (await office.get("/v1/recipes/review", "alice")).json()
    recipe_shapes.RecipeShown.model_validate(found)
    assert (found["kind"], found["steps"]) == ("state_machine", [])
    assert [state["id"] for state in found["machine"]["states"]][:2] == ["draft", "in_review"]
    other = (await office.get("/v1/recipes/leave", "alice")).json()
    assert (other["kind"], other["machine"]) == ("approval", None)


async def test_without_a_manager_the_others_may(office: House) -> None:
    flow = await written(office, "carol")
    await fire(office, flow, "carol", "submit")
    assert (await fire(office, flow, "erin", "publish")).status_code == 200


async def test_a_directory_that_cannot_be_asked(
    office: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = await written(office)
    await fire(office, flow, "alice", "submit")

    async def away(*_: object) -> tuple[Any, ...]:
        return (Answer(refusal=Refusal("DirectoryUnavailable", "too old")),)

    monkeypatch.setattr("api.entitled.resolution.answers", away)
    found = await actions(office, flow, "dave")
    assert found["publish"] == "the directory cannot be asked now"
    assert found["park"] == "action `park` leads into `parked`, which is disabled"


DOCUMENT = Path(__file__).parents[2] / "workflows_yaml" / "document_review.v1.yaml"


async def test_the_sample_is_published_as_it_is(office: House) -> None:
    response = await office.post(
        "/v1/recipes", "root", "admin", content=DOCUMENT.read_bytes(),
        headers={"Content-Type": "application/yaml"},
    )  # fmt: skip
    assert response.status_code == 201, response.text
    for name in ("diagram.svg", "diagram.mmd"):
        drawn = await office.get(f"/v1/recipes/document_review/versions/1/{name}", "alice")
        assert drawn.status_code == 200
        assert "Submit for review" in drawn.text
