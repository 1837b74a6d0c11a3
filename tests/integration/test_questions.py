"""Questions about tasks: who asks whom, what they get to see by it, and that nothing is decided."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from api import people_shapes, schemas
from storage.org import PersonRow
from tests.integration.delegating import delegate
from tests.integration.house import House


async def ask(
    house: House, who: str, task: str, to: str, text: str = "Is it so?", *roles: str
) -> httpx.Response:
    body = {"to": to, "text": text}
    return await house.post(f"/v1/tasks/{task}/questions", who, *roles, json=body)


async def reply(house: House, who: str, question: str, text: str, *roles: str) -> httpx.Response:
    path = f"/v1/questions/{question}/answer"
    return await house.post(path, who, *roles, json={"text": text})


async def _put_to(house: House, who: str, state: str = "open") -> list[dict[str, Any]]:
    page = (await house.get(f"/v1/questions?state={state}", who)).json()
    people_shapes.QuestionPage.model_validate(page)
    items: list[dict[str, Any]] = page["items"]
    return items


async def test_a_question_and_its_answer(house: House) -> None:
    flow = await house.begun()
    path = f"/v1/requests/{flow.state.request_id}"
    assert (await house.get(path, "erin")).status_code == 404
    made = await ask(house, "bob", flow.task, "erin", "Who stands in?")
    assert made.status_code == 201, made.text
    question = people_shapes.Question.model_validate(made.json())
    assert (question.asked_by, question.asked, question.answer) == ("bob", "erin", None)
    # Who is asked sees the request, and decides nothing.
    assert (await house.get(path, "erin")).status_code == 200
    assert len((await house.get("/v1/requests", "erin")).json()["items"]) == 1
    assert (await house.decide("erin", flow.task)).status_code == 403
    assert [item["id"] for item in await _put_to(house, "erin")] == [str(question.id)]
    answered = await reply(house, "erin", str(question.id), "Dave does.")
    assert (answered.status_code, answered.json()["answer"]) == (200, "Dave does.")
    assert (await reply(house, "erin", str(question.id), "Dave does.")).status_code == 200
    other = await reply(house, "erin", str(question.id), "Frank does.")
    assert (other.status_code, other.json()["type"]) == (
        409,
        "urn:countersign:problem:already_answered",
    )
    assert await _put_to(house, "erin") == []
    for state in ("answered", "all"):
        assert [item["answer"] for item in await _put_to(house, "erin", state)] == ["Dave does."]
    shown = schemas.Request.model_validate((await house.get(path, "alice")).json())
    assert [(item.text, item.answer) for item in shown.questions] == [
        ("Who stands in?", "Dave does.")
    ]
    assert shown.tasks[0].state == "open"
    assert house.delivery.signals == []


async def test_it_is_on_the_record(house: House) -> None:
    flow = await house.begun()
    made = (await ask(house, "bob", flow.task, "alice", "Why now?")).json()
    await reply(house, "alice", made["id"], "The fair.")
    await reply(house, "alice", made["id"], "The fair.")
    path = f"/v1/requests/{flow.state.request_id}/events"
    asked, answered = (await house.get(path, "alice")).json()["items"][-2:]
    ids = {"question_id": made["id"], "task_id": flow.task, "step": "manager"}
    assert (asked["type"], asked["actor"]["user"]) == ("question.asked", "bob")
    assert asked["payload"] == {**ids, "to": "alice", "text": "Why now?"}
    assert (answered["type"], answered["actor"]["user"]) == ("question.answered", "alice")
    assert answered["payload"] == {**ids, "text": "The fair."}


async def test_who_may_ask(house: House) -> None:
    flow = await house.begun()
    for who, roles, status in (
        ("alice", (), 403),
        ("root", ("admin",), 403),
        ("aud", ("auditor",), 403),
        ("dave", (), 404),
        ("frank", (), 201),  # the owner role
        ("bob", (), 201),
    ):
        response = await ask(house, who, flow.task, "carol", "?", *roles)
        assert response.status_code == status, (who, response.text)
    owners = "SELECT actor->>'role' FROM audit WHERE event_type = 'question.asked' ORDER BY seq"
    assert [row[0] for row in await house.pool.fetch(owners)] == ["house", None]
    await delegate(house, "dave", "frank")
    pool = await house.begun("alice", "shared", {})
    assert (await ask(house, "frank", pool.task, "carol")).status_code == 201
    assert (await ask(house, "bob", str(uuid4()), "carol")).status_code == 404


async def test_whom_one_may_ask(house: House) -> None:
    await house.import_org((PersonRow("dave", "Dave Singh", manager="carol", left=True),), ())
    flow = await house.begun()
    for to, said in (
        ("bob", "nobody asks themselves"),
        ("nobody", "nobody is not known to the directory"),
        ("dave", "dave has left"),
    ):
        refused = await ask(house, "bob", flow.task, to)
        assert (refused.status_code, refused.json()["detail"]) == (422, said)
    assert (await ask(house, "bob", flow.task, "carol", " ")).status_code == 422
    assert (await house.decide("bob", flow.task)).status_code == 200
    assert (await ask(house, "bob", flow.task, "carol")).status_code == 409
    assert await house.pool.fetchval("SELECT count(*) FROM questions") == 0


async def test_who_answers(house: House) -> None:
    flow = await house.begun()
    made = (await ask(house, "bob", flow.task, "erin")).json()
    for who, roles, status in (("dave", (), 404), ("bob", (), 403), ("root", ("admin",), 403)):
        response = await reply(house, who, made["id"], "me", *roles)
        assert response.status_code == status, response.text
    assert (await reply(house, "erin", str(uuid4()), "me")).status_code == 404
    assert (await reply(house, "erin", made["id"], "")).status_code == 422
    # After the decision, too: it was asked.
    assert (await house.decide("bob", flow.task)).status_code == 200
    answers = await asyncio.gather(*(reply(house, "erin", made["id"], str(n)) for n in range(8)))
    assert sorted(response.status_code for response in answers) == [200] + [409] * 7
    record = "SELECT count(*) FROM audit WHERE event_type = 'question.answered'"
    assert await house.pool.fetchval(record) == 1


async def test_the_clock_goes_on(house: House) -> None:
    flow = await house.begun()
    made = (await ask(house, "bob", flow.task, "erin")).json()
    await flow.tick(datetime.now(UTC) + timedelta(hours=2))
    task = (await house.get(f"/v1/tasks/{made['task_id']}", "bob")).json()
    assert task["state"] != "open"
    assert (await reply(house, "erin", made["id"], "late")).status_code == 200


async def test_pages(house: House) -> None:
    flow = await house.begun()
    for number in range(5):
        await ask(house, "bob", flow.task, "erin", str(number))
    await reply(house, "erin", (await _put_to(house, "erin"))[0]["id"], "yes")
    for state, expected in (("open", "1234"), ("all", "43210"), ("answered", "0")):
        found, cursor = "", ""
        while True:
            path = f"/v1/questions?state={state}&limit=2{cursor}"
            page = (await house.get(path, "erin")).json()
            found += "".join(item["text"] for item in page["items"])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == expected
    bad = await house.get(
        "/v1/questions?cursor=W251bGwsIjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCJd", "erin"
    )
    assert bad.status_code == 422
