"""What a file changes in the directory, decided purely: from what is so and what is wanted.

`plan` compares; `storage.org_import` reads what is so before and carries the plan out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from recipes.model import Json
from storage.org import Fact, PersonRow, RoleRow
from storage.sweep import Touched

MOST_DIFFERENCES = 200
ALWAYS_MAY_LEAVE = 10
MAY_LEAVE_SHARE = 10
"""With `whole`, one in so many may leave at once."""

Span: TypeAlias = tuple[datetime, datetime | None] | None
"""From when until when somebody is here, now or later; None: not any more, or never."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How rows are to be taken. `keeps` is what they do not say of anybody, which stays as it is;
    `attributes` are the names they say, None being all. With `whole` they are all there is: people not
    among them leave, roles lose their members (each only if people, or roles, are named at all).
    `feed`: exported by a system, so that those who had left before we knew them are left out; else
    they are taken for misspelt. `unread` are ids that are given, in rows that cannot be read. `format`
    and `sha256` of the file go into the audit trail."""

    keeps: frozenset[Fact] = frozenset()
    attributes: frozenset[str] | None = None
    whole: bool = False
    allow_mass_departure: bool = False
    feed: bool = False
    dry_run: bool = False
    unread: frozenset[str] = frozenset()
    format: str = "rows"
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody as the directory has them: `here` now or later, facts as of now."""

    name: str
    email: str | None
    attributes: dict[str, Json]
    time_zone: str
    here: Span
    manager: str | None = None
    department: str | None = None
    limits: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Before:
    """What is so: the people of the rows (with `whole`, all who are here, too), which of the others that
    they name exist, everybody's manager, the roles by name with their descriptions, who holds the
    roles in question, and how many people are here."""

    people: Mapping[str, Known]
    others: frozenset[str]
    lines: Mapping[str, str]
    roles: Mapping[str, str | None]
    members: frozenset[tuple[str, str]]
    here: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that changes: of `user:x` or `role:y`, from one value (None: nothing) to another."""

    subject: str
    fact: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class Changes:
    """How much an import changes. `people_changed` have another name, e-mail, time zone, attributes, or
    day of joining or leaving."""

    people_added: int = 0
    people_changed: int = 0
    people_left: int = 0
    people_returned: int = 0
    managers_changed: int = 0
    departments_changed: int = 0
    limits_changed: int = 0
    roles_added: int = 0
    roles_changed: int = 0
    members_added: int = 0
    members_removed: int = 0


@dataclass(slots=True)
class Plan:
    """What is to be written. A fact's new value None ends it."""

    at: datetime
    added: list[tuple[PersonRow, datetime, datetime | None]] = field(default_factory=list)
    changed: list[tuple[str, str, str | None, str, dict[str, Json]]] = field(default_factory=list)
    employment: list[tuple[str, datetime | None, datetime | None]] = field(default_factory=list)
    lines: list[tuple[str, str | None]] = field(default_factory=list)
    departments: list[tuple[str, str | None]] = field(default_factory=list)
    limits: list[tuple[str, str, Decimal | None]] = field(default_factory=list)
    roles: list[tuple[str, str | None]] = field(default_factory=list)
    members_ended: list[tuple[str, str]] = field(default_factory=list)
    members_begun: list[tuple[str, str]] = field(default_factory=list)
    left: int = 0
    returned: int = 0
    rescheduled: set[str] = field(default_factory=set)
    roles_added: int = 0
    left_out: list[int] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    differing: int = 0

    def differs(self, subject: str, fact: str, before: Json, after: Json) -> None:
        self.differing += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(Difference(subject, fact, before, after))

    def changes(self) -> Changes:
        return Changes(
            people_added=len(self.added),
            people_changed=len(self.rescheduled | {person for person, *_ in self.changed}),
            people_left=self.left,
            people_returned=self.returned,
            managers_changed=len(self.lines),
            departments_changed=len(self.departments),
            limits_changed=len(self.limits),
            roles_added=self.roles_added,
            roles_changed=len(self.roles) - self.roles_added,
            members_added=len(self.members_begun),
            members_removed=len(self.members_ended),
        )

    def touched(self) -> Touched:
        """Whose tasks may be somebody else's now."""
        members = (*self.members_ended, *self.members_begun)
        people = {person for person, *_ in (*self.employment, *self.lines, *self.limits)}
        people |= {row.id for row, *_ in self.added} | {person for _, person in members}
        roles = {role for role, _ in (*members, *self.roles)}
        return Touched(sorted(people), sorted(roles))


