"""The format of `*.cases.yaml`: given inputs, people and decisions at times, then these tasks, this state.

    recipe: leave_request.v3.yaml
    org: sample_org.yaml              # or people and roles right here
    calendars: [es.calendar.yaml]     # where business days count
    cases:
      - name: the manager agrees
        requester: alice
        inputs: {days: 5}                           # and `entity: {type, id}` where there is one
        events:
          - {at: 2h, who: bob, decide: approve}     # times count from the submission
          - {at: 2h, who: erin, decide: request_changes, comment: too long, to: manager_approval}
          - {at: 3h, who: alice, resubmit: {days: 4}}  # once it is rewound to the requester
          - {at: 3h, who: alice, cancel: true}
          - {at: 24h, who: bob, delegate: dave}     # goes away; `scope: role:x` if not for all
          - {at: 30h, who: bob, return: true}       # is back: delegations, or departure, end
          - {at: 40h, who: dave, leave: true}       # has left
          - {at: 41h, who: oscar, reassign: bob}    # gives a task to somebody; `step`, `branch`
          - {at: 41h, who: bob, add: dave, where: before}   # an approver; or `beside`, `after`
          - {at: 42h, who: alice, fire: submit}     # an action of a state machine
          - {at: 43h, who: bob, fire: submit, refused: leads out of}   # with these words in the reason
          - {at: 50h}                               # time passes, whatever is due happens
        expect:                                     # what holds after the last event
          state: approved
          tasks: [{step: manager_approval, to: bob, is: decided}]
          path: [auto_approve_short skipped, manager_approval approved]

A decision is approve, reject, request_changes (`to` a step, else the requester) or one of the recipe's
outcomes, with `comment` and `reason` where it wants them. `path` also has `hr rewound to requester` and,
of approvals that stay, `manager kept`.

Automatic work is supposed: `outputs: {charge: {id: c-1}}` are what steps give (null, if nothing is said),
`fails: {charge: card declined}` those that fail the first time, so that `retry` has them succeed. It takes
no time. What was run with which inputs is expected by `jobs: [{step: charge, inputs: {amount: 5}}]`, who
was told by `notified: [{to: alice, message: ...}]`.

Other expectations: `step` (where it stands), `status` (of a state machine, whose `path` has the actions
fired), `incidents` (kinds), `reminders` (how many), `after`
(how long it took to end), `refused` (what the submission is refused for:
pointers of inputs, and `/entity`). A task
is compared in the keys that are given: `step, branch, to, is, at, behalf` (on whose behalf); a job in
`step, run, inputs, is`, a notification in `step, to, message`.

`calendars` lists the files of the calendars that business days are counted on, or what would stand in
one. People's `time_zone` counts where the recipe says so.

An organisation is the file that `countersign org import` takes, of which everything counts but time:
`people` (`id, name, manager, limits: {EUR: 10000}, left: true, ...`) and `roles`; and `delegations`, a
list of `{from: bob, to: carol, scope: all}`. A case may have `delegations` of its own: who is away when
the request is submitted. Whatever the directory says anew is asked again at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar

from recipes.business import Calendar, Calendars, Zones, utc_alone
from recipes.calendar_file import calendar_of, read_calendar
from recipes.case_directory import Delegation, Directory
from recipes.case_org import entries, known, mapping, read_delegation, read_organisation, read_scope
from recipes.fields import Fields
from recipes.happenings import Where
from recipes.model import Json
from recipes.problems import RecipeInvalid
from recipes.source import Entries, Items, Scalar, below, plain, read
from recipes.state import Entity

Made = TypeVar("Made")
Read = Callable[[str], bytes]
"""Gives the bytes of a file named in a cases file."""

MONDAY_MORNING = datetime(2026, 1, 5, 9, tzinfo=UTC)

_CASE_KEYS = (
    "name",
    "requester",
    "inputs",
    "entity",
    "at",
    "delegations",
    "outputs",
    "fails",
    "events",
    "expect",
)
_DEEDS = (
    "decide",
    "resubmit",
    "cancel",
    "retry",
    "reassign",
    "add",
    "fire",
    "delegate",
    "return",
    "leave",
)
_EVENT_KEYS = (
    "at",
    "who",
    *_DEEDS,
    "where",
    "comment",
    "reason",
    "to",
    "scope",
    "step",
    "branch",
    "refused",
)
_EXPECT_KEYS = (
    "state",
    "status",
    "step",
    "tasks",
    "jobs",
    "notified",
    "path",
    "incidents",
    "reminders",
    "after",
    "refused",
)
_TASK_KEYS = ("step", "branch", "to", "is", "at", "behalf")
_JOB_KEYS = ("step", "run", "inputs", "is")
_NOTIFICATION_KEYS = ("step", "to", "message")
_JOB_STATES = {name: name for name in ("succeeded", "failed", "cancelled")}
_WHERE: dict[str, Where] = {"before": "before", "beside": "beside", "after": "after"}
_STATES = {
    name: name
    for name in (
        "created",
        "pending",
        "rewound",
        "approved",
        "rejected",
        "cancelled",
        "expired",
    )
}
_TASK_STATES = {
    name: name for name in ("open", "decided", "expired", "superseded", "cancelled", "reassigned")
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something at `at` seconds after the submission: `what` is decide (`decision`, maybe `to` a step),
    resubmit (`inputs`), cancel, retry, reassign, delegate, add (these three `to` somebody, the last
    `where`), fire (`action`), return, leave, or None for time alone. `refused` is a part of why an action
    is."""

    at: int
    what: str | None = None
    who: str = ""
    comment: str | None = None
    step: str | None = None
    branch: str | None = None
    to: str = ""
    scope: str = "all"
    action: str = ""
    refused: str | None = None
    where: Where | None = None
    decision: str = ""
    reason: str | None = None
    inputs: Json = None


