"""Delegations as tests set them, and the directory as it is asked. For tests of who decides."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from recipes.asks import Answer, Assignment, Hop, Refusal
from recipes.model import Json
from storage import resolution
from storage.org import PersonRow
from storage.resolution import About
from tests.integration.house import House

TICK = timedelta(microseconds=1)


def soon(hours: float = 1) -> datetime:
    """A time to come, to the second."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)


async def posted(house: House, who: str, to: str, *roles: str, **more: Any) -> httpx.Response:
    body: dict[str, Json] = {"delegate": to} | {
        name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in more.items()
    }
    return await house.post("/v1/org/delegations", who, *roles, json=body)


async def delegate(house: House, who: str, to: str, **more: Any) -> str:
    """`who` delegates to `to`; the id."""
    response = await posted(house, who, to, **more)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def delegated(house: House, who: str, to: str) -> None:
    """`who` delegates everything to `to`, as the API lets nobody where that goes in a circle: there may be one
    from before, or by somebody who came back."""
    await house.pool.execute(
        """INSERT INTO delegations (id, delegator, delegate, valid, created_by)
           VALUES (gen_random_uuid(), $1, $2, tstzrange(now(), NULL), $1)""",
        who,
        to,
    )


async def end(
    house: House, who: str, delegation: str | UUID, *roles: str, **more: Json
) -> httpx.Response:
    return await house.post(f"/v1/org/delegations/{delegation}/end", who, *roles, json=more)


async def ask(
    house: House,
    reference: str,
    requester: str = "alice",
    workflow: str = "leave",
    at: datetime | None = None,
) -> Answer:
    about = About(requester, workflow, at or datetime.now(UTC))
    return await resolution.approver(house.pool, reference, about)


async def asked(house: House, reference: str, requester: str = "alice", **more: Any) -> Assignment:
    """Who is to decide."""
    found = (await ask(house, reference, requester, **more)).assignment
    assert found is not None
    return found


async def refused(house: House, reference: str, **more: Any) -> Refusal:
    """Why nobody is."""
    found = (await ask(house, reference, **more)).refusal
    assert found is not None
    return found


def rules(chain: tuple[Hop, ...]) -> list[tuple[str, str | None]]:
    return [(hop.rule, hop.user) for hop in chain]


async def row_of(house: House, names: str) -> None:
    """People named by single letters, the last of them the manager of everybody else."""
    people = [
        PersonRow(name, name, manager=None if name == names[-1] else names[-1]) for name in names
    ]
    await house.import_org(tuple(people), ())


async def put_under(house: House, person: str, manager: str) -> None:
    """As no import would: a directory may have a circle of managers from before."""
    async with house.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """UPDATE manager_lines SET valid = tstzrange(lower(valid), now())
                WHERE person = $1 AND upper_inf(valid)""",
            person,
        )
        await connection.execute(
            "INSERT INTO manager_lines VALUES ($1, $2, tstzrange(now(), NULL))", person, manager
        )