class MassDeparture(Exception):
    """More people would leave than a whole directory may lose at once."""

    def __init__(self, leaving: int, here: int, most: int) -> None:
        super().__init__(
            f"{leaving} of {here} people are not in the file and would leave; {most} may at once"
        )


def plan(
    before: Before,
    at: datetime,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    manner: Manner,
) -> Plan:
    """What has to be written so that the rows are so from `at` on."""
    found = Plan(at)
    spans: list[Span] = []
    for number, row in enumerate(people):
        known = before.people.get(row.id)
        spans.append(here(row, known, at, zone_of(row, known, manner.keeps)))
        if known is None and spans[-1] is None:
            found.left_out.append(number)
    left_out = {people[number].id for number in found.left_out}
    for row, span in zip(people, spans, strict=True):
        if row.id in left_out:
            continue
        known = before.people.get(row.id)
        if row.manager in left_out:
            row = replace(row, manager=None)  # noqa: PLW2901 - nobody reports to whom we never knew
        if known is not None:
            _known(found, row, known, span, manner)
        elif span is not None:
            _new(found, row, span)
    _not_named(found, before, people, manner)
    _roles(found, before, people, roles, manner)
    return found


def zone_of(row: PersonRow, known: Known | None, keeps: frozenset[Fact]) -> str:
    return known.time_zone if known is not None and "time_zone" in keeps else row.time_zone


def instant(day: date | datetime, zone: str, *, through: bool) -> datetime:
    """The beginning of somebody's day; with `through`, of the day after it. Instants are instants."""
    if isinstance(day, datetime):
        return day
    begins = day + timedelta(days=1) if through else day
    return datetime.combine(begins, time.min, ZoneInfo(zone)).astimezone(UTC)


def here(row: PersonRow, known: Known | None, at: datetime, zone: str) -> Span:
    """From when until when they are here, as of `at`: who is here stays, who is not begins now, or
    when they join, if that is later or they are new."""
    ends = None
    if row.left is True:
        return None
    if row.left is not False:
        ends = instant(row.left, zone, through=True)
        if ends <= at:
            return None
    joins = None if row.joined is None else instant(row.joined, zone, through=False)
    if known is None:
        begins = joins or at
    elif known.here is not None and known.here[0] <= at:
        begins = at
    elif joins is not None:
        begins = max(at, joins)
    else:
        begins = at if known.here is None else known.here[0]
    return None if ends is not None and ends <= begins else (begins, ends)


def _new(found: Plan, row: PersonRow, span: tuple[datetime, datetime | None]) -> None:
    subject = f"user:{row.id}"
    found.added.append((row, *span))
    found.differs(subject, "joins", None, span[0])
    found.differs(subject, "name", None, row.name)
    if row.email is not None:
        found.differs(subject, "email", None, row.email)
    if row.time_zone != "UTC":
        found.differs(subject, "time_zone", None, row.time_zone)
    for name, value in row.attributes.items():
        found.differs(subject, f"attributes.{name}", None, value)
    if span[1] is not None:
        found.differs(subject, "leaves", None, span[1])
    _facts(found, row, Known(row.name, None, {}, "UTC", None), Manner())


def _known(found: Plan, row: PersonRow, known: Known, span: Span, manner: Manner) -> None:
    _employment(found, row.id, known.here, span)
    if span is not None:
        _described(found, row, known, manner)
        _facts(found, row, known, manner)
    elif row.manager is not None and "manager" not in manner.keeps:
        # Of somebody who leaves the rest stays: up their line is who decides instead.
        _line(found, row.id, known.manager, row.manager)


def _employment(found: Plan, person: str, before: Span, after: Span) -> None:
    at = found.at
    if before is not None and before[0] < at:
        before = (at, before[1])
    if before == after:
        return
    subject = f"user:{person}"
    begins, ends = after or (None, None)
    found.employment.append((person, begins, ends))
    if after is None:
        found.left += 1
        found.differs(subject, "leaves", before[1] if before else None, at)
        return
    if before is None:
        found.returned += 1
    elif ends is None or ends == before[1]:
        found.rescheduled.add(person)
    if before is None or before[0] != begins:
        found.differs(subject, "joins", before[0] if before else None, begins)
    ended = before[1] if before else None
    if ended != ends:
        found.left += ends is not None
        found.differs(subject, "leaves", ended, ends)


