"""The client on the real API: a request from its submission to its approval."""

import httpx
import pytest

from client import AsyncClient, calls, problems
from tests.integration.house import House, Workflow, token


def _client(house: House, person: str) -> AsyncClient:
    transport = httpx.ASGITransport(house.app, raise_app_exceptions=False)
    return AsyncClient("http://api", token(person), transport=transport)


async def test_from_submission_to_decision(house: House) -> None:
    async with _client(house, "alice") as alice, _client(house, "bob") as bob:
        made = await alice.send(calls.submit("leave", {"days": 5}), key="k-1")
        again = await alice.send(calls.submit("leave", {"days": 5}), key="k-1")
        assert (again["id"], made["state"]) == (made["id"], "created")
        flow = Workflow(house.pool, house.delivery.starts[-1])
        await flow.begin()
        await alice.send(calls.comment(made["id"], "by the sea"))
        [task] = [task async for task in bob.each(calls.tasks())]
        shown = await bob.send(calls.task(task["id"]))
        assert shown["inputs"] == {"days": 5}
        decided = await bob.send(calls.decide(task["id"], "approve", digest=task["digest"]))
        assert decided["state"] == "decided"
        # The same again does no harm; another one is too late.
        await bob.send(calls.decide(task["id"], "approve", digest=task["digest"]))
        with pytest.raises(problems.Conflict) as late:
            await bob.send(calls.decide(task["id"], "reject", comment="no"))
        assert late.value.kind == "already_decided"
        request = await alice.send(calls.request(made["id"]))
        assert [each["text"] for each in request["comments"]] == ["by the sea"]
        told = [event["type"] async for event in alice.each(calls.events(made["id"], limit=2))]
        assert told[0] == "request.created"
        assert "decision.recorded" in told
        with pytest.raises(problems.Invalid) as refused:
            await alice.send(calls.submit("leave", {"days": 0}))
        assert refused.value.errors[0]["pointer"] == "/inputs/days"
        with pytest.raises(problems.NotFound):
            await alice.send(calls.request("00000000-0000-0000-0000-000000000000"))
