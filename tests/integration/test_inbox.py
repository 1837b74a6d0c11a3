"""The inbox: mine and my roles', soonest due first, the same however much is open."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from api import task_shapes
from recipes.happenings import Actor, Commanded
from recipes.model import Json, Level
from storage import tasks
from storage.org import RoleRow
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave, shared


async def _inbox(house: House, who: str, **query: Any) -> list[task_shapes.Task]:
    """All pages of the list, read to the end."""
    found: list[task_shapes.Task] = []
    while True:
        response = await house.get("/v1/tasks", who, params=query)
        assert response.status_code == 200, response.text
        page = task_shapes.TaskPage.model_validate(response.json())
        assert len(page.items) <= query.get("limit", 50)
        found += page.items
        if page.next_cursor is None:
            return found
        query["cursor"] = page.next_cursor


def _due(hours: int, version: int) -> Any:
    ballot = leave().steps[0].ballots[0]  # type: ignore[union-attr]
    timed = type(ballot)(
        ballot.id, approver=ballot.approver, levels=(Level(hours * 3600, "reject"),)
    )
    step = type(leave().steps[0])("manager", (timed,), employee_paths=("manager",))  # type: ignore[call-arg]
    return leave(version, steps=(step,))


async def test_mine_and_my_roles_soonest_first(house: House) -> None:
    undated = await house.begun("carol", "shared", {})
    await house.publish(_due(48, 2))
    late = await house.begun()
    await house.publish(_due(1, 3))
    soon = await house.begun()
    assert [str(task.id) for task in await _inbox(house, "bob")] == [
        soon.task,
        late.task,
        undated.task,
    ]
    [task] = await _inbox(house, "dave")
    assert (str(task.id), task.assignee, task.candidates) == (
        undated.task,
        None,
        ["role:hr", "user:bob"],
    )
    assert task.requester == "carol"
    for query in ({"limit": "9"}, {"workflow": "shared"}):
        told = await house.get("/v1/tasks", "dave", params=query | {"brief": True})
        [brief] = task_shapes.BriefPage.model_validate(told.json()).items
        names = task_shapes.BriefTask.model_fields
        assert brief.model_dump() == {name: getattr(task, name) for name in names}
    refused = await house.get("/v1/tasks", "dave", params={"brief": True, "state": "all"})
    assert refused.json()["errors"][0]["parameter"] == "brief"
    assert await _inbox(house, "alice") == []
    assert await _inbox(house, "root") == []


async def test_a_shared_task_of_my_own_request_is_not_mine_to_decide(house: House) -> None:
    flow = await house.begun("dave", "shared", {})
    assert await _inbox(house, "dave") == []
    assert [str(task.id) for task in await _inbox(house, "erin")] == [flow.task]


async def test_a_task_shared_twice_with_me_is_there_once(house: House) -> None:
    await house.publish(shared("role:hr", "user:dave", workflow="twice"))
    flow = await house.begun("alice", "twice", {})
    assert [str(task.id) for task in await _inbox(house, "dave")] == [flow.task]


async def test_roles_count_as_of_now(house: House) -> None:
    flow = await house.begun("alice", "shared", {})
    await house.import_org((), (RoleRow("hr", ("frank",)),))
    assert await _inbox(house, "dave") == []
    assert [str(task.id) for task in await _inbox(house, "frank")] == [flow.task]


async def test_closed_and_all_in_pages(house: House) -> None:
    flows: list[Workflow] = []
    for number in range(9):
        workflow = ("leave", "shared")[number % 2]
        flows.append(await house.begun("alice", workflow, None if number % 2 == 0 else {}))
    for flow in flows[:5]:
        assert (await house.decide("bob", flow.task)).status_code == 200
    cancelled = Commanded(str(uuid4()), "cancel", Actor("alice"), datetime.now(UTC))
    gone = flows[6].task
    await flows[6].befall(cancelled)
    closed_ids = [gone, *(flow.task for flow in flows[4::-1])]
    opened_ids = {flows[5].task, flows[7].task, flows[8].task}
    for limit in (1, 2, 3, 4, 50):
        opened = await _inbox(house, "bob", limit=limit)
        assert {str(task.id) for task in opened} == opened_ids
        closed = await _inbox(house, "bob", state="closed", limit=limit)
        assert [str(task.id) for task in closed] == closed_ids
        everything = await _inbox(house, "bob", state="all", limit=limit)
        assert everything == opened + closed
    assert closed[0].state == "cancelled"
    assert closed[1].decision is not None
    assert await _inbox(house, "dave", state="closed") == []


async def test_cursors_of_other_lists_are_refused(house: House) -> None:
    before_time = "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwgIjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCJd"
    for cursor in ("zzz", "c.zzz", "c.WzEsMl0", "W251bGwsICJ4Il0", "WyIiXQ", "é", before_time):
        for state in ("open", "closed", "all"):
            query: dict[str, Json] = {"state": state, "cursor": cursor}
            response = await house.get("/v1/tasks", "bob", params=query)
            assert response.status_code == 422, (cursor, state, response.text)


async def test_many_tasks_are_read_by_index(house: House, admin_pool: Pool) -> None:
    """No scan and no sort of what is open, with 30,000 open tasks: it must stay flat."""
    await house.begun()
    await admin_pool.execute(
        """
        INSERT INTO people (id, name) SELECT 'p' || i, 'P' FROM generate_series(0, 5000) i;
        INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, state, seq)
        SELECT md5('r' || i)::uuid, 'leave', 1, 'p' || i % 500, 't', '{}', 'd', 'pending', 1
          FROM generate_series(1, 30000) i;
        INSERT INTO tasks (id, request_id, step, seat, assignee, candidates, digest, opened_at, due_at)
        SELECT md5('t' || i)::uuid, md5('r' || i)::uuid, 's', 's',
               CASE WHEN i % 10 > 0 THEN 'p' || i % 501 END,
               CASE WHEN i % 10 = 0 THEN ARRAY['role:hr'] END,
               'd', now(), now() + i * interval '1 minute'
          FROM generate_series(1, 30000) i;
        INSERT INTO task_candidates SELECT 'role:hr', due_at, id FROM tasks WHERE candidates IS NOT NULL;
        INSERT INTO delegations (id, delegator, delegate, scope, valid, created_by)
        SELECT gen_random_uuid(), 'p' || i, 'p' || i - 499, 'all', tstzrange(clock_timestamp(), NULL), 'x'
          FROM generate_series(500, 5000) i;
        INSERT INTO delegations (id, delegator, delegate, scope, valid, created_by)
        VALUES (gen_random_uuid(), 'erin', 'frank', 'all', tstzrange(clock_timestamp(), NULL), 'x');
        ANALYZE;
        """
    )
    first = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    for who, expected in (("dave", 51), ("p7", 51), ("frank", 51), ("nobody", 0)):
        query = tasks._INBOX[51]
        [[plan]] = await admin_pool.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", who, *first)
        nodes = list(_nodes(plan[0]["Plan"]))
        scanned = [node for node in nodes if node["Node Type"] == "Seq Scan"]
        few = {"role_members", "decisions"}
        assert {node["Relation Name"] for node in scanned} <= few, scanned
        rows = max(node["Actual Rows"] for node in nodes)
        assert rows <= 3 * 51, rows
        assert len(await tasks.inbox(house.pool, who, 51, first)) == expected
    found = await _inbox(house, "dave", limit=200)
    assert len(found) == 3000
    dues = [task.due_at for task in found if task.due_at is not None]
    assert dues == sorted(dues)
    assert dues[0] < datetime.now(UTC) + timedelta(hours=1)


def _nodes(plan: Json) -> Any:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
