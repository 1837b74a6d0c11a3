"""What `countersign doctor` looks at: settings, Postgres, Temporal, the API, the issuer."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

import settings
import temporal_client
from cli import (
    datadir,
    examine_chores,
    examine_erasure,
    examine_messages,
    examine_sealing,
    examine_tiers,
)
from cli.examine_jobs import automatic
from cli.examine_sinks import sinks
from cli.finding import Finding
from contract import names
from settings import Settings
from storage import migrate
from storage.errors import UNAVAILABLE
from storage.inspection import Inspection, inspect
from storage.pool import create_pool

_PATIENCE = 5
_LATE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: settings, or what the running `countersign dev` announced."""

    settings: Settings
    api_url: str


async def examine(places: Places) -> list[Finding]:
    """All findings, in the order in which to put things right."""
    loaded = places.settings
    groups = await asyncio.gather(
        _guarded("Postgres", lambda: _postgres(loaded)),
        _guarded("Temporal", lambda: _temporal(loaded)),
        _guarded("API", lambda: _api(places.api_url)),
    )
    settings_seen = Finding("settings", "ok", f"environment {loaded.environment}")
    return [
        settings_seen,
        *(item for group in groups for item in group),
        *automatic(loaded),
        *sinks(loaded),
        _issuer(loaded),
    ]