@dataclass(frozen=True, slots=True)
class Case:
    """`expect` holds what was written; durations in it are seconds. `line` is where the case begins.
    `outputs` and `fails` are by step: what its function gives, and how it fails the first time."""

    name: str
    requester: str
    inputs: Json
    at: datetime
    events: tuple[Event, ...]
    expect: dict[str, Json]
    delegations: tuple[Delegation, ...] = ()
    line: int = 1
    entity: Entity | None = None
    outputs: dict[str, Json] = field(default_factory=dict)
    fails: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """`recipe` is the recipe's bytes, `recipe_name` the file they came from."""

    recipe: bytes
    recipe_name: str
    directory: Directory
    cases: tuple[Case, ...]


def read_cases(text: bytes, file: str | None, opened: Read, zone: Zones = utc_alone) -> CaseFile:
    """The cases that `text` spells; RecipeInvalid with all that is wrong with it."""
    root, book = read(text, file, dates=True)
    fields = mapping(root, "", book)
    fields.known(("recipe", "org", "calendars", "cases"), "a cases file")
    name = fields.text("recipe") or ""
    recipe = _opened(fields, "recipe", name, opened)
    directory = _org(fields, opened)
    directory.calendars = _calendars(fields, opened, zone)
    _zones(fields, directory, zone)
    cases = entries(fields, "cases", lambda entry: _case(entry, directory))
    for key, fix in (("recipe", "add `recipe: its_file.yaml`"), ("cases", "list the cases")):
        fields.required(key, fix)
    if book.failed:
        raise RecipeInvalid(book.in_order())
    return CaseFile(recipe, name, directory, cases)


def _opened(fields: Fields, key: str, name: str, opened: Read) -> bytes:
    try:
        return opened(name) if name else b""
    except OSError as error:
        fields.error(key, f"can't be read: {error.strerror}", "name a file beside this one")
        return b""


