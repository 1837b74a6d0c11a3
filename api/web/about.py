"""All that a page shows about one request, asked of the API at once."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from api.web.desk import Desk, Refused

_SIMILAR = 5
_LOOKED_AT = 15
_OVER = frozenset(("approved", "rejected", "cancelled", "expired"))


@dataclass(frozen=True, slots=True)
class About:
    """`similar` are this requester's last requests of the same workflow that are over. `person` is the
    requester as the directory knows them, if it does."""

    request: Mapping[str, Any]
    recipe: Mapping[str, Any]
    similar: list[dict[str, Any]]
    person: Mapping[str, Any]


async def about(desk: Desk, found: Mapping[str, Any]) -> About:
    """About the request that a task, or the request itself, is of. Refused."""
    request_id = found.get("request_id") or found["id"]
    workflow, requester = found["workflow"], found["requester"]
    request, recipe, past, person = await asyncio.gather(
        desk.get(f"/v1/requests/{request_id}"),
        desk.get(f"/v1/recipes/{workflow}/versions/{found['version']}"),
        desk.get("/v1/requests", workflow=workflow, requester=requester, limit=_LOOKED_AT),
        if_there(desk.get(f"/v1/org/people/{requester}")),
    )
    similar = [
        each for each in past["items"] if each["id"] != request_id and each["state"] in _OVER
    ]
    nobody = {"id": requester, "name": requester, "department": None, "email": None}
    return About(request, recipe, similar[:_SIMILAR], person or nobody)


async def if_there(answer: Awaitable[Any]) -> Any:
    """The answer, or None where the API refuses: for what a page can do without."""
    try:
        return await answer
    except Refused:
        return None
