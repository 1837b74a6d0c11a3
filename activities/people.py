"""Makes rows of the directory out of what another system lists. Nonsense refuses the whole list."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from zoneinfo import available_timezones

from activities.mapping import Flag, Manager, Mapping, Path, Roles, value_at
from activities.pages import SourceFailed
from contract.lines import one_line
from recipes.model import Json
from storage.org import Fact, PersonRow

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_YES = frozenset({"1", "true", "yes", "y"})
_NO = frozenset({"0", "false", "no", "n", ""})
_LONGEST = 200
_MOST = Decimal(10) ** 16


@dataclass(frozen=True, slots=True)
class Mapped:
    """`people` with their roles; `roles` are those that the other system gives and takes, None all of
    them; `unsaid` is what it does not say of anybody. `doubts` say in words, without anybody's name,
    what could not be taken as it is."""

    people: tuple[PersonRow, ...]
    roles: frozenset[str] | None
    unsaid: frozenset[Fact]
    doubts: tuple[str, ...] = ()


def rows(items: Sequence[Json], mapping: Mapping) -> Mapped:
    """Everybody, in the list's order. Raises SourceFailed for a list that can't be right."""
    reader = _Reader(mapping)
    if not items:
        raise SourceFailed("the list of people is empty")
    people = [reader.person(item, place) for place, item in enumerate(items, 1)]
    ids = Counter(person.id for person in people)
    [(twice, count)] = ids.most_common(1)
    if count > 1:
        raise SourceFailed(f"the list has the id {twice} {count} times: is `person.id` the id?")
    people = reader.with_managers(people)
    named = None if mapping.person.roles is None else mapping.person.roles.names
    roles = frozenset(named.values()) if named else None
    return Mapped(tuple(people), roles, _unsaid(mapping), reader.doubts())


def _unsaid(mapping: Mapping) -> frozenset[Fact]:
    person = mapping.person
    said: dict[Fact, object] = {
        "email": person.email,
        "manager": person.manager,
        "department": person.department,
        "time_zone": person.time_zone,
        "limits": person.limits or None,
        "attributes": person.title,
    }
    return frozenset(fact for fact, path in said.items() if path is None)


class _Reader:
    """Reads items one by one, and keeps count of what it had to leave out."""

    def __init__(self, mapping: Mapping) -> None:
        self._fields = mapping.person
        self._zones = available_timezones()
        self._left_out: Counter[str] = Counter()

    def doubts(self) -> tuple[str, ...]:
        return tuple(f"{count} {what}" for what, count in sorted(self._left_out.items()))

    def person(self, item: Json, place: int) -> PersonRow:
        """The `place`th item; its manager still as the other system writes it."""
        fields = self._fields
        if not isinstance(item, dict):
            raise SourceFailed(f"number {place} of the list is no object: check `items`")
        found = _text(item, fields.id, place, "id")
        if found is None:
            raise SourceFailed(f"number {place} of the list has no id: check `person.id`")
        if not _ID.fullmatch(found):
            raise SourceFailed(
                f"number {place} of the list has an id that we can't keep: letters, digits and"
                " . _ @ + - at most 128"
            )
        parts = [_text(item, path, place, "name") for path in fields.name]
        title = None if fields.title is None else _text(item, fields.title, place, "title")
        return PersonRow(
            id=found,
            name=" ".join(part for part in parts if part)[:_LONGEST] or found,
            email=_optional(item, fields.email, place, "email"),
            manager=self._boss(item, fields.manager, place),
            attributes={} if title is None else {"title": title},
            left=self._left(item, place),
            department=_optional(item, fields.department, place, "department"),
            time_zone=self._zone(_optional(item, fields.time_zone, place, "time_zone")),
            limits=self._limits(item, place),
            roles=self._roles(item, fields.roles, place),
        )

    def with_managers(self, people: list[PersonRow]) -> list[PersonRow]:
        """With managers by their ids. Who is not on the list, or not the only one of that name, is
        nobody's manager; and nobody is their own, as heads of companies often are there."""
        manager = self._fields.manager
        if manager is None:
            return people
        by: dict[str, set[str]] = {}
        for person in people:
            key = getattr(person, manager.match)
            if key is not None:
                by.setdefault(_folded(key, manager), set()).add(person.id)
        return self._without_circles([self._with_manager(row, manager, by) for row in people])

    def _without_circles(self, people: list[PersonRow]) -> list[PersonRow]:
        """People who would manage each other have nobody above them: one mistake over there must not keep
        everything else from us."""
        above = {person.id: person.manager for person in people}
        inside: set[str] = set()
        seen: set[str] = set()
        for person in above:
            line: dict[str, None] = {}
            at: str | None = person
            while at is not None and at not in seen:
                seen.add(at)
                line[at] = None
                at = above[at]
            if at in line:
                names = list(line)
                inside |= set(names[names.index(at) :])
        if inside:
            self._left_out["people would manage each other in a circle"] += len(inside)
        return [replace(row, manager=None) if row.id in inside else row for row in people]

    def _with_manager(
        self, person: PersonRow, manager: Manager, by: dict[str, set[str]]
    ) -> PersonRow:
        if person.manager is None:
            return person
        found = by.get(_folded(person.manager, manager), set())
        if not found:
            self._left_out["managers are not on the list"] += 1
        elif len(found) > 1:
            self._left_out["managers' names are not theirs alone"] += 1
        boss = next(iter(found)) if len(found) == 1 else None
        return replace(person, manager=None if boss == person.id else boss)

    def _boss(self, item: Json, manager: Manager | None, place: int) -> str | None:
        return None if manager is None else _text(item, manager.path, place, "manager")

    def _left(self, item: Json, place: int) -> bool | date:
        """Whether they have left, or on which day they do."""
        fields = self._fields
        if fields.left is not None and _says(item, fields.left, place, "left"):
            return True
        if fields.active is not None and not _says(item, fields.active, place, "active"):
            return True
        text = _optional(item, fields.last_day, place, "last_day")
        if text is None:
            return False
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise _wrong(place, "last_day", "a day such as 2026-12-31") from None

    def _zone(self, zone: str | None) -> str:
        if zone is None:
            return "UTC"
        if zone not in self._zones:
            self._left_out["time zones are unknown, and count as UTC"] += 1
            return "UTC"
        return zone

    def _limits(self, item: Json, place: int) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for currency, path in self._fields.limits.items():
            text = _text(item, path, place, "limits")
            if text is None:
                continue
            try:
                amount = Decimal(text)
            except InvalidOperation:
                raise _wrong(place, f"limits.{currency}", "a number") from None
            if not amount.is_finite() or not 0 <= amount < _MOST:
                raise _wrong(place, f"limits.{currency}", "an amount from 0 on")
            found[currency] = round(amount, 4)
        return found

    def _roles(self, item: Json, roles: Roles | None, place: int) -> tuple[str, ...] | None:
        if roles is None:
            return None
        value = value_at(item, roles.path)
        values = value if isinstance(value, list) else [] if value in (None, "") else [value]
        if not all(isinstance(each, str) for each in values):
            raise _wrong(place, "roles", "names of roles")
        found: list[str] = []
        for name in values:
            role = roles.names.get(name) if roles.names else name
            if role is None:
                continue
            if not _ROLE.fullmatch(role):
                self._left_out["names are no names of roles: use `roles.names`"] += 1
                continue
            found.append(role)
        return tuple(dict.fromkeys(found))


def _says(item: Json, flag: Flag, place: int, field: str) -> bool:
    value = value_at(item, flag.path)
    text = _text(item, flag.path, place, field) or ""
    if flag.values:
        return text in flag.values
    if isinstance(value, bool):
        return value
    if text.lower() in _YES:
        return True
    if text.lower() in _NO and value is not None:
        return False
    raise _wrong(place, field, "true or false: give the texts that mean it with `is`")


def _optional(item: Json, path: Path | None, place: int, field: str) -> str | None:
    return None if path is None else _text(item, path, place, field)


def _text(item: Json, path: Path, place: int, field: str) -> str | None:
    """What is at `path`, as text; None for nothing and blanks. Numbers count as they are written."""
    value = value_at(item, path)
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return one_line(value)[:_LONGEST] or None
        case int() | Decimal():
            return str(value)
        case _:
            raise _wrong(place, field, "a text")


def _wrong(place: int, field: str, wanted: str) -> SourceFailed:
    return SourceFailed(f"number {place} of the list does not have {wanted} at `person.{field}`")


def _folded(key: str, manager: Manager) -> str:
    """Ids are exact; names and addresses are the same whatever their capitals."""
    return key if manager.match == "id" else key.casefold()
