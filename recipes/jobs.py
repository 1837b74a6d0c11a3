"""Automatic steps: jobs, what becomes of them, waiting and telling people; in steps and in callbacks alike.

The rules
---------
* A request has one job at most. It runs outside, and `JobEnded` tells how it ended. Its key says to the
  other side that it is the same work, however often it is tried: by the worker, or by people (`retry`).
  A step that is come to once more, after a rewind, is other work, and has another key.
* A failure is an incident that waits for `retry`, which begins the step again; or it rejects the request,
  or is passed over: as the step's `on_failure` says. So is an output that is too large, or not what the step's `output` says.
  Where anything of the recipe is confidential what a failure says is with its job alone.
* A request that ends meanwhile is final at once. Its job is asked to stop; whether it has, or had done
  its work before, is waited for and recorded, and only then the callbacks begin.
* Callbacks run in order when the request is final, which nothing about them changes any more. For them
  a step that was not come to, or was not left, has the outcome `not_done`.
* A `notify` tells everybody who holds what it names at that moment, the requester too. Where nobody does
  nobody is told, and the request goes on.
* A `wait` that ends in the past is over at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from pydantic_core import to_json

from recipes.asks import Answer, AskPeople, AskTimes, DueBy, Timing
from recipes.effects import CancelJob, EndJob, Notify, Record, StartJob
from recipes.expressions import Environment, ExpressionError, Scope
from recipes.happenings import JobEnded
from recipes.inputs import against
from recipes.migration import Migrating
from recipes.model import (
    BusinessDays,
    Callback,
    JobStep,
    Json,
    NotifyStep,
    Recipe,
    Step,
    WaitStep,
)
from recipes.references import once, reference
from recipes.state import Job, State

SIZE_LIMIT = 64 * 1024
"""Bytes of a job's inputs, and of its output."""
OUTPUTS_LIMIT = 512 * 1024
"""Bytes of all outputs of a request, which carries them along."""
MESSAGE_LIMIT = 2_000
"""Characters of a notification."""
PEOPLE_LIMIT = 1_000
"""How many people one step tells."""
_TOO_MANY = f"names more than {PEOPLE_LIMIT:,} people"
FAILURE_LIMIT = 2_000
"""Characters of what is kept of a failure."""


def at_hand(recipe: Recipe, state: State) -> Step | None:
    """The step the request is at, or of a final one the callback; None when it has run out of them."""
    if state.final:
        callbacks: tuple[Callback, ...] = recipe.callbacks(state.state)
        return callbacks[state.called] if state.called < len(callbacks) else None
    return recipe.steps[state.position] if state.position < len(recipe.steps) else None


def over(recipe: Recipe, state: State) -> bool:
    """Whether nothing is left to be done: the request is final, and its callbacks are behind it."""
    return state.final and state.job is None and at_hand(recipe, state) is None


def step_named(recipe: Recipe, name: str) -> JobStep:
    """The step or callback that a job is of."""
    found = next(step for step in recipe.every_step if step.id == name)
    assert isinstance(found, JobStep)
    return found


def supposed_end(
    job: Job, outputs: Mapping[str, Json], fails: Mapping[str, str], now: datetime
) -> JobEnded:
    """How a job ends where nothing is run: with the output that is supposed of its step, or once with the
    failure, until it is tried again."""
    failure = None if job.again else fails.get(job.step)
    output = outputs.get(job.step) if failure is None else None
    return JobEnded(job.id, now, output, failure, again=job.again)


def rendered(environment: Environment, value: Json, scope: Scope) -> Json:
    """`value` with what its templates give, however deep they stand. ExpressionError if one fails."""
    match value:
        case str():
            return environment.render(value, scope)
        case list():
            return [rendered(environment, item, scope) for item in value]
        case dict():
            return {name: rendered(environment, item, scope) for name, item in value.items()}
        case _:
            return value


