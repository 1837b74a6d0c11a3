"""Forms: what stands in them, from values and back. Pure.

A *draft* is what stands in a field, as text: one text, the tokens that are ticked, the rows of a list, or of a
group the drafts of its members by their keys. Each field is named by the JSON pointer of its value, so that what
the API says of a value is said at its field.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from api.web import typed
from api.web.fields import Field
from api.web.typed import Unreadable
from recipes.model import Json

Draft: TypeAlias = Any
"""str | list[str] | list[Draft] | dict[str, Draft], by the kind of field."""
Given: TypeAlias = Mapping[str, Sequence[str]]
"""What a form sent: texts by the names of its fields."""

_Change: TypeAlias = Callable[[Field, list[Draft]], list[Draft]]

MORE = "~more"
"""The key of a group's other members, as JSON. No JSON pointer has a `~` like this."""
_MOST_ROWS = 200
_DEEPEST_ROW = 9999


@dataclass(frozen=True, slots=True)
class Line:
    """A field as it is shown: what stands in it and what is wrong with that. `must`: browsers may insist on it."""

    field: Field
    name: str
    draft: Draft
    problem: str | None = None
    must: bool = False
    lines: tuple["Line", ...] = ()
    more: "Line | None" = None

    @property
    def several_lines(self) -> bool:
        """Whether its text needs a field of several lines."""
        rows = (self.field.attributes or {}).get("rows")
        return self.field.kind == "json" or bool(rows) or "\n" in self.draft

    @property
    def type(self) -> str:
        """Of its input: a browser would drop a text that is none of the field's type."""
        said = (self.field.attributes or {}).get("type", "text")
        return said if typed.fits(self.field.kind, self.draft) else "text"

    @property
    def each(self) -> Iterator["Line"]:
        """It, and all lines in it."""
        yield self
        for line in (*self.lines, *((self.more,) if self.more else ())):
            yield from line.each


# --- what stands in a form ------------------------------------------------------------------------


def blank(field: Field, zone: str, *, prefill: bool = True) -> Draft:
    """What stands in a field at first: its default, if it has one and `prefill`."""
    if field.default and prefill:
        return shown(field, field.default[0], zone)
    if field.kind == "group":
        within = prefill and field.required
        return {each.key: blank(each, zone, prefill=within) for each in field.members} | {MORE: ""}
    nothing: list[Draft] = []
    return nothing if field.kind in ("list", "several") else ""


def shown(field: Field, value: Json, zone: str) -> Draft:
    """What stands in a field for a value."""
    match field.kind:
        case "group" if isinstance(value, dict):
            known = {each.key: each for each in field.members}
            more = {name: item for name, item in value.items() if name not in known}
            return {
                key: shown(each, value[key], zone)
                if key in value
                else blank(each, zone, prefill=False)
                for key, each in known.items()
            } | {MORE: typed.as_json(more) if more else ""}
        case "list" if isinstance(value, list) and field.item is not None:
            return [shown(field.item, item, zone) for item in value]
        case "several" if isinstance(value, list):
            return [
                each.token
                for each in field.choices
                if any(typed.same(each.value, item) for item in value)
            ]
        case "group" | "list" | "several":
            return blank(field, zone, prefill=False)
    return typed.shown(field, value, zone)


def drafted(field: Field, name: str, given: Given) -> Draft:
    """What was typed into a field, from what its form sent."""
    match field.kind:
        case "group":
            found = {
                each.key: drafted(each, below(name, each.key), given) for each in field.members
            }
            return found | {MORE: _last(given, name + MORE)}
        case "list" if field.item is not None:
            rows = sorted({int(row) for row in given.get(name, ()) if _is_row(row)})[:_MOST_ROWS]
            return [drafted(field.item, below(name, row), given) for row in rows]
        case "several":
            return list(given.get(name, ()))
    return _last(given, name)


def tidy(field: Field, draft: Draft) -> Draft:
    """The draft without the rows that nothing was written into."""
    match field.kind:
        case "group":
            return draft | {each.key: tidy(each, draft[each.key]) for each in field.members}
        case "list" if field.item is not None:
            return [tidy(field.item, row) for row in draft if not is_blank(field.item, row)]
    return draft


def is_blank(field: Field, draft: Draft) -> bool:
    """Whether nothing was written into a field."""
    match field.kind:
        case "fixed":
            return True
        case "group":
            inside = all(is_blank(each, draft[each.key]) for each in field.members)
            return inside and not draft[MORE].strip()
        case "list" | "several":
            return not draft
    return not draft.strip()


def with_row(field: Field, draft: Draft, name: str, at: str, zone: str) -> Draft:
    """The draft with one more row in the list that is named `at`."""

    def change(item: Field, rows: list[Draft]) -> list[Draft]:
        return [*rows, blank(item, zone)]

    return _in_list(field, draft, name, at, change)


def without_row(field: Field, draft: Draft, name: str, at: str) -> Draft:
    """The draft without the row that is named `at`."""
    where, _, row = at.rpartition("/")

    def change(_: Field, rows: list[Draft]) -> list[Draft]:
        return [each for number, each in enumerate(rows) if str(number) != row]

    return _in_list(field, draft, name, where, change)


