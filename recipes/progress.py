"""What a recipe means: `apply` turns a state and a happening into a new state and its effects.

ALL state changes of a request begin here; nothing here knows a clock, a database or a network. Its
layers: `changes` are the ways a state may change, `questions` whom a seat is asked for, `fixing` what
is asked once at submission, `keeping` which approvals stay, `seating` what answers do, `adding` whose turn
it is where people added approvers, `rewinding` what leads back, `migration` how another version takes
over, `jobs` what automatic steps do, `advancing` what follows of itself; here is what happens when.

The rules
---------
* Steps run in order. A step whose `when` is false is skipped; an `action` ends the request; when
  the steps run out, the request is approved.
* An approval step has *seats*: one, one per branch, or one per person of its `approvers`. Each casts
  one vote, and they are counted by `tally`. As soon as the result can't change any more the step ends,
  and the tasks still open are superseded.
* Who decides is asked of the directory: `state.asks` holds the questions, and until an `Answered`
  brings the answers nothing else is applied. A refusal raises an incident on the seat; the request
  waits, other seats go on, and the command `retry` asks again. A seat has one incident at most.
* What expressions see as `employee` is asked afresh in every transition that reads it; seats that
  wait for it are `state.unasked` meanwhile. With `resolve: at_submit` who holds what the templates
  name is asked at the start, and stays (`state.fixed`); who decides for them is asked when it counts.
* Nobody decides a step that is `not_same_as` one they decided, or that was decided on their behalf
  (`state.deciders`); with `authority` the approver's own limit covers the amount. Both hold for
  whoever comes later, by escalation or recheck, too; a reassignment by hand is bound by the first.
* Several approvals are several people's: where a step needs more than one, a seat whose task would
  go to somebody who has another of its seats, by a task or by a vote, gets an incident instead.
* `Rechecked` asks again who has open tasks. The same answer changes nothing. Another one replaces the
  task by one of the same level and time; a refusal leaves it open, with an incident. Seats that have
  one are passed over, but for those of a directory that could not be asked.
* The command `reassign` replaces a task, or an incident, by a task of somebody chosen, or of who
  decides for them. It is refused where that person may not decide; then nothing changes.
* The command `add_approver` adds a seat to a step, before, beside or after those of its recipe, whose
  tasks may be withdrawn for that: see `adding`.
* A task that is due does what its level says. An escalation replaces the task by one for the
  manager; where there is none the old task stays, and an incident says so.
* A time that counts business days is asked for with whom the task is for, and comes with the answer: a
  task's times are worked out once, when it opens, by the calendar as it is then (`business`, `Timing`).
* The first decision on a task counts. Storage arbitrates who was first, so a `Decided` is never
  refused here: if its task is not open any more, it was told twice. Decisions told `Together` are
  counted before anything follows from one of them: none closes the task of another.
* An outcome that rewinds, and a rejection of a step with `on_reject`, lead back: see `rewinding`.
* When the deadline has passed the request ends as `on_deadline` says, but for one that waits for its
  requester: that expires.
* Automatic steps (`task`, `wait`, `notify`) and what is done after the end: by the rules of `jobs`.
* A final state is final. A command that comes later is refused with the reason, but for the `retry` of
  what is done after the end.
* The command `migrate` goes on with another version of the recipe, by the rules of `migration`.
* A recipe of `kind: state_machine` has other rules: those of `machine`.

      created --tasks--> pending --quorum / action--> approved | rejected
                          ^ |--timeout: expire, deadline--> expired
                          | |--cancel--> cancelled
                 resubmit | '--rewind--> rewound --cancel--> cancelled
                          '----------------' '--resubmit_within, deadline--> expired
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from recipes import machine, outcomes, timers
from recipes.advancing import Advancing
from recipes.asks import Answer, Ask, AskEmployee, AskPeople, AskTimes, Times
from recipes.changes import level_of, numbered
from recipes.effects import RemindTask, Transition
from recipes.happenings import (
    Actor,
    Answered,
    Commanded,
    Decided,
    Happening,
    JobEnded,
    Rechecked,
    Started,
    Ticked,
    Together,
)
from recipes.jobs import at_hand, step_named
from recipes.model import (
    DeadlineAction,
    Json,
    NotifyStep,
    Outcome,
    Recipe,
    Step,
    TimeoutAction,
    WaitStep,
)
from recipes.state import Entity, FinalState, State, Task, Vote


def initial(
    recipe: Recipe,
    *,
    request_id: str,
    requester: str,
    inputs: dict[str, Json],
    submitted_at: datetime,
    digest: str,
    entity: Entity | None = None,
    deadline: Times | None = None,
) -> State:
    """The state of a request that was just submitted. `deadline`: of `timers.deadline_timing`."""
    deadline_at, deadline_by = timers.deadline(recipe, submitted_at, deadline)
    return State(
        request_id=request_id,
        requester=requester,
        inputs=inputs,
        submitted_at=submitted_at,
        digest=digest,
        deadline_at=deadline_at,
        entity=entity,
        deadline_by=deadline_by,
    )


def apply(recipe: Recipe, state: State, happening: Happening, now: datetime) -> Transition:
    """What follows from `happening` befalling `state` at `now`.

    While `state.asks` is not empty only `Answered` may be applied. Any other happening counts
    `seq` up by one if it changes anything or has to ask.
    """
    if recipe.machine is not None and not state.final:
        return _then_callbacks(
            recipe, machine.apply(recipe, recipe.machine, state, happening, now), now
        )
    run = _Run(recipe, state, now)
    if isinstance(happening, Answered):
        run.answered(happening.answers)
    else:
        if state.asks:
            raise ValueError("open asks must be answered first")
        run.befall(happening)
    after = run.transition()
    if not isinstance(happening, Answered) and after.state != state:
        return replace(after, state=replace(after.state, seq=state.seq + 1))
    return after


def _then_callbacks(recipe: Recipe, moved: Transition, now: datetime) -> Transition:
    """What a state machine did; and if that was its end, what follows it."""
    if not moved.state.final:
        return moved
    run = _Run(recipe, moved.state, now)
    run.advance()
    after = run.transition()
    return Transition(after.state, moved.effects + after.effects, moved.migration)


def settle(
    recipe: Recipe,
    state: State,
    happening: Happening,
    now: datetime,
    answer: Callable[[tuple[Ask, ...]], tuple[Answer, ...]],
) -> Transition:
    """`apply`, then answer asks until there are none: one whole transition."""
    whole = apply(recipe, state, happening, now)
    while whole.state.asks:
        whole = then(recipe, whole, answer(whole.state.asks), now)
    return whole


def then(
    recipe: Recipe, before: Transition, answers: tuple[Answer, ...], now: datetime
) -> Transition:
    """The transition `before`, carried on with the answers to its asks."""
    after = apply(recipe_after(recipe, before), before.state, Answered(answers), now)
    return Transition(after.state, before.effects + after.effects, before.migration)


def recipe_after(recipe: Recipe, transition: Transition) -> Recipe:
    """The recipe that a request on `recipe` goes on with."""
    return recipe if transition.migration is None else transition.migration.recipe


def next_wakeup(state: State) -> datetime | None:
    """When a `Ticked` will next have an effect; None while only people can move the request."""
    if state.final:
        return None
    moments = [state.deadline_at] if state.deadline_at else []
    moments += [state.resubmit_by] if state.resubmit_by else []
    moments += [timer.at for timer in state.timers[:1]]
    moments += [state.waits_until] if state.waits_until else []
    for task in state.tasks:
        moments += [task.due_at] if task.due_at else []
        moments += task.remind_at[:1]
    return min(moments, default=None)


def decisions_of(happening: Happening) -> tuple[Decided, ...]:
    """The decisions that have befallen, if that is what befell."""
    match happening:
        case Decided():
            return (happening,)
        case Together(items):
            return items
        case _:
            return ()


def has_opened(state: State, task_id: str) -> bool:
    """Whether the request, up to this state, opened that task; it may be closed by now."""
    return any(task_id == numbered(state, n) for n in range(state.tasks_opened, 0, -1))


def step_of(recipe: Recipe, state: State) -> Step | None:
    """The step the request is at; None when it has run out of steps, or waits for its requester."""
    if state.state == "rewound":
        return None
    return recipe.steps[state.position] if state.position < len(recipe.steps) else None


def snapshot(recipe: Recipe, state: State) -> dict[str, Json]:
    """The state as audit rows carry it: enough to see where a request stood, no inputs."""
    step = None if state.final else step_of(recipe, state)
    job: dict[str, Json] = {} if state.job is None else {"job": state.job.id}
    status: dict[str, Json] = {} if state.status is None else {"status": state.status}
    added = {seat.key: seat.where for seat in state.seats if seat.where is not None}
    return {
        "state": state.state,
        **status,
        **job,
        "seq": state.seq,
        "step": step.id if step else None,
        "seats": {seat.key: seat.vote for seat in state.seats},
        **({"added": added} if added else {}),
        "open_tasks": [task.id for task in state.tasks],
        "incidents": [incident.kind for incident in state.incidents],
    }


class _Run(Advancing):
    """One application in progress: what happens to the request, step by step, by the rules above."""

    def transition(self) -> Transition:
        # Facts of the directory are true now; a later transition asks again.
        if not self.state.asks:
            self.state = replace(self.state, employee=None)
        return Transition(self.state, tuple(self.effects), self.migration)

    # --- happenings ---

    def befall(
        self, happening: Started | Decided | Together | Commanded | Rechecked | JobEnded | Ticked
    ) -> None:
        match happening:
            case Commanded():
                self.commanded(happening)
            case JobEnded():
                self.job_ended(happening)
            case _ if self.state.final:
                pass
            case Started():
                self.begin()
                self.advance()
            case Decided():
                self.decided((happening,))
            case Together(items):
                self.decided(items)
            case Rechecked():
                self.rechecked(happening)
            case Ticked():
                self.ticked()
            case _:
                assert_never(happening)

    def answered(self, answers: tuple[Answer, ...]) -> None:
        step = at_hand(self.recipe, self.state)
        if self.state.adding is not None:
            self.added(self.state.adding, answers)
        elif isinstance(step, NotifyStep) and isinstance(self.state.asks[0], AskPeople):
            self.state = replace(self.state, asks=())
            if self.tell(step, answers[0]):
                self.completed(step, "done")
        elif isinstance(step, WaitStep) and isinstance(self.state.asks[0], AskTimes):
            self.state = replace(self.state, asks=())
            self.wait_as_told(step, answers[0])
        else:
            self.take_answers(answers)
        self.advance()

    def job_ended(self, ended: JobEnded) -> None:
        job = self.state.job
        outcome = self.end_job(ended)
        if job is None or self.state.job is job:
            return
        step = step_named(self.recipe, job.step)
        if outcome == "failed" and step.on_failure == "reject":
            reason = self.told_of(job, self.state.results[step.id]["error"])
            self.finalize("rejected", f"task {step.id} failed", reason)
        elif outcome is not None:
            self.completed(step, outcome)
        self.advance()

    def decided(self, decisions: tuple[Decided, ...]) -> None:
        before = self.state.tasks
        rewinds: list[tuple[Decided, Outcome]] = []
        for decision in decisions:
            task = next((task for task in self.state.tasks if task.id == decision.task_id), None)
            if task is None:
                continue
            self.drop_task(task)
            self.clear_incident(task.seat)
            self.note_result(decision)
            outcome = outcomes.chosen(self.ballot(task.seat), decision)
            if outcome.counts_as == "rewind":
                rewinds.append((decision, outcome))
                continue
            self.cast(task.seat, outcome.counts_as, decision.actor)
            if outcome.counts_as == "approve":
                self.remember(self.seat(task.seat), decision)
        if rewinds:
            self.rewind_as_decided(rewinds)
        if self.state.tasks != before:
            self.advance()

    def commanded(self, command: Commanded) -> None:
        if command.command_id in self.state.commands_seen:
            return
        seen = (*self.state.commands_seen, command.command_id)[-machine.COMMANDS_KEPT :]
        self.state = replace(self.state, commands_seen=seen)
        if self.state.final and not (command.command == "retry" and self.state.incidents):
            self.settle_command(command, f"the request is already {self.state.state}")
        elif command.command == "cancel":
            self.settle_command(command, done="cancelled")
            self.finalize("cancelled", "cancelled", command.comment, command.actor)
            self.advance()
        elif command.command == "reassign":
            self.reassign(command)
        elif command.command == "migrate":
            if self.migrate(command):
                self.advance()
        elif command.command == "add_approver":
            self.add(command)
        elif command.command == "resubmit":
            if self.resubmit(command):
                self.advance()
        elif command.command == "fire":
            self.settle_command(command, "the recipe is no state machine: it has no actions")
        elif not self.state.incidents:
            self.settle_command(command, "the request has no incident to retry")
        else:
            self.settle_command(command)
            self.retry(command.actor)

    def rechecked(self, told: Rechecked) -> None:
        """Ask again for those tasks, and where the directory could not be asked. A seat with another
        incident waits for `retry`, so that people are not told of it over and over."""
        kinds = {incident.seat: incident.kind for incident in self.state.incidents}
        if kinds.get(None) == "DirectoryUnavailable":
            self.ask_anew(self.step())
            return
        seats = [task.seat for task in self.state.tasks if task.id in told.task_ids]
        unavailable = [seat for seat, kind in kinds.items() if kind == "DirectoryUnavailable"]
        again = dict.fromkeys(seat for seat in seats if seat not in kinds)
        again |= dict.fromkeys(seat for seat in unavailable if seat is not None)
        self.ask_for(list(again))

    def ask_anew(self, step: Step) -> None:
        """What a step that could not be entered had asked."""
        if step.employee_paths:
            self.state = replace(self.state, asks=(AskEmployee(step.employee_paths),))
        elif isinstance(step, WaitStep):
            self.begin_wait(step)
        else:
            assert isinstance(step, NotifyStep), "no other step asks the directory by itself"
            self.ask_whom(step)

    def ticked(self) -> None:
        if self.state.deadline_at is not None and self.state.deadline_at <= self.now:
            self.meet_deadline()
            self.advance()
            return
        if self.state.resubmit_by is not None and self.state.resubmit_by <= self.now:
            self.finalize("expired", "expired", "it was not resubmitted in time")
            self.advance()
            return
        for task in self.state.tasks:
            if _due(task, self.now):
                self.time_out(task)
            elif task.remind_at and task.remind_at[0] <= self.now:
                self.remind(task)
        self.advance()
        # What the votes above have not closed goes on to somebody else, and is not due again before
        # it is known to whom.
        overdue = [task for task in self.state.tasks if _due(task, self.now)]
        for task in overdue:
            self.put_task(replace(task, due_at=None, remind_at=()))
        self.ask_for([task.seat for task in overdue])

    # --- time ---

    def meet_deadline(self) -> None:
        """The end that the recipe has for its deadline. Nothing is approved, or rejected, that its
        requester was asked to change."""
        action = "expire" if self.state.state == "rewound" else self.recipe.on_deadline
        why = "expired" if action == "expire" else f"on_deadline: {action}"
        for task in self.state.tasks:
            self.close_task(task, "expired", why)
        self.finalize(_DEADLINES[action], why, "the deadline has passed")

    def remind(self, task: Task) -> None:
        later = tuple(moment for moment in task.remind_at if moment > self.now)
        self.put_task(replace(task, remind_at=later))
        self.effects.append(RemindTask(task.id, self.step().id))

    def time_out(self, task: Task) -> None:
        """Cast the vote that the task's level gives for it; an escalation casts none."""
        level = level_of(self.ballot(task.seat), task.level)
        vote = _TIMEOUT_VOTES.get(level.action) if level else None
        if level and vote:
            self.close_task(task, "expired", f"timeout: {level.action}")
            self.clear_incident(task.seat)
            self.cast(task.seat, vote, None)

    # --- incidents ---

    def retry(self, actor: Actor) -> None:
        """Ask again whatever the directory refused, and evaluate again whatever failed."""
        troubled = dict.fromkeys(incident.seat for incident in self.state.incidents)
        for seat in troubled:
            self.clear_incident(seat, actor)
        self.ask_for([seat for seat in troubled if seat is not None])
        self.advance()


_DEADLINES: dict[DeadlineAction, FinalState] = {
    "expire": "expired",
    "approve": "approved",
    "reject": "rejected",
}
_TIMEOUT_VOTES: dict[TimeoutAction, Vote] = {
    "approve": "approve",
    "reject": "reject",
    "expire": "expired",
}


def _due(task: Task, now: datetime) -> bool:
    return task.due_at is not None and task.due_at <= now
