"""The OpenAPI page: FastAPI's own, with what that leaves out."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from typing_extensions import override

from api import errors, examples, problem_shapes
from api.http import BODIES
from recipes.model import Json


class Documented(FastAPI):
    """FastAPI, with what its own OpenAPI page leaves out: bodies, problems, bearer tokens, examples."""

    @override
    def openapi(self) -> dict[str, Json]:
        if self.openapi_schema is None:
            self.openapi_schema = self._described()
        return self.openapi_schema

    def _described(self) -> dict[str, Json]:
        page = get_openapi(
            title=self.title,
            version=self.version,
            description=self.description,
            routes=self.routes,
        )
        components = page.setdefault("components", {})
        bodies = [*BODIES.values(), problem_shapes.ProblemDetails]
        _, shapes = models_json_schema(
            [(model, "validation") for model in bodies], ref_template="#/components/schemas/{model}"
        )
        known = components.setdefault("schemas", {})
        known |= shapes["$defs"]
        for name in ("HTTPValidationError", "ValidationError"):
            known.pop(name, None)
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT, or the API key of a service",
            }
        }
        own = dict(_own_examples(BaseModel))
        for name, shape in known.items():
            _exemplify(name, shape, known, own)
        for path, operations in page["paths"].items():
            for operation in operations.values():
                _describe(path, operation)
                _show(operation, known)
        return page


_BEARER: dict[str, list[str]] = {"bearer": []}
_PROBLEM = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}


def _describe(path: str, operation: dict[str, Json]) -> None:
    """Every operation's problems in their media type; every one under /v1 needs a token."""
    answers: dict[str, Json] = operation["responses"]
    answers.pop("422", None)
    expected = {"503": "Not available now; try again after `Retry-After` seconds."}
    if path.startswith("/v1/") or path == "/codec/decode":
        operation["security"] = [_BEARER]
        expected |= {
            "401": "No good bearer token.",
            "422": "Something in the input is not valid.",
            "429": "Too many calls; try again after `Retry-After` seconds.",
        }
        if "{" in path:
            expected["404"] = "Not there, or not for you to see."
        if "requestBody" in operation:
            expected |= {
                "400": "The body is not JSON.",
                "403": "Not allowed; the detail says why.",
                "409": "Too late, or against what is so now.",
                "413": "The body is longer than 1 MiB.",
            }
    for status, text in expected.items():
        response: dict[str, Json] = {"description": text}
        answers.setdefault(status, response)
    for status, response in answers.items():
        if status >= "400":
            documented: dict[str, Json] = response.pop("content", {"application/json": _PROBLEM})
            response["content"] = {errors.MEDIA_TYPE: dict(next(iter(documented.values())))}


def _own_examples(model: type[BaseModel]) -> Iterator[tuple[str, Json]]:
    """The examples of our shapes by their names. The page that FastAPI makes has left out what is null in
    them."""
    for shape in model.__subclasses__():
        extra = shape.model_config.get("json_schema_extra")
        if shape.__module__.startswith("api.") and isinstance(extra, dict) and "examples" in extra:
            [found, *_] = cast("list[Json]", extra["examples"])
            yield shape.__name__, found
        yield from _own_examples(shape)


def _exemplify(
    name: str, shape: dict[str, Any], known: dict[str, Any], own: Mapping[str, Json]
) -> None:
    """Give a shape its example: its own, one that stands elsewhere, or of a list one made of its item's."""
    found = own.get(name, examples.SHAPES.get(name))
    if found is not None:
        shape["examples"] = [found]
        return
    properties = shape.get("properties", {})
    item = _name(properties.get("items", {}).get("items", {}))
    if "next_cursor" in properties and item in known:
        _exemplify(item, known[item], known, own)
        if "examples" in known[item]:
            page: Json = {"items": known[item]["examples"][:1], "next_cursor": None}
            shape["examples"] = [page]


def _show(operation: dict[str, Any], known: dict[str, Any]) -> None:
    """An example beside every body and every answer."""
    bodies = operation.get("requestBody", {}).get("content", {})
    for media_type, shown in bodies.items():
        _put_example(media_type, shown, known)
    for status, response in operation["responses"].items():
        for media_type, shown in response.get("content", {}).items():
            refusal = examples.problem(status) if media_type == errors.MEDIA_TYPE else None
            if refusal is not None and _name(shown["schema"]) == "ProblemDetails":
                shown["example"] = refusal
            else:
                _put_example(media_type, shown, known)


def _put_example(media_type: str, shown: dict[str, Any], known: dict[str, Any]) -> None:
    if "example" in shown or "examples" in shown:
        return
    schema = shown.setdefault("schema", {"type": "string"})
    found = known.get(_name(schema), schema).get("examples")
    if found is None and "anyOf" in schema:
        found = known.get(_name(schema["anyOf"][0]), {}).get("examples")
    if found is not None:
        shown["example"] = found[0]
    elif schema.get("format") == "binary":
        shown["example"] = examples.MEDIA.get(media_type, examples.FILE)
    elif media_type in examples.MEDIA:
        shown["example"] = examples.MEDIA[media_type]


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]
