"""Conditions and templates: the one port to the expression engine, CEL.

`Environment` has two sides. *Running*: every variable is dynamic, so that a value of an unforeseen
type is an error of the operator that meets it, and an optional input that is absent reads as `null`.
*Checking*, at publication: variables have the types of the recipe's `inputs` (see `schema`), members
get a look of their own (see `findings`), so that typos and type clashes are found before a request is.

Told apart from standard CEL: an int and a double can be compared and calculated with; the macros
`map` and `filter` are out, because they build memory bombs; a source has at most 2,000 characters.
The engine bounds the rest itself: nesting at 32, iterations by a budget, regular expressions by RE2.

`eval()` of the engine *returns* an error as a value: its type is looked at every time. What an
`ExpressionError` says comes from a list of known phrases and types, never from values.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from math import isfinite
from typing import Literal

from cel_expr_python import cel
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_core import to_json

from recipes import findings, operators
from recipes.findings import Finding, at
from recipes.mentions import guards, mentions, tokens
from recipes.model import Json, Recipe
from recipes.schema import RESERVED, Schema, coerce, properties, speakable, variables
from recipes.templates import TemplateError, split

SOURCE_LIMIT = 2_000

Scope = Mapping[str, Json]
Want = Literal["condition", "person", "people", "text", "amount", "currency", "moment"]
"""What a place of the recipe needs an expression to give."""


class ExpressionError(Exception):
    """An expression has no value. Says what is wrong in terms of types, never of values."""


class Environment:
    """The expressions of one recipe: `inputs` its JSON Schema, or None and just the `names`."""

    def __init__(self, inputs: Schema | None, names: Collection[str]) -> None:
        self._schema = inputs
        declared = properties(inputs) if inputs is not None else names
        self._names = frozenset(n for n in declared if speakable(n) and n not in RESERVED)
        self._checkers: dict[tuple[bool, tuple[str, ...]], cel.Env] = {}

    def condition(self, source: str, scope: Scope) -> bool:
        """Whether `source` holds. ExpressionError if it has no value or one that is not a bool."""
        try:
            value = self._evaluate(source, scope)
            if not isinstance(value, bool):
                raise ExpressionError(f"gives {_kind(value)} instead of true or false")
        except ExpressionError as error:
            shown = findings.short(source, 120)
            raise ExpressionError(f"`{shown}` {error}{self._types(source, scope)}") from error
        return value

    def render(self, template: str, scope: Scope) -> Json:
        """What `template` gives: its text, or the value itself where all of it is one `{{ }}`."""
        try:
            parts = split(template)
        except TemplateError as error:
            raise ExpressionError(str(error)) from error
        values = [
            self._evaluate(part.text, scope) if part.expression else _json(part.text)
            for part in parts
        ]
        if len(parts) == 1:
            return values[0]
        return "".join(_text(value) for value in values)

    def undeclared(self, source: str) -> tuple[str, ...]:
        """The variables that `source` uses and nobody declares. None where it does not compile."""
        error = _compile_error(self._names, source)
        names = findings.undeclared(error) if error else ()
        variables_of_source = {mention.root for mention in mentions(source)}
        return tuple(name for name in names if name in variables_of_source)

    def check(
        self,
        source: str,
        want: Want,
        steps: Collection[str],
        outputs: Mapping[str, Schema | None] | None = None,
    ) -> tuple[Finding, ...]:
        """What is wrong with `source` in a place that may read the results of `steps`, of which
        `outputs` have an output, each with its JSON Schema, or None."""
        outputs = outputs or {}
        if len(source) > SOURCE_LIMIT:
            fix = "split it over several steps"
            return (at(source, 0, f"is longer than {SOURCE_LIMIT:,} characters", fix),)
        banned = _banned(source) or findings.nul_findings(source)
        if banned:
            return banned
        found = findings.member_findings(source, self._schema, steps, outputs)
        dotted = not guards(source)
        key = (dotted, tuple(outputs))
        if key not in self._checkers:
            self._checkers[key] = self._checker(dotted, outputs)
        env = self._checkers[key]
        try:
            gives = env.compile(source).return_type().name()
        except (RuntimeError, TypeError, ValueError) as error:
            return (*findings.compile_findings(source, str(error), self._names), *found)
        if found or _GIVES[want].fullmatch(gives):
            return found
        message = f"gives {gives.lower()} instead of {_WANTED[want]}"
        return (at(source, 0, message, _FIXES[want]),)

    def _checker(self, dotted: bool, outputs: Mapping[str, Schema | None]) -> cel.Env:
        """An environment with types, with those of `inputs.x` if `dotted`. Not for a source that asks
        `has(inputs.x)`: a declared `inputs.x` would be read by it as a value."""
        types = dict.fromkeys(self._names, cel.Type.DYN) | {
            "inputs": cel.Type("map<string,dyn>"),
            "employee": cel.Type("map<string,dyn>"),
            "request": cel.Type("map<string,dyn>"),
            "steps": cel.Type("map<string,map<string,dyn>>"),
        }
        if dotted:
            types |= _REQUEST_TYPES
        for variable in variables(self._schema) if self._schema is not None else ():
            if dotted:
                types[f"inputs.{variable.name}"] = cel.Type(variable.type)
            if dotted or "." not in variable.name:
                types[variable.name] = cel.Type(variable.type)
        for step, schema in outputs.items() if dotted else ():
            for variable in variables(schema) if schema is not None else ():
                types[f"steps.{step}.output.{variable.name}"] = cel.Type(variable.type)
        return _environment(types)

    def _evaluate(self, source: str, scope: Scope) -> Json:
        try:
            result = _compiled(self._names, source).eval(data=self._data(scope))
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(_phrase(str(error), source)) from error
        if result.type() == cel.Type.ERROR:
            raise ExpressionError(_phrase(str(result.plain_value()), source))
        return _json(result.plain_value())

    def _data(self, scope: Scope) -> dict[str, Json]:
        data = {name: scope.get(name) for name in (*self._names, *RESERVED)}
        data["request"] = {k: _moment(v) for k, v in (scope.get("request") or {}).items()}
        if self._schema is not None:
            inputs = coerce(self._schema, self._schema, scope.get("inputs") or {})
            data |= {name: inputs.get(name) for name in self._names}
            data["inputs"] = inputs
        return data

    def _types(self, source: str, scope: Scope) -> str:
        """The types of what `source` reads: ` [days: string, inputs.limit: null]`."""
        data = self._data(scope)
        read = {
            ".".join((mention.root, *mention.path)): _kind(_look(data, mention.root, mention.path))
            for mention in mentions(source)
            if mention.root in data
        }
        return f" [{', '.join(f'{name}: {kind}' for name, kind in read.items())}]" if read else ""


def environment(recipe: Recipe) -> Environment:
    """The environment of a recipe: typed by its `inputs`, or with its implied names."""
    return Environment(recipe.inputs, recipe.implied)


# --- the engine ----------------------------------------------------------------------------------

_REQUEST_TYPES = {
    "request.id": cel.Type.STRING,
    "request.requester": cel.Type.STRING,
    "request.workflow": cel.Type.STRING,
    "request.version": cel.Type.INT,
    "request.submitted_at": cel.Type.TIMESTAMP,
    "request.entity.type": cel.Type.STRING,
    "request.entity.id": cel.Type.STRING,
}


@cache
def _configuration() -> cel.EnvConfig:
    return cel.NewEnvConfigFromYaml(operators.configuration())


@cache
def _implementations() -> dict[str, Callable[[float, float], float]]:
    return operators.implementations()


def _environment(types: Mapping[str, cel.Type]) -> cel.Env:
    return cel.NewEnv(config=_configuration(), variables=types, function_impls=_implementations())


@lru_cache(maxsize=512)
def _runner(names: frozenset[str]) -> cel.Env:
    """The first compilation in an environment takes 0.3 ms, later ones 10 us: worth keeping."""
    return _environment(dict.fromkeys((*names, *RESERVED), cel.Type.DYN))


@lru_cache(maxsize=4096)
def _compiled(names: frozenset[str], source: str) -> cel.Expression:
    if len(source) > SOURCE_LIMIT:
        raise ExpressionError(f"is longer than {SOURCE_LIMIT:,} characters")
    return _runner(names).compile(source)


def _compile_error(names: frozenset[str], source: str) -> str:
    """What the engine says against `source`; empty if it compiles."""
    try:
        _compiled(names, source)
    except (RuntimeError, TypeError, ValueError, ExpressionError) as error:
        return str(error)
    return ""


def _banned(source: str) -> tuple[Finding, ...]:
    words = list(tokens(source))
    return tuple(
        at(source, word.offset, f"`{word.text}` is not available", "use `exists` or `all`")
        for before, word, after in zip(words, words[1:], words[2:], strict=False)
        if before.text == "." and word.text in {"map", "filter"} and after.text == "("
    )


_GIVES: dict[Want, re.Pattern[str]] = {
    "condition": re.compile(r"DYN|BOOL"),
    "person": re.compile(r"DYN|STRING|MAP<.*"),
    "people": re.compile(r"DYN|LIST<(?:DYN|STRING|MAP<.*)>"),
    "text": re.compile(r"(?s).*"),
    "amount": re.compile(r"DYN|U?INT|DOUBLE"),
    "currency": re.compile(r"DYN|STRING"),
    "moment": re.compile(r"DYN|STRING|TIMESTAMP"),
}
_WANTED: dict[Want, str] = {
    "condition": "true or false",
    "person": "a person or a role",
    "people": "a list of people",
    "text": "text",
    "amount": "an amount",
    "currency": "a currency",
    "moment": "a time or a date",
}
_FIXES: dict[Want, str] = {
    "condition": "compare it with something, as in `days > 3`",
    "person": "name one person or role, as in `employee.manager`",
    "people": "give a list, as in `[employee.manager, 'role:finance']`",
    "text": "",
    "amount": "give a number, as in `amount` or `days * 100`",
    "currency": "give a code, as in EUR, or an input that holds one",
    "moment": "give one, as in `inputs.from` or `request.submitted_at + duration('48h')`",
}

# --- values and words ----------------------------------------------------------------------------

_PHRASES = (
    "divide by zero",
    "modulus by zero",
    "integer overflow",
    "unsigned integer overflow",
    "timestamp overflow",
    "duration overflow",
    "cannot convert string to int",
    "cannot convert string to double",
    "String to Timestamp conversion failed",
    "String to Duration conversion failed",
    "double out of int64 range",
    "Iteration budget exceeded",
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NO_OVERLOAD = re.compile(r"No matching overloads found : (.*)", re.DOTALL)
_NO_KEY = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)


def _phrase(error: str, source: str) -> str:
    """The engine's run-time error without anything that could be a value."""
    if match := _NO_OVERLOAD.search(error):
        return _mismatch(match.group(1))
    if match := _NO_KEY.search(error):
        written = {name for mention in mentions(source) for name in mention.path}
        name = match.group(1)
        return f"has no value: there is no `{name}`" if name in written else "names a missing key"
    if "SELECT" in error:
        return "reads a member of something that has none"
    if "undeclared reference" in error:
        return f"uses unknown names: {', '.join(findings.undeclared(error))}"
    known = next((phrase for phrase in _PHRASES if phrase in error), None)
    return f"fails: {known.lower()}" if known else "can't be evaluated"