async def _guarded(part: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await asyncio.wait_for(look(), 2 * _PATIENCE)
    except TimeoutError:
        return [Finding(part, "problem", "no answer in time", "look at its logs and at its load")]


# --- Postgres ------------------------------------------------------------------------------------


async def _postgres(loaded: Settings) -> list[Finding]:
    try:
        status = await migrate.status(loaded.database_url)
        if status.pending:
            seen = f"not applied: {', '.join(status.pending)}"
            return [Finding("migrations", "problem", seen, "countersign migrate")]
        pool = await create_pool(loaded.database_url, max_size=1)
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        fix = "start it (countersign dev), or set COUNTERSIGN_DATABASE_URL"
        return [Finding("Postgres", "problem", f"cannot be reached: {error}", fix)]
    try:
        seen = await inspect(pool)
        mirrored = await examine_chores.mirrored(pool, loaded)
        sealed = await examine_sealing.sealed(pool, loaded)
        sealed += await examine_tiers.tiers(pool, loaded)
        sealed.append(await examine_erasure.erased(pool))
        sealed += await examine_messages.told(pool, loaded)
    finally:
        await pool.close()
    return [
        Finding("Postgres", "ok", f"version {seen.version}"),
        Finding("migrations", "ok", f"up to date ({status.applied[-1]})"),
        _role(seen),
        _partitions(seen),
        _relay(seen),
        _requests(seen),
        *mirrored,
        *sealed,
    ]


def _role(seen: Inspection) -> Finding:
    if seen.may_rewrite:
        fix = f"connect the parts as {migrate.APP}: the audit trail is only as safe as that"
        return Finding("database role", "problem", f"{seen.role} could rewrite the audit", fix)
    return Finding("database role", "ok", f"{seen.role} can only append to the audit")


def _partitions(seen: Inspection) -> Finding:
    part, fix = "audit partitions", "run countersign migrate, or the relay: they make them"
    if seen.astray:
        what = "rows in audit_rest: a month had no partition when they were written"
        stay = f"{fix} for the months to come; the rows are good where they are"
        return Finding(part, "problem", what, stay)
    if not (seen.this_month and seen.next_month):
        return Finding(part, "problem", "this month's or the next's is missing", fix)
    return Finding(part, "ok", "this month and the next are there")


def _relay(seen: Inspection) -> Finding:
    waiting = f"{seen.outbox_rows} messages wait, the oldest for {seen.outbox_seconds:.0f} s"
    if seen.outbox_seconds > _LATE_SECONDS:
        fix = f"run countersign relay; last error: {seen.outbox_error or 'none'}"
        return Finding("relay", "problem", waiting, fix)
    return Finding("relay", "ok", waiting if seen.outbox_rows else "nothing waits")


def _requests(seen: Inspection) -> Finding:
    if seen.untaken:
        what = f"{seen.untaken} were submitted long ago and not taken up by a worker"
        return Finding("requests", "problem", what, "run countersign worker, look at its log")
    if seen.in_need:
        fix = "countersign request show ID, put it right, countersign request retry ID"
        return Finding("requests", "warning", f"{seen.in_need} have an incident", fix)
    return Finding("requests", "ok", "none is stuck")


# --- Temporal ------------------------------------------------------------------------------------


async def _temporal(loaded: Settings) -> list[Finding]:
    try:
        client = await asyncio.wait_for(
            temporal_client.connect(loaded.temporal_address, loaded.temporal_namespace, None),
            _PATIENCE,
        )
        info = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    except (RPCError, RuntimeError, TimeoutError) as error:
        why = "refused" if "refused" in str(error) else type(error).__name__
        fix = "start it (countersign dev), or set COUNTERSIGN_TEMPORAL_ADDRESS"
        seen = f"{loaded.temporal_address} cannot be reached ({why})"
        return [Finding("Temporal", "problem", seen, fix)]
    found = [Finding("Temporal", "ok", f"version {info.server_version}")]
    if info.persistence_store == "sqlite":
        seen = "single node on SQLite: good for some 50,000 open requests and 40 lifecycles/s"
        fix = "for production run Temporal on Postgres (docker-compose.yml)"
        found.append(Finding("Temporal's store", "warning", seen, fix))
    try:
        found += [await _search_attributes(client), await _pollers(client)]
        found += await examine_chores.schedules(client, loaded)
    except RPCError as error:
        found.append(Finding("Temporal", "problem", error.message, "check the namespace"))
    return found


async def _search_attributes(client: Client) -> Finding:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = set(names.SEARCH_ATTRIBUTES) - set(answer.custom_attributes)
    if missing:
        create = " ".join(f"--name {name} --type Keyword" for name in sorted(missing))
        fix = f"temporal operator search-attribute create {create}"
        return Finding("search attributes", "problem", f"missing: {', '.join(missing)}", fix)
    return Finding("search attributes", "ok", "registered")


async def _pollers(client: Client) -> Finding:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=names.TASK_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    workers = {poller.identity for poller in answer.pollers}
    if not workers:
        seen = f"nobody polls the task queue {names.TASK_QUEUE}"
        return Finding("worker", "problem", seen, "run countersign worker")
    return Finding("worker", "ok", f"{len(workers)} on the task queue {names.TASK_QUEUE}")


# --- API and issuer ------------------------------------------------------------------------------


async def _api(url: str) -> list[Finding]:
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env="127.0.0.1" not in url) as client:
            response = await client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        fix = "run countersign api, or say where it is: --url, COUNTERSIGN_URL"
        return [Finding("API", "problem", f"{url}: {type(error).__name__}", fix)]
    if response.status_code != 200:
        seen = f"{url} lives but cannot serve (status {response.status_code})"
        return [Finding("API", "problem", seen, "usually Postgres: see above")]
    return [Finding("API", "ok", url)]


def _issuer(loaded: Settings) -> Finding:
    if loaded.jwt_issuer:
        return Finding("tokens", "ok", f"issued by {loaded.jwt_issuer}")
    if not loaded.dev_issuer_allowed:
        fix = "set COUNTERSIGN_JWT_ISSUER and COUNTERSIGN_JWT_JWKS_URL (or _JWT_PUBLIC_KEY_FILE)"
        return Finding("tokens", "problem", "nobody's tokens would be accepted", fix)
    key = loaded.dev_issuer_key
    if not key.exists():
        fix = "countersign token PERSON makes it"
        return Finding("tokens", "warning", "the development issuer has no key yet", fix)
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        return Finding("tokens", "problem", f"others may read {key}", f"chmod 600 {key}")
    return Finding("tokens", "ok", "development issuer, on this machine alone")


def places(url: str | None) -> Places:
    loaded = settings.load()
    announced = datadir.running(loaded.data_dir)
    unset = {
        name: announced[name]
        for name in ("database_url", "temporal_address", "audit_store")
        if name in announced and name not in loaded.model_fields_set
    }
    api_url = url or announced.get("api_url") or f"http://{loaded.api_host}:{loaded.api_port}"
    return Places(loaded.model_copy(update=unset), api_url)
