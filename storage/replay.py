"""A request carried out again by the engine, from what was committed: its audit rows and its projection
must be what follows.

Rows that the engine's transitions leave have ids that follow from the request and the transition, so
that each is compared with just the one it must be. Whether the rows themselves are as they were
written is another matter: see `storage.evidence`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from pydantic_core import from_json

from contract import content, events
from contract.boxes import CannotOpen, Keys
from contract.canonical import canonical
from contract.messages import Committed
from contract.verifying import Finding, Kind
from recipes import progress
from recipes.effects import Transition
from recipes.happenings import Commanded, Decided, Happening
from recipes.model import Json, Recipe
from recipes.state import State
from storage import audit, outbox, sight, transitions
from storage.asking import Told
from storage.audit import AuditEvent
from storage.errors import NeverCarriedOut
from storage.pool import Connection, vault_of
from storage.trail import HOT_ALONE, Trail

_ENGINE_ALONE = frozenset(
    [
        events.TASK_ASSIGNED,
        events.TASK_REMINDED,
        events.STEP_COMPLETED,
        events.STEP_SKIPPED,
        events.REQUEST_REWOUND,
        events.REQUEST_RESUBMITTED,
        events.REQUEST_FINALIZED,
        events.APPROVAL_KEPT,
        events.ACTION_FIRED,
        *(f"task.{closing}" for closing in ("expired", "superseded", "cancelled", "reassigned")),
    ]
)
"""Types of rows that nothing but a transition leaves."""

IMPORTED = "SELECT imported FROM requests WHERE id = $1"
COMMITS = "SELECT seq, committed FROM commits WHERE request_id = $1 ORDER BY seq"
PROJECTION = """
SELECT r.state, r.seq, r.step, r.reason, r.status, r.moves, r.version, r.digest, r.resubmit_by, r.inputs,
       r.id, r.sealed,
       r.finalized_at IS NOT NULL AS final,
       ARRAY(SELECT i->>'kind' FROM jsonb_array_elements(r.incidents) i
              WHERE i->>'kind' <> 'CommitFailed') AS incidents,
       ARRAY(SELECT t.id::text FROM tasks t WHERE t.request_id = r.id AND t.state = 'open') AS open,
       ARRAY(SELECT t.id::text FROM tasks t WHERE t.request_id = r.id AND t.state = 'decided') AS decided
  FROM requests r WHERE r.id = $1
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where the engine comes to, after so many `transitions`, and what does not fit: of `rows`."""

    recipe: Recipe
    state: State
    transitions: int
    rows: int
    findings: tuple[Finding, ...]


Read: TypeAlias = Mapping[str, Any]
"""A row of the audit, by the names of its columns."""


async def replay(
    connection: Connection,
    request_id: UUID,
    at: datetime | None = None,
    trail: Trail = HOT_ALONE,
) -> Replayed:
    """Carry a request out again, up to `at` or to where it is. LookupError if there is none,
    NeverCarriedOut if it was imported; ColdUnavailable. `trail` has the cold tier."""
    start = await outbox.start_input(connection, request_id)
    if await connection.fetchval(IMPORTED, request_id):
        raise NeverCarriedOut(f"request {request_id} was imported")
    run = _Run(request_id, start.recipe, start.state)
    keys = await vault_of(connection).writing(connection, request_id)
    told = await trail.kept(connection, request_id, limit=2**31 - 1)
    found = [run.opened(row, keys) for row in told]
    rows = [row for row in found if at is None or row["occurred_at"] <= at]
    run.created(rows)
    by_id = {row["event_id"]: row for row in rows}
    for kept in await connection.fetch(COMMITS, request_id):
        committed = run.committed(kept["seq"], kept["committed"], keys)
        if committed is None:
            break
        if at is not None and committed.now > at:
            break
        if not run.carry_on(kept["seq"], committed, by_id):
            break
    run.compare_the_rest(rows)
    if at is None:
        projection = await connection.fetchrow(PROJECTION, request_id)
        assert projection is not None
        shown = await sight.whole(connection, projection)
        run.compare_projection(shown | {"reason": content.shown_text(shown["reason"], keys)})
    return Replayed(run.recipe, run.state, run.state.seq, len(rows), tuple(run.findings))


class _Run:
    """A request on its way through the engine, and what did not fit until now."""

    def __init__(self, request_id: UUID, recipe: Recipe, state: State) -> None:
        self.request_id = request_id
        self.recipe = recipe
        self.state = state
        self.findings: list[Finding] = []
        self.explained: set[UUID] = set()
        self.decisions: list[Decided] = []
        self.commands: list[Commanded] = []

    def created(self, rows: Sequence[Read]) -> None:
        """What was submitted, as the first row has it."""
        first = rows[0] if rows else None
        if first is None or first["event_type"] != events.REQUEST_CREATED:
            self.find("its first row is not of its submission")
            return
        said = {"inputs": self.state.inputs, "digest": self.state.digest}
        if _plain(said) != {name: first["payload"].get(name) for name in said}:
            self.find("it is kept with other inputs than were submitted", first)

    def opened(self, row: Told, keys: Keys | None) -> Read:
        """A row with what is sealed in it."""
        read = asdict(row)
        try:
            read["payload"] = content.opened(row.payload, keys).payload
        except CannotOpen as error:
            self.find(f"what is sealed in it cannot be opened: {error}", read)
        return read

    def committed(self, seq: int, kept: Json, keys: Keys | None) -> Committed | None:
        """A transition as it is kept; None where nobody can tell what it was."""
        try:
            return transitions.opened(kept, keys)
        except (CannotOpen, ValueError) as error:
            self.find(f"transition {seq} cannot be opened: {error}")
            return None

    def carry_on(self, seq: int, committed: Committed, rows: Mapping[UUID, Read]) -> bool:
        """One transition; False where the engine cannot follow."""
        if seq != self.state.seq + 1:
            self.find(f"transitions {self.state.seq + 1} to {seq - 1} are not kept")
            return False
        try:
            transition = self._transition(committed)
        except (ValueError, LookupError, AssertionError) as error:
            self.find(f"transition {seq} is none that the engine can carry out: {error!r}")
            return False
        if transition.state.seq != seq or transition.state.asks:
            self.find(f"nothing follows from what is kept as transition {seq}")
            return False
        self.state = transition.state
        self.recipe = progress.recipe_after(self.recipe, transition)
        self._remember(committed.happening)
        healed, *expected = transitions.events_of(self.recipe, transition, committed.now)
        self.explained.add(healed.event_id)
        for event in expected:
            self.explained.add(event.event_id)
            self._compare(event, rows.get(event.event_id), seq)
        return True

    def compare_the_rest(self, rows: Sequence[Read]) -> None:
        """Rows that no transition left, and decisions and commands that no row tells of."""
        told = {(row["event_type"], _subject(row)): row for row in rows}
        for decided in self.decisions:
            row = told.get((events.DECISION_RECORDED, decided.task_id))
            mine = (decided.decision, decided.actor.user)
            if row is None or mine != (row["payload"].get("decision"), row["actor"]["user"]):
                self.find(f"no row tells of the decision that closed task {decided.task_id}", row)
        for command in self.commands:
            row = told.get((events.COMMAND_RECEIVED, command.command_id))
            if row is None or row["payload"].get("command") != command.command:
                self.find(f"no row tells of the command {command.command_id}", row)
        taken = {decided.task_id for decided in self.decisions}
        waiting = {task.id for task in self.state.tasks}
        for row in rows:
            kind, about = row["event_type"], _subject(row)
            if kind in _ENGINE_ALONE and row["event_id"] not in self.explained:
                self.find(f"the engine left no such row: {kind}", row)
            elif kind == events.DECISION_RECORDED and about not in taken | waiting:
                self.find("the engine never had this decision", row)

    def compare_projection(self, row: Read) -> None:
        """The rows people see: those of the request and its tasks."""
        state = self.state
        step = None if state.final else progress.step_of(self.recipe, state)
        expected: dict[str, Json] = {
            "state": state.state,
            "seq": state.seq,
            "step": step.id if step else None,
            "reason": state.reason,
            "status": state.status,
            "moves": state.moves,
            "version": self.recipe.version,
            "digest": state.digest,
            "resubmit_by": state.resubmit_by,
            "final": state.final,
            "incidents": [incident.kind for incident in state.incidents],
        }
        for name, value in expected.items():
            if row[name] != value:
                self.find(f"the request shows {name} {row[name]!r}; the engine comes to {value!r}")
        if row["inputs"] != state.inputs:
            self.find("the request shows other inputs than the engine comes to")
        mine = {task.id for task in state.tasks}
        for task_id in sorted(set(row["open"]) ^ mine):
            if task_id not in mine:
                self.find(f"task {task_id} is shown as open; for the engine it is not")
            elif task_id not in row["decided"]:
                self.find(f"task {task_id} is open for the engine; it is not shown so")

    def find(self, what: str, row: Read | None = None) -> None:
        kind: Kind = "replay"
        seq = None if row is None else row["seq"]
        self.findings.append(Finding(kind, what, self.request_id, seq))

    def _transition(self, committed: Committed) -> Transition:
        found = progress.apply(self.recipe, self.state, committed.happening, committed.now)
        for answers in committed.answers:
            found = progress.then(self.recipe, found, answers, committed.now)
        return found

    def _remember(self, happening: Happening) -> None:
        self.decisions += progress.decisions_of(happening)
        if isinstance(happening, Commanded):
            self.commands.append(happening)

    def _compare(self, event: AuditEvent, row: Read | None, seq: int) -> None:
        if row is None:
            self.find(f"transition {seq} must have left {event.type}: there is no such row")
            return
        expected = {
            "event_type": event.type,
            "occurred_at": event.occurred_at,
            "actor": _plain(audit.actor_json(event.actor)),
            "payload": _plain(event.payload),
            "snapshot": _plain(event.snapshot),
        }
        wrong = [name for name, value in expected.items() if row[name] != value]
        if wrong:
            self.find(f"by the engine {event.type} has another {', '.join(wrong)}", row)


def _plain(value: Json) -> Json:
    """As it comes back from the audit."""
    return from_json(canonical(value))


def _subject(row: Read) -> str | None:
    """The task of a decision, the command of what was received."""
    found: str | None = row["payload"].get("task_id") or row["payload"].get("command_id")
    return found
