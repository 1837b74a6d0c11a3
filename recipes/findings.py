"""What is wrong with an expression, in words for its author: where, what, and what to write instead.

The engine's messages are for programmers; here they become sentences. And here is known what the
engine cannot know: the members of `employee`, `request`, `steps` and of the inputs' objects.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from recipes.mentions import Mention, mentions, tokens
from recipes.model import Json
from recipes.schema import RESERVED, Schema, closed, properties, resolve

EMPLOYEE_FIELDS = ("id", "name", "email", "department", "title", "manager", "attributes")
REQUEST_FIELDS = ("id", "requester", "workflow", "version", "submitted_at", "entity")
ENTITY_FIELDS = ("type", "id")
RESULT_FIELDS = ("outcome", "decided_by", "decision", "comment")
"""What `steps.<id>` has after its step; all but `outcome` only if somebody decided."""

JOB_FIELDS = ("outcome", "output", "error")
"""What `steps.<id>` has after a task: its `output` if it was done, the `error` if it failed."""

FINDING_LIMIT = 20
"""How many of one expression's errors are told."""

FUNCTIONS = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "exists",
    "all",
    "exists_one",
    "has",
    "int",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "type",
    "dyn",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
]

_PROBLEM = re.compile(
    r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE
)
_UNDECLARED = re.compile(r"undeclared reference to '(.*)' \(in container")
_OVERLOAD = re.compile(r"found no matching overload for '(.*)' applied to '(.*)'")
_EXPECTING = re.compile(r"Syntax error: (.*?)(?: expecting .*)?$")
_WRAPPER = re.compile(r"wrapper\((\w+)\)")
_RAW = re.compile(r"[bB]?[rR]")
_ESCAPE = re.compile(r"\\(?:(?P<nul>[xX]00|u0000|U0{8}|000)|.)", re.DOTALL)
_RECKONING = frozenset("+-*/%<>")
_ENGLISH = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "is": "=="}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with an expression. `line` and `column` count from 1 within its source."""

    line: int
    column: int
    message: str
    fix: str


def at(source: str, offset: int, message: str, fix: str) -> Finding:
    """A finding at a place given in characters from the beginning."""
    line = source.count("\n", 0, offset) + 1
    column = offset - (source.rfind("\n", 0, offset) + 1) + 1
    return Finding(line, column, message, fix)


def excerpt(source: str, finding: Finding) -> str:
    """The line of the source that the finding is about, and a caret below its place."""
    text = source.split("\n")[finding.line - 1]
    return f"{text}\n{' ' * (finding.column - 1)}^"


def short(text: str, most: int = 60) -> str:
    """The text in one line of at most so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def undeclared(error: str) -> tuple[str, ...]:
    """The roots of the names that the engine's compile error calls undeclared."""
    names = (match.group(1).split(".")[0] for match in _UNDECLARED.finditer(error))
    return tuple(dict.fromkeys(names))


def compile_findings(source: str, error: str, known: Collection[str]) -> tuple[Finding, ...]:
    """What the engine's compile error says, one finding each; `known` are the names there are."""
    found = [
        _finding(source, int(line), int(column), text, known)
        for line, column, text in _PROBLEM.findall(error)[:FINDING_LIMIT]
        if "parsetree" not in text
    ]
    if not found or "ecursion" in error:
        return (_whole(error),)
    syntax = [finding for finding in found if finding.message.startswith("is not an expression")]
    return tuple(syntax[:1] or dict.fromkeys(found))


def _whole(error: str) -> Finding:
    if "ecursion" in error:
        return Finding(
            1, 1, "is nested too deeply", "split it over several steps, or group with ( )"
        )
    return Finding(
        1, 1, error.split(": ", 1)[-1].split(" [", maxsplit=1)[0].strip(), "correct the expression"
    )


