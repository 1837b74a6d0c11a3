"""The decision pane: everything there is to decide about, and decisions that count once."""

import re
from typing import Any
from uuid import UUID

import pytest

from api import task_shapes
from api.web import decision
from tests.integration.browsing import fields, sent, shown, signed_in, words
from tests.integration.house import House, Workflow
from tests.integration.test_delayed import come_due


async def looked_at(house: House, inputs: dict[str, Any] | None = None) -> tuple[Workflow, str]:
    """A request of alice's, and the path of its task, which is bob's."""
    flow = await house.begun(inputs=inputs)
    return flow, f"/tasks/{flow.task}"


async def test_the_pane_says_all_there_is_to_decide_about(house: House) -> None:
    _, path = await looked_at(house, {"days": 5, "why": "a <b>wedding</b>"})
    await signed_in(house, "bob")
    page = await shown(house, path)
    said = words(page)
    assert "5 days for Alice Moreau" in said
    assert "Alice Moreau, Sales, sent" in said
    assert "Days 5" in said
    assert "Why a <b>wedding</b>" in said
    assert "<b>wedding" not in page
    assert "Bob Tanaka is the nearest manager" in said or "employee.manager decides" in said


async def test_a_decision_leads_to_the_next_task_and_may_be_undone(house: House) -> None:
    first, path = await looked_at(house)
    other, _ = await looked_at(house, {"days": 2})
    token = await signed_in(house, "bob")
    hidden = fields(await shown(house, path))
    assert hidden["next"] == f"/tasks/{other.task}"
    answered = await sent(house, f"{path}/decision", token, **hidden | {"decision": "approve"})
    assert (answered.status_code, answered.headers["location"]) == (303, f"/tasks/{other.task}")
    following = await shown(house, f"/tasks/{other.task}")
    assert "Approve: 5 days for Alice Moreau Sending in" in words(following)
    assert f'href="{path}" ' not in following
    assert 'id="decide"' not in await shown(house, path)
    [undo] = re.findall(r'action="(/delayed/[^"]+/undo)"', following)
    banner = undo.removesuffix("/undo")
    assert "Approve: 5 days for Alice Moreau Sending in" in words(await shown(house, banner))
    undone = await sent(house, undo, token)
    await shown(house, banner, 404)
    assert (undone.status_code, undone.headers["location"]) == (303, path)
    again = await shown(house, path)
    assert ("Sending in" in again, 'id="decide"' in again) == (False, True)
    assert "no such delayed decision" in (await sent(house, undo, token)).text
    assert (await house.get(f"/v1/tasks/{first.task}", "bob")).json()["state"] == "open"


async def test_what_became_of_a_decision_is_told_to_a_page_that_was_not_there(house: House) -> None:
    (_, path), (other, otherwise) = [await looked_at(house) for _ in range(2)]
    token = await signed_in(house, "bob")
    for each in (path, otherwise):
        await sent(
            house, f"{each}/decision", token, **fields(await shown(house, each)), decision="approve"
        )
    found = re.findall(r'data-delayed="([^"]+)"', await shown(house, "/"))
    await house.decide("bob", other.task, "reject", comment="No.")
    await come_due(house)
    told = [words(await shown(house, f"/delayed/{each}")) for each in found]
    name = "Approve: 5 days for Alice Moreau"
    assert told == [f"{name} Sent", f"{name} Not sent: you decided otherwise"]
    # Without a script nothing is asked: a page that is loaded again has no banner of what was sent, and its task says so.
    page = await shown(house, path)
    assert "data-delayed" not in page
    assert "You decided" in words(page)


async def test_a_decision_that_cannot_wait_is_sent_at_once_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision, "UNDO_SECONDS", 60)
    csrf = await signed_in(house, "bob")
    flow, _ = await house.begun(), await house.begun()
    await house.pool.execute(
        "UPDATE tasks SET due_at = clock_timestamp() + interval '62 seconds' WHERE id = $1",
        UUID(flow.task),
    )
    page = await shown(house, f"/tasks/{flow.task}")
    answered = await sent(
        house, f"/tasks/{flow.task}/decision", csrf, **fields(page), decision="approve"
    )
    assert answered.headers["location"] == f"/tasks/{flow.task}"
    told = words(await shown(house, f"/tasks/{flow.task}"))
    assert "It was sent at once, without undo: its time was about to run out." in told
    assert "Undo" not in told


async def test_a_decision_that_did_not_count_says_so_until_it_is_dismissed(house: House) -> None:
    flow = await house.begun("carol", "shared", {})
    path = f"/tasks/{flow.task}"
    token = await signed_in(house, "bob")
    hidden = fields(await shown(house, path))
    await sent(house, f"{path}/decision", token, **hidden | {"decision": "reject"})
    await house.decide("dave", flow.task)
    await come_due(house)
    page = await shown(house, "/")
    assert re.search(
        r"Reject: Shared did not count\. Dave Singh was first, .* ago: Approve\.", words(page)
    )
    [dismiss] = re.findall(r'action="(/delayed/[^"]+/dismiss)"', page)
    for _ in range(2):
        dismissed = await sent(house, dismiss, token, next=path)
        assert (dismissed.status_code, dismissed.headers["location"]) == (303, path)
    assert "did not count" not in await shown(house, "/")