def _described(found: Plan, row: PersonRow, known: Known, manner: Manner) -> None:
    keeps = manner.keeps
    zone = zone_of(row, known, keeps)
    name = known.name if "name" in keeps else row.name
    email = known.email if "email" in keeps else row.email
    attributes = row.attributes
    if "attributes" in keeps:
        attributes = known.attributes
    elif manner.attributes is not None:
        said = manner.attributes
        kept = {key: value for key, value in known.attributes.items() if key not in said}
        attributes = kept | row.attributes
    before = (known.name, known.email, known.time_zone)
    after = (name, email, zone)
    if (before, known.attributes) == (after, attributes):
        return
    found.changed.append((row.id, name, email, zone, attributes))
    for fact, old, new in zip(("name", "email", "time_zone"), before, after, strict=True):
        if old != new:
            found.differs(f"user:{row.id}", fact, old, new)
    for key in sorted(known.attributes.keys() | attributes.keys()):
        old, new = known.attributes.get(key), attributes.get(key)
        if old != new:
            found.differs(f"user:{row.id}", f"attributes.{key}", old, new)


def _facts(found: Plan, row: PersonRow, known: Known, manner: Manner) -> None:
    subject = f"user:{row.id}"
    if "manager" not in manner.keeps:
        _line(found, row.id, known.manager, row.manager)
    if "department" not in manner.keeps and known.department != row.department:
        found.departments.append((row.id, row.department))
        found.differs(subject, "department", known.department, row.department)
    if "limits" in manner.keeps or known.limits == row.limits:
        return
    for currency in sorted(known.limits.keys() | row.limits.keys()):
        old, new = known.limits.get(currency), row.limits.get(currency)
        if old != new:
            found.limits.append((row.id, currency, new))
            found.differs(subject, f"limits.{currency}", shown(old), shown(new))


def _line(found: Plan, person: str, before: str | None, after: str | None) -> None:
    if before != after:
        found.lines.append((person, after))
        found.differs(f"user:{person}", "manager", before, after)


def shown(amount: Decimal | None) -> str | None:
    """An amount as people write it: no exponent, no zeros at the end."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _not_named(found: Plan, before: Before, people: Sequence[PersonRow], manner: Manner) -> None:
    """With `whole`: those who are here and not among the rows leave."""
    if not manner.whole or not people:
        return
    named = {row.id for row in people}
    leaving = [
        name
        for name, known in before.people.items()
        if known.here is not None and name not in named
    ]
    for person in leaving:
        _employment(found, person, before.people[person].here, None)
    most = max(ALWAYS_MAY_LEAVE, before.here // MAY_LEAVE_SHARE)
    if len(leaving) > most and not manner.allow_mass_departure:
        raise MassDeparture(len(leaving), before.here, most)


def _roles(
    found: Plan,
    before: Before,
    people: Sequence[PersonRow],
    roles: Sequence[RoleRow],
    manner: Manner,
) -> None:
    left_out = {people[number].id for number in found.left_out}
    by_person = {row.id: row.roles for row in people if row.roles is not None}
    for role in roles:
        if role.name not in before.roles:
            found.roles_added += 1
            found.roles.append((role.name, role.description))
            found.differs(f"role:{role.name}", "added", None, role.name)
        elif before.roles[role.name] != role.description:
            found.roles.append((role.name, role.description))
            old = before.roles[role.name]
            found.differs(f"role:{role.name}", "description", old, role.description)
    by_role = {role.name for role in roles}
    mentioned = {name for names in by_person.values() for name in names}
    for name in sorted(mentioned - by_role - before.roles.keys()):
        found.roles_added += 1
        found.roles.append((name, None))
        found.differs(f"role:{name}", "added", None, name)
    wanted = {(role.name, person) for role in roles for person in role.members}
    wanted |= {(name, person) for person, names in by_person.items() for name in names}
    wanted = {pair for pair in wanted if pair[1] not in left_out}
    everything = manner.whole and bool(by_role or by_person)
    said = (
        pair for pair in before.members if everything or pair[0] in by_role or pair[1] in by_person
    )
    found.members_ended = _in_order(pair for pair in said if pair not in wanted)
    found.members_begun = _in_order(wanted - before.members)
    for role_name, person in found.members_ended:
        found.differs(f"role:{role_name}", "member", person, None)
    for role_name, person in found.members_begun:
        found.differs(f"role:{role_name}", "member", None, person)


def _in_order(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs)
