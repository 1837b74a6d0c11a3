"""Who may do what: one function, asked by every handler with the rows it loaded.

What somebody may not see answers 404, so that its existence does not leak; what they may see but not
do answers 403 with the reason. Nobody decides their own request, and no administrator decides for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, assert_never

from api import errors
from api.auth import Caller
from contract.canonical import timestamp
from recipes.happenings import Actor

RequestAction = Literal["see", "cancel", "resubmit", "retry", "reassign", "watchers", "erase"]
TaskAction = Literal["see", "decide", "release", "ask", "hand_on", "add"]
HouseAction = Literal[
    "publish", "switch", "import", "migrate", "recall", "keys", "sessions", "webhooks", "messages"
]
DelegationAction = Literal["delegate", "end", "list", "explain"]
EventAction = Literal["send"]
Action: TypeAlias = RequestAction | TaskAction | HouseAction | DelegationAction | EventAction


@dataclass(frozen=True, slots=True)
class RequestObject:
    """`owner` is the recipe's, as written there; `held` the directory roles that the caller holds
    now; `involved` whether the caller is or was asked to decide."""

    requester: str
    owner: str | None
    held: frozenset[str]
    involved: bool = False


@dataclass(frozen=True, slots=True)
class TaskObject:
    """`candidates` are principals (`user:x`, `role:y`) of a shared task, `standing_in` how it is the
    caller's by delegations; `employed` is of the caller; `lapsed` says what the assignment rests
    on that is so no more, if something is: a delegation, a membership. `excluded` may not decide it, because of the steps `decided_before`
    says; nor may `seated`, who have another part of a step that needs several people. `claimant` claimed
    it, whether or not that still binds; `claimed_by` if it does."""

    request: RequestObject
    assignee: str | None
    candidates: tuple[str, ...]
    role: str | None
    on_behalf_of: str | None
    via: tuple[str, ...]
    employed: bool
    lapsed: str | None = None
    standing_in: Actor | None = None
    excluded: frozenset[str] = frozenset()
    decided_before: Mapping[str, str] = field(default_factory=dict)
    seated: frozenset[str] = frozenset()
    claimant: str | None = None
    claimed_by: str | None = None


@dataclass(frozen=True, slots=True)
class PersonalObject:
    """What is one person's own: their delegations, who decides their requests, what they start. `other` is the
    delegate, who sees a delegation but does not end it."""

    person: str
    other: str | None = None


@dataclass(frozen=True, slots=True)
class House:
    """What belongs to no request: recipes, the directory."""


Object: TypeAlias = RequestObject | TaskObject | PersonalObject | House


def authorize(caller: Caller, action: Action, subject: Object) -> Actor:
    """In what capacity the caller does `action`. Problem 403 or 404 if they may not."""
    match subject:
        case TaskObject():
            return _task(caller, action, subject)
        case RequestObject():
            return _request(caller, action, subject)
        case PersonalObject():
            return _personal(caller, action, subject)
        case House():
            return _house(caller)
        case _:
            assert_never(subject)


def possible(caller: Caller, actions: Sequence[Action], subject: Object) -> list[str]:
    """Those of `actions` that the caller may do."""
    found: list[str] = []
    for action in actions:
        try:
            authorize(caller, action, subject)
        except errors.Problem:
            continue
        found.append(action)
    return found


def _request(caller: Caller, action: Action, request: RequestObject) -> Actor:
    owner = _owns(request)
    sees = caller.sees_all or caller.id == request.requester or owner or request.involved
    if not sees:
        raise errors.not_found("request")
    if action == "cancel":
        if caller.id == request.requester:
            return Actor(caller.id)
        if not caller.admin:
            raise errors.forbidden("only the requester or an administrator may cancel a request")
        return Actor(caller.id, "admin")
    if action == "resubmit" and caller.id != request.requester:
        raise errors.forbidden("only its requester may resubmit a request")
    if action == "reassign" and caller.id == request.requester:
        raise errors.forbidden("nobody chooses who decides their own request")
    if action == "erase":
        return _erases(caller, request)
    if action == "watchers":
        return _names_watchers(caller, request)
    if action in ("retry", "reassign"):
        if owner:
            return Actor(caller.id, _bare(request.owner or ""))
        if not caller.admin:
            raise errors.forbidden(
                f"only an administrator or a member of the recipe's owner role may {action}"
            )
        return Actor(caller.id, "admin")
    return Actor(caller.id)


def _erases(caller: Caller, request: RequestObject) -> Actor:
    if caller.id == request.requester:
        raise errors.forbidden("nobody erases their own request")
    if not caller.admin:
        raise errors.forbidden("only an administrator may erase a request (roles claim: admin)")
    return Actor(caller.id, "admin")


def _names_watchers(caller: Caller, request: RequestObject) -> Actor:
    if caller.id == request.requester:
        return Actor(caller.id)
    if _owns(request):
        return Actor(caller.id, _bare(request.owner or ""))
    if caller.admin:
        return Actor(caller.id, "admin")
    raise errors.forbidden(
        "only the requester, an administrator or a member of the recipe's owner role may choose who"
        " else watches a request"
    )


def _task(caller: Caller, action: Action, task: TaskObject) -> Actor:
    request = task.request
    mine = capacity(caller, task)
    asked = mine is not None or caller.id == task.on_behalf_of
    sees = caller.sees_all or caller.id == request.requester or _owns(request)
    if not (asked or sees or request.involved):
        raise errors.not_found("task")
    if action == "see":
        return Actor(caller.id)
    if action == "release":
        return _release(caller, task, mine)
    if caller.id == request.requester:
        raise errors.forbidden("nobody decides their own request")
    overseeing = _oversees(caller, action, task, mine)
    if overseeing is not None:
        return overseeing
    if asked or caller.id in task.excluded:
        _refuse_barred(caller.id, None if mine is None else mine.on_behalf_of, task)
    if mine is None:
        raise errors.forbidden("only those the task is assigned to may decide it")
    if not task.employed:
        raise errors.forbidden("you are not, or no longer, in the directory")
    if task.lapsed is not None:
        raise errors.forbidden(task.lapsed)
    if action == "hand_on" and caller.id not in (task.assignee, task.claimed_by):
        raise errors.forbidden("claim this task first: only who has it alone hands it on")
    return mine


def _oversees(caller: Caller, action: Action, task: TaskObject, mine: Actor | None) -> Actor | None:
    """As whom the caller asks about a task, or adds an approver, that they may not decide themselves."""
    taken = mine is not None and action == "add" and task.claimed_by not in (None, caller.id)
    if action not in ("ask", "add") or not (mine is None or taken):
        return None
    if _owns(task.request):
        return Actor(caller.id, _bare(task.request.owner or ""))
    return Actor(caller.id, "admin") if action == "add" and caller.admin else None


def _release(caller: Caller, task: TaskObject, mine: Actor | None) -> Actor:
    """What nobody has claimed is free for those who share it anyway."""
    if caller.id == task.claimant:
        return Actor(caller.id)
    if caller.id == task.request.requester:
        raise errors.forbidden("nobody chooses who decides their own request")
    if _owns(task.request):
        return Actor(caller.id, _bare(task.request.owner or ""))
    if caller.admin:
        return Actor(caller.id, "admin")
    if task.claimant is None and mine is not None:
        return mine
    raise errors.forbidden(
        "only whoever claimed a task, an administrator or a member of the recipe's owner role may"
        " release it"
    )


def _refuse_barred(actor: str, on_behalf_of: str | None, task: TaskObject) -> None:
    """Problem 403 where the recipe wants somebody else: `not_same_as`, or several people in a step."""
    for person in (actor, on_behalf_of):
        if person is not None and person in task.excluded:
            step = task.decided_before.get(person)
            what = "an earlier step" if step is None else f"step {step}"
            who = "you" if person == actor else person
            raise errors.forbidden(f"{who} decided {what} before: this needs somebody else")
    if actor in task.seated:
        raise errors.forbidden(
            "you already have another part of this step, which needs several people:"
            " this needs somebody else"
        )


def capacity(caller: Caller, task: TaskObject) -> Actor | None:
    """How the task is the caller's: as its assignee, by name in a pool, by a role in it, or for
    somebody whose it is so."""
    if task.assignee is not None:
        if caller.id != task.assignee:
            return None
        return Actor(caller.id, task.role, task.on_behalf_of, task.via)
    if f"user:{caller.id}" in task.candidates:
        return Actor(caller.id)
    for candidate in task.candidates:
        kind, _, name = candidate.partition(":")
        if kind == "role" and name in task.request.held:
            return Actor(caller.id, name)
    return task.standing_in


def _personal(caller: Caller, action: Action, subject: PersonalObject) -> Actor:
    if action == "send":
        return _sender(caller, subject.person)
    if caller.id == subject.person:
        return Actor(caller.id)
    if action in ("delegate", "end"):
        if caller.admin:
            return Actor(caller.id, "admin")
        if action == "end" and caller.id != subject.other and not caller.sees_all:
            raise errors.not_found("delegation")
        raise errors.forbidden("only whoever delegates or an administrator may do this")
    if not caller.sees_all:
        raise errors.forbidden(
            "only the person concerned, administrators and auditors may see this"
        )
    return Actor(caller.id)


def _sender(caller: Caller, person: str) -> Actor:
    """Who sends an event on that person's initiative: they, or a system, which has a role."""
    role = next((name for name in ("events", "admin") if name in caller.roles), None)
    behalf = None if person == caller.id else person
    if behalf is not None and role is None:
        raise errors.forbidden(
            "only systems (roles claim: events) and administrators may send events for others"
        )
    return Actor(caller.id, role, behalf)