async def may(house: House, task: str, who: str, *roles: str) -> tuple[set[str], str | None]:
    seen = (await house.get(f"/v1/tasks/{task}", who, *roles)).json()
    return set(task_shapes.TaskShown.model_validate(seen).may), seen["why_not"]


async def test_a_task_says_what_one_may_do_to_it(house: House) -> None:
    own = (await house.begun()).task
    assert await may(house, own, "bob") == ({"decide", "ask", "reassign", "add"}, None)
    assert await may(house, own, "alice") == (set(), "nobody decides their own request")
    assert (await may(house, own, "frank"))[0] == {"ask", "reassign", "add"}  # its owner
    assert (await may(house, own, "root", "admin"))[0] == {"reassign", "add"}
    pool = (await house.begun("carol", "shared", {})).task
    assert await may(house, pool, "dave") == ({"decide", "claim", "ask", "add"}, None)
    await house.post(f"/v1/tasks/{pool}/claim", "dave")
    assert await may(house, pool, "dave") == (
        {"decide", "release", "ask", "reassign", "add"},
        None,
    )
    others, why_not = await may(house, pool, "erin")
    assert (others, (why_not or "")[:21]) == ({"ask", "add"}, "claimed by dave since")
    await house.decide("dave", pool)
    assert (await may(house, pool, "dave"))[0] == set()


async def test_inputs_come_in_the_order_that_their_recipe_has(house: House) -> None:
    source = """
workflow: ordered
version: 1
inputs:
  type: object
  properties:
    zeta: {type: string}
    alpha: {type: object, properties: {y: {type: string}, b: {type: string}}}
    mu: {type: number}
steps:
  - id: one
    approver: user:bob
"""
    made = await house.post("/v1/recipes", "root", "admin", content=source.encode())
    assert made.status_code == 201, made.text
    found = (await house.get("/v1/recipes/ordered", "alice")).json()["inputs"]
    assert list(found["properties"]) == ["zeta", "alpha", "mu"]
    assert list(found["properties"]["alpha"]["properties"]) == ["y", "b"]


async def test_a_comment_that_is_needed_is_asked_for_at_its_field(house: House) -> None:
    _, path = await looked_at(house)
    token = await signed_in(house, "bob")
    hidden = fields(await shown(house, path))
    answered = await sent(house, f"{path}/decision", token, **hidden | {"decision": "reject"})
    assert answered.status_code == 422
    assert 'aria-describedby="comment-wrong"' in answered.text
    again = await sent(
        house, f"{path}/decision", token, **hidden | {"decision": "maybe", "comment": "Why <now>?"}
    )
    assert (again.status_code, "Why &lt;now&gt;?" in again.text) == (422, True)
    assert (await house.get(path.replace("/tasks", "/v1/tasks"), "bob")).json()["state"] == "open"


async def test_what_has_changed_cannot_be_decided_unseen(house: House) -> None:
    flow, path = await looked_at(house)
    token = await signed_in(house, "bob")
    hidden = fields(await shown(house, path))
    async with house.pool.acquire() as connection:
        await connection.execute(
            "UPDATE tasks SET digest = 'another' WHERE id = $1", UUID(flow.task)
        )
    answered = await sent(
        house, f"{path}/decision", token, **hidden | {"decision": "approve", "comment": "fine"}
    )
    assert answered.status_code == 409
    assert "it has changed" in words(answered.text)
    assert fields(answered.text)["digest"] == "another"
    assert ">fine</textarea>" in answered.text


async def test_who_comes_too_late_is_told_who_was_first(house: House) -> None:
    flow = await house.begun("carol", "shared", {})
    path = f"/tasks/{flow.task}"
    token = await signed_in(house, "bob")
    hidden = fields(await shown(house, path))
    await house.decide("dave", flow.task, comment="Fine by me.")
    answered = await sent(house, f"{path}/decision", token, **hidden | {"decision": "reject"})
    assert answered.status_code == 409
    assert "Dave Singh was first" in words(answered.text)
    said = words(await shown(house, path))
    assert "Dave Singh decided" in said
    assert "Fine by me." in said
    assert 'id="decide"' not in answered.text


async def test_a_task_of_others_is_none(house: House) -> None:
    _, path = await looked_at(house)
    token = await signed_in(house, "erin")
    assert "no such task" in await shown(house, path, 404)
    assert (await sent(house, f"{path}/decision", token, decision="approve")).status_code == 404
    assert "no page" in await shown(house, "/tasks/1", 404)


async def test_files_come_as_the_api_gives_them(house: House) -> None:
    flow, path = await looked_at(house)
    request = flow.state.request_id
    await house.post(
        f"/v1/requests/{request}/attachments?name=offer.txt",
        "alice",
        content=b"<script>",
        headers={"content-type": "text/plain"},
    )
    await signed_in(house, "bob")
    [link] = re.findall(r'href="(/requests/[^"]+/files/[^"]+)"', await shown(house, path))
    found = await house.client.get(link)
    assert (found.content, found.headers["x-content-type-options"]) == (b"<script>", "nosniff")
    assert found.headers["content-security-policy"].startswith("sandbox")
    assert found.headers["content-disposition"].startswith("attachment")
    await signed_in(house, "erin")
    assert (await house.client.get(link)).status_code == 404
