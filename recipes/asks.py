"""What a transition must know of the directory and of calendars, and what these answer: values alone.

A refusal becomes an incident, never a crash.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from recipes.model import Duration, Json, Reminder

IncidentKind = Literal[
    "NoApproverFound",
    "DelegationCycle",
    "DelegationTooDeep",
    "ExpressionError",
    "DirectoryUnavailable",
    "JobFailed",
]


@dataclass(frozen=True, slots=True)
class AskEmployee:
    """The requester as a tree holding `id, name, email` and these dotted paths."""

    paths: tuple[str, ...]
    kind: Literal["employee"] = "employee"


@dataclass(frozen=True, slots=True)
class Limit:
    """What an approver's own limit must cover: `amount`, exact decimal text, of `currency` (ISO 4217)."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Timing:
    """What the calendar of that name is to time, from the moment `since` on: `after` which duration it
    is due, and whom it concerns is reminded."""

    calendar: str
    since: datetime
    after: Duration | None
    remind: tuple[Reminder, ...] = ()


@dataclass(frozen=True, slots=True)
class DueBy:
    """By what a time was worked out: a version of a calendar, in a time zone (IANA). It stays so, however
    the calendar changes. `uncovered`: it reaches days of which that version knows no holidays."""

    calendar: str
    version: int
    time_zone: str
    uncovered: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """The answer to a `Timing`."""

    due_at: datetime | None
    remind_at: tuple[datetime, ...]
    by: DueBy


@dataclass(frozen=True, slots=True)
class AskTimes:
    """When something is due that nobody is asked for: a timer of a state machine's state, say."""

    timing: Timing
    kind: Literal["times"] = "times"


@dataclass(frozen=True, slots=True)
class AskApprover:
    """One live person for `reference` (`user:x`, `role:x` or a bare name), never the requester nor
    one of `without`; with `limit`, the nearest from there up the line whose approval limit covers it.

    A role gives `keep` again, taking no turn, while they are a member who can be asked. `fixed` was
    found at submission: asked instead of whoever holds the reference by now, while they are here.

    As of all questions for a seat: `timing` is for the task that the answer opens, if business days count.
    """

    seat: str
    reference: str
    without: tuple[str, ...] = ()
    limit: Limit | None = None
    keep: str | None = None
    fixed: str | None = None
    kind: Literal["approver"] = "approver"
    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class AskManager:
    """The manager of `user`, stepping over the requester and `without`: whom an escalation goes to."""

    seat: str
    user: str
    without: tuple[str, ...] = ()
    limit: Limit | None = None
    kind: Literal["manager"] = "manager"
    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class AskCandidates:
    """The principals (`user:x`, `role:x`) of a shared task that somebody holds, or decides for by a
    delegation, who is neither the requester nor one of `without`; nor `seated`, who have another part
    of a step that needs several people, for as long as they have it."""

    seat: str
    references: tuple[str, ...]
    without: tuple[str, ...] = ()
    seated: tuple[str, ...] = ()
    kind: Literal["candidates"] = "candidates"
    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class AskHolders:
    """Who holds `references` now, delegations aside: what `resolve: at_submit` fixes for a seat.

    The answer's assignment names one `user`, or with `pool` all of them as `candidates` (`user:x`).
    """

    seat: str
    references: tuple[str, ...]
    pool: bool
    kind: Literal["holders"] = "holders"


@dataclass(frozen=True, slots=True)
class AskPeople:
    """Everybody who holds `references` now, delegations aside, the requester like any other: whom a
    `notify` tells. The answer's assignment has them as `candidates` (`user:x`), nobody if it has none."""

    step: str
    references: tuple[str, ...]
    kind: Literal["people"] = "people"


SeatAsk: TypeAlias = AskApprover | AskManager | AskCandidates
"""The questions whose answers are the assignments of tasks."""
Ask: TypeAlias = AskEmployee | SeatAsk | AskHolders | AskPeople | AskTimes


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of how a reference led to a person: the rule applied and who it gave.

    `turn` is the number taken in a role's round robin; `delegation` the id of the one followed, or
    of the one that was not because of who is its delegate.
    """

    rule: str
    user: str | None = None
    role: str | None = None
    turn: int | None = None
    delegation: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who is to decide: one `user`, or the `candidates` of a shared task; and how that was found.

    A delegate decides `on_behalf_of` the first who delegated, `via` those between.
    """

    user: str | None = None
    candidates: tuple[str, ...] = ()
    role: str | None = None
    on_behalf_of: str | None = None
    via: tuple[str, ...] = ()
    chain: tuple[Hop, ...] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Whose it is, in a few words: the person, or the principals that share it."""
        return self.candidates if self.user is None else (self.user,)

    @property
    def delegations(self) -> tuple[str, ...]:
        """The ids of the delegations by which the assignee decides, the first one first."""
        ids: list[str] = []
        for hop in reversed(self.chain):
            if hop.rule != "delegation" or hop.delegation is None:
                break
            ids.insert(0, hop.delegation)
        return tuple(ids)

    @property
    def grounds(self) -> tuple[tuple[str | None, str | None], ...]:
        """What of the directory it rests on that can change while the people stay the same: whose turn
        it was in a role, who was fixed at submission, and the delegations followed or passed by, each
        with its delegate."""
        return tuple(
            (hop.user, hop.delegation)
            for hop in self.chain
            if hop.delegation is not None or hop.turn is not None or hop.rule in ("kept", "fixed")
        )

    def same(self, other: "Assignment") -> bool:
        """Whether both give the task to the same people, for the same reason. Else a task would be
        asked about again and again: it rests on what is no longer so."""
        ways = [
            (it.user, it.candidates, it.role, it.on_behalf_of, it.via, it.grounds)
            for it in (self, other)
        ]
        return ways[0] == ways[1]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the directory has no answer. Becomes an incident, never a crash."""

    kind: IncidentKind
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the ask of the same place in the list: exactly one field is set. But `times`, which
    are beside the assignment of an ask that has a `timing`."""

    employee: dict[str, Json] | None = None
    assignment: Assignment | None = None
    refusal: Refusal | None = None
    times: Times | None = None