def _org(fields: Fields, opened: Read) -> Directory:
    node = fields.required("org", "add `org: sample_org.yaml`")
    if isinstance(node, Scalar):
        name = fields.text("org") or ""
        content = _opened(fields, "org", name, opened)
        if not content:
            return Directory({}, {})
        root, book = read(content, name)
        directory = read_organisation(mapping(root, "", book))
        if book.failed:
            raise RecipeInvalid(book.in_order())
        return directory
    return read_organisation(mapping(node or Entries({}, 1, 1), "org", fields.book))


def _calendars(fields: Fields, opened: Read, zone: Zones) -> Calendars:
    node = fields.node("calendars")
    if node is not None and not isinstance(node, Items):
        fields.error("calendars", "must be a list", "write [es.calendar.yaml]")
        return Calendars()
    found: list[Calendar] = []
    for index, item in enumerate(() if node is None else node.items):
        place = below("calendars", index)
        if isinstance(item, Entries):
            found.append(calendar_of(Fields(item, place, fields.book), zone))
        elif (name := fields.text_of(item, place)) is not None:
            try:
                found.append(read_calendar(opened(name), zone, name))
            except OSError as error:
                message = f"can't be read: {error.strerror}"
                fields.book.error(place, message, "name a file beside this one")
    return Calendars(tuple(found), zone)


def _zones(fields: Fields, directory: Directory, zone: Zones) -> None:
    """Tell of people's time zones that there are not, where they count."""
    for person in directory.people.values() if directory.calendars.known else ():
        if zone(person.time_zone) is None:
            message = f"{person.id}: there is no time zone `{person.time_zone}`"
            fields.error("org", message, "write an IANA name such as Europe/Madrid")


# --- cases ----------------------------------------------------------------------------------------


def _case(fields: Fields, directory: Directory) -> Case:
    fields.known(_CASE_KEYS, "a case")
    fields.required("name", "say what the case shows")
    fields.required("requester", "add `requester: alice`")
    requester = fields.text("requester")
    known(fields, "requester", requester, directory)
    inputs = fields.node("inputs")
    events = entries(fields, "events", lambda entry: _event(entry, directory))
    for number, (earlier, later) in enumerate(pairwise(events), 1):
        if later.at < earlier.at:
            path = below(below(fields.path, "events"), number)
            fields.book.error(path, "is before the event above it", "put events in their order")
    return Case(
        name=fields.text("name") or "",
        requester=requester or "",
        inputs={} if inputs is None else plain(inputs),
        at=_moment(fields),
        events=events,
        expect=_expect(fields),
        delegations=entries(fields, "delegations", lambda each: read_delegation(each, directory)),
        line=fields.line,
        entity=_entity(fields),
        outputs=_by_step(fields, "outputs", lambda inner, step: plain(inner.entries[step][1])),
        fails=_by_step(fields, "fails", lambda inner, step: inner.text(step) or ""),
    )


def _by_step(fields: Fields, key: str, made: Callable[[Fields, str], Made]) -> dict[str, Made]:
    node = fields.node(key)
    if node is None:
        return {}
    inner = mapping(node, below(fields.path, key), fields.book)
    return {step: made(inner, step) for step in inner.entries}


def _entity(fields: Fields) -> Entity | None:
    node = fields.node("entity")
    if node is None:
        return None
    inner = mapping(node, below(fields.path, "entity"), fields.book)
    inner.known(("type", "id"), "an entity")
    for key, fix in (("type", "add `type: booking`"), ("id", 'add `id: "4711"`')):
        inner.required(key, fix)
    return Entity(inner.text("type") or "", inner.text("id") or "")


def _moment(fields: Fields) -> datetime:
    text = fields.text("at")
    if text is None:
        return MONDAY_MORNING
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fields.error("at", "is no moment with a time zone", 'write "2026-01-05T09:00:00Z"')
        return MONDAY_MORNING
    return moment.astimezone(UTC)


