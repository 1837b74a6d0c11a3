"""Conditions on inputs, as people ask them: `amount > 50000 && currency == "EUR"`.

A small part of CEL: comparisons of an input with a number, a text, `true` or `false`; `&&`, `||` and
brackets. What a condition means is the same wherever rows are kept: an input that is missing, or of
another type, fulfils no comparison, `!=` neither. A text that is a plain decimal number counts as that
number beside a number, because the audit keeps 780.5 as the text "780.5".
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NoReturn, TypeAlias

from pydantic_core import from_json

SOURCE_LIMIT = 2_000
_DEPTH = 20
_DIGITS = 15
"""More could not be compared exactly as a double, in which both tiers calculate."""
NUMBER = r"-?[0-9]+([.][0-9]+)?"
"""What texts count as numbers, as a regular expression that every engine here reads alike."""

Operator = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An input, by its path, against a value."""

    path: tuple[str, ...]
    operator: Operator
    value: Decimal | str | bool


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Every | Some


class ConditionInvalid(Exception):
    """This is no condition. `column` counts from 1; the text says what is wrong there and the fix."""

    def __init__(self, column: int, what: str, fix: str) -> None:
        super().__init__(f"column {column}: {what}; {fix}")
        self.column = column


def names(asked: Condition) -> frozenset[str]:
    """The inputs that a condition is on."""
    if isinstance(asked, Comparison):
        return frozenset(asked.path[:1])
    return frozenset().union(*map(names, asked.parts))


def condition(source: str) -> Condition:
    """The condition that a text says. ConditionInvalid if it says none."""
    if len(source) > SOURCE_LIMIT:
        fix = "ask for less at once"
        raise ConditionInvalid(SOURCE_LIMIT, f"more than {SOURCE_LIMIT} characters", fix)
    return _Reader(source).read()


_TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?![\w.]))
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<mark>&&|\|\||==|!=|<=|>=|[<>()]))""",
    re.VERBOSE,
)
_TURNED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SAID_OTHERWISE = {
    "=": "write ==",
    "&": "write &&",
    "|": "write ||",
    "!": "write != between an input and a value",
}
_EXAMPLE = 'such as amount > 50000 && currency == "EUR"'


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Reader:
    """Reads one source from left to right."""

    def __init__(self, source: str) -> None:
        self._tokens = _tokens(source)
        self._at = 0

    def read(self) -> Condition:
        found = self._some(0)
        if self._next.kind != "end":
            self._refuse("and" if self._next.kind == "name" else "mark")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _passes(self, mark: str) -> bool:
        if (self._next.kind, self._next.text) != ("mark", mark):
            return False
        self._at += 1
        return True

    def _some(self, depth: int) -> Condition:
        parts = [self._every(depth)]
        while self._passes("||"):
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._passes("&&"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, depth: int) -> Condition:
        if depth > _DEPTH:
            raise ConditionInvalid(self._next.column, "too many brackets", "use fewer")
        if self._passes("("):
            found = self._some(depth + 1)
            if not self._passes(")"):
                self._refuse("bracket")
            return found
        return self._comparison()

    def _comparison(self) -> Comparison:
        left, sign, right = self._operand(), self._operator(), self._operand()
        operator: Operator = sign.text  # type: ignore[assignment]  # one of those `_operator` takes
        if left.kind != "name" and right.kind == "name":
            left, right, operator = right, left, _TURNED.get(operator, operator)
        if left.kind != "name" or right.kind == "name":
            what = "an input is compared with a number, a text, true or false"
            raise ConditionInvalid(left.column, what, _EXAMPLE)
        value = _value(right)
        if isinstance(value, bool) and operator not in ("==", "!="):
            raise ConditionInvalid(sign.column, f"{operator} of true or false", "use == or !=")
        path = tuple(left.text.split("."))
        if path[0] == "inputs":
            path = path[1:]
        if not path:
            raise ConditionInvalid(left.column, "inputs is all of them", "name one: inputs.amount")
        return Comparison(path, operator, value)

    def _operand(self) -> _Token:
        if self._next.kind not in ("name", "number", "text", "word"):
            self._refuse("operand")
        return self._take()

    def _operator(self) -> _Token:
        if self._next.text not in ("==", "!=", "<", "<=", ">", ">="):
            self._refuse("operator")
        return self._take()

    def _refuse(self, wanted: str) -> NoReturn:
        token = self._next
        found = "it ends here" if token.kind == "end" else f"`{token.text}` cannot stand here"
        fix = {
            "and": {"and": "write &&", "or": "write ||"}.get(
                token.text.lower(), "join with && or ||"
            ),
            "mark": "join comparisons with && or ||",
            "bracket": "close the bracket with )",
            "operand": f"an input or a value belongs here, {_EXAMPLE}",
            "operator": "one of == != < <= > >= belongs here",
        }[wanted]
        raise ConditionInvalid(token.column, found, fix)


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while source[at:].strip():
        match = _TOKEN.match(source, at)
        if match is None:
            at += len(source[at:]) - len(source[at:].lstrip())
            raise _unread(source, at)
        kind = match.lastgroup or ""
        text, column = match[kind], match.start(kind) + 1
        found.append(_Token("word" if text in ("true", "false") else kind, text, column))
        at = match.end()
    return [*found, _Token("end", "", len(source) + 1)]


def _unread(source: str, at: int) -> ConditionInvalid:
    sign = source[at]
    if sign in "\"'":
        return ConditionInvalid(at + 1, "the text does not end", f"close it with {sign}")
    fix = _SAID_OTHERWISE.get(sign, _EXAMPLE)
    if sign.isdigit() or sign == "-":
        fix = "write numbers as 50000 or 780.5"
    return ConditionInvalid(at + 1, f"`{sign}` is not understood", fix)


def _value(token: _Token) -> Decimal | str | bool:
    match token.kind:
        case "word":
            return token.text == "true"
        case "number":
            if len(token.text.lstrip("-").replace(".", "").strip("0")) > _DIGITS:
                what = f"a number of more than {_DIGITS} digits"
                raise ConditionInvalid(token.column, what, "use fewer")
            return Decimal(token.text)
        case _:
            return _text(token)


def _text(token: _Token) -> str:
    inner = token.text[1:-1]
    if token.text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    try:
        value: str = from_json(f'"{inner}"')
    except ValueError:
        what = "a text with an escape or a sign that is none of JSON's"
        raise ConditionInvalid(token.column, what, r"escape as in JSON: \" \\ \n \u00e9") from None
    if "\x00" in value:
        raise ConditionInvalid(token.column, "a NUL character", "leave it out")
    return value
