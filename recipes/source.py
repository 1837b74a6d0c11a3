"""YAML text as a tree that knows where everything stands, and a book of the problems found in it.

Only what a recipe needs of YAML is read: one document of mappings, lists and scalars. Anchors,
aliases, merge keys, tags and duplicate keys are refused, and so is every plain scalar that YAML 1.1
and 1.2 read differently (`yes`, `010`, `12:30`, `2026-01-31`): nobody should have to know which.
The parser's events are composed here, so that neither nesting nor aliases can blow up.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Never, TypeAlias

import yaml

from recipes.model import Json
from recipes.problems import Problem, RecipeInvalid

RECIPE_BEGINS = "write `workflow`, `version` and `steps`"
SIZE_LIMIT = 256 * 1024
DEPTH_LIMIT = 32
PROBLEM_LIMIT = 500

# libyaml where it is there: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FORBIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ufeff\\ufffe\\uffff"
    "\\ud800-\\udfff]"
)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", re.ASCII
)
_AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off) | [-+]?0[0-9_]+ | [-+]?0[xob][0-9a-fA-F_]+ | [-+]?[0-9][0-9_]*_[0-9_]*"
    r"| [-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)? | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
    r"| [-+]?\.(?i:inf) | \.(?i:nan) | = | <<",
    re.ASCII | re.VERBOSE,
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CONSTANTS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """`value` is what `text` means; `line` and `column` count from 1; `last_line` is where it ends."""

    text: str
    value: Json
    line: int
    column: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple["Node", ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping: each key with the scalar that spells it, and its value."""

    entries: dict[str, tuple[Scalar, "Node"]]
    line: int
    column: int


Node: TypeAlias = Scalar | Items | Entries


def below(path: str, key: str | int) -> str:
    """The key path of an entry: `steps` and 1 make `steps[1]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def plain(node: Node) -> Json:
    """The JSON value of a tree."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case _:
            return {key: plain(value) for key, (_, value) in node.entries.items()}


