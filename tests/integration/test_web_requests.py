"""The page of a request, and what people do besides deciding."""

import re
from datetime import UTC, datetime
from uuid import UUID

from recipes.happenings import Actor
from recipes.model import ApprovalStep, Ballot, Recipe
from storage import audit
from tests.integration.browsing import HTML, ORIGIN, sent, shown, signed_in, words
from tests.integration.house import House


async def test_the_page_of_a_request_tells_where_it_stands_and_how_it_came_there(
    house: House,
) -> None:
    flow = await house.begun(inputs={"days": 5, "why": "a wedding"})
    path = f"/requests/{flow.state.request_id}"
    await signed_in(house, "alice")
    said = words(await shown(house, path))
    for each in (
        "5 days for Alice Moreau Pending",
        "Alice Moreau, Sales, sent",
        "Who is next Bob Tanaka, manager, due in",
        "Why a wedding",
        "Alice Moreau sent it",
        "manager: Bob Tanaka was asked",
        "Cancel this request",
    ):
        assert each in said, (each, said)
    picture = await house.client.get(f"{path}/diagram.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in picture.headers["content-security-policy"]
    assert "manager: here now" in picture.text
    await house.decide("bob", flow.task, "reject", comment="Not in December.")
    await flow.befall(house.delivery.signals[-1][1])
    said = words(await shown(house, path))
    for each in (
        "manager: Bob Tanaka chose Reject Not in December.",
        "The request is rejected",
    ):
        assert each in said, (each, said)
    assert "Cancel this request" not in said
    assert "manager: rejected" in (await house.client.get(f"{path}/diagram.svg")).text
    await signed_in(house, "erin")
    assert "no such request" in await shown(house, path, 404)
    assert (await house.client.get(f"{path}/diagram.svg")).status_code == 404


async def test_what_happened_long_ago_is_a_page_away(house: House) -> None:
    flow = await house.begun()
    path, about = f"/requests/{flow.state.request_id}", UUID(flow.state.request_id)
    said = [
        audit.event("watcher.added", datetime.now(UTC), {"person": f"p{number}"}, {}, Actor("bob"))
        for number in range(148)
    ]
    async with house.pool.acquire() as connection, connection.transaction():
        await audit.append(connection, about, "leave", 1, said)
    await signed_in(house, "alice")
    page = await shown(house, path)
    assert ("p147 watches it" in page, "p48 watches it" in page, "p47 watches it" in page) == (
        True, True, False,
    )  # fmt: skip
    [older] = re.findall(r'<a href="([^"]+)" rel="prev">Older</a>', page)
    assert 'rel="next">Newer' not in page
    page = await shown(house, older.partition("#")[0])
    assert ("p47 watches it" in page, "p48 watches it" in page) == (True, False)
    assert "Alice Moreau sent it" in page
    [newer] = re.findall(r'<a href="([^"]+)" rel="next">Newer</a>', page)
    assert 'rel="prev">Older' not in page
    assert "p147 watches it" in await shown(house, newer.partition("#")[0])
    assert "p147 watches it" in await shown(house, f"{path}?before=x")


async def test_people_ask_answer_and_comment_where_they_decide(house: House) -> None:
    flow = await house.begun()
    task, request = f"/tasks/{flow.task}", f"/requests/{flow.state.request_id}"
    token = await signed_in(house, "bob")
    unclear = await sent(house, f"{task}/ask", token, ask_to="nobody", text="Sure?")
    assert unclear.status_code == 422
    assert "nobody here is called nobody" in unclear.text
    assert re.search(r'<details class="deed" id="ask" open>', unclear.text)
    assert ">Sure?</textarea>" in unclear.text
    asked = await sent(house, f"{task}/ask", token, ask_to="Erin Novak", text="Sure?")
    assert (asked.status_code, asked.headers["location"]) == (303, task)
    said = await sent(house, f"{request}/comment", token, text="Hm.", back=task)
    assert said.headers["location"] == task
    empty = await sent(house, f"{request}/comment", token, text=" ", back=task)
    assert (empty.status_code, 'id="remark-wrong"' in empty.text) == (422, True)
    assert "Bob Tanaka asked Erin Novak" in words(await shown(house, task))

    token = await signed_in(house, "erin")
    page = await shown(house, request)
    [question] = re.findall(r'name="question" value="([^"]+)"', page)
    answered = await sent(house, f"{request}/answer", token, question=question, text="Yes.")
    assert (answered.status_code, answered.headers["location"]) == (303, request)
    page = words(await shown(house, request))
    assert "Erin Novak answered" in page
    assert "Yes." in page
    assert "Hm." in page


async def test_a_shared_task_is_claimed_released_and_handed_on(house: House) -> None:
    flow = await house.begun("carol", "shared", {})
    task = f"/tasks/{flow.task}"
    token = await signed_in(house, "dave")
    assert (await sent(house, f"{task}/claim", token)).status_code == 303
    page = await shown(house, task)
    assert ('id="release"' in page, 'id="claim"' in page) == (True, False)
    refused = await sent(house, f"{task}/reassign", token, give_to="carol", comment="You know it.")
    assert refused.status_code == 422
    assert "nobody decides their own request" in refused.text
    assert (await sent(house, f"{task}/release", token)).status_code == 303
    wrong = await sent(house, f"{task}/add", token, add="erin", where="above", comment="x")
    assert (wrong.status_code, re.search(r'id="add-approver" open', wrong.text) is None) == (
        422,
        False,
    )
    assert (await sent(house, f"{task}/nothing", token)).status_code == 404


async def test_files_are_added_and_watchers_named(house: House) -> None:
    flow = await house.begun()
    request = f"/requests/{flow.state.request_id}"
    token = await signed_in(house, "alice")

    async def add(name: str, content: bytes) -> int:
        answered = await house.client.post(
            f"{request}/files",
            data={"csrf": token},
            files={"file": (name, content, "application/vnd.ms-excel")},
            headers=ORIGIN | HTML,
        )
        return answered.status_code

    assert await add("costs.csv", b"a,b\n1,2\n") == 303
    assert await add("costs.exe", b"MZ") in (415, 422)
    assert (await sent(house, f"{request}/files", token)).status_code == 422
    assert "costs.csv" in await shown(house, request)
    assert (await sent(house, f"{request}/watch", token, watcher="Frank Weber")).status_code == 303
    assert "Watching Frank Weber" in words(await shown(house, request))
    token = await signed_in(house, "frank")
    assert (await sent(house, f"{request}/unwatch", token)).status_code == 303
    assert "Watching Frank Weber" not in words(await shown(house, request))


async def test_its_requester_cancels_it(house: House) -> None:
    flow = await house.begun()
    request = f"/requests/{flow.state.request_id}"
    house.delivery.on_signal = None
    token = await signed_in(house, "alice")
    answered = await sent(house, f"{request}/cancel", token, comment="Called off.")
    assert (answered.status_code, answered.headers["location"]) == (303, request)
    await flow.befall(house.delivery.signals[-1][1])
    assert "5 days for Alice Moreau Cancelled" in words(await shown(house, request))
    late = await sent(house, f"{request}/cancel", token)
    assert late.status_code == 409
    assert "already cancelled" in late.text


async def test_who_may_try_an_incident_again_does_so_where_it_is_shown(house: House) -> None:
    ballot = Ballot("one", approver="role:empty")
    await house.publish(Recipe("stuck", 1, (ApprovalStep("one", (ballot,)),), owner="role:house"))
    flow = await house.begun("alice", "stuck", {})
    path = f"/requests/{flow.state.request_id}"
    token = await signed_in(house, "alice")
    assert "Try again" not in words(await shown(house, path))
    assert (await sent(house, f"{path}/retry", token)).status_code == 403
    token = await signed_in(house, "frank")  # holds the role that owns it, and is no administrator
    page = words(await shown(house, path))
    assert ("Try again" in page, "Have somebody watch it" in page) == (True, True)
    assert "Cancel this request" not in page
