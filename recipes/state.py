"""What a request is at one moment, what may happen to it, and what follows: the words of `progress`.

A `State` is a value. `progress.apply` turns a state and a `Happening` into a new state and the
`Effect`s that storage must carry out in one transaction. Times are aware UTC datetimes.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from recipes.model import Duration, Json, Outcome, Recipe, Reminder

RequestState = Literal[
    "created", "pending", "rewound", "approved", "rejected", "cancelled", "expired"
]
FinalState = Literal["approved", "rejected", "cancelled", "expired"]
FINAL_STATES: frozenset[str] = frozenset({"approved", "rejected", "cancelled", "expired"})
Closing = Literal["expired", "superseded", "cancelled", "reassigned"]
"""How a task is closed by its workflow. (`decided` is written by the decide path alone.)"""
Vote = Literal["approve", "reject", "expired"]
"""What a seat contributed to its step's quorum."""
Where = Literal["before", "beside", "after"]
"""When an approver whom somebody added is asked, as against those of the recipe."""
IncidentKind = Literal[
    "NoApproverFound",
    "DelegationCycle",
    "DelegationTooDeep",
    "ExpressionError",
    "DirectoryUnavailable",
    "JobFailed",
]


# --- questions to the directory and their answers ------------------------------------------------


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


# --- what may happen -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: a person, or `system` for the engine itself."""

    user: str
    role: str | None = None
    on_behalf_of: str | None = None
    via: tuple[str, ...] = ()


ENGINE = Actor("system:engine")


@dataclass(frozen=True, slots=True)
class Started:
    """The workflow runs for the first time."""

    kind: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Answered:
    """The directory answered all open asks, in their order."""

    answers: tuple[Answer, ...]
    kind: Literal["answered"] = "answered"


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision stands in storage: somebody was the first to close this task. `decision` is the id of
    the outcome chosen; `to` where `request_changes` leads, a step or REQUESTER."""

    task_id: str
    decision: str
    actor: Actor
    at: datetime
    comment: str | None = None
    kind: Literal["decided"] = "decided"
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """Decisions on tasks of one request that all stand in storage already: they count as one."""

    items: tuple[Decided, ...]
    kind: Literal["together"] = "together"


@dataclass(frozen=True, slots=True)
class Migration:
    """Another version of a request's workflow, for it to go on with: its recipe, the hash of that,
    and the digest that the inputs have there. `seen` is the digest of what was judged; `deadline` what
    came of its deadline's timing there."""

    recipe: Recipe
    sha256: str
    digest: str
    seen: str
    deadline: Times | None = None


