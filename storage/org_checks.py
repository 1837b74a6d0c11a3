"""What speaks against rows for the directory: all of it, each with the row and the field it is about."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeAlias

from storage import zones
from storage.org import PersonRow, RoleRow
from storage.org_plan import Before, Manner, instant, zone_of

Place: TypeAlias = tuple[str | int, ...]
"""`("people", 3, "manager")`, `("roles", 0, "members", 2)`: the row, counted from 0, and what of it."""

_CURRENCY = re.compile(r"[A-Z]{3}")
_MOST = Decimal(10) ** 16
_LONGEST_DEPARTMENT = 200
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and what to do about it."""

    place: Place
    message: str
    fix: str


class DirectoryRefused(Exception):
    """The rows cannot be made so; `findings` are all the reasons."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings[:3]))
        self.findings = tuple(findings)


def check(
    before: Before,
    at: datetime,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    manner: Manner,
) -> list[Finding]:
    """Everything that is wrong with the rows: of each by itself, and of all of them together."""
    found = [*_twice(people, roles)]
    for number, row in enumerate(people):
        found += _person(number, row, before, at, manner)
    found += _references(before, people, roles, manner)
    found += _circles(before.lines, people, manner)
    return found


def _twice(people: Sequence[PersonRow], roles: Sequence[RoleRow]) -> Iterator[Finding]:
    for kind, names in (("people", [p.id for p in people]), ("roles", [r.name for r in roles])):
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name in seen:
                yield Finding((kind, number), f"{name} is here twice", "keep one of the two")
            seen.add(name)


def _person(
    number: int, row: PersonRow, before: Before, at: datetime, manner: Manner
) -> Iterator[Finding]:
    def finding(field: str, message: str, fix: str) -> Finding:
        return Finding(("people", number, field), message, fix)

    known = before.people.get(row.id)
    if row.manager == row.id:
        yield finding("manager", "nobody is their own manager", "name another one, or none")
    if not row.name.strip() and (known is None or "name" not in manner.keeps):
        yield finding("name", "is missing", "give the name of whoever is new")
    if row.time_zone not in zones.names():
        close = get_close_matches(row.time_zone, zones.names(), n=1)
        fix = f"did you mean {close[0]}?" if close else "give an IANA name such as Europe/Madrid"
        yield finding("time_zone", f"there is no time zone {row.time_zone[:80]}", fix)
    elif row.joined is not None and not isinstance(row.left, bool):
        zone = zone_of(row, known, manner.keeps)
        if instant(row.left, zone, through=True) <= instant(row.joined, zone, through=False):
            yield finding("left", "lies before `joined`", "give the last day, not the first")
    yield from _department(number, row)
    for currency, amount in row.limits.items():
        if not _CURRENCY.fullmatch(currency):
            yield finding("limits", f"{currency[:20]} is no currency", "write it as EUR or USD")
        if not _is_amount(amount):
            yield finding(
                "limits",
                f"{currency[:20]}: is no amount that can be kept",
                "give one from 0 to below 10^16 with at most 4 places behind the point",
            )
    if known is None and not manner.feed and _is_over(row, at):
        yield finding("left", f"there is no person {row.id}", "check the id, or leave them out")


def _is_over(row: PersonRow, at: datetime) -> bool:
    """Whether their employment has ended, as far as the row says."""
    if isinstance(row.left, bool) or row.time_zone not in zones.names():
        return row.left is True
    return instant(row.left, row.time_zone, through=True) <= at


def _department(number: int, row: PersonRow) -> Iterator[Finding]:
    name = row.department
    if name is not None and (name != name.strip() or not 0 < len(name) <= _LONGEST_DEPARTMENT):
        yield Finding(
            ("people", number, "department"),
            f"must be 1 to {_LONGEST_DEPARTMENT} characters, without blanks around them",
            "shorten it, or leave it out",
        )


def _is_amount(amount: Decimal) -> bool:
    if not amount.is_finite() or not 0 <= amount < _MOST:
        return False
    exponent = amount.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -4


def _references(
    before: Before, people: Sequence[PersonRow], roles: Sequence[RoleRow], manner: Manner
) -> Iterator[Finding]:
    """Everybody whom the rows name and nobody knows."""
    here = {row.id for row in people} | before.people.keys() | before.others | manner.unread
    fix = "give them in the same file, or check the id"
    for number, row in enumerate(people):
        if row.manager is not None and row.manager not in here:
            yield Finding(("people", number, "manager"), f"there is no person {row.manager}", fix)
    for number, role in enumerate(roles):
        for place, member in enumerate(role.members):
            if member not in here:
                yield Finding(
                    ("roles", number, "members", place), f"there is no person {member}", fix
                )


def _circles(
    lines: Mapping[str, str], people: Sequence[PersonRow], manner: Manner
) -> Iterator[Finding]:
    """Circles in the lines of managers as they would be: each once, at its first person here.

    Nobody is walked over twice, so that it takes as long as there are people.
    """
    if "manager" in manner.keeps:
        return
    places = {row.id: number for number, row in enumerate(people)}
    after: dict[str, str | None] = {**lines}
    for row in people:
        if row.manager != row.id and (row.manager is not None or row.left is not True):
            after[row.id] = row.manager
    known: set[str] = set()
    for person in places:
        circle = _circle(after, person, known)
        here = [at for at, name in enumerate(circle) if name in places]
        if here:
            first = min(here, key=lambda at: places[circle[at]])
            names = [*circle[first:], *circle[:first]]
            more = ["…"] if len(names) > _MOST_NAMES else []
            said = " -> ".join([*names[:_MOST_NAMES], *more, names[0]])
            yield Finding(
                ("people", places[names[0]], "manager"),
                f"these would manage each other: {said}",
                "one of them reports to somebody else, or to nobody",
            )


def _circle(managers: Mapping[str, str | None], person: str, known: set[str]) -> list[str]:
    """The circle into which the line above `person` runs, unless it meets somebody `known` before.

    Everybody on the line is known afterwards.
    """
    line: dict[str, None] = {}
    above: str | None = person
    while above is not None and above not in known:
        known.add(above)
        line[above] = None
        above = managers.get(above)
    if above not in line:
        return []
    names = list(line)
    return names[names.index(above) :]
