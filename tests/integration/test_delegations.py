"""People's own delegations over HTTP, and decisions that rest on them."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from api import org_shapes
from recipes.model import Json
from storage.org import CHAIN, PersonRow
from storage.pool import Pool
from tests.integration.delegating import delegate, delegated, end, posted, row_of, soon
from tests.integration.house import House


async def _list(house: House, who: str, *roles: str, **query: str) -> list[str]:
    response = await house.get("/v1/org/delegations", who, *roles, params=query)
    assert response.status_code == 200, response.text
    page = org_shapes.DelegationPage.model_validate(response.json())
    return [str(item.id) for item in page.items]


async def test_set_show_end(house: House) -> None:
    response = await posted(house, "bob", "dave", to_=soon(), scope="workflow:leave", reason="sea")
    made = org_shapes.Delegation.model_validate(response.json())
    assert (made.delegator, made.delegate, made.scope) == ("bob", "dave", "workflow:leave")
    assert (made.reason, made.created_by, made.begins) == ("sea", "bob", made.created_at)
    for who, given, received in (("bob", 1, 0), ("dave", 0, 1), ("erin", 0, 0)):
        assert len(await _list(house, who, direction="given")) == given
        assert len(await _list(house, who, direction="received")) == received
        assert len(await _list(house, who)) == given + received
    ended = org_shapes.Delegation.model_validate((await end(house, "bob", made.id)).json())
    assert (ended.ended_by, ended.ends) == ("bob", ended.ended_at)
    assert await _list(house, "bob") == []
    assert await _list(house, "bob", state="all") == [str(made.id)]
    again = await end(house, "bob", made.id)
    assert again.status_code == 409
    assert again.json()["detail"].startswith("it ended at 2")
    events = await house.pool.fetch(
        "SELECT event_type, actor->>'user' AS who, payload FROM audit"
        " WHERE request_id = $1 AND event_type LIKE 'delegation%' ORDER BY seq",
        CHAIN,
    )
    assert [(event["event_type"], event["who"]) for event in events] == [
        ("delegation.set", "bob"),
        ("delegation.ended", "bob"),
    ]
    assert events[0]["payload"]["id"] == str(made.id)
    assert events[0]["payload"]["reason"] == "sea"


async def circle(house: House, who: str, to: str, **more: Any) -> str | None:
    """Where a delegation that is refused would lead; None if it is set."""
    response = await posted(house, who, to, **more)
    if response.status_code == 201:
        return None
    [problem] = response.json()["errors"]
    assert (response.status_code, problem["pointer"]) == (422, "/delegate")
    return str(problem["message"])


async def test_nothing_is_delegated_in_a_circle(house: House) -> None:
    await delegate(house, "bob", "dave")
    made = await delegate(house, "dave", "carol")
    assert await circle(house, "carol", "bob", scope="role:hr") == (
        "this would go in a circle: carol -> bob -> dave -> carol; name somebody else, or have dave's"
        " delegation to carol ended first"
    )
    await end(house, "dave", made)
    assert await circle(house, "carol", "bob") is None
    # Nor where somebody further on is in one from before.
    await delegated(house, "frank", "erin")
    await delegated(house, "erin", "frank")
    assert "dave -> erin -> frank -> erin; " in str(await circle(house, "dave", "erin"))


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ({"scope": "workflow:leave"}, {"scope": "workflow:leave"}, True),
        ({"scope": "workflow:leave"}, {"scope": "role:hr"}, True),
        ({"scope": "workflow:leave"}, {"scope": "workflow:shared"}, False),
        ({"scope": "role:hr"}, {"scope": "role:house"}, False),
        ({"from_": 1, "to_": 2}, {"from_": 2, "to_": 3}, False),
        ({"from_": 1, "to_": 2}, {"to_": 1.5}, True),
        ({"from_": 1, "to_": 2}, {"to_": 0.5}, False),
    ],
)
async def test_a_circle_is_one_of_the_same_tasks_at_the_same_time(
    house: House, one: dict[str, Any], other: dict[str, Any], *, refused: bool
) -> None:
    begun = soon(0)

    def said(more: dict[str, Any]) -> dict[str, Any]:
        """Numbers are hours from now."""
        return {
            name: it if isinstance(it, str) else begun + timedelta(hours=it)
            for name, it in more.items()
        }

    await delegate(house, "bob", "dave", **said(one))
    assert (await circle(house, "dave", "bob", **said(other)) is not None) == refused


async def test_what_one_left_open_closes_no_circle_once_they_have_left(house: House) -> None:
    await delegate(house, "bob", "dave")
    await delegate(house, "dave", "erin")
    await house.import_org((PersonRow("dave", "Dave", manager="carol", left=True),), ())
    assert await circle(house, "erin", "bob") is None


async def test_three_that_meet_at_no_time_are_no_circle(house: House) -> None:
    await delegate(house, "bob", "dave", from_=soon(1), to_=soon(3))
    await delegate(house, "dave", "erin", from_=soon(2), to_=soon(5))
    assert await circle(house, "erin", "bob", from_=soon(3), to_=soon(6)) is None


async def test_no_more_than_five_one_after_the_other(house: House) -> None:
    await row_of(house, "uvwxyzt")
    for one, other in pairwise("vwxyzt"):
        await delegate(house, one, other)
    assert await circle(house, "u", "v") == (
        "this would go on more than 5 times: u -> v -> w -> x -> y -> z -> t; name somebody else, or have"
        " z's delegation to t ended first"
    )
    assert await circle(house, "u", "w") is None


async def test_two_who_delegate_to_each_other_at_the_same_moment(house: House) -> None:
    both = await asyncio.gather(posted(house, "bob", "dave"), posted(house, "dave", "bob"))
    assert sorted(each.status_code for each in both) == [201, 422]


async def test_called_off_before_it_began(house: House) -> None:
    made = await delegate(house, "bob", "dave", from_=soon(1), to_=soon(2))
    assert await _list(house, "dave") == [made]
    ended = org_shapes.Delegation.model_validate((await end(house, "bob", made)).json())
    assert (ended.begins, ended.ends, ended.ended_by) == (None, None, "bob")
    assert (await end(house, "bob", made)).status_code == 409
    assert await _list(house, "bob") == []
    assert await _list(house, "bob", state="all") == [made]
    await delegate(house, "bob", "erin", from_=soon(1), to_=soon(2))


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ({"delegate": "bob"}, "/delegate", "nobody delegates to themselves"),
        ({"delegate": "zoe"}, "/delegate", "there is no person zoe"),
        ({"delegate": "gone"}, "/delegate", "gone is not here any more"),
        ({"delegate": "dave", "from": "2020-01-01T00:00:00Z"}, "/from", "lies in the past"),
        ({"delegate": "dave", "to": "2020-01-01T00:00:00Z"}, "/to", "must be later"),
        (
            {"delegate": "dave", "from": "2100-01-02T00:00:00Z", "to": "2100-01-02T00:00:00Z"},
            "/to",
            "must be later",
        ),
        ({"delegate": "dave", "from": "2100-01-01T00:00:00"}, "/from", "timezone"),
        ({"delegate": "dave", "from": "0001-01-01T00:00:00+05:00"}, "/from", "out of range"),
        ({"delegate": "dave", "from": "2020-01-01"}, "/from", "lies in the past"),
        ({"delegate": "dave", "from": "2100-02-30"}, "/from", "day is out of range for month"),
        ({"delegate": "dave", "to": "9999-12-31"}, "/to", "out of range"),
        ({"delegate": "dave", "from": "2100-01-02", "to": "2100-01-01"}, "/to", "must be later"),
        ({"delegate": "dave", "scope": "role:nobody"}, "/scope", "there is no role named nobody"),
        ({"delegate": "dave", "scope": "workflow:x"}, "/scope", "there is no workflow named x"),
        ({"delegate": "dave", "scope": "some"}, "/scope", "pattern"),
        ({"delegate": "dave", "reason": "a\0b"}, "/reason", "NUL"),
        ({"delegate": "dave", "until": "x"}, "/until", "not permitted"),
        ({}, "/delegate", "required"),
    ],
)
async def test_what_is_wrong_is_said(
    house: House, body: dict[str, Json], pointer: str, message: str
) -> None:
    await house.import_org((PersonRow("gone", "Gone"),), ())
    await house.import_org((PersonRow("gone", "Gone", left=True),), ())
    response = await house.post("/v1/org/delegations", "bob", json=body)
    assert response.status_code == 422, response.text
    [error] = response.json()["errors"]
    assert error["pointer"] == pointer
    assert message in error["message"]


async def _lives(admin_pool: Pool, who: str, zone: str) -> None:
    await admin_pool.execute("UPDATE people SET time_zone = $2 WHERE id = $1", who, zone)


@pytest.mark.parametrize(
    ("zone", "days", "instants"),
    [
        ("UTC", "2030-12-24 2030-12-24", "2030-12-24T00:00 2030-12-25T00:00"),
        # 23 hours of a day in spring, 25 of one in autumn.
        ("Europe/Berlin", "2030-03-31 2030-03-31", "2030-03-30T23:00 2030-03-31T22:00"),
        ("Europe/Berlin", "2030-10-27 2030-10-27", "2030-10-26T22:00 2030-10-27T23:00"),
        ("America/St_Johns", "2030-07-01 2030-07-02", "2030-07-01T02:30 2030-07-03T02:30"),
        ("Pacific/Apia", "2030-07-01 2030-07-01", "2030-06-30T11:00 2030-07-01T11:00"),
        # The clocks are put forward at midnight: this day begins at one o'clock.
        ("Africa/Cairo", "2030-04-26 2030-04-26", "2030-04-25T22:00 2030-04-26T21:00"),
    ],
)
async def test_days_are_the_delegators_own(
    house: House, admin_pool: Pool, zone: str, days: str, instants: str
) -> None:
    await _lives(admin_pool, "bob", zone)
    await _lives(admin_pool, "dave", "Asia/Tokyo")
    first, last = days.split()
    response = await posted(house, "bob", "dave", from_=first, to_=last)
    made = org_shapes.Delegation.model_validate(response.json())
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in (made.begins, made.ends)] == instants.split()
    # The next day is free, and an instant goes with a day.
    await delegate(house, "bob", "erin", from_=made.ends, to_="2031-01-01")


async def test_a_day_that_has_begun_begins_now(house: House, admin_pool: Pool) -> None:
    await _lives(admin_pool, "bob", "Pacific/Kiritimati")
    today = datetime.now(UTC).astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    response = await posted(house, "bob", "dave", from_=f"{today}", to_=f"{today}")
    made = org_shapes.Delegation.model_validate(response.json())
    assert made.begins == made.created_at
    yesterday = await posted(house, "bob", "erin", from_=f"{today - timedelta(days=1)}")
    assert [error["pointer"] for error in yesterday.json()["errors"]] == ["/from"]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../x", "Europe"])
async def test_days_in_a_zone_that_is_unknown(house: House, admin_pool: Pool, zone: str) -> None:
    await _lives(admin_pool, "bob", zone)
    refused = await posted(house, "bob", "dave", from_="2100-01-01")
    [error] = refused.json()["errors"]
    assert error["pointer"] == "/from"
    assert f"time zone {zone}, which is unknown here" in error["message"]
    await delegate(house, "bob", "dave", from_=soon())


async def test_one_delegate_at_a_time_for_the_same_scope(house: House) -> None:
    made = await delegate(house, "bob", "dave", from_=soon(1), to_=soon(3))
    late = await posted(house, "bob", "erin", from_=soon(2))
    assert late.status_code == 409
    assert late.json()["delegation"] == made
    assert "bob has delegated all to dave from 2" in late.json()["detail"]
    # Its end is not in it; another scope is another matter; so is somebody else's.
    await delegate(house, "bob", "erin", from_=soon(3))
    await delegate(house, "bob", "erin", scope="role:hr")
    await delegate(house, "erin", "dave", from_=soon(1))


async def test_two_at_once(house: House) -> None:
    for _ in range(5):
        tries = [posted(house, "bob", to) for to in ("dave", "erin", "frank", "carol")]
        answers = await asyncio.gather(*tries)
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        [made] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        ends = await asyncio.gather(*(end(house, "bob", made) for _ in range(3)))
        assert sorted(answer.status_code for answer in ends) == [200, 409, 409]


async def test_for_others_as_an_administrator_alone(house: House) -> None:
    assert (await posted(house, "dave", "erin", delegator="bob")).status_code == 403
    assert (await posted(house, "dave", "erin", "auditor", delegator="bob")).status_code == 403
    why = {"reason": "in hospital"}
    for none in (None, " "):
        refused = await posted(house, "root", "erin", "admin", delegator="bob", reason=none)
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/reason"]
    response = await posted(house, "root", "erin", "admin", delegator="bob", **why)
    made = org_shapes.Delegation.model_validate(response.json())
    assert (made.delegator, made.created_by, made.reason) == ("bob", "root", "in hospital")
    nobody = await posted(house, "root", "erin", "admin", delegator="zoe", **why)
    assert [error["pointer"] for error in nobody.json()["errors"]] == ["/delegator"]
    assert (await posted(house, "root", "erin", "admin")).status_code == 403  # not in the directory
    assert (await end(house, "erin", made.id)).status_code == 403
    assert (await end(house, "dave", made.id)).status_code == 404
    assert (await end(house, "aud", made.id, "auditor")).status_code == 403
    assert (await end(house, "root", uuid4(), "admin")).status_code == 404
    query = {"person": "bob"}
    assert (await house.get("/v1/org/delegations", "dave", params=query)).status_code == 403
    assert await _list(house, "aud", "auditor", person="bob") == [str(made.id)]
    refused = await end(house, "root", made.id, "admin")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/reason"]
    response = await end(house, "root", made.id, "admin", reason="back early")
    ended = org_shapes.Delegation.model_validate(response.json())
    assert (ended.ended_by, ended.reason, ended.end_reason) == ("root", "in hospital", "back early")
    event = await house.pool.fetchrow(
        "SELECT actor, payload FROM audit WHERE event_type = 'delegation.ended'"
    )
    assert event is not None
    assert (event["actor"]["role"], event["payload"]["end_reason"]) == ("admin", "back early")


async def test_pages(house: House) -> None:
    made = [
        await delegate(house, "bob", "dave", from_=soon(hour), to_=soon(hour + 1))
        for hour in range(1, 6)
    ]
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = (await house.get("/v1/org/delegations", "bob", params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]
    bad = await house.get("/v1/org/delegations", "bob", params={"cursor": "x"})
    assert bad.status_code == 422


async def test_a_decision_shows_for_whom_it_was_made(house: House) -> None:
    ids = [await delegate(house, "bob", "dave"), await delegate(house, "dave", "erin")]
    flow = await house.begun()
    [shown] = (await house.get("/v1/tasks", "erin")).json()["items"]
    assert (shown["assignee"], shown["on_behalf_of"], shown["via"]) == ("erin", "bob", ["dave"])
    rests = await house.pool.fetchval("SELECT delegations FROM tasks")
    assert [str(item) for item in rests] == ids
    assert (await house.decide("bob", flow.task)).status_code == 403
    assert (await house.decide("dave", flow.task)).status_code == 404
    response = await house.decide("erin", flow.task)
    assert response.status_code == 200, response.text
    made = response.json()["decision"]
    assert (made["user"], made["on_behalf_of"], made["via"]) == ("erin", "bob", ["dave"])
    events = (await house.get(f"/v1/requests/{flow.state.request_id}/events", "alice")).json()
    actor = events["items"][-1]["actor"]
    assert (actor["on_behalf_of"], actor["via"]) == ("bob", ["dave"])
    assert events["items"][1]["payload"]["delegations"] == ids


@pytest.mark.parametrize("which", [0, 1])
async def test_revoked_between_assignment_and_decision(house: House, which: int) -> None:
    pairs = (("bob", "dave"), ("dave", "erin"))
    ids = [await delegate(house, *pair) for pair in pairs]
    flow = await house.begun()
    await end(house, pairs[which][0], ids[which])
    response = await house.decide("erin", flow.task)
    assert response.status_code == 403
    of, to = pairs[which]
    assert response.json()["detail"].startswith(f"{of}'s delegation to {to} ended at 2")
    assert response.json()["detail"].endswith(f"Z (by {of})")
    assert await house.pool.fetchval("SELECT state FROM tasks") == "open"
    assert (await house.get(f"/v1/tasks/{flow.task}", "erin")).status_code == 200


async def test_expired_between_assignment_and_decision(house: House, admin_pool: Pool) -> None:
    await delegate(house, "bob", "dave", to_=soon())
    flow = await house.begun()
    async with admin_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        ends = await connection.fetchval(
            "UPDATE delegations SET valid = tstzrange(lower(valid), now()) RETURNING upper(valid)"
        )
    response = await house.decide("dave", flow.task)
    assert response.status_code == 403
    assert f"ended at {ends:%Y-%m-%dT%H:%M:%S.%f}Z" in response.json()["detail"]


async def test_begun_between_assignment_and_decision(house: House) -> None:
    flow = await house.begun()
    await delegate(house, "bob", "dave")
    assert (await house.decide("dave", flow.task)).status_code == 404
    assert (await house.decide("bob", flow.task)).status_code == 200


async def test_what_was_so_stays_so(house: House, admin_pool: Pool) -> None:
    made = await delegate(house, "bob", "dave")
    await end(house, "bob", made)
    begun = await delegate(house, "bob", "dave")
    for statement in (
        "DELETE FROM delegations",
        "UPDATE delegations SET delegate = 'erin'",
        "UPDATE delegations SET valid = tstzrange(lower(valid), NULL) WHERE ended_at IS NOT NULL",
        "UPDATE delegations SET valid = 'empty', ended_by = 'x', ended_at = now()",
        "UPDATE delegations SET valid = tstzrange(lower(valid), lower(valid) + '1 us')",
        "INSERT INTO delegations VALUES (gen_random_uuid(), 'dave', 'erin', 'all', '[2020-01-01,)', NULL, 'x')",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await admin_pool.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.pool.execute("UPDATE delegations SET reason = 'x'")
    assert await _list(house, "bob") == [begun]
