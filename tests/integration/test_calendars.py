"""Business calendars over HTTP: imported as versions that never change; what they time keeps its time."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from api import calendar_shapes, life_shapes, migrating, schemas, task_shapes
from recipes import business
from recipes.asks import Timing
from recipes.calendar_file import read_calendar
from recipes.happenings import Actor, Commanded
from recipes.model import BusinessDays, Json, Reminder
from storage import calendars, history, outbox
from storage.zones import zone
from tests.integration.house import PEOPLE, House, Workflow

PATH = "/v1/calendars"
TODAY = datetime.now(UTC).date()
WORK = f"""\
calendar: work
time_zone: Europe/Madrid
week: [mon, tue, wed, thu, fri]
hours: 09:00-18:00
covers: {{from: {TODAY - timedelta(days=30)}, to: {TODAY + timedelta(days=300)}}}
holidays: []
"""
# Every day of the next week and a half is free: nothing is due when it was before.
FREE = ", ".join(f"{{date: {TODAY + timedelta(days=n)}, name: free}}" for n in range(-2, 12))
CLOSED = WORK.replace("holidays: []", f"holidays: [{FREE}]")
RECIPE = """\
workflow: order
version: 1
owner: house
calendar: work
deadline: 9bd
steps:
  - id: boss
    approver: "{{ employee.manager }}"
    timeout: 2bd
    remind: 1bd before
    on_timeout: [escalate, {after: 1bd at 09:00 in assignee zone, action: escalate}]
"""
MACHINE = """\
workflow: draft
version: 1
owner: house
calendar: work
kind: state_machine
states:
  - {id: open, initial: true, timers: [{after: 2bd, fire: close}]}
  - {id: closed, final: true}