@dataclass(frozen=True, slots=True)
class Commanded:
    """Somebody entitled to it asked for a change. `cancel` ends it; `retry` tries incidents again;
    `reassign` gives the undecided `seat` to the person `to`; `add_approver` adds `to` to the step of
    the `seat`'s task, `where` says when they are asked. Only these two have a seat and a person. `fire`
    is for the `action` of a state machine, as whoever asked saw it: after so many `moves`. `migrate`
    goes on with the `migration`. `resubmit` brings new `inputs` with their `digest` and `title`, for what
    had the digest `seen`."""

    command_id: str
    command: Literal["cancel", "retry", "reassign", "fire", "migrate", "add_approver", "resubmit"]
    actor: Actor
    at: datetime
    comment: str | None = None
    seat: str | None = None
    to: str | None = None
    kind: Literal["commanded"] = "commanded"
    action: str | None = None
    moves: int | None = None
    migration: Migration | None = None
    where: Where | None = None
    inputs: dict[str, Json] | None = None
    digest: str | None = None
    title: str | None = None
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The directory has changed under these tasks (`at`, by its clock): ask again who is to decide
    those still open, and whatever a directory that could not be asked has left waiting."""

    task_ids: tuple[str, ...]
    at: datetime
    kind: Literal["rechecked"] = "rechecked"


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job has come to an end, run for the `again`th time after the first by hand: with an `output`,
    or a `failure` in words. A job that was cancelled fails, if it was not done before."""

    job_id: str
    at: datetime
    output: Json = None
    failure: str | None = None
    attempts: int = 1
    again: int = 0
    kind: Literal["job_ended"] = "job_ended"


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: whatever is due by `now` happens."""

    kind: Literal["ticked"] = "ticked"


Happening: TypeAlias = (
    Started | Answered | Decided | Together | Commanded | Rechecked | JobEnded | Ticked
)


# --- the state -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timer:
    """Of a state machine: the action that fires by itself at a moment; `due_by` of one that counts
    business days."""

    at: datetime
    fire: str
    due_by: DueBy | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Of a state machine: an action that was fired, and where it led."""

    action: str
    source: str
    to: str
    actor: Actor
    at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """An open task. `level` counts the escalations before it; `remind_at` are those still to come;
    `ask` is the question whose answer its assignment is, None only in the earliest histories;
    `by_hand` says that somebody chose whom to ask, not the recipe; `due_by` by what its times were worked
    out where business days count."""

    id: str
    seat: str
    assignment: Assignment
    level: int
    opened_at: datetime
    due_at: datetime | None = None
    remind_at: tuple[datetime, ...] = ()
    ask: SeatAsk | None = None
    by_hand: bool = False
    due_by: DueBy | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """Who added a seat by hand, `where`, and why."""

    where: Where
    by: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Seat:
    """One place in a step's quorum: a branch, or one person of an `approvers` list; or beside the
    quorum, a place that was `added` for somebody.

    `key` is unique within the request; `ballot` names the recipe's ballot it belongs to;
    `reference` is set for a place of an `approvers` list, and for one that was added.
    """

    key: str
    ballot: str
    reference: str | None = None
    vote: Vote | None = None
    by: Actor | None = None
    added: Added | None = None

    @property
    def where(self) -> Where | None:
        """When an added seat is asked; None of the recipe's own."""
        return None if self.added is None else self.added.where

    @property
    def person(self) -> str:
        """Of an added seat: whom it was added for."""
        return (self.reference or "").removeprefix("user:")


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that may stay when its step is entered again and has the same seat."""

    step: str
    seat: str
    ballot: str
    reference: str | None
    decision: Decided


@dataclass(frozen=True, slots=True)
class FixedSeat:
    """A seat as it was fixed at submission: whom it was to ask, and who that was then (`people`)."""

    seat: Seat
    references: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """People are needed. `seat` is None where the step itself could not be entered."""

    kind: IncidentKind
    detail: str
    step: str
    seat: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """Automatic work of a step: runs until a `JobEnded`, or has ended with a `failure` and waits for
    `retry`, which counts `again` up. `key` tells the other side that it is the same work each time.
    `cancelled`: the request has ended; how the work ended, if it had, is recorded all the same."""

    id: str
    step: str
    run: str
    inputs: dict[str, Json]
    key: str
    again: int = 0
    cancelled: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """What a request is about, in the system where it lives: `booking`, `4711`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is so of a request, as far as its recipe is concerned.

    `position` is the index of the current step; `entered` tells whether its seats are made;
    `asks` are the questions that must be answered before anything else can happen; `unasked` are the
    seats to ask for once the employee is known; `employee` is known only while there are asks;
    `results` is what expressions see as `steps`; `reason` says why it ended. `seq` counts transitions:
    storage accepts each once. `reassigning`, or `adding`, waits for the answer to its ask. By step: `deciders` are
    those who decided it and those for whom they did, `fixed` the seats that `resolve: at_submit` fixed
    (none of a step, or nobody in a seat, while that is being asked). `deadline_by`: as a task's `due_by`.

    `revision` counts submissions, `round` the rewinds, from 1 on both. While `rewound` it is at no step: it waits to be resubmitted, until
    `resubmit_by`. `approvals` are kept in mind where the recipe lets some of them stay.

    Of a state machine: `status` is the id of the state it is in, `timers` what that state has yet to
    fire, soonest first; `moves` counts the actions fired, of which `moved` is the last.

    `job` is the automatic work that is under way or has failed, one at most; `begun` says by step how
    often it was begun. `waits_until` is of a `wait`. Of a final request `called` counts the callbacks
    that are behind it.
    """

    request_id: str
    requester: str
    inputs: dict[str, Json]
    submitted_at: datetime
    digest: str
    state: RequestState = "created"
    seq: int = 0
    position: int = 0
    entered: bool = False
    seats: tuple[Seat, ...] = ()
    tasks: tuple[Task, ...] = ()
    asks: tuple[Ask, ...] = ()
    unasked: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()
    employee: dict[str, Json] | None = None
    results: dict[str, dict[str, Json]] = field(default_factory=dict)
    tasks_opened: int = 0
    deadline_at: datetime | None = None
    reason: str | None = None
    commands_seen: tuple[str, ...] = ()
    reassigning: Commanded | None = None
    deciders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: dict[str, tuple[FixedSeat, ...]] = field(default_factory=dict)
    status: str | None = None
    timers: tuple[Timer, ...] = ()
    moves: int = 0
    moved: Move | None = None
    entity: Entity | None = None
    adding: Commanded | None = None
    deadline_by: DueBy | None = None
    revision: int = 1
    round: int = 1
    resubmit_by: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    job: Job | None = None
    begun: dict[str, int] = field(default_factory=dict)
    waits_until: datetime | None = None
    called: int = 0

    @property
    def final(self) -> bool:
        return self.state in FINAL_STATES


# --- what follows --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """What a task offers to decide: the `outcomes`, those that need a comment or a reason, the reasons
    there are (none listed: any), where `request_changes` may lead (steps, REQUESTER), and the inputs to
    look at (none listed: all)."""

    outcomes: tuple[Outcome, ...] = ()
    require_comment: tuple[str, ...] = ()
    require_reason: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rewind_to: tuple[str, ...] = ()
    show: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenTask:
    """`branch` is the ballot's id within the step, None for a step of one ballot; `added` is the seat's."""

    task: Task
    step: str
    branch: str | None
    offer: Offer
    digest: str
    fixed: bool = False
    added: Added | None = None


@dataclass(frozen=True, slots=True)
class CloseTask:
    task_id: str
    step: str
    to: Closing
    why: str


@dataclass(frozen=True, slots=True)
class RemindTask:
    task_id: str
    step: str


@dataclass(frozen=True, slots=True)
class RebindTask:
    """The task stays as it is, but a decision on it is bound to `digest` from now on, and may lead back
    to one of `rewind_to`."""

    task_id: str
    step: str
    digest: str
    rewind_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StartJob:
    """Run it, for the first time or again."""

    job: Job


@dataclass(frozen=True, slots=True)
class EndJob:
    """It has ended: with its output, or the `failure`."""

    job: Job
    output: Json
    failure: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Ask it to stop."""

    job: Job
    why: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell these people; nobody, if nobody holds what the step names."""

    step: str
    people: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class SettleCommand:
    """The outcome of a command: applied, or refused with the reason in `detail`."""

    command_id: str
    command: str
    applied: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Resubmit:
    """From now on the request is what its revision `number` says. `title` None: it stays."""

    number: int
    inputs: dict[str, Json]
    digest: str
    title: str | None
    comment: str | None
    actor: Actor


@dataclass(frozen=True, slots=True)
class KeepApproval:
    """The approval stays in this round: nothing of the inputs that it `rests_on` has changed."""

    approval: Approval
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A fact for the audit trail that changes no row of its own."""

    type: str
    payload: dict[str, Json]
    actor: Actor = ENGINE


Effect: TypeAlias = (
    OpenTask
    | CloseTask
    | RemindTask
    | RebindTask
    | StartJob
    | EndJob
    | CancelJob
    | Notify
    | SettleCommand
    | Resubmit
    | KeepApproval
    | Record
)


@dataclass(frozen=True, slots=True)
class Transition:
    """A new state, and what must be written for it to be true. With a `migration` it is a state of
    that one's recipe, with which the request goes on."""

    state: State
    effects: tuple[Effect, ...] = ()
    migration: Migration | None = None
