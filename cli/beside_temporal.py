"""Whether a request's workflow in Temporal is where the engine comes to: the last part of `audit replay`.

What can't be compared is said in words, and is no finding: Temporal is away, or has forgotten what ended
long ago. An open request that nobody there carries on is one.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, fields
from uuid import UUID

from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

import temporal_client
from contract.messages import Outcome, Standing
from contract.names import QUERY_STANDING, SEARCH_STATE, SEARCH_STEP
from contract.verifying import Finding
from recipes import jobs, progress
from recipes.model import Json
from settings import Settings
from storage.pool import Connection
from storage.replay import Replayed

_PATIENCE = 10.0
_GOING_ON = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)
SAME = "compared"


@dataclass(frozen=True, slots=True)
class Beside:
    """What is different, and what could be compared: `SAME`, or in words what could not."""

    findings: tuple[Finding, ...]
    compared: str


async def workflow_of(connection: Connection, loaded: Settings, found: Replayed) -> Beside:
    """The workflow of a request beside where the engine comes to. Its keys come over the connection."""
    try:
        async with asyncio.timeout(_PATIENCE):
            client = await temporal_client.connect(
                loaded.temporal_address, loaded.temporal_namespace, connection
            )
        return await beside(client, found)
    except (RPCError, RuntimeError, TimeoutError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        return Beside((), f"not compared: Temporal cannot be reached ({why})")


async def beside(client: Client, found: Replayed, patience: float = _PATIENCE) -> Beside:
    """Raises RPCError but for a workflow that is not there."""
    handle = client.get_workflow_handle(found.state.request_id, result_type=Outcome)
    try:
        about = await handle.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return _without(found)
    if about.status is WorkflowExecutionStatus.COMPLETED:
        ended: Outcome = await handle.result()
        return _compared(found, {"state": ended.state, "seq": ended.seq})
    if about.status in _GOING_ON:
        return await _under_way(handle, about, found, patience)
    status = "closed" if about.status is None else about.status.name.lower().replace("_", " ")
    return _left_alone(found, f"its workflow was {status}")


def _without(found: Replayed) -> Beside:
    if found.state.seq == 0:
        return Beside((), "not compared: Temporal has not been told of it yet")
    return _left_alone(found, "Temporal has no workflow of it")


def _left_alone(found: Replayed, what: str) -> Beside:
    """Whoever is through needs no workflow any more."""
    if jobs.over(found.recipe, found.state):
        return Beside((), f"not compared: {what} any more")
    return Beside((_finding(found, f"{what}, and it has not ended"),), SAME)


async def _under_way(
    handle: WorkflowHandle[object, Outcome],
    about: WorkflowExecutionDescription,
    found: Replayed,
    patience: float,
) -> Beside:
    """By its own account, or where no worker answers by what Temporal shows."""
    try:
        async with asyncio.timeout(patience):
            there = await _standing(handle, found.state.seq)
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError, TimeoutError):
        shown = _compared(found, _shown(about))
        part = "state and step alone were compared: no worker answered for the rest"
        return Beside(shown.findings, part)
    if there.state.seq > found.state.seq:
        return Beside((), "not compared: it has gone on meanwhile")
    return Beside(tuple(_differences(found, there)), SAME)


async def _standing(handle: WorkflowHandle[object, Outcome], seq: int) -> Standing:
    """What it writes down first, it believes a moment later: it is given that moment."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 2.0
    while True:
        there: Standing = await handle.query(QUERY_STANDING, result_type=Standing)
        if there.state.seq >= seq or loop.time() > until:
            return there
        await asyncio.sleep(0.1)


def _differences(found: Replayed, there: Standing) -> Iterator[Finding]:
    if there.version != found.recipe.version:
        yield _finding(
            found,
            f"the workflow is on version {there.version}; the engine comes to {found.recipe.version}",
        )
    mine = found.state
    wrong = [
        each.name
        for each in fields(mine)
        if getattr(mine, each.name) != getattr(there.state, each.name)
    ]
    if wrong:
        yield _finding(found, f"the workflow has another {', '.join(wrong)} than the engine")


def _compared(found: Replayed, there: dict[str, Json]) -> Beside:
    state, step = found.state, progress.step_of(found.recipe, found.state)
    place = None if state.final else step.id if step else state.status
    mine = {"state": state.state, "seq": state.seq, "step": place}
    findings = tuple(
        _finding(found, f"the workflow has {name} {value!r}; the engine comes to {mine[name]!r}")
        for name, value in there.items()
        if value != mine[name]
    )
    return Beside(findings, SAME)


def _shown(about: WorkflowExecutionDescription) -> dict[str, Json]:
    attributes = about.typed_search_attributes
    return {
        "state": attributes.get(SearchAttributeKey.for_keyword(SEARCH_STATE)),
        "step": attributes.get(SearchAttributeKey.for_keyword(SEARCH_STEP)),
    }


def _finding(found: Replayed, what: str) -> Finding:
    return Finding("replay", what, UUID(found.state.request_id))
