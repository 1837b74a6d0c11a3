"""What a request is about, as people read it: its inputs in the recipe's order and by its labels, amounts as money
and dates as days, and the few that most decisions hang on first.

Pure: from the JSON that the API gives.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from api.web import words
from recipes.model import Json

Kind = Literal["money", "day", "moment", "number", "text", "long", "hidden", "group", "table"]

HIDDEN = "hidden: confidential"
_KEY: tuple[Kind, ...] = ("money", "day", "moment")
_MOST_KEY = 4
_LONG = 90
"""Characters from which a text gets a line of its own."""
_CURRENCY = re.compile(
    r"\b(?:AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MAD|MXN|MYR|NGN"
    r"|NOK|NZD|PEN|PHP|PLN|QAR|RON|RSD|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR)\b"
)
_AMOUNT = re.compile(
    "(?:^|_)(?:amount|total|sum|price|costs?|value|refund|budget|fee|limit|net|gross|salary)(?:_|$)"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One input. `text` says it whole; one of objects has their facts in `parts`, a list of such `rows` below
    the `columns`."""

    name: str
    label: str
    text: str
    kind: Kind
    parts: tuple["Fact", ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """`key` first; `rest` is what is not among them."""

    key: tuple[Fact, ...] = ()
    rest: tuple[Fact, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def facts(
    schema: Mapping[str, Any] | None,
    inputs: Mapping[str, Json],
    *,
    show: Sequence[str] = (),
    withheld: Sequence[str] = (),
) -> Facts:
    """The facts of inputs; with `show`, those named there and in that order."""
    schema = schema or {}
    known = schema.get("properties", {})
    hidden = [
        name[8:].replace("~1", "/").replace("~0", "~")
        for name in withheld
        if name.startswith("/inputs/")
    ]
    there = [*inputs, *hidden]
    order = list(show) or [*known, *(name for name in there if name not in known)]
    found = [
        Fact(name, _label(name, known.get(name, {})), HIDDEN, "hidden")
        if name in hidden
        else fact(name, known.get(name, {}), inputs[name], inputs)
        for name in order
        if name in there and (name in hidden or inputs[name] is not None)
    ]
    key = _key(found)
    paid_in = {"currency"} if any(each.kind == "money" for each in key) else set()
    rest = [each for each in found if each not in key and each.name not in paid_in]
    return Facts(
        tuple(key), tuple(rest), {name: _label(name, known.get(name, {})) for name in order}
    )


def _key(found: Sequence[Fact]) -> list[Fact]:
    """Amounts before days; numbers where there is neither."""
    first = [each for kind in _KEY for each in found if each.kind == kind]
    return (first or [each for each in found if each.kind == "number"])[:_MOST_KEY]


def fact(name: str, schema: Mapping[str, Any], value: Json, beside: Mapping[str, Json]) -> Fact:
    """One value; `beside` are those that stand with it, where its currency may be."""
    label = _label(name, schema)
    match value:
        case dict():
            return Fact(
                name, label, words.plain(value), "group", parts=tuple(_parts(schema, value))
            )
        case [dict(), *_] if all(isinstance(each, dict) for each in value):
            return _table(name, label, schema.get("items", {}), value)
        case bool():
            return Fact(name, label, words.plain(value), "text")
        case int() | float():
            paid_in = currency(name, schema, beside)
            if paid_in is None:
                return Fact(name, label, words.plain(value), "number")
            return Fact(name, label, f"{words.amount(value)} {paid_in}", "money")
        case str():
            return _text(name, label, schema.get("format"), value)
    return Fact(name, label, words.plain(value), "text")


def currency(name: str, schema: Mapping[str, Any], beside: Mapping[str, Json]) -> str | None:
    """In what an amount is: as its label says (`Amount in EUR`), or the input `currency` beside it."""
    if said := _CURRENCY.search(str(schema.get("title", ""))):
        return said[0]
    paid_in = beside.get("currency")
    is_amount = _AMOUNT.search(name.lower()) is not None
    return paid_in if is_amount and isinstance(paid_in, str) and len(paid_in) <= 10 else None


def _text(name: str, label: str, form: object, value: str) -> Fact:
    if form == "date" and (day := words.day(value)):
        return Fact(name, label, day, "day")
    if form == "date-time":
        try:
            return Fact(name, label, words.stamp(value), "moment")
        except ValueError:
            pass
    return Fact(name, label, value, "long" if len(value) > _LONG or "\n" in value else "text")


def _parts(schema: Mapping[str, Any], value: Mapping[str, Json]) -> Iterator[Fact]:
    known = schema.get("properties", {})
    for name in [
        *(each for each in known if each in value),
        *(each for each in value if each not in known),
    ]:
        yield fact(name, known.get(name, {}), value[name], value)


def _table(
    name: str, label: str, schema: Mapping[str, Any], items: Sequence[Mapping[str, Json]]
) -> Fact:
    known = schema.get("properties", {})
    seen = dict.fromkeys(column for item in items for column in item)
    columns = [
        *(each for each in known if each in seen),
        *(each for each in seen if each not in known),
    ]
    rows = tuple(
        tuple(
            fact(column, known.get(column, {}), item[column], item).text if column in item else ""
            for column in columns
        )
        for item in items
    )
    heads = tuple(_label(column, known.get(column, {})) for column in columns)
    return Fact(name, label, f"{len(items)} rows", "table", columns=heads, rows=rows)


def _label(name: str, schema: Mapping[str, Any]) -> str:
    said = schema.get("title")
    return said if isinstance(said, str) and said else words.label(name)


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
