"""The shapes of what is told of the directory, and of who decides: see `schemas`."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.shapes import A_REQUEST, A_TASK, Strict, TaskState, example
from recipes.model import Json


class Person(Strict):
    """`limits`: amounts they may approve alone, exact decimals by currency; null where they are not
    for the caller to see."""

    id: str
    name: str
    email: str | None
    manager: str | None
    department: str | None
    time_zone: str
    limits: dict[str, str] | None


class PersonPage(Strict):
    items: list[Person]
    next_cursor: str | None


class Named(Strict):
    """`here`: not one who has left, or is yet to come."""

    model_config = example(id="bob", name="Bob Tanaka", here=True)
    id: str
    name: str
    here: bool


class NamePage(Strict):
    items: list[Named]
    next_cursor: str | None


class Role(Strict):
    name: str
    description: str | None
    members: list[str]


class RolePage(Strict):
    items: list[Role]
    next_cursor: str | None


class Difference(Strict):
    """One fact that changes, of `user:x` or `role:y`: null is nothing. Facts: `joins`, `leaves`, `name`,
    `email`, `manager`, `department`, `time_zone`, `limits.EUR`, `attributes.x`; of roles `added`,
    `description`, `member`."""

    subject: str
    fact: str
    before: Any = Field(alias="from")
    after: Any = Field(alias="to")


class FileWarning(Strict):
    """Something in the file that was not taken as it is: at `pointer`, or in `row` and `column`."""

    message: str
    pointer: str | None = None
    row: int | None = None
    column: str | None = None


class Imported(Strict):
    """What an import changed, or with `dry_run` would: counts, and the first 200 of all `differing`
    facts. All zero if everything was so already."""

    people_added: int
    people_changed: int
    people_left: int
    people_returned: int
    managers_changed: int
    departments_changed: int
    limits_changed: int
    roles_added: int
    roles_changed: int
    members_added: int
    members_removed: int
    dry_run: bool
    format: str
    people_left_out: int
    differences: list[Difference]
    differing: int
    truncated: bool
    warnings: list[FileWarning]


class Delegation(Strict):
    """[from, to), instants whatever was given: `to` null is until it is ended. Ended before it began,
    both are null. `reason` is why it was set, `end_reason` why it was ended."""

    id: UUID
    delegator: str
    delegate: str
    scope: str
    begins: datetime | None = Field(alias="from")
    ends: datetime | None = Field(alias="to")
    reason: str | None
    created_by: str
    created_at: datetime
    ended_by: str | None
    ended_at: datetime | None
    end_reason: str | None


class DelegationPage(Strict):
    items: list[Delegation]
    next_cursor: str | None


class PersonInFull(Strict):
    """`here` at the moment asked for, since `joined`, until `left`; `managers` from the nearest up.
    Limits, attributes and delegations in force are null where they are not for the caller to see."""

    id: str
    name: str
    email: str | None
    here: bool
    joined: datetime | None
    left: datetime | None
    time_zone: str
    department: str | None
    manager: str | None
    managers: list[str]
    roles: list[str]
    limits: dict[str, str] | None
    attributes: dict[str, Any] | None
    delegations: list[Delegation] | None


class ExplainedHop(Strict):
    """One rule that was applied and who it gave; `text` says it in words."""

    rule: str
    user: str | None
    role: str | None
    turn: int | None
    delegation: UUID | None
    text: str


class RoleMember(Strict):
    """`away`: has delegated then, so that others of the role come first."""

    id: str
    away: bool


class NoApprover(Strict):
    kind: str
    detail: str


class Explained(Strict):
    """`user` decides, or there is a `refusal`, which live is an incident. For a role, `members` are
    those it could be, and `user` whose turn it would be now: turns of the past are in the audit."""

    approver: str
    employee: str
    workflow: str | None
    at: datetime
    user: str | None
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    chain: list[ExplainedHop]
    members: list[RoleMember] | None
    refusal: NoApprover | None


class Who(Strict):
    """Who decides: one `user`, or `candidates` who share it; or a `refusal`, which live is an incident.
    `chain` tells how that was found."""

    user: str | None
    candidates: list[str] | None
    role: str | None
    on_behalf_of: str | None
    via: list[str]
    chain: list[ExplainedHop]
    refusal: NoApprover | None


_CAROL: dict[str, Json] = {
    "user": "carol",
    "candidates": None,
    "role": None,
    "on_behalf_of": "bob",
    "via": [],
    "chain": [
        {
            "rule": "person",
            "user": "bob",
            "role": None,
            "turn": None,
            "delegation": None,
            "text": "Bob Tanaka is asked for",
        },
        {
            "rule": "delegation",
            "user": "carol",
            "role": None,
            "turn": None,
            "delegation": "2c1b6a64-8b0e-4b52-9d5c-0f6f1f2a3b4c",
            "text": "Carol Diaz decides on behalf of Bob Tanaka, who delegated everything to Carol Diaz"
            " from 2026-03-01 00:00 UTC to 2026-06-01 00:00 UTC",
        },
    ],
    "refusal": None,
}


class ExplainedTask(Who):
    """Why a task is with whom it is: `asked` was asked for at `since`. `now` is whom the directory
    would give for it if asked now, of an open task; `stale` is whether that is somebody else."""

    model_config = example(
        task=A_TASK,
        request=A_REQUEST,
        workflow="leave_request",
        version=3,
        step="manager_approval",
        seat="manager_approval",
        state="open",
        employee="alice",
        since="2026-03-02T09:12:44.001122Z",
        asked="user:bob",
        **_CAROL,
        now=_CAROL,
        stale=False,
    )
    task: UUID
    request: UUID
    workflow: str
    version: int
    step: str
    seat: str
    state: TaskState
    employee: str
    since: datetime
    asked: str | None
    now: Who | None
    stale: bool


class ExplainedSeat(Who):
    """`task` is the one that was open there at that moment, and `assignee` whose it was."""

    seat: str
    branch: str | None
    asked: str | None
    task: UUID | None
    assignee: str | None


class ExplainedStep(Strict):
    """Who decides each seat of a step that is not decided at `at`. `applies` is whether its `when`
    holds, null if that cannot be told; a `refusal` says why it has no seats."""

    model_config = example(
        request=A_REQUEST,
        workflow="leave_request",
        version=3,
        step="manager_approval",
        employee="alice",
        at="2026-03-02T09:12:44.001122Z",
        when=None,
        applies=True,
        seats=[
            {
                "seat": "manager_approval",
                "branch": None,
                "asked": "user:bob",
                **_CAROL,
                "task": None,
                "assignee": None,
            }
        ],
        refusal=None,
    )
    request: UUID | None
    workflow: str
    version: int
    step: str
    employee: str
    at: datetime
    when: str | None
    applies: bool | None
    seats: list[ExplainedSeat]
    refusal: NoApprover | None


class Mirror(Strict):
    """The system that the directory mirrors. `failing`: why the last reading was not taken; the
    directory stays as it was, until `stale_after`. `doubts`: what of the last good list could not be
    taken as it is."""

    source: str
    synced_at: datetime | None
    stale_after: datetime
    stale: bool
    tried_at: datetime | None
    failing: str | None
    failing_since: datetime | None
    people: int | None
    doubts: list[str]


class Synced(Strict):
    """What came of a reading. `failing` says why the directory stays as it is; `unchanged`: the system
    said that nothing is new; `changes` counts what is different now."""

    failing: str | None
    unchanged: bool
    people: int
    changes: dict[str, int]
    doubts: list[str]


class Syncing(Strict):
    status: Literal["running"]
