"""The shapes of what is said about API keys: see `schemas` and `bodies`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.bodies import Text
from api.shapes import Scope, Strict, example
from recipes.model import Json

_KEY: dict[str, Json] = {
    "id": "5f0c2b5e3b8e4f0a",
    "service": "erp",
    "caller": "svc.erp",
    "description": "Orders of the ERP become requests.",
    "scopes": ["requests:read", "requests:write"],
    "state": "active",
    "made_by": "oscar",
    "made_at": "2026-11-28T09:12:03.118204Z",
    "expires_at": "2027-02-26T09:12:03.118204Z",
    "revoked_by": None,
    "revoked_at": None,
    "last_used_at": "2026-11-28T10:00:00.020117Z",
}


def _together(scopes: list[Scope]) -> list[Scope]:
    """What one key may have: nobody gives themselves a seat and decides on it."""
    if len(set(scopes)) < len(scopes):
        raise ValueError("must name each scope once")
    if {"org:write", "tasks:decide"} <= set(scopes):
        raise ValueError(
            "org:write and tasks:decide are not for one key, which could make itself an approver: give them to two services"
        )
    return scopes


class KeyBody(Strict):
    """A key for a service, which acts as `svc.` and its name. It counts for so many `days`."""

    model_config = example(
        service="erp",
        description="Orders of the ERP become requests.",
        scopes=["requests:read", "requests:write"],
        days=90,
    )
    service: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    scopes: Annotated[list[Scope], Field(min_length=1), AfterValidator(_together)]
    description: Annotated[Text, Field(max_length=500)] = ""
    days: Annotated[int, Field(ge=1, le=366)] = 90


class ApiKey(Strict):
    """A key of a service, without what signs in. `caller` is who it acts as; `last_used_at` is known to the
    minute."""

    model_config = example(**_KEY)
    id: str
    service: str
    caller: str
    description: str
    scopes: list[Scope]
    state: Literal["active", "expired", "revoked"]
    made_by: str
    made_at: datetime
    expires_at: datetime
    revoked_by: str | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewApiKey(ApiKey):
    """A key that was just made: `key` is what the service sends as its bearer token. Nobody can show it again."""

    model_config = example(
        **_KEY | {"last_used_at": None, "key": f"csk_5f0c2b5e3b8e4f0a_{'0123456789abcdef' * 4}"}
    )
    key: str


class ApiKeyPage(Strict):
    model_config = example(items=[_KEY], next_cursor=None)
    items: list[ApiKey]
    next_cursor: str | None
