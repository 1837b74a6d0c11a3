"""Runs jobs: one attempt of one function, its log written beside it.

A regular activity on a task queue of its own. It beats, so that a dead worker is noticed within half a
minute and a job that is to stop hears of it. What it gives is checked here as far as Temporal could not
carry it; whether it fits the recipe is for `recipes.jobs`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from pydantic_core import to_json
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.registry import Call, Function, Later, Refused
from activities.systems import Systems
from contract.messages import JobInput, JobResult
from contract.names import ACTIVITY_JOB
from recipes.findings import short
from recipes.inputs import against
from recipes.jobs import FAILURE_LIMIT, SIZE_LIMIT
from recipes.model import Json
from storage import jobs
from storage.errors import FAILED, plain
from storage.jobs import Line, What
from storage.jsonb import kept
from storage.pool import Pool

_log = structlog.get_logger()

BEAT_SECONDS = 2.0
LINES_LIMIT = 200
"""Lines of one attempt's log; later ones are left out."""
LINE_LIMIT = 500
"""Characters of a line."""


class Jobs:
    """The functions of one worker process, by name, and the systems that they may call."""

    def __init__(
        self, pool: Pool, functions: Mapping[str, Function], systems: Systems | None = None
    ) -> None:
        self._pool = pool
        self._functions = functions
        self._systems = systems or Systems()

    @activity.defn(name=ACTIVITY_JOB)
    async def run(self, asked: JobInput) -> JobResult:
        """One attempt. Raises ApplicationError, whose message is for people, when it fails."""
        attempt = activity.info().attempt
        log = _Log(self._pool, UUID(asked.request_id), UUID(asked.job.id), attempt)
        log.add("started")
        try:
            async with log.kept():
                output = _carried(await self._call(asked, attempt, log))
        except asyncio.CancelledError:
            log.add("cancelled")
            raise
        except Exception as error:
            failure = _failure(error, attempt)
            log.add("failed", failure.message)
            raise failure from error
        else:
            log.add("succeeded")
            return JobResult(output, attempt)
        finally:
            await asyncio.shield(log.write())

    async def _call(self, asked: JobInput, attempt: int, log: "_Log") -> Json:
        job = asked.job
        function = self._functions.get(job.run)
        if function is None:
            raise Later(f"this worker has no function {job.run}")
        return await function(
            Call(
                inputs=job.inputs,
                idempotency_key=job.key,
                request_id=asked.request_id,
                step=job.step,
                attempt=attempt,
                again=attempt > 1 or job.again > 0,
                log=log.say,
                systems=self._systems,
            )
        )


class _Log:
    """An attempt's lines, written now and then. What could not be written is kept for the next time: the
    work counts, whether or not its log can be written."""

    def __init__(self, pool: Pool, request_id: UUID, job_id: UUID, attempt: int) -> None:
        self._pool = pool
        self._request_id = request_id
        self._job_id = job_id
        self._attempt = attempt
        self._lines: list[Line] = []
        self._said = 0

    def say(self, text: str) -> None:
        """From any thread."""
        self._said += 1
        if self._said <= LINES_LIMIT:
            self.add("said", text)

    def add(self, what: What, detail: str | None = None) -> None:
        told = None if detail is None else short(_storable(detail), LINE_LIMIT)
        self._lines.append(Line(self._attempt, datetime.now(UTC), what, told))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Beat and write while within. The first lines are written before anything is done."""
        await self.write()
        ending = asyncio.Event()
        beating = asyncio.create_task(self._beat(ending))
        try:
            yield
        finally:
            ending.set()  # not cancelled: what is being written is written
            await beating

    async def _beat(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            activity.heartbeat()
            await self.write()
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), BEAT_SECONDS)

    async def write(self) -> None:
        lines = self._lines
        self._lines = []
        try:
            if lines:
                await jobs.log(self._pool, self._request_id, self._job_id, lines)
        except FAILED as error:
            self._lines = [*lines, *self._lines]
            _log.warning("a job's log was not written", job_id=self._job_id, error=plain(error))


def _carried(output: Json) -> Json:
    """The output as it is kept. Refused if it cannot be."""
    problem = next(iter(against(None, output)), None)
    if problem is not None:
        raise Refused(f"its output is no JSON: {problem.pointer or 'it'} {problem.message}")
    if len(to_json(output)) > SIZE_LIMIT:
        raise Refused(f"its output is larger than {SIZE_LIMIT // 1024} KiB")
    return kept(output)


def _failure(error: Exception, attempt: int) -> ApplicationError:
    told = str(error) if isinstance(error, Refused | Later) else f"{type(error).__name__}: {error}"
    after = error.seconds if isinstance(error, Later) else None
    return ApplicationError(
        short(_storable(told), FAILURE_LIMIT),
        attempt,
        type=type(error).__name__,
        non_retryable=isinstance(error, Refused),
        category=ApplicationErrorCategory.BENIGN,  # its log has it: no stack trace in ours
        next_retry_delay=None if after is None else timedelta(seconds=after),
    )


def _storable(text: str) -> str:
    """Without what no text in Postgres holds."""
    return text.replace("\x00", "").encode(errors="replace").decode()