actions: [{id: close, from: open, to: closed}]
"""


async def imported(house: House, text: str, **query: Any) -> calendar_shapes.CalendarImported:
    response = await house.post(PATH, "root", "admin", content=text.encode(), params=query)
    assert response.status_code in (200, 201), response.text
    return calendar_shapes.CalendarImported.model_validate(response.json())


async def published(house: House, text: str = RECIPE) -> None:
    response = await house.post("/v1/recipes", "root", "admin", content=text)
    assert response.status_code == 201, response.text


def timed(text: str, since: datetime, days: int, at: int | None = None, who: str = "") -> datetime:
    """By the same rules, which tests/unit/recipes/test_business.py holds against `zoneinfo`."""
    span = BusinessDays(days, at, "assignee" if who else "calendar")
    clock = business.clock(read_calendar(text, zone), 1, zone, who or None)
    due = business.times(Timing("work", since, span), clock).due_at
    assert due is not None
    return due


@pytest.fixture
async def working(house: House) -> House:
    """A house with the calendar `work`, the workflow `order`, and carol in Tokyo."""
    people = [replace(person, time_zone="Asia/Tokyo") for person in PEOPLE if person.id == "carol"]
    await house.import_org((people[0],), ())
    await imported(house, WORK)
    await published(house)
    return house


# --- imports -------------------------------------------------------------------------------------


async def test_import_again_and_change(house: House) -> None:
    first = await house.post(PATH, "root", "admin", content=WORK)
    assert first.status_code == 201, first.text
    assert first.headers["location"] == "/v1/calendars/work?version=1"
    said = calendar_shapes.CalendarImported.model_validate(first.json())
    assert (said.name, said.version, said.unchanged) == ("work", 1, False)
    # What says the same is the same, however it is written.
    again = await house.post(PATH, "root2", "admin", content=WORK.replace("09:00-", "09:00 - "))
    assert (again.status_code, again.json()["version"], again.json()["unchanged"]) == (200, 1, True)
    tried = await imported(house, CLOSED, dry_run=True)
    assert (tried.version, tried.dry_run, tried.unchanged) == (2, True, False)
    assert (await imported(house, CLOSED)).version == 2
    assert (await imported(house, WORK)).version == 3
    events = await house.pool.fetch(
        "SELECT event_type, actor, payload FROM audit WHERE request_id = $1 ORDER BY seq",
        calendars.chain("work"),
    )
    assert [(e["event_type"], e["actor"]["user"], e["payload"]["version"]) for e in events] == [
        ("calendar.imported", "root", version) for version in (1, 2, 3)
    ]


async def test_list_and_show(house: House) -> None:
    await imported(house, WORK)
    await imported(house, CLOSED)
    await imported(house, WORK.replace("calendar: work", "calendar: other"))
    page = (await house.get(PATH, "alice", params={"limit": 1})).json()
    [first] = calendar_shapes.CalendarPage.model_validate(page).items
    assert (first.name, first.version) == ("other", 1)
    rest = await house.get(PATH, "alice", params={"cursor": page["next_cursor"]})
    [second] = calendar_shapes.CalendarPage.model_validate(rest.json()).items
    assert (second.name, second.version, second.versions) == ("work", 2, [2, 1])
    assert (second.hours, second.week[0], len(second.holidays)) == ("09:00-18:00", "mon", 14)
    shown = await house.get(f"{PATH}/work", "alice", params={"version": 1})
    assert calendar_shapes.Calendar.model_validate(shown.json()).holidays == []
    for path, detail in (
        (f"{PATH}/none", "there is no such calendar"),
        (f"{PATH}/none?version=2", "there is no such calendar"),
        (f"{PATH}/work?version=7", "work has no version 7 (it has 1, 2)"),
    ):
        missing = await house.get(path, "alice")
        assert (missing.status_code, missing.json()["detail"]) == (404, detail)


async def test_only_administrators_import(house: House) -> None:
    for roles in ((), ("auditor",)):
        response = await house.post(PATH, "alice", *roles, content=WORK)
        assert response.status_code == 403
    assert await house.pool.fetchval("SELECT count(*) FROM calendars") == 0


async def test_all_that_is_wrong_is_told_at_once(house: House) -> None:
    bad = WORK.replace("Madrid", "Madird").replace("[mon", "[man").replace("holidays", "holiday")
    headers = {"X-File-Name": "work.yaml"}
    response = await house.post(PATH, "root", "admin", content=bad, headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"] == "the calendar has 4 errors"
    found = [(error["file"], error["line"], error["path"]) for error in response.json()["errors"]]
    assert found == [
        ("work.yaml", 1, ""),
        ("work.yaml", 2, "time_zone"),
        ("work.yaml", 3, "week[0]"),
        ("work.yaml", 6, "holiday"),
    ]
    assert all(error["fix"] for error in response.json()["errors"])


async def test_a_version_never_changes(house: House, admin_pool: asyncpg.Pool) -> None:
    await imported(house, WORK)
    for statement in (
        "UPDATE calendars SET version = 2",
        "DELETE FROM calendars",
        "TRUNCATE calendars",
    ):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await admin_pool.execute(statement)


async def test_two_imports_at_once(house: House) -> None:
    """Each gets a number of its own; of the same content there is one version."""
    texts = [WORK.replace("18:00", f"18:{minute:02}") for minute in (0, 10, 20, 30, 0, 10)]
    found = await asyncio.gather(*(imported(house, text) for text in texts))
    rows = await house.pool.fetch("SELECT version, sha256 FROM calendars ORDER BY version")
    assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    assert {done.version for done in found} == {row["version"] for row in rows}
    assert len({row["sha256"] for row in rows}) == 4
    assert all(one["sha256"] != other["sha256"] for one, other in pairwise(rows))


# --- publication ---------------------------------------------------------------------------------


async def test_a_recipe_needs_its_calendar(house: House) -> None:
    response = await house.post("/v1/recipes", "root", "admin", content=RECIPE)
    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert (error["path"], error["message"]) == ("calendar", "no calendar is called `work`")
    checked = await house.post("/v1/recipes/check", "alice", content=RECIPE)
    assert checked.json()["valid"] is False
    body: Json = {"recipe": RECIPE, "inputs": {}, "requester": "alice"}
    tried = await house.post("/v1/recipes/simulate", "root", "admin", json=body)
    assert tried.status_code == 422
    await imported(house, WORK)
    await published(house)


# --- what is timed -------------------------------------------------------------------------------


async def task_of(house: House, flow: Workflow, who: str) -> task_shapes.Task:
    response = await house.get(f"/v1/tasks/{flow.task}", who)
    assert response.status_code == 200, response.text
    return task_shapes.TaskShown.model_validate(response.json())


async def test_running_times_stay_and_new_ones_follow(working: House) -> None:
    house = working
    flow = await house.begun("alice", "order", {})
    [task] = flow.state.tasks
    shown = await task_of(house, flow, "bob")
    assert shown.due_at == task.due_at == timed(WORK, task.opened_at, 2)
    assert shown.due_by is not None
    assert shown.due_by.model_dump() == {
        "calendar": "work",
        "version": 1,
        "time_zone": "Europe/Madrid",
        "uncovered": False,
    }
    tried = await imported(house, CLOSED, dry_run=True)
    assert tried.on_older_versions.model_dump() == {"tasks": 1, "requests": 1}
    done = await imported(house, CLOSED)
    assert done.on_older_versions.model_dump() == {"tasks": 1, "requests": 1}
    assert (await task_of(house, flow, "bob")).due_at == shown.due_at
    newer = await house.begun("alice", "order", {})
    [other] = newer.state.tasks
    assert other.due_at == timed(CLOSED, other.opened_at, 2)
    assert other.due_at != task.due_at
    assert (await task_of(house, newer, "bob")).due_by.version == 2  # type: ignore[union-attr]
    # The older one's next level is timed by the calendar as it is then, where its assignee is.
    assert task.due_at is not None
    await flow.tick(task.due_at)
    [next_one] = flow.state.tasks
    assert next_one.assignment.user == "carol"
    assert next_one.due_at == timed(CLOSED, task.due_at, 1, 540, "Asia/Tokyo")
    assert next_one.due_by is not None
    assert (next_one.due_by.version, next_one.due_by.time_zone) == (2, "Asia/Tokyo")
    row = await house.pool.fetchrow(
        "SELECT payload FROM audit WHERE request_id = $1 AND event_type = 'task.assigned'"
        " ORDER BY seq DESC LIMIT 1",
        UUID(flow.state.request_id),
    )
    assert row is not None
    assert row["payload"]["due_by"]["version"] == 2
    assert (await imported(house, CLOSED)).on_older_versions.model_dump() == {
        "tasks": 0,
        "requests": 1,
    }


async def test_a_deadline_is_known_at_the_submission(working: House) -> None:
    made = await working.submit("alice", "order", {})
    request = schemas.Request.model_validate(
        (await working.get(f"/v1/requests/{made['id']}", "alice")).json()
    )
    assert request.deadline_at == timed(WORK, request.created_at, 9)
    assert request.deadline_by is not None
    assert (request.deadline_by.calendar, request.deadline_by.version) == ("work", 1)
    assert made["deadline_by"] == request.deadline_by.model_dump()
    # Whoever starts the workflow, and whenever: it is the same one.
    await imported(working, CLOSED)
    again = await outbox.start_input(working.pool, request.id)
    assert again == working.delivery.starts[-1]
    events = (await working.get(f"/v1/requests/{made['id']}/events", "alice")).json()["items"]
    assert events[0]["payload"]["deadline_by"]["version"] == 1


async def test_timers_of_a_state_machine(house: House) -> None:
    await imported(house, WORK)
    await published(house, MACHINE)
    flow = await house.begun("alice", "draft", {})
    [timer] = flow.state.timers
    assert timer.due_by is not None
    assert timer.at > flow.state.submitted_at + timedelta(days=1)
    done = await imported(house, CLOSED)
    assert done.on_older_versions.model_dump() == {"tasks": 0, "requests": 1}
    assert flow.state.timers == (timer,)
    await flow.tick(timer.at)
    assert flow.state.state == "approved"
    again = await imported(house, WORK)
    assert again.on_older_versions.model_dump() == {"tasks": 0, "requests": 0}


async def test_what_the_calendar_does_not_cover_is_said(house: House) -> None:
    old = WORK.replace(str(TODAY + timedelta(days=300)), str(TODAY - timedelta(days=1)))
    await imported(house, old)
    await published(house)
    flow = await house.begun("alice", "order", {})
    shown = await task_of(house, flow, "bob")
    assert shown.due_by is not None
    assert shown.due_by.uncovered


async def test_whoever_is_chosen_for_a_seat_that_has_no_task(working: House) -> None:
    text = RECIPE.replace('"{{ employee.manager }}"', "role:empty").replace("order", "empty")
    await published(working, text)
    flow = await working.begun("alice", "empty", {})
    assert flow.state.tasks == ()
    now = datetime.now(UTC)
    given = Commanded(str(uuid4()), "reassign", Actor("root"), now, "so", "boss", "carol")
    await flow.befall(given, now)
    [task] = flow.state.tasks
    assert task.due_at == timed(WORK, now, 2)


async def test_a_simulation_tells_the_same(working: House) -> None:
    at = datetime.now(UTC) + timedelta(days=100)
    body: Json = {"inputs": {}, "otherwise": "wait", "at": at.isoformat()}
    path = "/v1/recipes/order/versions/1/simulate"
    response = await working.post(path, "alice", json=body)
    found = life_shapes.Simulated.model_validate(response.json())
    assert found.deadline_at == timed(WORK, at, 9)
    assert found.deadline_by is not None
    first = found.path[0].tasks[0]
    assert first.due_at == timed(WORK, at, 2)
    assert first.due_by is not None
    assert first.due_by.version == 1
    assert len(first.reminded_at) == 1


async def test_times_over_the_database_are_those_of_the_rules(working: House) -> None:
    """The calendar comes back as it went in, and the assignee's zone is theirs."""
    [row] = await calendars.newest(working.pool, "", 10)
    assert calendars.read(row) == read_calendar(WORK, zone)
    since = datetime(2026, 3, 6, 14, tzinfo=UTC)
    timing = Timing("work", since, BusinessDays(1, 540, "assignee"), (Reminder(3600),))
    found = await calendars.times(working.pool, timing, "carol")
    # It is Friday 23:00 in Tokyo.
    assert found.due_at == datetime(2026, 3, 9, tzinfo=UTC)
    with pytest.raises(LookupError, match="no calendar none"):
        await calendars.times(working.pool, replace(timing, calendar="none"))


