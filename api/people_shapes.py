"""The shapes of what people add to a request, as the OpenAPI page shows them."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from recipes.model import Json

_REQUEST_ID = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _example(**values: Json) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [values]})


class Comment(_Strict):
    """What `user` said about a request."""

    model_config = _example(
        id="3c0c6d3e-7f5f-4f55-9b57-0b8f1de7c001",
        request_id=_REQUEST_ID,
        user="carol",
        text="The second offer is cheaper, and they deliver on Monday.",
        made_at="2026-03-02T09:20:00.123456Z",
    )
    id: UUID
    request_id: UUID
    user: str
    text: str
    made_at: datetime


class CommentPage(_Strict):
    items: list[Comment]
    next_cursor: str | None