def _event(fields: Fields, directory: Directory) -> Event:
    fields.known(_EVENT_KEYS, "an event")
    fields.required("at", "add `at: 2h`, the time since the submission")
    who, at = fields.text("who"), _since(fields, "at")
    known(fields, "who", who, directory)
    deeds = [key for key in _DEEDS if fields.node(key) is not None]
    if len(deeds) > 1:
        fields.error(deeds[1], f"comes beside `{deeds[0]}`", "write two events")
    if (who is None) != (not deeds):
        fix = "add `decide: approve`" if who is not None else "add `who: bob`"
        fields.error("", "needs somebody and what they do, or neither", fix)
    what = next(iter(deeds), None)
    to = fields.text(what) if what in {"reassign", "add", "delegate"} else None
    known(fields, what or "", to, directory)
    if what != "add" and fields.node("where") is not None:
        fields.error("where", "has no effect: nobody is added", "add `add: dave`")
    if what != "fire" and fields.node("refused") is not None:
        fields.error(
            "refused", "has no effect: only an action is refused", "add `fire: its_action`"
        )
    if what != "decide":
        for key in ("to", "reason"):
            if fields.node(key) is not None:
                fields.error(key, "has no effect: nothing is decided", "add `decide: ...`")
    elif fields.node("to") is not None:
        to = fields.text("to")
    inputs = fields.node("resubmit")
    return Event(
        at,
        what,
        who or "",
        fields.text("comment"),
        fields.text("step"),
        fields.text("branch"),
        to or "",
        read_scope(fields, directory),
        fields.text("fire") or "",
        fields.text("refused"),
        fields.choice("where", _WHERE, required=True) if what == "add" else None,
        fields.text("decide") or "",
        fields.text("reason"),
        None if inputs is None else plain(inputs),
    )


def _since(fields: Fields, key: str) -> int:
    """A time since the submission, in seconds; `0s` is the submission itself."""
    node = fields.node(key)
    if isinstance(node, Scalar) and node.text in {"0", "0s"}:
        return 0
    return fields.seconds(key) or 0


def _expect(fields: Fields) -> dict[str, Json]:
    node = fields.required("expect", "say what holds afterwards: `expect: {state: approved}`")
    if node is None:
        return {}
    inner = mapping(node, below(fields.path, "expect"), fields.book)
    inner.known(_EXPECT_KEYS, "an expectation")
    if not inner.entries:
        inner.error("", "expects nothing", "add `state: approved`")
    inner.choice("state", _STATES)
    expect: dict[str, Json] = {key: plain(value) for key, (_, value) in inner.entries.items()}
    for key in ("path", "incidents", "refused"):
        if inner.node(key) is not None and expect[key] != []:
            expect[key] = list(inner.texts(key))
    if "after" in expect:
        expect["after"] = _since(inner, "after")
    if "tasks" in expect:
        expect["tasks"] = list(entries(inner, "tasks", _task))
    if "jobs" in expect:
        expect["jobs"] = list(entries(inner, "jobs", _job))
    if "notified" in expect:
        expect["notified"] = list(entries(inner, "notified", _notification))
    return expect


def _job(fields: Fields) -> dict[str, Json]:
    fields.known(_JOB_KEYS, "an expected job")
    fields.choice("is", _JOB_STATES)
    return {key: plain(value) for key, (_, value) in fields.entries.items()}


def _notification(fields: Fields) -> dict[str, Json]:
    fields.known(_NOTIFICATION_KEYS, "an expected notification")
    found: dict[str, Json] = {key: plain(value) for key, (_, value) in fields.entries.items()}
    if "to" in found:
        found["to"] = sorted(fields.texts("to"))
    return found


def _task(fields: Fields) -> dict[str, Json]:
    fields.known(_TASK_KEYS, "an expected task")
    fields.choice("is", _TASK_STATES)
    task: dict[str, Json] = {key: plain(value) for key, (_, value) in fields.entries.items()}
    if "at" in task:
        task["at"] = _since(fields, "at")
    if "to" in task:
        task["to"] = sorted(fields.texts("to"))
    return task
