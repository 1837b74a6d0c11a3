"""What waits for people, as the relay's figures tell it."""

from uuid import UUID

from relay import measuring
from tests.integration.house import House
from tests.integration.test_incidents import stuck

GAUGES = (measuring.open_tasks, measuring.overdue, measuring.incidents)


def _told(workflow: str) -> list[float]:
    return [gauge.labels(workflow)._value.get() for gauge in GAUGES]


async def test_open_tasks_overdue_ones_and_incidents(house: House) -> None:
    await house.publish(stuck())
    late, _ = await house.begun(), await house.begun()
    await house.begun(workflow="shared", inputs={})
    await house.begun(workflow="stuck", inputs={})
    request = UUID(late.state.request_id)
    await house.pool.execute("UPDATE tasks SET due_at = opened_at WHERE request_id = $1", request)
    await measuring.measure(house.pool, 0)
    told = {name: _told(name) for name in ("leave", "shared", "stuck")}
    assert told == {"leave": [2, 1, 0], "shared": [1, 0, 0], "stuck": [0, 0, 1]}
    # Of what nothing waits any more is told so, and not left out.
    await house.decide("dave", (await _only_task(house, "shared")))
    # What was just counted is not counted again, by none of the relays.
    await measuring.measure(house.pool, 3600)
    assert _told("shared") == [1, 0, 0]
    await measuring.measure(house.pool, 0)
    assert _told("shared") == [0, 0, 0]


async def _only_task(house: House, workflow: str) -> str:
    return str(
        await house.pool.fetchval(
            "SELECT t.id FROM tasks t JOIN requests r ON r.id = t.request_id WHERE r.workflow = $1",
            workflow,
        )
    )