async def test_another_version_may_have_another_deadline(
    working: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown; and what was committed before can still be applied again, from the first one."""
    monkeypatch.setattr(migrating, "PATIENCE", 0.01)
    flow = await working.begun("alice", "order", {})
    first = flow.state
    await published(working, RECIPE.replace("version: 1", "version: 2").replace("9bd", "12bd"))
    await imported(working, CLOSED)
    body: Json = {"to": 2, "comment": "more time"}
    path = "/v1/recipes/order/versions/1/migrate"
    response = await working.post(path, "root", "admin", json=body)
    [item] = life_shapes.Migrated.model_validate(response.json()).items
    assert item.outcome == "recorded"
    await flow.befall(working.delivery.signals[-1][1])
    assert flow.state.deadline_at == timed(CLOSED, first.submitted_at, 12)
    shown = (await working.get(f"/v1/requests/{first.request_id}", "alice")).json()
    request = schemas.Request.model_validate(shown)
    assert request.deadline_at == flow.state.deadline_at != first.deadline_at
    assert request.deadline_by is not None
    assert request.deadline_by.version == 2
    start = await outbox.start_input(working.pool, request.id)
    assert (start.state.deadline_at, start.state.deadline_by) == (
        first.deadline_at,
        first.deadline_by,
    )
    now = await working.pool.fetchval("SELECT clock_timestamp()")
    past = await history.state_at(working.pool, request.id, now)
    assert past.state.deadline_at == flow.state.deadline_at