def _in_list(field: Field, draft: Draft, name: str, at: str, change: _Change) -> Draft:
    if field.kind == "list" and field.item is not None:
        if name == at:
            return change(field.item, draft)
        return [
            _in_list(field.item, row, below(name, n), at, change) for n, row in enumerate(draft)
        ]
    if field.kind == "group":
        inner = {
            each.key: _in_list(each, draft[each.key], below(name, each.key), at, change)
            for each in field.members
        }
        return draft | inner
    return draft


# --- values ---------------------------------------------------------------------------------------


def read(
    field: Field, draft: Draft, name: str, zone: str, wrong: dict[str, str]
) -> tuple[Json, ...]:
    """The value of a draft, or none where nothing was answered; what cannot be read goes into `wrong`, by the
    field's name."""
    if field.kind == "fixed":
        return (field.choices[0].value,)
    if is_blank(field, draft) and not (
        field.required and field.kind in ("group", "list", "several")
    ):
        return _unanswered(field, name, wrong)
    match field.kind:
        case "group":
            return (_members(field, draft, name, zone, wrong),)
        case "list" if field.item is not None:
            rows = [
                read(field.item, row, below(name, n), zone, wrong) for n, row in enumerate(draft)
            ]
            return ([value for row in rows for value in row],)
        case "several":
            return ([each.value for each in field.choices if each.token in draft],)
    try:
        return (typed.read(field, draft, zone),)
    except Unreadable as error:
        wrong[name] = str(error)
        return ()


def _unanswered(field: Field, name: str, wrong: dict[str, str]) -> tuple[Json, ...]:
    if not field.required:
        return ()
    if field.nullable:
        return (None,)
    wrong[name] = "must be ticked" if field.kind == "tick" else "is needed"
    return ()


def _members(
    field: Field, draft: Draft, name: str, zone: str, wrong: dict[str, str]
) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for each in field.members:
        for value in read(each, draft[each.key], below(name, each.key), zone, wrong):
            found[each.key] = value
    try:
        more = typed.more(draft[MORE], found.keys() | {each.key for each in field.members})
    except Unreadable as error:
        wrong[name + MORE] = str(error)
        return found
    return found | more


# --- showing --------------------------------------------------------------------------------------


def laid_out(
    field: Field, draft: Draft, name: str, wrong: Mapping[str, str], *, must: bool = True
) -> Line:
    """A field and all in it, with what is wrong by the names of fields."""
    must = must and field.required and not field.nullable
    lines: list[Line] = []
    more = None
    if field.kind == "group":
        lines = [
            laid_out(each, draft[each.key], below(name, each.key), wrong, must=must)
            for each in field.members
        ]
        if field.asks_more or draft[MORE].strip():
            more = Line(_MORE, name + MORE, draft[MORE], wrong.get(name + MORE))
    elif field.kind == "list" and field.item is not None:
        lines = [
            laid_out(field.item, row, below(name, n), wrong, must=must)
            for n, row in enumerate(draft)
        ]
    return Line(field, name, draft, wrong.get(name), must, tuple(lines), more)


def padded(field: Field, draft: Draft, zone: str) -> Draft:
    """The draft with as many rows as its lists must have: one may write on at once."""
    match field.kind:
        case "group":
            return draft | {each.key: padded(each, draft[each.key], zone) for each in field.members}
        case "list" if field.item is not None:
            item = field.item
            rows = [padded(item, row, zone) for row in draft]
            return rows + [blank(item, zone) for _ in range(_least(field) - len(rows))]
    return draft


def placed(lines: Iterable[Line], messages: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Messages by JSON pointer as messages by the names of the fields nearest to them, and those that belong
    to no field."""
    names = {line.name for top in lines for line in top.each}
    found: dict[str, str] = {}
    rest: list[str] = []
    for pointer, message in messages.items():
        name, inside = pointer, ""
        while name and name not in names:
            name, _, last = name.rpartition("/")
            inside = f"/{last}{inside}"
        if not name:
            rest.append(f"{pointer}: {message}" if pointer else message)
            continue
        said = f"{inside[1:]}: {message}" if inside else message
        found[name] = f"{found[name]}; {said}" if name in found else said
    return found, rest


def controls(line: Line) -> Iterator[str]:
    """The names of what one can type or press in a field, in their order; `add NAME` is the button of a list."""
    if line.field.kind == "list":
        for each in line.lines:
            yield from controls(each)
        yield f"add {line.name}"
    elif line.field.kind == "group":
        for each in line.lines:
            yield from controls(each)
        if line.more is not None:
            yield line.more.name
    elif line.field.kind != "fixed":
        yield line.name


def below(name: str, key: str | int) -> str:
    """The name of what is called `key` in the field `name`: JSON pointers."""
    return f"{name}/{str(key).replace('~', '~0').replace('/', '~1')}"


_MORE = Field("", "json", "Anything else", hints=('More values as JSON, such as {"name": 1}.',))


def _least(field: Field) -> int:
    """How many rows a list shows at least."""
    return max(field.least, 1) if field.required else 0


def _last(given: Given, name: str) -> str:
    found = given.get(name) or ("",)
    return found[-1]


def _is_row(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= _DEEPEST_ROW
