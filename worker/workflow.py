"""The workflow of one request: an inbox and an alarm feed `progress`; its effects are committed.

Signal handlers only append, and so does the end of a job. One loop takes what has happened, works out what follows, has the
`commit` activity write it, and only then believes it. Everything a request means is in
`recipes.progress`; everything it writes is in `storage.commits`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TimeoutError,
    TimeoutType,
)

from contract.messages import (
    CommitInput,
    CommitResult,
    JobInput,
    JobResult,
    Message,
    Outcome,
    Standing,
    StartInput,
    Unread,
)
from contract.names import (
    ACTIVITY_COMMIT,
    ACTIVITY_JOB,
    QUERY_STANDING,
    SEARCH_INCIDENT,
    SEARCH_RECIPE,
    SEARCH_STATE,
    SEARCH_STEP,
    SIGNAL_TELL,
    TASK_QUEUE_JOBS,
    WORKFLOW_TYPE,
)
from recipes import jobs, progress
from recipes.effects import Transition
from recipes.happenings import (
    Commanded,
    Decided,
    Happening,
    JobEnded,
    Migration,
    Rechecked,
    Started,
    Ticked,
    Together,
)
from recipes.model import JobStep
from recipes.state import Job, State

_PATIENCE = timedelta(minutes=10)
"""How long one commit is tried before the loop looks around: each slow try adds to the history."""
_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30)
)
_HEARTBEAT = timedelta(seconds=30)
"""A job of which nothing is heard for so long is tried again elsewhere: its worker has died."""
_TOGETHER = "decisions that stand are taken up together"
_RECIPE = SearchAttributeKey.for_keyword(SEARCH_RECIPE)
_STATE = SearchAttributeKey.for_keyword(SEARCH_STATE)
_STEP = SearchAttributeKey.for_keyword(SEARCH_STEP)
_INCIDENT = SearchAttributeKey.for_keyword(SEARCH_INCIDENT)


class Alarm:
    """Rings at a moment that may move. One timer runs at a time, and only an earlier moment replaces
    it: a later one lets it ring for nothing, which costs less history than cancelling."""

    def __init__(self) -> None:
        self.moment: datetime | None = None
        self._rings_at: datetime | None = None
        self._timer: asyncio.Task[None] | None = None

    @property
    def due(self) -> bool:
        return self.moment is not None and self.moment <= workflow.now()

    @property
    def rung(self) -> bool:
        return self.moment is not None and self._rings_at is None

    def set(self, moment: datetime | None) -> None:
        """Ring at `moment`; None while only people can move the request."""
        self.moment = moment
        if moment is None or (self._rings_at is not None and self._rings_at <= moment):
            return
        if self._timer is not None:
            self._timer.cancel()
        left = moment - workflow.now()
        if left <= timedelta():
            self._rings_at = self._timer = None
            return
        self._rings_at = moment
        self._timer = asyncio.create_task(self._ring(left))

    async def _ring(self, left: timedelta) -> None:
        await workflow.sleep(left)
        self._rings_at = self._timer = None


class Errand:
    """A job under way, on a task queue of its own. `told` hears of its end, which always comes: done, not
    done after all attempts, or stopped."""

    def __init__(self, asked: JobInput, step: JobStep, told: Callable[[JobEnded], None]) -> None:
        self.asked = asked
        self.step = step
        self.told = told
        self._handle = workflow.start_activity(
            ACTIVITY_JOB,
            asked,
            result_type=JobResult,
            task_queue=TASK_QUEUE_JOBS,
            start_to_close_timeout=timedelta(seconds=step.timeout),
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=step.retry.first),
                maximum_interval=timedelta(seconds=step.retry.most),
                maximum_attempts=step.retry.attempts,
            ),
            # What it had done by then is waited for, and recorded.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        self._end = asyncio.create_task(self._wait())

    def runs(self, job: Job) -> bool:
        """Whether it is this job that runs, and not one before it, or the same before it failed."""
        return (self.asked.job.id, self.asked.job.again) == (job.id, job.again)

    def stop(self) -> None:
        self._handle.cancel()

    async def _wait(self) -> None:
        job = self.asked.job
        try:
            result = await self._handle
        except ActivityError as error:
            failure, attempts = self._failure(error)
            ended = JobEnded(
                job.id, workflow.now(), failure=failure, attempts=attempts, again=job.again
            )
        else:
            ended = JobEnded(
                job.id, workflow.now(), result.output, attempts=result.attempts, again=job.again
            )
        self.told(ended)

    def _failure(self, error: ActivityError) -> tuple[str, int]:
        """In words, and after how many attempts, as far as it says."""
        match error.cause:
            case ApplicationError() as cause:
                attempts = cause.details[0] if cause.details else self.step.retry.attempts
                return cause.message, attempts
            case TimeoutError(type=TimeoutType.HEARTBEAT):
                return "the worker that had it died", self.step.retry.attempts
            case TimeoutError():
                limit = f"took longer than {self.step.timeout} s"
                return limit, self.step.retry.attempts
            case CancelledError():
                return "was stopped", 1
            case cause:
                return str(cause or error), self.step.retry.attempts


@workflow.defn(name=WORKFLOW_TYPE)
class ApprovalWorkflow:
    """One request, from its submission to a final state."""

    @workflow.init
    def __init__(self, start: StartInput) -> None:
        self.start = start
        self.recipe = start.recipe
        self.recipe_sha256 = start.recipe_sha256
        self.state = start.state
        self.inbox: deque[Unread] = deque(start.inbox)
        self.alarm = Alarm()
        self.shown: tuple[str, str | None, str | None] | None = None
        self.errand: Errand | None = None

    @workflow.signal(name=SIGNAL_TELL)
    def tell(self, message: Message) -> None:
        """Somebody decided, or commands; or the directory has changed under a task."""
        self.inbox.append(message)

    @workflow.query(name=QUERY_STANDING)
    def standing(self) -> Standing:
        """For whoever compares it with what is kept elsewhere."""
        return Standing(self.recipe.version, self.state)

    @workflow.run
    async def run(self, start: StartInput) -> Outcome:  # noqa: ARG002 - read in __init__, see @workflow.init
        """Carry the request to a final state, do what is done after it, and answer what is still in the
        inbox."""
        while self.inbox or not jobs.over(self.recipe, self.state):
            self.continue_as_new_when_long()
            if self.state.seq == 0:
                await self.advance(Started())
                continue
            self.alarm.set(progress.next_wakeup(self.state))
            await workflow.wait_condition(lambda: bool(self.inbox) or self.alarm.rung)
            if self.inbox:
                await self.advance(self.inbox.popleft())
            elif self.alarm.due:
                await self.advance(Ticked())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return Outcome(self.state.state, self.state.seq)

    async def advance(self, happening: Happening) -> None:
        """Take one transition, as storage says it stands. See `CommitResult`."""
        now = workflow.now()
        transition = progress.apply(self.recipe, self.state, happening, now)
        if transition.state == self.state and not self.behind(happening):
            return
        try:
            result = await self.commit(self.state, happening, now)
        except ActivityError:
            # Not written for all of its patience. Round the loop: it is tried again, on a fresh
            # history if this one has grown long.
            self.put_back(happening)
            return
        if result.lost:
            self.take_up(result.lost, happening)
            return
        answers = result.answers
        if result.earlier is not None:
            if result.earlier.happening != happening:
                self.put_back(happening)
            now, answers = result.earlier.now, result.earlier.answers
            transition = progress.apply(self.recipe, self.state, result.earlier.happening, now)
        for round_of_answers in answers:
            transition = progress.then(self.recipe, transition, round_of_answers, now)
        self.believe(transition)

    def take_up(self, first: tuple[Decided, ...], meant: Happening) -> None:
        """Whoever was first, was: their decisions count before what was meant to happen; and together
        with decisions that were meant. One by one, each of two that settle a step would mean to close
        the task of the other, for ever."""
        if not workflow.patched(_TOGETHER):
            self.put_back(meant)
            self.inbox.extendleft(reversed(first))
            return
        own = progress.decisions_of(meant)
        if not own:
            self.put_back(meant)
        decisions = tuple(sorted((*first, *own), key=lambda made: made.at))
        self.inbox.appendleft(decisions[0] if len(decisions) == 1 else Together(decisions))

    def behind(self, happening: Happening) -> bool:
        """Whether this is about a task that this run has yet to learn of: storage has gone on without
        it, in an attempt that was lost or before its history was."""
        about = [decision.task_id for decision in progress.decisions_of(happening)]
        if isinstance(happening, Rechecked):
            about = list(happening.task_ids)
        return not all(progress.has_opened(self.state, task_id) for task_id in about)

    def put_back(self, happening: Happening) -> None:
        """Keep a message for later. A tick comes again by itself; so does the start."""
        if isinstance(happening, Decided | Together | Commanded | Rechecked | JobEnded):
            self.inbox.appendleft(happening)

    async def commit(self, state: State, happening: Happening, now: datetime) -> CommitResult:
        return await workflow.execute_local_activity(
            ACTIVITY_COMMIT,
            CommitInput(
                workflow=self.recipe.workflow,
                version=self.recipe.version,
                state=state,
                happening=happening,
                now=now,
            ),
            result_type=CommitResult,
            schedule_to_close_timeout=_PATIENCE,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=_RETRY,
            local_retry_threshold=timedelta(seconds=1),
        )

    def believe(self, transition: Transition) -> None:
        self.state = transition.state
        if transition.migration is not None:
            self.go_on_with(transition.migration)
        self.tend()
        step = None if self.state.final else progress.step_of(self.recipe, self.state)
        incident = self.state.incidents[0].kind if self.state.incidents else None
        show = self.state.state, step.id if step else self.status(), incident
        if show != self.shown:
            self.shown = show
            workflow.upsert_search_attributes(
                [
                    _STATE.value_set(show[0]),
                    _STEP.value_set(show[1]) if show[1] else _STEP.value_unset(),
                    _INCIDENT.value_set(show[2]) if show[2] else _INCIDENT.value_unset(),
                ]
            )

    def go_on_with(self, migration: Migration) -> None:
        """Another version of the recipe is what is pinned from now on."""
        self.recipe, self.recipe_sha256 = migration.recipe, migration.sha256
        pinned = f"{self.recipe.workflow}.v{self.recipe.version}"
        workflow.upsert_search_attributes([_RECIPE.value_set(pinned)])

    def tend(self) -> None:
        """Run the job that there is, if it does not; ask it to stop, if it is to."""
        job = self.state.job
        if job is None or job.failure is not None:
            self.errand = None
        elif self.errand is None or not self.errand.runs(job):
            about = self.state.request_id, self.recipe.workflow, self.recipe.version
            step = jobs.step_named(self.recipe, job.step)
            self.errand = Errand(JobInput(*about, job), step, self.inbox.append)
        if job is not None and job.cancelled and self.errand is not None:
            self.errand.stop()

    def status(self) -> str | None:
        """Where a state machine is; like a step, it is shown until the request is final."""
        return None if self.state.final else self.state.status

    def continue_as_new_when_long(self) -> None:
        """Begin a fresh history, carrying the state and whatever has not been read yet. Not while a job
        runs: nobody would be there to hear of its end."""
        if self.errand is None and workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(
                StartInput(
                    engine=self.start.engine,
                    recipe=self.recipe,
                    recipe_sha256=self.recipe_sha256,
                    state=self.state,
                    inbox=tuple(self.inbox),
                )
            )