class Jobs(Migrating):
    """What automatic steps do. Whether a step is left by it, and what follows, is for `progress`."""

    # --- jobs ---

    def begin_job(self, step: JobStep) -> None:
        """Run the step's function on what its templates give. ExpressionError if they give nothing."""
        inputs = rendered(self.environment, step.inputs, self.scope())
        if len(to_json(inputs)) > SIZE_LIMIT:
            raise ExpressionError(f"gives more than {SIZE_LIMIT // 1024} KiB of inputs")
        state, failed = self.state, self.state.job
        again = 0
        count = state.begun.get(step.id, 0)
        if failed is not None and failed.step == step.id:
            again = failed.again + 1  # the same work once more
        else:
            count += 1
        number = "" if count == 1 else f":{count}"
        job = Job(
            id=str(uuid5(UUID(state.request_id), f"job:{step.id}{number}")),
            step=step.id,
            run=step.run,
            inputs=inputs,
            key=f"{state.request_id}:{step.id}{number}",
            again=again,
        )
        state = state if state.final else replace(state, state="pending")
        self.state = replace(state, job=job, begun={**state.begun, step.id: count})
        self.effects.append(StartJob(job))

    @property
    def working(self) -> bool:
        """Whether a job runs. One that has failed does not: its step is begun again by `retry`."""
        return self.state.job is not None and self.state.job.failure is None

    def stop_job(self, why: str) -> None:
        """The request ends: nothing of a failed job is left; one that runs is asked to stop."""
        job = self.state.job
        if job is not None and job.failure is not None:
            self.state = replace(self.state, job=None)
        elif job is not None and not job.cancelled:
            self.state = replace(self.state, job=replace(job, cancelled=True))
            self.effects.append(CancelJob(job, why))

    def end_job(self, ended: JobEnded) -> str | None:
        """The outcome by which its step is left: `done` or `failed`. None if it is not: the message is
        about no job that runs, the job was cancelled, or people are needed."""
        job = self.state.job
        if (
            job is None
            or job.failure is not None
            or (job.id, job.again) != (ended.job_id, ended.again)
        ):
            return None
        failure = ended.failure if job.cancelled else self.failure_of(job, ended)
        if not (job.cancelled and failure is not None):
            output = ended.output if failure is None else None
            self.effects.append(EndJob(job, output, failure, ended.attempts))
        self.state = replace(self.state, job=None)
        if failure is None:
            self.note(job.step, {"outcome": "done", "output": ended.output})
        elif not job.cancelled and step_named(self.recipe, job.step).on_failure == "incident":
            self.state = replace(self.state, job=replace(job, failure=failure))
            self.raise_incident("JobFailed", self.told_of(job, failure), None)
            return None
        else:
            self.note(job.step, {"outcome": "failed", "error": failure})
        if job.cancelled:
            return None
        return "done" if failure is None else "failed"

    def failure_of(self, job: Job, ended: JobEnded) -> str | None:
        """Why the job has failed, if it has."""
        if ended.failure is not None:
            return ended.failure
        problem = next(iter(against(step_named(self.recipe, job.step).output, ended.output)), None)
        if problem is not None:
            return f"its output does not fit: {problem.pointer or 'it'} {problem.message}"
        size = len(to_json(ended.output))
        if size > SIZE_LIMIT:
            return f"its output is larger than {SIZE_LIMIT // 1024} KiB"
        earlier = (result.get("output") for result in self.state.results.values())
        if size + sum(len(to_json(output)) for output in earlier) > OUTPUTS_LIMIT:
            return f"all outputs together are larger than {OUTPUTS_LIMIT // 1024} KiB"
        return None

    def told_of(self, job: Job, failure: str) -> str:
        """Why it has failed, for all who may see the request: the other side may have said anything."""
        if self.recipe.confidential is None:
            return failure
        return f"{job.run} failed; why is kept with its job, which is confidential"

    def note(self, step: str, result: dict[str, Json]) -> None:
        """What later expressions see of it as `steps.<id>`."""
        known = self.state.results.get(step, {})
        self.state = replace(self.state, results={**self.state.results, step: {**known, **result}})

    # --- waiting ---

    def begin_wait(self, step: WaitStep) -> None:
        """Until when; business days have to be asked for. ExpressionError if `until` gives no moment."""
        if step.until is not None:
            rendered = self.environment.render(f"{{{{ {step.until} }}}}", self.scope())
            self.wait_until(step, moment(rendered))
        elif isinstance(step.seconds, BusinessDays):
            timing = Timing(self.recipe.calendar or "", self.now, step.seconds)
            self.state = replace(self.state, asks=(AskTimes(timing),))
        else:
            self.wait_until(step, self.now + timedelta(seconds=step.seconds or 0))

    def wait_as_told(self, step: WaitStep, answer: Answer) -> None:
        """With the answer of the calendar; an incident where there is none."""
        if answer.refusal is not None:
            self.raise_incident(answer.refusal.kind, answer.refusal.detail, None)
        elif answer.times is not None and answer.times.due_at is not None:
            self.clear_incident(None)
            self.wait_until(step, answer.times.due_at, answer.times.by)

    def wait_until(self, step: WaitStep, until: datetime, by: DueBy | None = None) -> None:
        """`by` is what business days were counted on."""
        self.state = replace(self.state, state="pending", entered=True, waits_until=until)
        told: dict[str, Json] = {"step": step.id, "until": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
        counted: dict[str, Json] = {} if by is None else {"due_by": asdict(by)}
        self.effects.append(Record("step.waiting", told | counted))

    def waited(self) -> bool:
        """Whether the wait is over; then it is forgotten."""
        until = self.state.waits_until
        if until is not None and until > self.now:
            return False
        self.state = replace(self.state, waits_until=None)
        return True

    # --- telling people ---

    def ask_whom(self, step: NotifyStep) -> None:
        """Ask the directory who holds what the step names. What names nobody, the manager of somebody
        who has none, is left out; if that is all there is, ExpressionError says why."""
        named: list[str] = []
        failed: ExpressionError | None = None
        for template in step.to:
            try:
                named.append(reference(self.environment.render(template, self.scope())))
            except ExpressionError as error:
                failed = failed or error
        if failed is not None and not named:
            raise failed
        self.state = replace(self.state, asks=(AskPeople(step.id, tuple(once(named))),))

    def tell(self, step: NotifyStep, answer: Answer) -> bool:
        """Whether they were told; else an incident says why not."""
        if answer.refusal is not None:
            self.raise_incident(answer.refusal.kind, answer.refusal.detail, None)
            return False
        try:
            message = str(self.environment.render(step.message, self.scope()))
        except ExpressionError as error:
            self.raise_incident("ExpressionError", f"{step.id}.message: {error}", None)
            return False
        found = () if answer.assignment is None else answer.assignment.candidates
        if len(found) > PEOPLE_LIMIT:
            self.raise_incident("ExpressionError", f"{step.id}.to: {_TOO_MANY}", None)
            return False
        people = tuple(name.removeprefix("user:") for name in found)
        self.effects.append(Notify(step.id, people, message[:MESSAGE_LIMIT]))
        self.clear_incident(None)
        return True


def moment(value: Json) -> datetime:
    """The moment that a text gives: a date is its beginning, in UTC. ExpressionError if it is none."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ExpressionError("gives no time and no date, such as 2026-03-02T09:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
