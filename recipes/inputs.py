"""Whether a submission's inputs fit a recipe, found before the request exists.

A typed recipe has a JSON Schema 2020-12; validation is offline and its regular expressions are
linear. An untyped recipe requires the names that its expressions use. Both refuse what no part behind
could carry: numbers that are no 64-bit integers or finite, half characters, bottomless nesting.
Messages never repeat a value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import jsonschema_rs
from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationErrorKind
from pydantic_core import from_json, to_json

from recipes.mentions import mentions
from recipes.model import (
    ApprovalStep,
    JobStep,
    Json,
    MachineAction,
    NotifyStep,
    Recipe,
    Step,
    WaitStep,
)
from recipes.schema import Schema
from recipes.templates import split

SIZE_LIMIT = 256 * 1024
DEPTH_LIMIT = 32

_METASCHEMA = {"$ref": "https://json-schema.org/draft/2020-12/schema"}


@dataclass(frozen=True, slots=True)
class InputChange:
    """What is different at `pointer`, an RFC 6901 JSON pointer into the inputs. `before` and `after` hold
    one value each, or none where there was nothing."""

    pointer: str
    before: tuple[Json, ...]
    after: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class InputProblem:
    """`pointer` is an RFC 6901 JSON pointer into the inputs; empty for the inputs as a whole."""

    pointer: str
    message: str


def validate(recipe: Recipe, inputs: Json) -> tuple[InputProblem, ...]:
    """Everything that is wrong with `inputs` as a submission to `recipe`."""
    if not isinstance(inputs, dict):
        return (InputProblem("", "the inputs must be an object"),)
    unsound = tuple(_unsound(inputs, "", 1))
    if unsound:
        return unsound
    if len(to_json(inputs)) > SIZE_LIMIT:
        return (InputProblem("", f"the inputs are larger than {SIZE_LIMIT // 1024} KiB"),)
    if recipe.inputs is not None:
        return tuple(_against_schema(recipe.inputs, inputs, "is not an input of this recipe"))
    return tuple(_missing(recipe, inputs))


def changes(old: Json, new: Json, pointer: str = "") -> Iterator[InputChange]:
    """Where two inputs differ, member by member; a list counts as one value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            place = f"{pointer}/{_escape(name)}"
            if name in old and name in new:
                yield from changes(old[name], new[name], place)
            elif name in old:
                yield InputChange(place, (old[name],), ())
            else:
                yield InputChange(place, (), (new[name],))
    elif to_json(old) != to_json(new):
        yield InputChange(pointer, (old,), (new,))


def against(schema: Schema | None, value: Json) -> tuple[InputProblem, ...]:
    """Everything that is wrong with a value that has to fit `schema`; with None, that is no JSON."""
    unsound = tuple(_unsound(value, "", 1))
    if unsound or schema is None:
        return unsound
    return tuple(_against_schema(schema, value))


_ELSEWHERE = frozenset(
    ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties"]
)
"""Where a schema may speak of inputs beside its `properties`."""


def declared(recipe: Recipe, inputs: dict[str, Json]) -> dict[str, Json]:
    """Those of `inputs` that the recipe names; all where its schema leaves open which it means."""
    if recipe.inputs is None:
        names = frozenset(recipe.implied)
    elif "properties" not in recipe.inputs or _ELSEWHERE & recipe.inputs.keys():
        return inputs
    else:
        names = frozenset(recipe.inputs["properties"])
    return {name: value for name, value in inputs.items() if name in names}