@dataclass(slots=True)
class Book:
    """The problems found so far, and where every key path stands."""

    file: str | None
    lines: list[str]
    problems: list[Problem] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def error(self, path: str, message: str, fix: str) -> None:
        """An error at a key path, or where its nearest surrounding entry stands. What could not even
        be read is told once: what doesn't fit about it is no news."""
        if path in self.unread:
            return
        self._add(self._nearest(path), path, message, fix, "error")

    def warning(self, path: str, message: str, fix: str) -> None:
        self._add(self._nearest(path), path, message, fix, "warning")

    def error_at(self, node: Node, path: str, message: str, fix: str) -> None:
        """An error of the text itself, at a node."""
        self.unread.add(path)
        self._add(node, path, message, fix, "error")

    def within(
        self,
        path: str,
        offset: int,
        message: str,
        fix: str,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """A problem `offset` characters into the text at `path`, shown with a caret."""
        node = self._nearest(path)
        text = node.text if isinstance(node, Scalar) else ""
        start = text.rfind("\n", 0, offset) + 1
        shown = text[start:].split("\n", maxsplit=1)[0]
        column = offset - start
        line, place = self._find(node, shown, column)
        excerpt = f"{shown}\n{' ' * column}^"
        self.problems.append(Problem(self.file, line, place, path, message, fix, severity, excerpt))

    def has(self, path: str) -> bool:
        return path in self.nodes

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def in_order(self) -> tuple[Problem, ...]:
        """The problems by place, each once; of very many the first, and how many more there are."""
        once = dict.fromkeys(self.problems)
        found = sorted(once, key=lambda problem: (problem.line, problem.column))
        if len(found) > PROBLEM_LIMIT:
            last, more = found[PROBLEM_LIMIT - 1], len(found) - PROBLEM_LIMIT
            message = f"there are {more} more problems below"
            rest = Problem(self.file, last.line, last.column, "", message, "correct these first")
            found = [*found[:PROBLEM_LIMIT], rest]
        return tuple(found)

    def _add(
        self, node: Node, path: str, message: str, fix: str, severity: Literal["error", "warning"]
    ) -> None:
        self.problems.append(
            Problem(self.file, node.line, node.column, path, message, fix, severity)
        )

    def _nearest(self, path: str) -> Node:
        while path and path not in self.nodes:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.nodes.get(path, _START)

    def _find(self, node: Node, shown: str, column: int) -> tuple[int, int]:
        """Where column `column` of the text line `shown` stands in the file."""
        if isinstance(node, Scalar) and shown:
            for line in range(node.line, node.last_line + 1):
                begin = node.column - 1 if line == node.line else 0
                found = self.lines[line - 1].find(shown, begin)
                if found >= 0:
                    return line, found + column + 1
        return node.line, node.column


_START = Scalar("", None, 1, 1, 1)


def read(
    text: str | bytes, file: str | None, begin: str = RECIPE_BEGINS, *, dates: bool = False
) -> tuple[Node, Book]:
    """The tree of a YAML document. RecipeInvalid if it can't be read as one at all.

    `begin` says what to write where there is nothing; with `dates`, one may stand without quotes.
    """
    decoded = _decode(text, file)
    book = Book(file, decoded.splitlines() or [""])
    try:
        node = _Composer(book, yaml.parse(decoded, Loader=_LOADER), begin, dates=dates).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or error.context or "can't be read"
        _refuse(file, line, column, f"is not YAML: {problem}", _yaml_fix(problem))
    return node, book


def _decode(text: str | bytes, file: str | None) -> str:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(raw) > SIZE_LIMIT:
        _refuse(
            file, 1, 1, f"is larger than {SIZE_LIMIT // 1024} KiB", "split it up, or shorten it"
        )
    try:
        decoded = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        _refuse(file, line, column, "is not UTF-8", "save the file as UTF-8")
    if match := _FORBIDDEN.search(decoded):
        line = decoded.count("\n", 0, match.start()) + 1
        column = match.start() - decoded.rfind("\n", 0, match.start())
        code = f"U+{ord(match.group()):04X}"
        _refuse(file, line, column, f"holds the invisible character {code}", "delete it")
    return decoded


def _refuse(file: str | None, line: int, column: int, message: str, fix: str) -> Never:
    raise RecipeInvalid([Problem(file, line, column, "", message, fix)])


def _yaml_fix(problem: str) -> str:
    if "cannot start any token" in problem:
        return "indent with spaces, not tabs, and put text that begins with a sign in double quotes"
    if "alphabetic or numeric" in problem:
        return "write the value out, in quotes if it begins with & or *"
    if "expected key" in problem or "block" in problem or "indicator" in problem:
        return (
            "indent the keys of one step, and the items of one list, by the same number of spaces"
        )
    return "put the value in double quotes, and check the indentation"


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1


def _last_line(event: yaml.Event) -> int:
    mark = event.end_mark
    assert mark is not None
    return mark.line + 1


class _Composer:
    """Builds the tree from the parser's events, and writes what it refuses into the book."""

    def __init__(
        self, book: Book, events: Iterator[yaml.Event], begin: str, *, dates: bool
    ) -> None:
        self.book = book
        self.events = events
        self.begin = begin
        self.dates = dates

    def document(self) -> Node:
        event = self.next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self.next()
        if isinstance(event, yaml.StreamEndEvent):
            _refuse(self.book.file, 1, 1, "is empty", self.begin)
        root = self.node(event, "", 1)
        self.next()
        more = self.next()
        if not isinstance(more, yaml.StreamEndEvent):
            line, _ = _place(more)
            _refuse(self.book.file, line, 1, "holds several documents", "one document to a file")
        return root

    def next(self) -> yaml.Event:
        return next(self.events)

    def node(self, event: yaml.Event, path: str, depth: int) -> Node:
        line, column = _place(event)
        if depth > DEPTH_LIMIT:
            message = f"is nested deeper than {DEPTH_LIMIT} levels"
            _refuse(self.book.file, line, column, message, "make it flatter")
        node: Node
        match event:
            case yaml.ScalarEvent():
                node = self.scalar(event, path, line, column)
            case yaml.SequenceStartEvent():
                node = Items(self.items(path, depth), line, column)
            case yaml.MappingStartEvent():
                node = Entries(self.entries(path, depth), line, column)
            case _:
                node = Scalar("", None, line, column, line)
                fix = "write the value out; aliases are refused"
                self.book.error_at(node, path, "is an alias of another value", fix)
        self.refuse_extras(event, node, path)
        self.book.nodes[path] = node
        return node

    def refuse_extras(self, event: yaml.Event, node: Node, path: str) -> None:
        if getattr(event, "anchor", None) is not None and not isinstance(event, yaml.AliasEvent):
            self.book.error_at(node, path, "has an anchor", "leave it out; anchors are refused")
        if getattr(event, "tag", None) is not None:
            fix = "leave the tag out; put a text that begins with ! in quotes"
            self.book.error_at(node, path, f"has the tag `{event.tag}`", fix)

    def items(self, path: str, depth: int) -> tuple[Node, ...]:
        items: list[Node] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            items.append(self.node(event, below(path, len(items)), depth + 1))
        return tuple(items)

    def entries(self, path: str, depth: int) -> dict[str, tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.key(event, path, depth)
            inner = below(path, key.text)
            known = entries.get(key.text)
            value = self.node(self.next(), inner, depth + 1)
            if known is not None:
                message = f"`{key.text}` is there twice, first in line {known[0].line}"
                self.book.error_at(key, inner, message, "keep one of them")
            else:
                entries[key.text] = (key, value)
        return entries

    def key(self, event: yaml.Event, path: str, depth: int) -> Scalar:
        place = self.node(event, below(path, "?"), depth + 1)
        if isinstance(place, Scalar):
            return place
        message, fix = "has a key that is no text", "put {{ }} in double quotes"
        self.book.error_at(place, path, message, fix)
        return Scalar("?", None, place.line, place.column, place.line)

    def scalar(self, event: yaml.ScalarEvent, path: str, line: int, column: int) -> Scalar:
        text = self.visible(event, path)
        value: Json = text
        scalar = Scalar(text, value, line, column, _last_line(event))
        if event.style or not event.implicit[0]:
            return scalar
        if text in _CONSTANTS:
            value = _CONSTANTS[text]
        elif self.dates and _DATE.fullmatch(text):
            pass
        elif not path.endswith("?") and _AMBIGUOUS.fullmatch(text):
            message = f"`{text}` is read differently by different YAML versions"
            fix = f'write "{text}" for text, {_meant(text)}'
            if path.endswith(".decide"):
                fix = "write approve or reject"
            self.book.error_at(scalar, path, message, fix)
        elif _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
            value = self.number(text, scalar, path)
        return Scalar(text, value, line, column, scalar.last_line)

    def visible(self, event: yaml.ScalarEvent, path: str) -> str:
        """The text of a scalar; what escapes (`\\0`) bring in is refused as in the file itself."""
        match = _FORBIDDEN.search(event.value)
        if match is None:
            return str(event.value)
        line, column = _place(event)
        text = _FORBIDDEN.sub("", event.value)
        code = f"U+{ord(match.group()):04X}"
        place = Scalar(text, text, line, column, _last_line(event))
        self.book.error_at(place, path, f"holds the invisible character {code}", "leave it out")
        return text

    def number(self, text: str, scalar: Scalar, path: str) -> Json:
        if _INTEGER.fullmatch(text) and len(text) < 19:
            return int(text)
        number = float(text)
        if len(text) > 40 or not math.isfinite(number) or _INTEGER.fullmatch(text):
            self.book.error_at(scalar, path, "is too long a number", "write a shorter one")
        return number


def _meant(text: str) -> str:
    return "or true or false" if text.isalpha() else "or a plain decimal number"
