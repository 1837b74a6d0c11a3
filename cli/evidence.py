"""The audit's evidence straight from Postgres: whoever verifies it asks no API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

import temporal_client
from cli.examine import places
from cli.output import Exit, Failure, say
from contract.messages import Outcome
from contract.names import SEARCH_STATE, SEARCH_STEP
from contract.verifying import Finding
from recipes import progress
from recipes.model import Json
from relay.witnesses import WitnessFailed, WitnessInvalid, witnesses
from settings import Settings
from storage.errors import UNAVAILABLE
from storage.pool import Connection, create_pool
from storage.replay import Replayed
from storage.store import StoreInvalid
from storage.trail import Trail, trail

_PATIENCE = 10


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    """A connection to the database of the settings, or of the `countersign dev` that runs here; all
    that is read through it is of one moment. Failure if it cannot be reached or has no tables."""
    url = places(None).settings.database_url
    try:
        pool = await create_pool(url, max_size=1)
    except (*UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        raise _away(error) from None
    try:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection
    except asyncpg.UndefinedTableError:
        raise Failure("the database is not migrated", fix="countersign migrate") from None
    except UNAVAILABLE as error:
        raise _away(error) from None
    finally:
        await pool.close()


def _away(error: BaseException) -> Failure:
    return Failure(
        f"Postgres cannot be reached: {error}",
        code=Exit.UNAVAILABLE,
        fix="start it (countersign dev), or set COUNTERSIGN_DATABASE_URL",
    )


def cold_tier() -> Trail:
    """Both tiers, as the settings have them. Failure if the cold one is none."""
    loaded = places(None).settings
    try:
        return trail(loaded.audit_store, loaded.audit_cache)
    except StoreInvalid as error:
        raise Failure(str(error), code=Exit.USAGE) from None


def kept_by_witnesses() -> tuple[str, ...]:
    """Every note that the witnesses of the settings keep. Failure if one of them cannot be read."""
    try:
        places_of_notes = witnesses(places(None).settings.seal_witnesses)
        return tuple(note for place in places_of_notes for note in place.kept())
    except WitnessInvalid as error:
        fix = "set COUNTERSIGN_SEAL_WITNESSES"
        raise Failure(f"a witness: {error}", code=Exit.USAGE, fix=fix) from None
    except WitnessFailed as error:
        fix = "without it nobody sees that the database was put back; mount it"
        raise Failure(
            f"a witness cannot be read: {error}", code=Exit.UNAVAILABLE, fix=fix
        ) from None


async def workflow_findings(loaded: Settings, found: Replayed) -> list[Finding]:
    """Where a request's workflow is somewhere else than the engine comes to. Says so on stderr if Temporal
    cannot be asked, or has forgotten it."""
    request_id = found.state.request_id
    try:
        client = await asyncio.wait_for(
            temporal_client.connect(loaded.temporal_address, loaded.temporal_namespace), _PATIENCE
        )
        handle = client.get_workflow_handle(request_id, result_type=Outcome)
        about = await handle.describe()
        if about.status is WorkflowExecutionStatus.COMPLETED:
            ended: Outcome = await handle.result()
            there: dict[str, Json] = {"state": ended.state, "seq": ended.seq}
        else:
            there = _shown(about)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise _no_temporal(error) from None
        say("Temporal has no workflow of this request any more: it was not compared")
        return []
    except (RuntimeError, TimeoutError) as error:
        raise _no_temporal(error) from None
    state, step = found.state, progress.step_of(found.recipe, found.state)
    mine = {"state": state.state, "seq": state.seq, "step": step.id if step else state.status}
    return [
        Finding(
            "replay",
            f"the workflow has {name} {value!r}; the engine comes to {mine[name]!r}",
            UUID(request_id),
        )
        for name, value in there.items()
        if value != mine[name]
    ]


def _shown(about: WorkflowExecutionDescription) -> dict[str, Json]:
    """Where a workflow under way says that it is."""
    attributes = about.typed_search_attributes
    return {
        "state": attributes.get(SearchAttributeKey.for_keyword(SEARCH_STATE)),
        "step": attributes.get(SearchAttributeKey.for_keyword(SEARCH_STEP)),
    }


def _no_temporal(error: BaseException) -> Failure:
    return Failure(
        f"Temporal cannot be reached: {str(error) or type(error).__name__}",
        code=Exit.UNAVAILABLE,
        fix="start it (countersign dev), set COUNTERSIGN_TEMPORAL_ADDRESS, or say --at",
    )
