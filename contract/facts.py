"""What a request is about, as people read it: its inputs in the recipe's order and by its labels, amounts as money
and dates as days, and the few that most decisions hang on first. Pages, mails and Slack tell the same.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Literal

from contract import words
from contract.lines import one_line
from recipes.model import Json
from recipes.schema import Schema, properties, resolve

Kind = Literal["money", "day", "moment", "number", "text", "long", "hidden", "group", "table"]

HIDDEN = "hidden: confidential"
_KEY: tuple[Kind, ...] = ("money", "day", "moment")
_MOST_KEY = 4
_LONG = 90
"""Characters from which a text gets a line of its own."""
_MOST_ROWS = 3
"""Of a list of objects, in its text."""
_CURRENCY = re.compile(
    r"\b(?:AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MAD|MXN|MYR|NGN"
    r"|NOK|NZD|PEN|PHP|PLN|QAR|RON|RSD|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR)\b"
)
_AMOUNT = re.compile(
    "(?:^|_)(?:amount|total|sum|price|costs?|value|refund|budget|fee|limit|net|gross|salary)(?:_|$)"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One input. `text` says it whole, of long lists the beginning; one of objects has their facts in `parts`, a
    list of such `rows` below the `columns`. What can be added up has its `number`, money with what it is `paid_in`."""

    name: str
    label: str
    text: str
    kind: Kind
    parts: tuple["Fact", ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    number: int | float | None = None
    paid_in: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """`key` first; `rest` is what is not among them. `labels` has the names of all, in their recipe's order."""

    key: tuple[Fact, ...] = ()
    rest: tuple[Fact, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def first(self, most: int) -> tuple[Fact, ...]:
        """The `most` that matter most, in the recipe's order."""
        place = {name: count for count, name in enumerate(self.labels)}
        return tuple(sorted((*self.key, *self.rest)[:most], key=lambda each: place[each.name]))


@dataclass(frozen=True, slots=True)
class _Telling:
    """All inputs' schema, for what it refers to, and the clocks that moments are told by."""

    root: Schema
    zone: tzinfo

    def fact(self, name: str, schema: Json, value: Json, beside: Mapping[str, Json]) -> Fact:
        """One value; `beside` are those that stand with it, where its currency may be."""
        schema = resolved(self.root, schema)
        label = _label(name, schema)
        match value:
            case dict():
                return _priced(name, label, schema, value) or self._group(
                    name, label, schema, value
                )
            case [dict(), *_] if all(isinstance(each, dict) for each in value):
                return self._table(name, label, schema.get("items"), value)
            case list():
                items = [self.fact("", schema.get("items"), each, {}) for each in value]
                return Fact(name, label, ", ".join(map(_within, items)) or "-", "text")
            case bool() | None:
                return Fact(name, label, words.plain(value), "text")
            case int() | float():
                paid_in = currency(name, schema, beside)
                if paid_in is None:
                    return Fact(name, label, words.number(value), "number", number=value)
                return _money(name, label, value, paid_in)
        return self._text(name, label, schema.get("format"), value)

    def _text(self, name: str, label: str, form: object, value: str) -> Fact:
        if form == "date" and (day := words.day(value)):
            return Fact(name, label, day, "day")
        if form == "duration" and (length := words.length(value)):
            return Fact(name, label, length, "text")
        if form == "date-time":
            try:
                return Fact(name, label, words.stamp(value, self.zone), "moment")
            except (ValueError, OverflowError):
                pass
        return Fact(name, label, value, "long" if len(value) > _LONG or "\n" in value else "text")

    def _group(
        self, name: str, label: str, schema: Mapping[str, Any], value: Mapping[str, Json]
    ) -> Fact:
        known = properties(schema)
        parts = tuple(
            self.fact(each, known.get(each), value[each], value) for each in _order(known, value)
        )
        text = "; ".join(f"{part.label}: {_within(part)}" for part in parts) or "-"
        return Fact(name, label, text, "group", parts=parts)

    def _table(
        self, name: str, label: str, schema: Json, items: Sequence[Mapping[str, Json]]
    ) -> Fact:
        known = properties(resolved(self.root, schema))
        columns = _order(known, dict.fromkeys(column for item in items for column in item))
        rows = tuple(
            tuple(
                _within(self.fact(each, known.get(each), item[each], item)) if each in item else ""
                for each in columns
            )
            for item in items
        )
        heads = tuple(_label(each, resolved(self.root, known.get(each))) for each in columns)
        said = [", ".join(filter(None, row)) or "-" for row in rows[:_MOST_ROWS]]
        more = [f"and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
        return Fact(name, label, "; ".join(said + more), "table", columns=heads, rows=rows)


def facts(
    schema: Schema | None,
    inputs: Mapping[str, Json],
    *,
    show: Sequence[str] = (),
    withheld: Sequence[str] = (),
    zone: tzinfo = UTC,
) -> Facts:
    """The facts of inputs; with `show`, those named there and in that order. Moments by the clocks of `zone`."""
    telling = _Telling(schema or {}, zone)
    known = properties(telling.root)
    hidden = [
        name[8:].replace("~1", "/").replace("~0", "~")
        for name in withheld
        if name.startswith("/inputs/")
    ]
    order = list(show) or _order(known, dict.fromkeys([*inputs, *hidden]))
    labels = {name: _label(name, resolved(telling.root, known.get(name))) for name in order}
    found = [
        Fact(name, label, HIDDEN, "hidden")
        if name in hidden
        else telling.fact(name, known.get(name), inputs[name], inputs)
        for name, label in labels.items()
        if name in hidden or inputs.get(name) is not None
    ]
    key = _key(found)
    paid_in = {"currency"} if any(each.kind == "money" for each in key) else set()
    rest = [each for each in found if each not in key and each.name not in paid_in]
    return Facts(tuple(key), tuple(rest), labels)


def resolved(root: Schema, schema: Json) -> dict[str, Any]:
    """A schema without its `$ref`: what is said beside it counts more. Of one that says nothing (`true`), nothing."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" not in schema:
        return schema
    meant = resolve(root, schema)
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return {**meant, **beside} if isinstance(meant, dict) else beside


def _order(known: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The names that are there: those that a schema knows in its order, then the others."""
    return [*(it for it in known if it in there), *(it for it in there if it not in known)]


def _key(found: Sequence[Fact]) -> list[Fact]:
    """Amounts before days; numbers where there is neither."""
    first = [each for kind in _KEY for each in found if each.kind == kind]
    return (first or [each for each in found if each.kind == "number"])[:_MOST_KEY]


def _within(fact: Fact) -> str:
    """Its text inside that of another one."""
    text = one_line(fact.text)  # what turns text round is not to reach the others
    return f"({text})" if fact.kind == "group" and len(fact.parts) > 1 else text


def _money(name: str, label: str, value: float, paid_in: str) -> Fact:
    text = f"{words.amount(value)} {paid_in}"
    return Fact(name, label, text, "money", number=value, paid_in=paid_in)


def _priced(
    name: str, label: str, schema: Mapping[str, Any], value: Mapping[str, Json]
) -> Fact | None:
    """The one amount that an object holds with its currency and nothing else; None of any other object."""
    figures = [each for each in value if each != "currency"]
    if len(value) != 2 or len(figures) != 1:
        return None
    [figure] = figures
    number = value[figure]
    paid_in = currency(figure, properties(schema).get(figure), value)
    if isinstance(number, bool) or not isinstance(number, int | float) or paid_in is None:
        return None
    return _money(name, label, number, paid_in)


def currency(name: str, schema: Json, beside: Mapping[str, Json]) -> str | None:
    """In what an amount is: as its label says (`Amount in EUR`), or the input `currency` beside it."""
    title = schema.get("title", "") if isinstance(schema, dict) else ""
    if said := _CURRENCY.search(str(title)):
        return said[0]
    paid_in = beside.get("currency")
    is_amount = _AMOUNT.search(name.lower()) is not None
    return (
        one_line(paid_in) if is_amount and isinstance(paid_in, str) and len(paid_in) <= 10 else None
    )


def _label(name: str, schema: Mapping[str, Any]) -> str:
    said = schema.get("title")
    return one_line((said if isinstance(said, str) else "") or words.label(name)) or name


def changes(
    changed: Sequence[Mapping[str, Json]], labels: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """What is different, as label, before and now; `nothing` where nothing was or is there."""
    return [
        (_place(str(each["pointer"]), labels), _said(each, "from"), _said(each, "to"))
        for each in changed
    ]


def _place(pointer: str, labels: Mapping[str, str]) -> str:
    _, _, *names = (name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/"))
    first = names[0] if names else ""
    return " / ".join([labels.get(first, words.label(first)), *names[1:]])


def _said(change: Mapping[str, Json], which: str) -> str:
    return words.plain(change[which]) if which in change else "nothing"
