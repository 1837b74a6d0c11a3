"""A request that met a mirror too old to be asked: it waits with an incident, and goes on by itself."""

from datetime import timedelta

from pydantic import TypeAdapter

from contract.messages import Message
from recipes.happenings import Rechecked
from storage import mirror, org
from storage.mirror import Success
from storage.pool import Pool
from tests.integration.house import House

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


async def test_it_waits_and_goes_on_by_itself(house: House, admin_pool: Pool) -> None:
    await mirror.declare(house.pool, "https://hr.example.org", timedelta(hours=24))
    await admin_pool.execute("UPDATE directory_mirror SET stale_after = now() - interval '1 hour'")
    flow = await house.begun()
    [incident] = flow.state.incidents
    assert incident.kind == "DirectoryUnavailable"
    assert flow.state.tasks == ()

    async with house.pool.acquire() as connection, connection.transaction():
        at = await org.lock(connection)
        before = await mirror.hold(connection)
        assert before is not None
        await mirror.succeeded(connection, at, before, Success(timedelta(hours=24), 6))
    row = await house.pool.fetchrow("SELECT message FROM outbox WHERE kind = 'signal'")
    assert row is not None
    told = _MESSAGE.validate_python(row["message"])
    assert isinstance(told, Rechecked)
    await flow.befall(told)
    assert flow.state.incidents == ()
    [task] = flow.state.tasks
    assert task.assignment.user == "bob"