def _mismatch(call: str) -> str:
    """`_<_(string, int64)` or `(null_type).size()` in words."""
    method = re.search(r"\.(\w+)\(", call)
    name = method.group(1) if method else findings.sign(call.split("(", maxsplit=1)[0])
    types = re.findall(r"\(([^()]+)\)", call)
    given = (
        f" {', '.join(types).replace('int64', 'int').replace('_type', '')}"
        if types
        else " that type"
    )
    return f"can't be evaluated: `{name}` does not take{given}"


def _look(data: Json, root: str, path: tuple[str, ...]) -> Json:
    value = data[root]
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case list():
            return "list"
        case dict():
            return "map"
        case datetime() | Timestamp():
            return "timestamp"
        case _:
            return type(value).__name__


def _json(value: Json) -> Json:
    """An engine's value as JSON: times as RFC 3339, durations in seconds. ExpressionError if it has none."""
    match value:
        case None | bool() | int():
            return value
        case str():
            if _UNSTORABLE.search(value):
                raise ExpressionError("gives text with a character that no database takes")
            return value
        case float() if isfinite(value):
            return value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case list():
            return [_json(item) for item in value]
        case dict():
            # The engine's maps have no order of their own; a replay must see the same text.
            return {_json(name): _json(value[name]) for name in sorted(value, key=_key)}
        case _:
            raise ExpressionError(f"gives a {_kind(value)}, which is no JSON value")


def _moment(value: Json) -> Json:
    """A datetime as the engine takes it in a place of any type; other values as they are."""
    if not isinstance(value, datetime):
        return value
    moment = Timestamp()
    moment.FromDatetime(value)
    return moment


def _key(name: Json) -> str:
    if isinstance(name, str):
        return name
    raise ExpressionError(f"gives a map whose keys are {_kind(name)}, not string")


def _text(value: Json) -> str:
    """A value within text: numbers without needless zeros, nothing for null, JSON for the rest."""
    match value:
        case None:
            return ""
        case str():
            return value
        case float():
            text = format(Decimal(repr(value)), "f")
            return text.removesuffix(".0")
        case _:
            return to_json(value).decode()
