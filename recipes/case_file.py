"""The format of `*.cases.yaml`: given inputs, people and decisions at times, then these tasks, this state.

    recipe: leave_request.v3.yaml
    org: sample_org.yaml              # or people and roles right here
    cases:
      - name: the manager agrees
        requester: alice
        inputs: {days: 5}
        events:
          - {at: 2h, who: bob, decide: approve}     # times count from the submission
          - {at: 3h, who: alice, cancel: true}
          - {at: 50h}                               # time passes, whatever is due happens
        expect:                                     # what holds after the last event
          state: approved
          tasks: [{step: manager_approval, to: bob, is: decided}]
          path: [auto_approve_short skipped, manager_approval approved]

Other expectations: `step` (where it stands), `incidents` (kinds), `reminders` (how many), `after`
(how long it took to end), `refused` (pointers of inputs that the submission is refused for). A task
is compared in the keys that are given: `step, branch, to, is, at`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar

from recipes.case_directory import Directory, Person
from recipes.fields import Fields
from recipes.model import Json, Verdict
from recipes.problems import RecipeInvalid
from recipes.source import Book, Entries, Items, Node, Scalar, below, plain, read

Read = Callable[[str], bytes]
"""Gives the bytes of a file named in a cases file."""

MONDAY_MORNING = datetime(2026, 1, 5, 9, tzinfo=UTC)

Entry = TypeVar("Entry")

_CASE_KEYS = ("name", "requester", "inputs", "at", "events", "expect")
_EVENT_KEYS = ("at", "who", "decide", "comment", "cancel", "retry", "step", "branch")
_EXPECT_KEYS = ("state", "step", "tasks", "path", "incidents", "reminders", "after", "refused")
_TASK_KEYS = ("step", "branch", "to", "is", "at")
_VERDICTS: dict[str, Verdict] = {"approve": "approve", "reject": "reject"}
_STATES = {
    name: name for name in ("created", "pending", "approved", "rejected", "cancelled", "expired")
}
_TASK_STATES = {
    name: name for name in ("open", "decided", "expired", "superseded", "cancelled", "reassigned")
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something at `at` seconds after the submission: `what` is approve, reject, cancel, retry, or
    None for time alone."""

    at: int
    what: str | None = None
    who: str = ""
    comment: str | None = None
    step: str | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """`expect` holds what was written; durations in it are seconds."""

    name: str
    requester: str
    inputs: Json
    at: datetime
    events: tuple[Event, ...]
    expect: dict[str, Json]


@dataclass(frozen=True, slots=True)
class CaseFile:
    """`recipe` is the recipe's bytes, `recipe_name` the file they came from."""

    recipe: bytes
    recipe_name: str
    directory: Directory
    cases: tuple[Case, ...]


def read_cases(text: bytes, file: str | None, opened: Read) -> CaseFile:
    """The cases that `text` spells; RecipeInvalid with all that is wrong with it."""
    root, book = read(text, file)
    fields = _fields(root, "", book)
    fields.known(("recipe", "org", "cases"), "a cases file")
    name = fields.text("recipe") or ""
    recipe = _opened(fields, "recipe", name, opened)
    directory = _org(fields, opened)
    cases = _entries(fields, "cases", lambda entry: _case(entry, directory))
    for key, fix in (("recipe", "add `recipe: its_file.yaml`"), ("cases", "list the cases")):
        fields.required(key, fix)
    if book.failed:
        raise RecipeInvalid(book.in_order())
    return CaseFile(recipe, name, directory, cases)


def _fields(node: Node, path: str, book: Book) -> Fields:
    if isinstance(node, Entries):
        return Fields(node, path, book)
    book.error(path, "must be a mapping", "write `key: value`")
    return Fields(Entries({}, node.line, node.column), path, book)


def _entries(fields: Fields, key: str, make: Callable[[Fields], Entry]) -> tuple[Entry, ...]:
    node, path = fields.node(key), below(fields.path, key)
    if node is None:
        return ()
    if not isinstance(node, Items):
        fields.error(key, "must be a list", "begin each entry with `- `")
        return ()
    items = (_fields(item, below(path, n), fields.book) for n, item in enumerate(node.items))
    return tuple(make(item) for item in items)


def _opened(fields: Fields, key: str, name: str, opened: Read) -> bytes:
    try:
        return opened(name) if name else b""
    except OSError as error:
        fields.error(key, f"can't be read: {error.strerror}", "name a file beside this one")
        return b""


