"""The API as tests call it, in process, on real Postgres; and a workflow without Temporal.

`Recorder` stands where `relay.delivery.Delivery` does: it writes down what Temporal would be told, and
with `carry()` carries requests on as their workflow does, through the real activity.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from activities.commit import Activities
from contract import content
from contract.canonical import canonical
from contract.messages import CommitInput, CommitResult, Message, StartInput, SyncAsked, Synced
from recipes import model, progress
from recipes.asks import Answer
from recipes.happenings import Actor, Happening, Started, Ticked
from recipes.model import ApprovalStep, Ballot, Json, Level, Quorum, Recipe
from recipes.state import State
from settings import Settings
from storage import commands, org, org_import, recipes
from storage.org import PersonRow, RoleRow
from storage.org_plan import Changes
from storage.pool import Pool, vault_of
from tests.stack import write_region_key

ISSUER_KEY = Ed25519PrivateKey.generate()

PEOPLE = (
    PersonRow("alice", "Alice Moreau", "alice@example.org", "bob", department="Sales"),
    PersonRow("bob", "Bob Tanaka", "bob@example.org", "carol"),
    PersonRow("carol", "Carol Diaz"),
    PersonRow("dave", "Dave Singh", manager="carol"),
    PersonRow("erin", "Erin Novak", manager="carol"),
    PersonRow("frank", "Frank Weber", manager="carol"),
)
ROLES = (
    RoleRow("hr", ("dave", "erin"), "People"),
    RoleRow("house", ("frank",), "Owners of recipes"),
    RoleRow("empty"),
)
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"days": {"type": "number", "minimum": 0.5}, "why": {"type": "string"}},
    "required": ["days"],
    "additionalProperties": False,
}


def leave(version: int = 1, **changes: Any) -> Recipe:
    """The manager decides; a rejection needs a comment; `house` owns it."""
    ballot = Ballot(
        "manager",
        approver="{{ employee.manager }}",
        levels=(Level(3600, "escalate"),),
        require_comment=("reject",),
    )
    values: dict[str, Any] = {
        "workflow": "leave",
        "version": version,
        "steps": (ApprovalStep("manager", (ballot,), employee_paths=("manager",)),),
        "title": "{{ days }} days for {{ employee.name }}",
        "owner": "house",
        "inputs": SCHEMA,
    }
    return Recipe(**(values | changes))


def shared(*candidates: str, workflow: str = "shared") -> Recipe:
    """One task that any of the candidates may decide. Untyped; needs nothing."""
    ballot = Ballot("pool", candidates=candidates)
    return Recipe(workflow, 1, (ApprovalStep("pool", (ballot,), Quorum("all")),))


def token(person: str, *roles: str, key: Any = ISSUER_KEY, **claims: Any) -> str:
    """A token of the development issuer; claims set to None are left out."""
    now = int(time.time())
    values: dict[str, Any] = {
        "iss": "countersign-dev",
        "aud": "countersign",
        "sub": person,
        "iat": now,
        "exp": now + 3600,
        "roles": list(roles),
    } | claims
    values = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(values, key, algorithm="EdDSA")


def make_settings(folder: Path, database_url: str, **changes: Any) -> Settings:
    """Settings whose development issuer is `ISSUER_KEY`."""
    pem = ISSUER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "dev_issuer.pub.pem").write_bytes(pem)
    write_region_key(folder / "region.key")
    values: dict[str, Any] = {"refused_rate_limit": 0, "public_url": "http://api"} | changes
    return Settings(
        data_dir=folder,
        database_url=database_url,
        temporal_ui_url="http://127.0.0.1:8233/",
        **values,
    )


async def opened(pool: Pool, request_id: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of a request's audit, with what is sealed in their payloads."""
    keys = await vault_of(pool).writing(pool, UUID(request_id))
    return [dict(row) | {"payload": content.opened(row["payload"], keys).payload} for row in rows]


async def unboxed(pool: Pool, request_id: str | UUID, value: Any) -> Any:
    """What a message or transition of a request is, out of its box."""
    keys = await vault_of(pool).writing(pool, UUID(str(request_id)))
    return content.unboxed(value, keys)


