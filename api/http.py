"""Reading bodies and parameters, and writing answers: JSON both ways, nothing unknown accepted."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from api import errors, once
from api.auth import Caller
from recipes.model import Json

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")

BODIES: dict[str, type[BaseModel]] = {}
"""Every model that `takes` documented: the OpenAPI page needs their schemas."""


class Route(APIRoute):
    """A route that refuses query parameters it does not know, by name, and carries out a call with an
    `Idempotency-Key` once."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        assert self.methods is not None
        [method] = self.methods
        self._way = once.way_of(f"{method} {path}")
        if self._way != "nothing":
            extra = self.openapi_extra or {}
            self.openapi_extra = extra | {"parameters": [*extra.get("parameters", ()), once.ONCE]}

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _parameters(self.dependant)

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request, known)
            return await once.carried_out(request, self._way, handle, self.settled)

        return strict

    async def settled(self, request: Request, caller: Caller, recorded: once.Recorded) -> Response:
        """What came of a command, for routes that record any."""
        raise NotImplementedError(self.path)


def _parameters(dependant: Dependant) -> set[str]:
    """The query parameters of a handler and of what it depends on."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*map(_parameters, dependant.dependencies))


def _check_query(request: Request, known: set[str]) -> None:
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        allowed = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
        found = [{"parameter": name, "message": "unknown query parameter"} for name in unknown]
        raise errors.invalid(f"unknown query parameter {', '.join(unknown)}; {allowed}", found)
    for name, value in request.query_params.multi_items():
        if "\x00" in value:
            raise errors.invalid_parameter(name, "must not hold a NUL character")


def header(name: str, description: str) -> dict[str, Any]:
    """An optional header, as an OpenAPI parameter."""
    schema = {"type": "string", "maxLength": 255}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def takes(
    model: type[BaseModel], *headers: dict[str, Any], required: bool = True
) -> dict[str, Any]:
    """`openapi_extra` for a route that reads this body and these headers."""
    BODIES[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {"application/json": {"schema": schema}}
    body = {"required": required, "content": content}
    return {"requestBody": body, "parameters": list(headers)}


async def read(request: Request, model: type[Model]) -> Model:
    """The body as `model`. An empty body counts as `{}`. Problem 400 or 422."""
    raw = await request.body()
    try:
        value = from_json(raw or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise errors.Problem(400, "not_json", f"the body is not JSON: {error}") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise errors.body_errors(error.errors(include_url=False, include_input=False)) from None


def answer(value: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(value), status, headers, "application/json")


def page(
    items: list[dict[str, Json]], limit: int, key: Callable[[dict[str, Json]], list[Json]]
) -> Response:
    """A page of a list, from one item more than fits: `key` says where the next page begins."""
    return answer({"items": items[:limit], "next_cursor": next_cursor(items, limit, key)})


def next_cursor(items: Sequence[Item], limit: int, key: Callable[[Item], list[Json]]) -> str | None:
    """Where the page after the first `limit` begins, from one item more than fits; None if there is none."""
    return cursor(key(items[limit - 1])) if len(items) > limit else None


def cursor(values: list[Json]) -> str:
    return urlsafe_b64encode(to_json(values)).decode().rstrip("=")


def utc(moment: datetime) -> datetime:
    """In UTC: Postgres would not take a year 0. OverflowError is not one that pydantic catches."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


Moment = Annotated[AwareDatetime, AfterValidator(utc)]

_KEYS = {
    "time": TypeAdapter(Moment | None),
    "uuid": TypeAdapter(UUID),
    "text": TypeAdapter(str),
    "number": TypeAdapter(int),
}


def read_cursor(text: str, *kinds: str) -> list[Any]:
    """The values `cursor` put in, as `time` (or None), `uuid`, `text` or `number`. Problem 422."""
    try:
        values = from_json(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError(text)
        found = [
            _KEYS[kind].validate_python(value) for kind, value in zip(kinds, values, strict=True)
        ]
    except (ValueError, binascii.Error, RecursionError):
        raise errors.invalid_parameter("cursor", "is not one that this list gave") from None
    if any(isinstance(value, str) and "\x00" in value for value in found):
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    return found
