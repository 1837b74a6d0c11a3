"""API keys: how services sign in. Made and revoked by administrators, in person."""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import SERVICE
from api.authorize import House, authorize
from api.http import Route, answer, page, read, read_cursor, takes
from api.key_shapes import ApiKey, ApiKeyPage, KeyBody, NewApiKey
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from api.views import Row
from recipes.model import Json
from storage import api_keys, commands
from storage.api_keys import NewKey

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=Route)

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC), "")


@router.post(
    "",
    status_code=201,
    response_model=NewApiKey,
    summary="Make an API key",
    openapi_extra=takes(KeyBody),
)
async def make_key(request: Request) -> Response:
    """For a service, by an administrator in person. `key` is shown in this answer alone. To replace a key
    without a gap, make the next one for the same service, then revoke the old one."""
    caller = await caller_of(request)
    body = await read(request, KeyBody)
    actor = authorize(caller, "keys", House())
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        ends = at + timedelta(days=body.days)
        kept = NewKey(
            id=key_id,
            service=body.service,
            description=body.description,
            scopes=tuple(body.scopes),
            digest=sha256(secret.encode()).digest(),
            made_at=at,
            expires_at=ends,
        )
        row = await api_keys.make(connection, kept, actor)
    return answer(_shown(row) | {"key": f"csk_{key_id}_{secret}"}, 201)


@router.get("", response_model=ApiKeyPage, summary="List API keys")
async def list_keys(
    request: Request,
    *,
    ended: Annotated[
        bool, Query(description="Also those that have expired or were revoked.")
    ] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The newest first, for administrators."""
    caller = await caller_of(request)
    authorize(caller, "keys", House())
    before = _LATEST if cursor is None else tuple(read_cursor(cursor, "time", "text"))
    if before[0] is None:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await api_keys.newest(
        services(request).pool, (before[0], before[1]), limit + 1, ended=ended
    )
    return page([_shown(row) for row in found], limit, lambda item: [item["made_at"], item["id"]])


@router.post("/{key_id}/revoke", response_model=ApiKey, summary="Revoke an API key")
async def revoke_key(request: Request, key_id: KeyId) -> Response:
    """By an administrator in person: the next call with it is refused. 409 if it was revoked before."""
    caller = await caller_of(request)
    actor = authorize(caller, "keys", House())
    async with services(request).pool.acquire() as connection, connection.transaction():
        at = await commands.now(connection)
        row = await api_keys.revoke(connection, key_id, actor, at)
        if row is None:
            if await api_keys.one(connection, key_id) is None:
                raise errors.not_found("API key")
            raise errors.conflict("already_revoked", "the key was revoked before")
    return answer(_shown(row))


def _shown(row: Row) -> dict[str, Json]:
    names = ("id", "service", "description", "scopes", "state", "made_by", "made_at", "expires_at")
    shown: dict[str, Json] = {name: row[name] for name in names}
    shown["caller"] = SERVICE + row["service"]
    return shown | {name: row[name] for name in ("revoked_by", "revoked_at", "last_used_at")}