@dataclass
class Recorder:
    """What Temporal would have been told; `on_signal` may answer a signal at once."""

    starts: list[StartInput] = field(default_factory=list)
    signals: list[tuple[UUID, Message]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    on_signal: Callable[[UUID, Message], None] | None = None
    syncs: list[SyncAsked] = field(default_factory=list)
    synced: Synced | Literal["taken"] | None = None
    running: set[UUID] = field(default_factory=set)
    """Requests whose workflow has not ended."""

    def soon_start(self, outbox_id: int, start_input: StartInput) -> None:
        self.rows.append(outbox_id)
        self.starts.append(start_input)

    def soon_signal(self, outbox_id: int, request_id: UUID, message: Message) -> None:
        self.rows.append(outbox_id)
        self.signals.append((request_id, message))
        if self.on_signal is not None:
            self.on_signal(request_id, message)

    async def sync_mirror(self, asked: SyncAsked) -> Synced | Literal["taken"] | None:
        self.syncs.append(asked)
        return self.synced

    async def over(self, request_id: UUID) -> bool:
        return request_id not in self.running

    async def close(self) -> None:
        pass


class Workflow:
    """One request's workflow, driven by hand."""

    def __init__(self, pool: Pool, start: StartInput) -> None:
        self._commit: Callable[[CommitInput], Awaitable[CommitResult]] = Activities(pool).commit
        self.recipe = start.recipe
        self.state: State = start.state

    async def befall(self, happening: Happening, now: datetime | None = None) -> CommitResult:
        """Commit what follows from `happening`; on a lost race the state stays as it was."""
        recipe, moment = self.recipe, now or datetime.now(UTC)
        asked = CommitInput(
            workflow=recipe.workflow,
            version=recipe.version,
            state=self.state,
            happening=happening,
            now=moment,
        )
        result = await self._commit(asked)
        if not result.lost and result.earlier is None:
            whole = progress.apply(recipe, self.state, happening, moment)
            rounds: tuple[tuple[Answer, ...], ...] = result.answers
            for answers in rounds:
                whole = progress.then(recipe, whole, answers, moment)
            self.state, self.recipe = whole.state, progress.recipe_after(recipe, whole)
        return result

    async def begin(self) -> None:
        await self.befall(Started())

    async def tick(self, now: datetime) -> CommitResult:
        return await self.befall(Ticked(), now)

    @property
    def task(self) -> str:
        """The id of the only open task."""
        [task] = self.state.tasks
        return task.id


@dataclass
class House:
    """The API, and what it stands on."""

    client: httpx.AsyncClient
    pool: Pool
    delivery: Recorder
    settings: Settings
    app: Any

    async def call(
        self, method: str, path: str, who: str | None = None, *roles: str, **options: Any
    ) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {token(who, *roles)}"
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, who: str, *roles: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, who, *roles, **options)

    async def post(self, path: str, who: str, *roles: str, **options: Any) -> httpx.Response:
        return await self.call("POST", path, who, *roles, **options)

    async def publish(self, recipe: Recipe) -> None:
        at = await commands.now(self.pool)
        source = canonical(model.dump(recipe))
        digest = sha256(source.encode()).hexdigest()
        item = recipes.Publication(recipe, source, digest, Actor("admin", "admin"), at)
        assert await recipes.publish(self.pool, item) == "published"

    async def import_org(
        self, people: tuple[PersonRow, ...] = PEOPLE, roles: tuple[RoleRow, ...] = ROLES
    ) -> Changes:
        async with self.pool.acquire() as connection, connection.transaction():
            at = await org.lock(connection)
            actor = Actor("admin", "admin")
            return (await org_import.load(connection, at, people, roles, actor)).changes

    async def submit(
        self, who: str = "alice", workflow: str = "leave", inputs: Json = None
    ) -> dict[str, Json]:
        """A request, straight from the API's answer."""
        body = {"workflow": workflow, "inputs": {"days": 5} if inputs is None else inputs}
        response = await self.post("/v1/requests", who, json=body)
        assert response.status_code == 201, response.text
        answer: dict[str, Json] = response.json()
        return answer

    async def begun(
        self, who: str = "alice", workflow: str = "leave", inputs: Json = None
    ) -> Workflow:
        """A submitted request whose workflow has opened its first tasks."""
        await self.submit(who, workflow, inputs)
        flow = Workflow(self.pool, self.delivery.starts[-1])
        await flow.begin()
        return flow

    async def decide(
        self, who: str, task: str, decision: str = "approve", **more: Json
    ) -> httpx.Response:
        return await self.post(
            f"/v1/tasks/{task}/decisions", who, json={"decision": decision, **more}
        )