def schema_problems(schema: Json) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """What makes `schema` no usable JSON Schema: each with the path into it. References stay inside."""
    found = tuple(
        (tuple(error.instance_path), error.message) for error in _metaschema().iter_errors(schema)
    )
    if found:
        return found
    try:
        _build(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        path = getattr(error, "instance_path", ())
        return ((tuple(path), str(error).split("\n", maxsplit=1)[0]),)
    return ()


@lru_cache(maxsize=1)
def _metaschema() -> Draft202012Validator:
    return Draft202012Validator(_METASCHEMA, offline=True, validate_formats=True)


def _build(schema: Json) -> Draft202012Validator:
    return Draft202012Validator(
        schema,
        offline=True,
        validate_formats=True,
        mask="the value",
        pattern_options=RegexOptions(),
    )


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    return _build(from_json(schema))


def _against_schema(
    schema: Json, inputs: Json, foreign: str = "is not expected here"
) -> Iterator[InputProblem]:
    for error in _validator(to_json(schema)).iter_errors(inputs):
        where = "".join(f"/{_escape(str(part))}" for part in error.instance_path)
        match error.kind:
            case ValidationErrorKind.Required():
                name = str(error.kind.property).strip('"')
                yield InputProblem(f"{where}/{_escape(name)}", "is required")
            case ValidationErrorKind.AdditionalProperties():
                for name in error.kind.unexpected:
                    yield InputProblem(f"{where}/{_escape(name)}", foreign)
            case _:
                yield InputProblem(where, error.message)


def _unsound(value: Json, pointer: str, depth: int) -> Iterator[InputProblem]:
    match value:
        case None | bool():
            pass
        case str():
            if (why_not := _unsound_text(value)) is not None:
                yield InputProblem(pointer, why_not)
        case int():
            if not -(2**63) <= value < 2**63:
                yield InputProblem(pointer, "is too large a number")
        case float():
            if not isfinite(value):
                yield InputProblem(pointer, "is not a finite number")
        case dict() | list() if depth > DEPTH_LIMIT:
            yield InputProblem(pointer, f"is nested deeper than {DEPTH_LIMIT} levels")
        case list():
            for place, item in enumerate(value):
                yield from _unsound(item, f"{pointer}/{place}", depth + 1)
        case dict():
            yield from _unsound_object(value, pointer, depth)
        case _:
            yield InputProblem(pointer, f"is a {type(value).__name__}, which is not JSON")


def _unsound_text(text: str) -> str | None:
    if not _has_utf8(text):
        return "holds half a character (a lone surrogate)"
    return "holds the character NUL, which no database takes" if "\x00" in text else None


def _unsound_object(value: dict[Json, Json], pointer: str, depth: int) -> Iterator[InputProblem]:
    for name, item in value.items():
        if isinstance(name, str) and _has_utf8(name):
            yield from _unsound(item, f"{pointer}/{_escape(name)}", depth + 1)
        else:
            yield InputProblem(pointer, "has a name that is not text")


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _missing(recipe: Recipe, inputs: dict[str, Json]) -> Iterator[InputProblem]:
    for name in recipe.implied:
        if name not in inputs:
            machine = recipe.machine
            parts = recipe.steps if machine is None else machine.actions
            users = [part.id for part in parts if name in _names(part)]
            what = "step" if machine is None else "action"
            where = (
                f"{what}{'s' if len(users) > 1 else ''} {', '.join(users)}"
                if users
                else "the title"
            )
            yield InputProblem(
                f"/{_escape(name)}", f"input `{name}` is missing; it is used by {where}"
            )


def _names(step: Step | MachineAction) -> set[str]:
    return {
        mention.path[0] if mention.root == "inputs" and mention.path else mention.root
        for source in sources(step)
        for mention in mentions(source)
    }


def sources(step: Step | MachineAction) -> Iterator[str]:
    """The source of every expression of a step, or of a state machine's action."""
    if isinstance(step, MachineAction):
        for template in step.who:
            yield from (part.text for part in split(template) if part.expression)
        return
    if step.when is not None:
        yield step.when
    if isinstance(step, JobStep | WaitStep | NotifyStep):
        yield from _automatic(step)
    if not isinstance(step, ApprovalStep):
        return
    for ballot in step.ballots:
        if ballot.authority is not None:
            yield from (ballot.authority.amount, ballot.authority.currency)
        reassigned = [level.to for level in ballot.levels]
        for template in (ballot.approver, *ballot.candidates, ballot.approvers, *reassigned):
            yield from (part.text for part in split(template or "") if part.expression)


def _automatic(step: JobStep | WaitStep | NotifyStep) -> Iterator[str]:
    if isinstance(step, WaitStep):
        yield from () if step.until is None else (step.until,)
        return
    templates = texts(step.inputs) if isinstance(step, JobStep) else (*step.to, step.message)
    for template in templates:
        yield from (part.text for part in split(template) if part.expression)


def texts(value: Json) -> Iterator[str]:
    """Every text of a value, however deep it stands."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts(item)
        case dict():
            for item in value.values():
                yield from texts(item)
        case _:
            pass
