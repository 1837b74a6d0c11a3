"""A directory as plain Python values: what the one in Postgres must answer, said a second time.

`Office` keeps facts with the intervals in which they are so, and answers an ask as of a moment by the
rules at the head of `storage.resolution`. `written` puts the same facts into Postgres, past and all.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncpg import Range

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    AskPeople,
    AskTimes,
    Assignment,
    Hop,
    IncidentKind,
    Limit,
    Refusal,
)
from recipes.model import Json
from storage.pool import Connection
from storage.references import About

BASE = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
TICK = timedelta(microseconds=1)


def minute(number: float) -> datetime:
    return BASE + timedelta(minutes=number)


@dataclass(frozen=True, slots=True)
class Span:
    """From `begins` until before `ends`."""

    begins: datetime
    ends: datetime
    value: Any

    def at(self, moment: datetime) -> bool:
        return self.begins <= moment < self.ends


@dataclass
class Facts:
    """What is so of a key: at each moment one value or none."""

    spans: dict[Any, list[Span]] = field(default_factory=dict)

    def at(self, key: Any, moment: datetime) -> Any:
        return next((span.value for span in self.spans.get(key, ()) if span.at(moment)), None)

    def add(self, key: Any, value: Any, begins: datetime, ends: datetime = END) -> bool:
        """Whether it could be added: another value may be in its way."""
        others = self.spans.setdefault(key, [])
        free = begins < ends and all(o.ends <= begins or ends <= o.begins for o in others)
        if free:
            others.append(Span(begins, ends, value))
        return free

    def cut(self, key: Any, moment: datetime) -> None:
        """Nothing is so of the key from `moment` on."""
        cut = [replace(span, ends=min(span.ends, moment)) for span in self.spans.get(key, ())]
        self.spans[key] = [span for span in cut if span.begins < span.ends]

    def change(self, key: Any, value: Any, moment: datetime) -> None:
        self.cut(key, moment)
        if value is not None:
            self.add(key, value, moment)

    def __iter__(self) -> Iterator[tuple[Any, Span]]:
        return ((key, span) for key, spans in self.spans.items() for span in spans)


@dataclass
class Office:
    """`employed` and `managers`, `departments` are by person, `members` by role and person, `limits` by
    person and currency, `delegations` by delegator and scope: delegate and id. `roles`: since when."""

    employed: Facts = field(default_factory=Facts)
    managers: Facts = field(default_factory=Facts)
    departments: Facts = field(default_factory=Facts)
    members: Facts = field(default_factory=Facts)
    limits: Facts = field(default_factory=Facts)
    delegations: Facts = field(default_factory=Facts)
    roles: dict[str, datetime] = field(default_factory=dict)
    people: set[str] = field(default_factory=set)
    delegated: int = 0

    def delegate(
        self, who: str, to: str, scope: str, begins: datetime, ends: datetime = END
    ) -> None:
        self.delegated += 1
        self.delegations.add((who, scope), (to, UUID(int=self.delegated)), begins, ends)

    # --- the answers -----------------------------------------------------------------------------

    def answer(self, ask: Ask, about: About, turn: int) -> Answer:
        match ask:
            case AskTimes():
                raise AssertionError("nothing here counts business days")
            case AskEmployee(paths):
                height = max(path.count("manager") for path in paths)
                return Answer(employee=self._employee(about.requester, about.at, height))
            case AskManager(_, user, without, limit):
                return _Asked(self, about, without, limit).above(user)
            case AskCandidates(_, references, without, seated):
                return self._pool(references, about, (*without, *seated), candidates=True)
            case AskHolders(_, references, True):
                return self._pool(references, about, (), candidates=False)
            case AskHolders(_, references):
                asked = _Asked(self, about, follow=False)
                return asked.approver(AskApprover("", references[0]), turn)
            case AskApprover():
                return _Asked(self, about, ask.without, ask.limit).approver(ask, turn)
            case AskPeople(_, references):
                return Answer(assignment=Assignment(candidates=self._told(references, about.at)))

    def _told(self, references: tuple[str, ...], at: datetime) -> tuple[str, ...]:
        told: set[str] = set()
        for kind, name in (self.principal(reference, at) for reference in references):
            alone = [name] if self.employed.at(name, at) else []
            told |= set(self.holding(name, at) if kind == "role" else alone)
        return tuple(f"user:{name}" for name in sorted(told))

    def principal(self, reference: str, at: datetime) -> tuple[str, str]:
        kind, colon, name = reference.partition(":")
        if colon:
            return kind, name
        role = reference in self.roles and self.roles[reference] <= at
        return ("role" if role else "user"), reference

    def holding(self, role: str, at: datetime) -> list[str]:
        return [
            person
            for person in sorted(self.people)
            if self.members.at((role, person), at) and self.employed.at(person, at)
        ]

    def _pool(
        self,
        references: tuple[str, ...],
        about: About,
        without: tuple[str, ...],
        *,
        candidates: bool,
    ) -> Answer:
        named = list(dict.fromkeys(self.principal(name, about.at) for name in references))
        held: set[str] = set()
        for kind, name in named:
            held |= set(
                self.holding(name, about.at)
                if kind == "role"
                else [name] * bool(self.employed.at(name, about.at))
            )
        held -= {about.requester, *without}
        if not held:
            return refused("NoApproverFound")
        given = (
            [f"{kind}:{name}" for kind, name in named]
            if candidates
            else [f"user:{name}" for name in sorted(held)]
        )
        chain = tuple(
            Hop("candidates", **{"user" if kind == "user" else "role": name})  # type: ignore[arg-type]
            for kind, name in named
        )
        return Answer(assignment=Assignment(candidates=tuple(given), chain=chain))

    def _employee(self, person: str, at: datetime, height: int) -> dict[str, Json]:
        tree: dict[str, Json] = {"id": person, "department": self.departments.at(person, at)}
        manager = self.managers.at(person, at)
        if manager is not None and height:
            tree["manager"] = self._employee(manager, at, height - 1)
        return tree

    # --- the same in Postgres --------------------------------------------------------------------

    @asynccontextmanager
    async def written(self, connection: Connection) -> AsyncIterator[Connection]:
        """While within, the directory; `connection` is a superuser's."""
        transaction = connection.transaction()
        await transaction.start()
        try:
            await self._write(connection)
            yield connection
        finally:
            await transaction.rollback()

    async def _write(self, connection: Connection) -> None:
        # Facts of the past are put there past their triggers.
        await connection.execute("SET LOCAL session_replication_role = replica")
        at = {person: [] for person in self.people}
        for person, span in self.employed:
            at[person].append(_range(span))
        tables: dict[str, list[tuple[Any, ...]]] = {
            "people (id, name, employed)": [(p, p, ranges) for p, ranges in at.items() if ranges],
            "roles (name, known_since)": list(self.roles.items()),
            "manager_lines (person, manager, valid)": [
                (person, span.value, _range(span)) for person, span in self.managers
            ],
            "department_members (person, department, valid)": [
                (person, span.value, _range(span)) for person, span in self.departments
            ],
            "role_members (role, person, valid)": [
                (*key, _range(span)) for key, span in self.members
            ],
            "approval_limits (person, currency, amount, valid)": [
                (*key, span.value, _range(span)) for key, span in self.limits
            ],
            "delegations (delegator, scope, delegate, id, created_by, valid)": [
                (*key, *span.value, "x", _range(span)) for key, span in self.delegations
            ],
        }
        for table, rows in tables.items():
            if rows:
                places = ", ".join(f"${number + 1}" for number in range(len(rows[0])))
                await connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def _range(span: Span) -> Range[datetime]:
    return Range(span.begins, None if span.ends == END else span.ends)


