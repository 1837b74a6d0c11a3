"""The OpenAPI page shows an example of every body and every answer, and each is one."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest

from api import examples
from api.app import create_app
from settings import Settings


@cache
def _page() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def _shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body and answer of the page, by where it stands."""
    for path, operations in _page()["paths"].items():
        for verb, operation in operations.items():
            call = f"{verb.upper()} {path}"
            for media_type, shown in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{call}, body as {media_type}", shown
            for status, answer in operation["responses"].items():
                for media_type, shown in answer.get("content", {}).items():
                    yield f"{call}, {status} as {media_type}", shown


def test_every_body_and_answer_has_an_example() -> None:
    missing = [where for where, shown in _shown() if not {"example", "examples"} & shown.keys()]
    assert missing == [], "say one at its shape (api.shapes.example), or in api/examples.py"


def test_every_example_is_what_it_is_an_example_of() -> None:
    wrong: list[str] = []
    components = _page()["components"]
    for where, shown in _shown():
        given = [each["value"] for each in shown.get("examples", {}).values()]
        for value in [shown["example"]] if "example" in shown else given:
            schema = {**shown.get("schema", {}), "components": components}
            found = jsonschema_rs.validator_for(schema).iter_errors(value)
            wrong += [f"{where}: {error.message}" for error in found]
    assert wrong == []


def test_no_example_is_of_a_shape_that_is_not_there() -> None:
    assert examples.SHAPES.keys() - _page()["components"]["schemas"].keys() == set()


@pytest.mark.parametrize("status", sorted(examples.PROBLEMS))
def test_problems_are_shown_as_they_are_answered(status: str) -> None:
    shown = examples.problem(status)
    assert isinstance(shown, dict)
    assert shown["status"] == int(status)