def _house(caller: Caller) -> Actor:
    if not caller.admin:
        raise errors.forbidden("only an administrator may do this (roles claim: admin)")
    return Actor(caller.id, "admin")


def _owns(request: RequestObject) -> bool:
    return request.owner is not None and _bare(request.owner) in request.held


def _bare(role: str) -> str:
    return role.removeprefix("role:")


def request_object(row: Any, *, involved: bool = False) -> RequestObject:
    """From a row that has `requester`, `owner` and `held`."""
    return RequestObject(row["requester"], row["owner"], _names(row["held"]), involved)


def task_object(row: Any, *, involved: bool = False) -> TaskObject:
    """From a row of `storage.tasks.load`."""
    return TaskObject(
        request=request_object(row, involved=involved),
        assignee=row["assignee"],
        candidates=tuple(row["candidates"] or ()),
        role=row["role"],
        on_behalf_of=row["on_behalf_of"],
        via=tuple(row["via"]),
        employed=row["employed"],
        lapsed=_lapsed(row),
        standing_in=standing_in(row),
        excluded=_names(row["excluded"]),
        decided_before=row["decided_before"] or {},
        seated=_names(row["seated"]),
        claimant=row["claimant"],
        claimed_by=row["claimed_by"],
    )


def standing_in(row: Any) -> Actor | None:
    """By which delegations a shared task is the reader's, from a row of `storage.tasks`."""
    if row["standing_path"] is None:
        return None
    member, *between, person = row["standing_path"]
    return Actor(person, row["standing_role"], member, tuple(between))


def _lapsed(row: Any) -> str | None:
    """Why it is too late for a decision by what the assignment rests on. Its request is told of that
    within the minute, unless it waits for people. Postgres writes the time into JSON."""
    if row["departed"] is not None:
        return f"{row['departed']} has left: nobody decides on their behalf"
    if row["unheld"]:
        return f"{row['on_behalf_of'] or row['assignee']} does not hold the role {row['role']} now"
    delegation: dict[str, str] | None = row["lapsed"]
    if delegation is None:
        return None
    at = timestamp(datetime.fromisoformat(delegation["at"]))
    by = f" (by {delegation['by']})" if delegation["by"] else ""
    return f"{delegation['delegator']}'s delegation to {delegation['delegate']} ended at {at}{by}"


def _names(held: Sequence[str]) -> frozenset[str]:
    return frozenset(held)