def refused(kind: IncidentKind) -> Answer:
    return Answer(refusal=Refusal(kind, ""))


@dataclass(frozen=True)
class _Asked:
    """For one live person; with `follow`, delegations are followed."""

    office: Office
    about: About
    without: tuple[str, ...] = ()
    limit: Limit | None = None
    follow: bool = True
    role: str | None = None

    def approver(self, ask: AskApprover, turn: int) -> Answer:
        at = self.about.at
        kind, name = self.office.principal(ask.reference, at)
        asked = replace(self, role=name) if kind == "role" else self
        if ask.fixed is not None and asked.why_not(ask.fixed) is None:
            return asked.found(ask.fixed, Hop("fixed", ask.fixed, asked.role))
        if kind == "user":
            why_not = asked.why_not(name)
            if why_not is not None:
                return asked.above(name, (Hop(why_not, name),))
            return asked.found(name, Hop("person", name))
        members = [p for p in self.office.holding(name, at) if asked.why_not(p) is None]
        able = [person for person in members if asked.delegation(person) is None] or members
        if not able:
            return refused("NoApproverFound")
        if ask.keep in able:
            return asked.found(ask.keep, Hop("kept", ask.keep, name))
        given = able[turn % len(able)]
        return asked.found(given, Hop("round_robin", given, name, turn))

    def why_not(self, person: str) -> str | None:
        if person == self.about.requester:
            return "not_the_requester"
        if person in self.without:
            return "decided_before"
        return None if self.office.employed.at(person, self.about.at) else "has_left"

    def covers(self, person: str) -> bool:
        if self.limit is None:
            return True
        mine = self.office.limits.at((person, self.limit.currency), self.about.at)
        return mine is not None and mine >= Decimal(self.limit.amount)

    def delegation(self, person: str) -> tuple[str, UUID] | None:
        own = (f"role:{self.role}",) if self.role is not None else ()
        for scope in (f"workflow:{self.about.workflow}", *own, "all"):
            found = self.office.delegations.at((person, scope), self.about.at)
            if found is not None:
                return found
        return None

    def found(self, person: str, hop: Hop) -> Answer:
        if self.covers(person):
            return self.given(person, (hop,), role=self.role)
        return self.above(person, (hop, Hop("below_limit", person)))

    def above(
        self, user: str, chain: tuple[Hop, ...] = (), tried: frozenset[str] = frozenset()
    ) -> Answer:
        seen, person = {user}, self.office.managers.at(user, self.about.at)
        while person is not None and person not in seen:
            seen.add(person)
            why_not = self.why_not(person) or (None if self.covers(person) else "below_limit")
            if why_not is not None:
                chain = (*chain, Hop(why_not, person))
            elif person not in tried:
                return self.given(person, (*chain, Hop("manager", person)), tried)
            person = self.office.managers.at(person, self.about.at)
        return refused("NoApproverFound")

    def given(
        self,
        holder: str,
        chain: tuple[Hop, ...],
        tried: frozenset[str] = frozenset(),
        role: str | None = None,
    ) -> Answer:
        people = [holder]
        while self.follow and (link := self.delegation(people[-1])) is not None:
            delegate, number = link
            why_not = self.why_not(delegate)
            if why_not is not None:
                hop = Hop(why_not, delegate, delegation=str(number))
                return self.above(holder, (*chain, hop), tried | set(people))
            if delegate in people or delegate in tried:
                return refused("DelegationCycle")
            people.append(delegate)
            if len(people) > 6:
                return refused("DelegationTooDeep")
            chain = (*chain, Hop("delegation", delegate, delegation=str(number)))
        *before, user = people
        behalf = before[0] if before else None
        return Answer(assignment=Assignment(user, (), role, behalf, tuple(before[1:]), chain))
