"""What the shapes of bodies and answers have in common: nothing unknown, nothing changed, and an example."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from recipes.model import Json

A_TASK = "0b7c8a52-6d0e-5c55-8d0b-7f0a1c6a2e90"
A_REQUEST = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"
"""The ids that examples have, so that they fit together."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def example(**values: Json) -> ConfigDict:
    """The configuration of a `Strict` shape that the OpenAPI page shows by this example."""
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [values]})


TaskState: TypeAlias = Literal[
    "open", "decided", "expired", "superseded", "cancelled", "reassigned"
]

Scope: TypeAlias = Literal[
    "requests:read",
    "requests:write",
    "tasks:decide",
    "events:send",
    "feed:read",
    "audit:read",
    "recipes:write",
    "org:write",
    "admin",
]
"""What the key of a service opens: see `scopes`."""
