"""The recipe as a tree of frozen values. `parse` makes it, `check` judges it, `progress` runs it.

Durations are whole seconds, or business days. Expressions are CEL source text; templates are text that may hold one
`{{ expression }}`. The tree survives a round trip through JSON (`dump`, `load`): a workflow carries
its recipe in its start input and never looks it up again.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter

Json: TypeAlias = Any
"""A JSON value as Python has it: None, bool, int, float, str, list or dict."""

Verdict = Literal["approve", "reject"]
CountsAs = Literal["approve", "reject", "rewind"]
"""What an outcome that somebody chose does to its step."""
DeadlineAction = Literal["expire", "approve", "reject"]
KeepApprovals = Literal["none", "unaffected"]
TimeoutAction = Literal["escalate", "reassign", "approve", "reject", "expire"]
Resolve = Literal["at_step", "at_submit"]
Kind = Literal["approval", "state_machine"]
MachineOutcome = Literal["approved", "rejected"]
OnFailure = Literal["incident", "reject", "continue"]

STEP_LIMIT = 200
REQUESTER = "requester"
"""Where a rewind leads that leads to no step: the requester submits again, with other inputs."""
JOB_TIMEOUT = 60
"""Seconds that one attempt of a job may take unless its step says."""
HTTP = "http"
"""The function that every worker has: a call of another system (`activities.http_call`)."""


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """So many business days of the recipe's calendar: to the same time of day, or `at` so many minutes
    after midnight. In the calendar's time zone, or in the assignee's. What it means is `business`."""

    days: int
    at: int | None = None
    zone: Literal["calendar", "assignee"] = "calendar"


Duration: TypeAlias = int | BusinessDays
"""Whole seconds, or business days."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of `on_timeout`: `after` a duration since the task of this level opened, do `action`.

    `escalate` hands the task to the manager of its assignee; `reassign` to the reference `to`.
    A last level `escalate` repeats, up the line; after any other the task waits without a timer.
    """

    after: Duration
    action: TimeoutAction
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Reminder:
    """Remind the assignee so long after the task opened, or before it is due: `seconds`, which may be
    business days (stored recipes know it by this name)."""

    seconds: Duration
    before_due: bool = False


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many approvals a step needs out of n: `any` is 1, `all` is n, a count, or a percentage."""

    kind: Literal["any", "all", "count", "percent"]
    value: int = 0

    def needed(self, out_of: int) -> int:
        """The number of approvals needed. A percentage is rounded up; never below 1."""
        if self.kind == "any":
            return 1
        if self.kind == "all":
            return max(1, out_of)
        if self.kind == "count":
            return self.value
        return max(1, -(-self.value * out_of // 100))


@dataclass(frozen=True, slots=True)
class Authority:
    """`authority`: two expressions, an amount and a currency (one that was written out is an
    expression by now, `'EUR'`). From the approver on up the line of managers, whoever's approval
    limit covers it."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision that a task offers, under its `name`. One that rewinds leads `to` a step, or REQUESTER;
    None: whoever chooses it says where to."""

    id: str
    name: str
    counts_as: CountsAs
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Ballot:
    """Whom to ask, and what happens while they don't answer. A step of one task, or one branch.

    Exactly one of `approver` (a reference or template: one person), `candidates` (references or
    templates: one shared task) and `approvers` (a template giving a list: one task each) is set.
    `not_same_as` names earlier steps: who decided one of them does not decide here. `outcomes` are offered
    beside those that every task has (`recipes.outcomes`). Decisions of `require_comment` need a comment,
    those of `require_reason` a reason, one of `reasons` if there are any. `show` names the inputs that
    the decision is about; empty is all of them.
    """

    id: str
    name: str | None = None
    approver: str | None = None
    candidates: tuple[str, ...] = ()
    approvers: str | None = None
    levels: tuple[Level, ...] = ()
    remind: tuple[Reminder, ...] = ()
    require_comment: tuple[str, ...] = ()
    authority: Authority | None = None
    not_same_as: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    require_reason: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    show: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionStep:
    """Ends the request there. `employee_paths`: see ApprovalStep."""

    id: str
    action: Verdict
    name: str | None = None
    when: str | None = None
    reason: str | None = None
    employee_paths: tuple[str, ...] = ()
    type: Literal["action"] = "action"


@dataclass(frozen=True, slots=True)
class Group:
    """Branches of a step that have a quorum of their own."""

    id: str
    branches: tuple[str, ...]
    quorum: Quorum = Quorum("all")


@dataclass(frozen=True, slots=True)
class ApprovalStep:
    """`type: approval` has one ballot (its id is the step's) and, with `approvers`, a quorum.

    `type: parallel` has one ballot per branch; `weights`, `veto` and `groups` name these, and `quorum`
    is of those in no group (see `tally`). `employee_paths` are the dotted paths the step's
    expressions read from `employee` (`manager.manager`, `department`), so that the directory is
    asked for just these; empty where the step doesn't mention `employee`. A rejection rewinds to
    `on_reject`, a step or REQUESTER; None: it ends the request.
    """

    id: str
    ballots: tuple[Ballot, ...]
    quorum: Quorum = Quorum("all")
    name: str | None = None
    when: str | None = None
    employee_paths: tuple[str, ...] = ()
    type: Literal["approval", "parallel"] = "approval"
    weights: dict[str, int] = field(default_factory=dict)
    veto: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    on_reject: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """A job is tried so many times at most, the second time `first` seconds after the first, then each
    time twice as late, at most `most` seconds."""

    attempts: int = 5
    first: int = 1
    most: int = 300


@dataclass(frozen=True, slots=True)
class JobStep:
    """`type: task`: automatic work. Runs the function `run` with `inputs` (`with` in a recipe), whose
    texts are templates; one attempt takes `timeout` seconds at most. `output` is a JSON Schema."""

    id: str
    run: str
    inputs: dict[str, Json] = field(default_factory=dict)
    retry: Retry = Retry()
    timeout: int = JOB_TIMEOUT
    on_failure: OnFailure = "incident"
    output: dict[str, Json] | None = None
    name: str | None = None
    when: str | None = None
    employee_paths: tuple[str, ...] = ()
    type: Literal["task"] = "task"


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Goes on `seconds` (or business days) after the request came here (`for` in a recipe), or at the
    moment that the expression `until` gives: one of the two is set."""

    id: str
    seconds: Duration | None = None
    until: str | None = None
    name: str | None = None
    when: str | None = None
    employee_paths: tuple[str, ...] = ()
    type: Literal["wait"] = "wait"


@dataclass(frozen=True, slots=True)
class NotifyStep:
    """Tells everybody whom `to` (references or templates) names the `message`, a template."""

    id: str
    to: tuple[str, ...]
    message: str
    name: str | None = None
    when: str | None = None
    employee_paths: tuple[str, ...] = ()
    type: Literal["notify"] = "notify"


Callback: TypeAlias = JobStep | NotifyStep
Step: TypeAlias = ActionStep | ApprovalStep | JobStep | WaitStep | NotifyStep


# --- state machines ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MachineTimer:
    """Fire the action `fire`, by itself, `after` a duration since the request came into the state."""

    after: Duration
    fire: str


@dataclass(frozen=True, slots=True)
class MachineState:
    """One state of a machine. A `final` one ends the request, with its `outcome`."""

    id: str
    name: str | None = None
    initial: bool = False
    final: bool = False
    enabled: bool = True
    outcome: MachineOutcome = "approved"
    timers: tuple[MachineTimer, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineAction:
    """What leads from one of the states `sources` (`from` in a recipe) to the state `to`.

    `who` are references or templates, any of whom may fire it; empty is anybody who may see the
    request. `not_requester`: others only. `employee_paths`: as a step's, of `who`.
    """

    id: str
    sources: tuple[str, ...]
    to: str
    name: str | None = None
    enabled: bool = True
    who: tuple[str, ...] = ()
    not_requester: bool = False
    require_comment: bool = False
    employee_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """The states and actions of a recipe of `kind: state_machine`. What they mean is `machine`."""

    states: tuple[MachineState, ...]
    actions: tuple[MachineAction, ...]

    @property
    def initial(self) -> MachineState:
        return next(state for state in self.states if state.initial)

    def state(self, name: str) -> MachineState:
        return next(state for state in self.states if state.id == name)

    def action(self, name: str) -> MachineAction | None:
        return next((action for action in self.actions if action.id == name), None)


@dataclass(frozen=True, slots=True)
class EntityRule:
    """Requests are about something that lives elsewhere: a booking, a unit. `required`: each of them
    is; `one_open`: of this workflow no two about the same one are open at once."""

    required: bool = False
    one_open: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """What starts a request: people who are one of `who` (references; none: anybody), and `events`
    by their names."""

    who: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confidential:
    """Who sees what of a request is kept sealed: holders of one of the roles `visible_to`, by their bare
    names, beside those whom the request itself involves. `fields` names the inputs; None: all that people
    wrote is confidential."""

    visible_to: tuple[str, ...]
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of one workflow.

    `inputs` is a JSON Schema 2020-12, or None for an untyped recipe; then `implied` lists the names
    its expressions leave undeclared: they are required inputs of any type. `resolve: at_submit` fixes
    who holds its references at submission, so that later changes of roles don't touch the request.
    One of `kind: state_machine` has a `machine` and no steps.
    Without `entity` requests are about no entity. Business days are those of the `calendar` of that name.
    A request that was rewound to its requester expires if it is not resubmitted within
    `resubmit_within` seconds. Then, with `keep_approvals: unaffected`, those approvals stay that rest on
    nothing that has changed.
    What is done `on_approved` and so on follows the final state, one after the other.
    Without `confidential` whoever may see a request sees all of it.
    """

    workflow: str
    version: int
    steps: tuple[Step, ...]
    title: str | None = None
    description: str | None = None
    owner: str | None = None
    inputs: dict[str, Json] | None = None
    implied: tuple[str, ...] = ()
    deadline: Duration | None = None
    resolve: Resolve = "at_step"
    kind: Kind = "approval"
    machine: Machine | None = None
    entity: EntityRule | None = None
    start: Start | None = None
    calendar: str | None = None
    on_deadline: DeadlineAction = "expire"
    resubmit_within: int | None = None
    keep_approvals: KeepApprovals = "none"
    on_approved: tuple[Callback, ...] = ()
    on_rejected: tuple[Callback, ...] = ()
    on_cancelled: tuple[Callback, ...] = ()
    on_expired: tuple[Callback, ...] = ()
    confidential: Confidential | None = None

    @property
    def every_step(self) -> tuple[Step, ...]:
        """Those of the course and all callbacks."""
        after = (*self.on_approved, *self.on_rejected, *self.on_cancelled, *self.on_expired)
        return (*self.steps, *after)

    def callbacks(self, state: str) -> tuple[Callback, ...]:
        """What is done after a request has come to the final `state`."""
        found = {
            "approved": self.on_approved,
            "rejected": self.on_rejected,
            "cancelled": self.on_cancelled,
            "expired": self.on_expired,
        }
        return found[state]


_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def dump(recipe: Recipe) -> dict[str, Json]:
    """The recipe as a JSON object."""
    return _ADAPTER.dump_python(recipe, mode="json")


def load(data: dict[str, Json]) -> Recipe:
    """The recipe from what `dump` gave."""
    return _ADAPTER.validate_python(data)