def _finding(source: str, line: int, column: int, text: str, known: Collection[str]) -> Finding:
    place = Finding(max(line, 1), max(column, 1), "", "")
    if match := _UNDECLARED.match(text):
        return _unknown(source, place, match.group(1), known)
    if match := _OVERLOAD.match(text):
        return _mismatch(place, match.group(1), match.group(2))
    if match := _EXPECTING.match(text):
        detail = match.group(1)
        fix = _syntax_fix(source, detail)
        return replace(place, message=f"is not an expression: {detail}", fix=fix)
    return replace(place, message=text.strip(), fix="correct the expression")


def _unknown(source: str, place: Finding, dotted: str, known: Collection[str]) -> Finding:
    name = dotted.split(".", maxsplit=1)[0]
    here = next((m for m in mentions(source) if m.root == name), None)
    if here is None:
        message, fix = (
            f"unknown function `{name}`",
            _suggest(name, FUNCTIONS, "use one of CEL's functions"),
        )
        return replace(place, message=message, fix=fix)
    fix = _suggest(name, [*known, *RESERVED], f"declare `{name}` under `inputs`")
    return at(source, here.offsets[0], f"unknown name `{name}`", fix)


def _mismatch(place: Finding, operator: str, types: str) -> Finding:
    kinds = _WRAPPER.sub(r"\1", types[1:-1])
    if "null" in kinds:
        fix = "only an optional input can be null: leave this out, or make the input optional"
    else:
        fix = "use values of one type; int(), double() and string() convert"
    return replace(place, message=f"`{sign(operator)}` does not take {kinds}", fix=fix)


def sign(operator: str) -> str:
    """The engine's name of an operator as people write it: `_<_` is `<`."""
    named = {"@in": "in", "_?_:_": "? :", "_[_]": "[ ]", "<jump_condition>": "? :"}
    return named.get(operator, operator.strip("_"))


def _syntax_fix(source: str, detail: str) -> str:
    if source.lstrip().startswith("{{"):
        return "leave out {{ }}: this is an expression already"
    for token in tokens(source):
        if token.kind == "name" and token.text in _ENGLISH:
            return f"write `{_ENGLISH[token.text]}` instead of `{token.text}`"
    if "'= '" in detail or "'='" in detail:
        return "write `==` to compare"
    return "correct the expression"


