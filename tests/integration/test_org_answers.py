"""Who decides, whatever a template made of it and however odd the directory is."""

from datetime import UTC, datetime

import pytest

from recipes import parse
from recipes.asks import Answer, Ask, AskApprover, AskCandidates, AskManager
from storage import resolution
from storage.resolution import About
from tests.integration.delegating import put_under
from tests.integration.house import House

ODD = [
    "",
    " ",
    "x" * 12_000,
    "a\0b",
    "\ud800",
    "role:",
    "user:",
    "role:a\0",
    "user:\ud800",
    "é",
    "a:b",
]

TEAM = """
workflow: team
version: 1
inputs: {type: object, required: [team], properties: {team: {type: string}}}
steps:
  - id: m
    candidates: ["role:hr", "{{ team }}"]
"""


async def _ask(house: House, ask: Ask, requester: str = "alice") -> Answer:
    [answer] = await resolution.answers(
        house.pool, (ask,), About(requester, "leave", datetime.now(UTC))
    )
    return answer


def _why(answer: Answer) -> str:
    assert answer.refusal is not None
    assert answer.refusal.kind == "NoApproverFound"
    detail = answer.refusal.detail
    assert len(detail) <= 300
    assert detail.isprintable()
    return detail


@pytest.mark.parametrize("odd", ODD)
async def test_odd_names_are_refused_in_few_words(house: House, odd: str) -> None:
    asks: list[Ask] = [
        AskApprover("s", odd),
        AskManager("s", odd),
        AskCandidates("s", ("role:hr", odd)),
        AskCandidates("s", (odd,) * 50),
    ]
    for ask in asks:
        _why(await _ask(house, ask))


async def test_candidates_that_are_nobody_are_named(house: House) -> None:
    names = ("role:hr", "user:dave", "role:nobody", "zoe", "user:hr", "role:house")
    why = _why(await _ask(house, AskCandidates("s", names)))
    assert why == "the directory does not have role:nobody, user:zoe, user:hr"


async def test_candidates_are_told_once_each(house: House) -> None:
    answer = await _ask(house, AskCandidates("s", ("hr", "role:hr", "dave", "user:dave")))
    assert answer.assignment is not None
    assert answer.assignment.candidates == ("role:hr", "user:dave")


async def test_a_request_for_an_unknown_team_gets_an_incident(house: House) -> None:
    await house.publish(parse.parse(TEAM).recipe)
    for team in ("x" * 12_000, "nobody", "role:nobody"):
        flow = await house.begun(workflow="team", inputs={"team": team})
        shown = await house.get(f"/v1/requests/{flow.state.request_id}", "alice")
        [incident] = shown.json()["incidents"]
        assert (incident["kind"], incident["step"]) == ("NoApproverFound", "m")
        assert len(incident["detail"]) <= 300
    flow = await house.begun(workflow="team", inputs={"team": "frank"})
    assert len(flow.state.tasks) == 1


async def test_a_circle_of_managers_ends_where_it_began(house: House) -> None:
    # The import refuses it; a directory may have it from before.
    await put_under(house, "carol", "bob")
    for user, boss in (("bob", "carol"), ("carol", "bob")):
        answer = await _ask(house, AskManager("s", user))
        assert answer.assignment is not None
        assert answer.assignment.user == boss
    assert "bob has no manager" in _why(await _ask(house, AskManager("s", "bob"), "carol"))
    await house.pool.execute(
        "UPDATE people SET employed = employed * tstzmultirange(tstzrange(NULL, now())) WHERE id = 'carol'"
    )
    assert "bob has no manager" in _why(await _ask(house, AskManager("s", "bob")))