# --- people ---------------------------------------------------------------------------------------


def _org(fields: Fields, opened: Read) -> Directory:
    node = fields.required("org", "add `org: sample_org.yaml`")
    if isinstance(node, Scalar):
        name = fields.text("org") or ""
        content = _opened(fields, "org", name, opened)
        if not content:
            return Directory({}, {})
        root, book = read(content, name)
        directory = _directory(_fields(root, "", book))
        if book.failed:
            raise RecipeInvalid(book.in_order())
        return directory
    return _directory(_fields(node or Entries({}, 1, 1), "org", fields.book))


def _directory(fields: Fields) -> Directory:
    fields.known(("people", "roles"), "an organisation")
    people = {person.id: person for person in _entries(fields, "people", _person)}
    roles: dict[str, tuple[str, ...]] = {}
    node = fields.node("roles")
    if node is not None:
        inner = _fields(node, below(fields.path, "roles"), fields.book)
        for role, (_, members) in inner.entries.items():
            roles[role] = _members(inner, role, members)
    directory = Directory(people, roles)
    for person in people.values():
        _known(fields, "people", person.manager, directory)
    for members in roles.values():
        for member in members:
            _known(fields, "roles", member, directory)
    return directory


def _members(fields: Fields, role: str, node: Node) -> tuple[str, ...]:
    """`[alice, bob]` or `{members: [alice, bob]}`; a role may have nobody."""
    if isinstance(node, Entries):
        inner = Fields(node, below(fields.path, role), fields.book)
        inner.known(("members", "description"), "a role")
        members = inner.node("members")
        return () if members is None else _members(inner, "members", members)
    empty = isinstance(node, Items) and not node.items
    return () if empty else fields.texts(role)


def _person(fields: Fields) -> Person:
    known = ("id", "name", "email", "manager", "department", "title", "attributes")
    fields.known(known, "a person")
    fields.required("id", "add `id: alice`")
    person = fields.text("id") or ""
    facts = {
        key: plain(node)
        for key in ("email", "department", "title", "attributes")
        if (node := fields.node(key)) is not None
    }
    return Person(person, fields.text("name") or person, fields.text("manager"), facts)


def _known(fields: Fields, key: str, person: str | None, directory: Directory) -> None:
    if person is not None and person not in directory.people:
        fields.error(key, f"nobody is called `{person}`", "name one of the people of `org`")


# --- cases ----------------------------------------------------------------------------------------


def _case(fields: Fields, directory: Directory) -> Case:
    fields.known(_CASE_KEYS, "a case")
    fields.required("name", "say what the case shows")
    fields.required("requester", "add `requester: alice`")
    requester = fields.text("requester")
    _known(fields, "requester", requester, directory)
    inputs = fields.node("inputs")
    events = _entries(fields, "events", lambda entry: _event(entry, directory))
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
    )


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
    _known(fields, "who", who, directory)
    whats = [key for key in ("decide", "cancel", "retry") if fields.node(key) is not None]
    if len(whats) > 1:
        fields.error(whats[1], f"comes beside `{whats[0]}`", "write two events")
    if (who is None) != (not whats):
        fix = "add `decide: approve`" if who is not None else "add `who: bob`"
        fields.error("", "needs somebody and what they do, or neither", fix)
    what = fields.choice("decide", _VERDICTS) if "decide" in whats else next(iter(whats), None)
    return Event(
        at, what, who or "", fields.text("comment"), fields.text("step"), fields.text("branch")
    )


def _since(fields: Fields, key: str) -> int:
    """A time since the submission, in seconds; `0s` is the submission itself."""
    node = fields.node(key)
    if isinstance(node, Scalar) and node.text in {"0", "0s"}:
        return 0
    return fields.duration(key) or 0


def _expect(fields: Fields) -> dict[str, Json]:
    node = fields.required("expect", "say what holds afterwards: `expect: {state: approved}`")
    if node is None:
        return {}
    inner = _fields(node, below(fields.path, "expect"), fields.book)
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
        expect["tasks"] = list(_entries(inner, "tasks", _task))
    return expect


def _task(fields: Fields) -> dict[str, Json]:
    fields.known(_TASK_KEYS, "an expected task")
    fields.choice("is", _TASK_STATES)
    task: dict[str, Json] = {key: plain(value) for key, (_, value) in fields.entries.items()}
    if "at" in task:
        task["at"] = _since(fields, "at")
    if "to" in task:
        task["to"] = sorted(fields.texts("to"))
    return task