def _suggest(name: str, known: Collection[str], otherwise: str) -> str:
    close = get_close_matches(name, list(dict.fromkeys(known)), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else otherwise


def nul_findings(source: str) -> tuple[Finding, ...]:
    """String literals that spell the character NUL, which no database takes."""
    return tuple(
        at(source, token.offset + escape.start(), "spells the character NUL", "leave it out")
        for token in tokens(source)
        if token.kind == "string" and not _RAW.match(token.text)
        for escape in _ESCAPE.finditer(token.text)
        if escape["nul"]
    )


# --- members -------------------------------------------------------------------------------------


def member_findings(
    source: str,
    schema: Schema | None,
    steps: Collection[str],
    outputs: Mapping[str, Schema | None],
) -> tuple[Finding, ...]:
    """Members that do not exist: of `employee`, `request`, earlier `steps`, and the inputs' and outputs'
    objects."""
    found: list[Finding] = []
    for mention in mentions(source):
        if mention.root == "steps":
            found += _steps(source, mention, steps, outputs)
        else:
            found += _members(source, mention, schema)
    return tuple(found)


def _steps(
    source: str,
    mention: Mention,
    steps: Collection[str],
    outputs: Mapping[str, Schema | None],
) -> Iterator[Finding]:
    name, field, *_ = (*mention.path, "", "")
    fields = JOB_FIELDS if name in outputs else RESULT_FIELDS
    if name and name not in steps:
        yield _no_step(source, mention, steps)
    elif field and field not in fields:
        yield _absent(source, mention, 1, fields)
    elif field == "output" and (schema := outputs[name]) is not None:
        yield from _inputs(source, mention, schema, schema, 2)


def _members(source: str, mention: Mention, schema: Schema | None) -> Iterator[Finding]:
    match mention.root:
        case "employee":
            yield from _employee(source, mention)
        case "request":
            if mention.path and mention.path[0] not in REQUEST_FIELDS:
                yield _absent(source, mention, 0, REQUEST_FIELDS)
            elif mention.path[:1] == ("entity",) and not {*mention.path[1:2]} <= {*ENTITY_FIELDS}:
                yield _absent(source, mention, 1, ENTITY_FIELDS)
        case "inputs" if schema is not None:
            yield from _inputs(source, mention, schema, schema, 0)
        case root if schema is not None and root in properties(schema):
            yield from _inputs(source, mention, schema, properties(schema)[root], 0)
        case _:
            pass


def _employee(source: str, mention: Mention) -> Iterator[Finding]:
    if not mention.path or mention.path[-1] in {"manager", "attributes"}:
        yield from _reckoned(source, mention)
    for place, name in enumerate(mention.path):
        if name not in EMPLOYEE_FIELDS:
            yield _absent(source, mention, place, EMPLOYEE_FIELDS)
        if name != "manager":
            return


def _reckoned(source: str, mention: Mention) -> Iterator[Finding]:
    """A person, or a map, right beside an operator that takes numbers or texts."""
    words = list(tokens(source))
    places = [word.offset for word in words]
    first, last = places.index(mention.offsets[0]), places.index(mention.offsets[-1])
    after = last + (2 if words[last].kind == "string" else 1)
    beside = [*words[max(first - 1, 0) : first], *words[after : after + 1]]
    for word in beside:
        if word.text in _RECKONING:
            name = ".".join(_spoken(mention, len(mention.path)))
            message = f"`{word.text}` does not take `{name}`: it is {_whole_thing(mention)}"
            yield at(source, word.offset, message, f"read a member of it, as in `{name}.id`")


def _whole_thing(mention: Mention) -> str:
    return "a map" if mention.path[-1:] == ("attributes",) else "a person"


def _inputs(
    source: str, mention: Mention, root: Schema, schema: Json, place: int
) -> Iterator[Finding]:
    here = resolve(root, schema)
    if place >= len(mention.path):
        return
    known = properties(here)
    name = mention.path[place]
    if name in known:
        yield from _inputs(source, mention, root, known[name], place + 1)
    elif here is root or closed(here):
        fix = _suggest(name, known, f"declare `{name}` under `{'.'.join(_spoken(mention, place))}`")
        offset = mention.offsets[place + 1]
        what = "output" if mention.root == "steps" else "input"
        yield at(source, offset, f"unknown {what} `{'.'.join(_spoken(mention, place + 1))}`", fix)


def _spoken(mention: Mention, members: int) -> tuple[str, ...]:
    return (mention.root, *mention.path[:members])


def _absent(source: str, mention: Mention, place: int, known: Collection[str]) -> Finding:
    owner = ".".join(_spoken(mention, place))
    fix = _suggest(mention.path[place], known, f"`{owner}` has {', '.join(known)}")
    offset = mention.offsets[place + 1]
    return at(source, offset, f"`{owner}` has no `{mention.path[place]}`", fix)


def _no_step(source: str, mention: Mention, steps: Collection[str]) -> Finding:
    name = mention.path[0]
    listed = f"earlier steps are {', '.join(steps)}" if steps else "no step comes before this one"
    fix = _suggest(name, steps, listed)
    return at(source, mention.offsets[1], f"no earlier step is called `{name}`", fix)


def employee_paths(source: str) -> tuple[str, ...]:
    """The dotted paths read from `employee`, `id` for a bare mention; in the order of the text."""
    paths = [
        ".".join(mention.path) if mention.path else "id"
        for mention in mentions(source)
        if mention.root == "employee"
    ]
    return tuple(dict.fromkeys(paths))
