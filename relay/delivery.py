"""The one place that tells Temporal something: starts and signals, first try and every later one.

`tell` does it once and says what came of it. `Delivery` does it behind an answer of the API, with
bounded work in hand; whatever it does not get done, the relay does.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import structlog
from prometheus_client import Counter
from structlog.contextvars import bound_contextvars
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from contract.boxes import CannotOpen
from contract.messages import Message, StartInput, SyncAsked, Synced
from contract.names import (
    MIRROR_BY_HAND,
    SEARCH_RECIPE,
    SEARCH_STATE,
    SIGNAL_TELL,
    TASK_QUEUE,
    TASK_QUEUE_CHORES,
    WORKFLOW_MIRROR,
    WORKFLOW_TYPE,
)
from recipes.happenings import Commanded
from storage import outbox
from storage.errors import FAILED, StorageError, plain
from storage.pool import Pool

_log = structlog.get_logger()
_RPC_TIMEOUT = timedelta(seconds=5)
_SYNC_PATIENCE = timedelta(seconds=20)
_STATE = SearchAttributeKey.for_keyword(SEARCH_STATE)
_RECIPE = SearchAttributeKey.for_keyword(SEARCH_RECIPE)

orphaned = Counter(
    "countersign_orphaned_requests_total",
    "Open requests whose workflow Temporal did not know; each was started again. Find out why.",
)


class Told(Enum):
    """What came of telling."""

    DONE = "done"
    NOT_YET = "not yet"


async def start(client: Client, start: StartInput, *, again: bool = False) -> Told:
    """Start a request's workflow. One that runs is as good, and so is one that has run, unless
    it is to be started `again`. Raises RPCError."""
    state, recipe = start.state, start.recipe
    reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            WORKFLOW_TYPE,
            start,
            id=state.request_id,
            task_queue=TASK_QUEUE,
            id_reuse_policy=reuse if again else WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(_STATE, state.state),
                    SearchAttributePair(_RECIPE, f"{recipe.workflow}.v{recipe.version}"),
                ]
            ),
            rpc_timeout=_RPC_TIMEOUT,
        )
    return Told.DONE


async def signal(client: Client, pool: Pool, request_id: UUID, message: Message) -> Told:
    """Signal a request's workflow. Raises RPCError.

    A workflow that Temporal does not know has either not been started yet, or ended; a command is
    then refused here. If Postgres shows the request open, its history is gone (terminated by hand,
    restored from an old backup): that is an alarm, and the workflow is started again; from what was
    committed it finds its way back to the present. NOT_YET: tell it again.
    """
    handle = client.get_workflow_handle(str(request_id))
    try:
        await handle.signal(SIGNAL_TELL, message, rpc_timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        final, unstarted = await outbox.standing(pool, request_id)
        if not final:
            if not unstarted:
                orphaned.inc()
                _log.error("open request without a workflow", request_id=str(request_id))
                await start(client, await outbox.start_input(pool, request_id), again=True)
            return Told.NOT_YET
        if isinstance(message, Commanded):
            await outbox.settle_late(pool, UUID(message.command_id))
    return Told.DONE


async def sync_mirror(
    client: Client, asked: SyncAsked, patience: timedelta
) -> Synced | Literal["taken"] | None:
    """Have a worker read the mirrored system now. "taken" while another such reading is under way; None
    if it takes longer than `patience`. Raises RPCError and RuntimeError while Temporal is away, and
    RuntimeError if the reading itself can't be carried out."""
    try:
        handle = await client.start_workflow(
            WORKFLOW_MIRROR,
            asked,
            id=MIRROR_BY_HAND,
            task_queue=TASK_QUEUE_CHORES,
            result_type=Synced,
            rpc_timeout=_RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return "taken"
    try:
        async with asyncio.timeout(patience.total_seconds()):
            found: Synced = await handle.result()
    except TimeoutError:
        return None
    except WorkflowFailureError as error:
        raise RuntimeError(f"the reading ended early: {error.cause}") from None
    return found


async def over(client: Client, request_id: UUID) -> bool:
    """Whether a request's workflow has ended, or was forgotten since. Raises RPCError and RuntimeError
    while Temporal is away."""
    try:
        found = await client.get_workflow_handle(str(request_id)).describe(rpc_timeout=_RPC_TIMEOUT)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return True
        raise
    return found.status is not WorkflowExecutionStatus.RUNNING


class Delivery:
    """Tells Temporal behind the answers of one API process.

    At most `in_hand` messages are under way; more than that are left to the relay, as are all that
    fail. Starts also wait their turn while workers have `admission` new requests to take up.
    """

    def __init__(
        self, client: Client, pool: Pool, *, in_hand: int = 256, admission: int = 500
    ) -> None:
        self._client = client
        self._pool = pool
        self._in_hand = in_hand
        self._admission = admission
        self._not_begun = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._told: list[int] = []
        self._wake = asyncio.Event()
        self._keeper = [
            asyncio.create_task(self._forget_told()),
            asyncio.create_task(self._watch_admission()),
        ]

    def soon_start(self, outbox_id: int, start_input: StartInput) -> None:
        """Start a request's workflow soon, unless workers are behind."""
        if self._not_begun < self._admission:
            self._soon(outbox_id, start_input.state.request_id, start(self._client, start_input))

    def soon_signal(self, outbox_id: int, request_id: UUID, message: Message) -> None:
        """Signal a request's workflow soon."""
        self._soon(
            outbox_id, str(request_id), signal(self._client, self._pool, request_id, message)
        )

    async def sync_mirror(self, asked: SyncAsked) -> Synced | Literal["taken"] | None:
        """See the function of this name. RuntimeError while Temporal is away."""
        try:
            return await sync_mirror(self._client, asked, _SYNC_PATIENCE)
        except RPCError as error:
            raise RuntimeError(error.message) from None

    async def over(self, request_id: UUID) -> bool:
        """See the function of this name. RuntimeError while Temporal is away."""
        try:
            return await over(self._client, request_id)
        except RPCError as error:
            raise RuntimeError(error.message) from None

    async def close(self) -> None:
        """Finish what is under way."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=5)
        for task in (*self._keeper, *self._under_way):
            task.cancel()
        await asyncio.gather(*self._keeper, *self._under_way, return_exceptions=True)
        await self._delete_told()

    def _soon(self, outbox_id: int, request_id: str, telling: Coroutine[Any, Any, Told]) -> None:
        if len(self._under_way) >= self._in_hand:
            telling.close()
            return
        # In the trace of the call that is being answered, as its lines are.
        with bound_contextvars(request_id=request_id):
            task = asyncio.create_task(self._tell(outbox_id, telling))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _tell(self, outbox_id: int, telling: Coroutine[Any, Any, Told]) -> None:
        try:
            told = await telling
        except (RPCError, RuntimeError, StorageError, CannotOpen, *FAILED) as error:
            _log.info("left to the relay", outbox_id=outbox_id, error=plain(error))
            return
        if told is Told.DONE:
            self._told.append(outbox_id)
            self._wake.set()

    async def _forget_told(self) -> None:
        """Delete the rows that were told, many at once."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(0.02)
            self._wake.clear()
            await self._delete_told()

    async def _delete_told(self) -> None:
        told = self._told.copy()
        self._told.clear()
        if not told:
            return
        try:
            await outbox.delete(self._pool, told)
        except FAILED as error:
            _log.info("told rows are told again by the relay", error=plain(error))

    async def _watch_admission(self) -> None:
        while True:
            try:
                self._not_begun = await outbox.not_begun(self._pool, self._admission)
            except FAILED as error:
                _log.info("admission not known", error=plain(error))
            await asyncio.sleep(0.5)
