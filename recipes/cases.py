"""Runs the cases beside a recipe: the engine itself, in memory, with a clock of its own.

Nothing waits: between two events time jumps from one due moment to the next. All changes go through
`progress.settle` and `next_wakeup`, as in the workflow.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import NAMESPACE_OID, uuid5

from recipes import calendar, inputs, machine, outcomes, progress, tally, timers
from recipes.asks import AskEmployee, Assignment
from recipes.business import Zones, utc_alone
from recipes.case_directory import Delegation, Directory
from recipes.case_file import Case, Event, Read, read_cases
from recipes.effects import (
    CloseTask,
    Effect,
    EndJob,
    KeepApproval,
    Notify,
    Offer,
    OpenTask,
    Record,
    RemindTask,
    SettleCommand,
    StartJob,
)
from recipes.expressions import ExpressionError
from recipes.happenings import Actor, Commanded, Decided, Happening, Rechecked, Started, Ticked
from recipes.jobs import supposed_end
from recipes.model import ApprovalStep, Json, MachineAction, Recipe
from recipes.parse import parse
from recipes.problems import Problem, RecipeInvalid
from recipes.starting import entity_problem


class CaseFailed(Exception):
    """A case asks for something that can't happen: a decision without a task, say."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a case expected of one thing, and what was the case."""

    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Result:
    """How one case went: passed if there are no differences. `line` is where it begins in its file."""

    case: str
    differences: tuple[Difference, ...]
    line: int = 1

    @property
    def passed(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """How all the cases of one file went."""

    recipe: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task that a case brought about, open or closed. `at` is seconds after the submission."""

    id: str
    step: str
    branch: str | None
    assignment: Assignment
    offer: Offer
    at: float
    seat: str
    without: tuple[str, ...] = ()
    added: bool = False
    closing: str = "open"
    by: Actor | None = None

    @property
    def to(self) -> list[str]:
        user = self.assignment.user
        return [user] if user is not None else sorted(self.assignment.candidates)

    def shown(self) -> dict[str, Json]:
        """As a case spells it."""
        return {
            "step": self.step,
            "branch": self.branch,
            "to": self.to,
            "is": self.closing,
            "at": int(self.at),
            "behalf": self.assignment.on_behalf_of,
        }


def run(text: bytes, opened: Read, file: str | None = None, zone: Zones = utc_alone) -> Report:
    """Run every case of a cases file; `opened` gives the files that it names, `zone` time zones.

    RecipeInvalid if the file, its recipe or its organisation has an error.
    """
    found = read_cases(text, file, opened, zone)
    recipe = parse(found.recipe, found.recipe_name, found.directory.principals()).recipe
    if recipe.calendar is not None and recipe.calendar not in found.directory.calendars:
        message = f"the recipe counts business days of `{recipe.calendar}`, which is not here"
        fix = "add `calendars: [its_file.yaml]`"
        raise RecipeInvalid([Problem(file, 1, 1, "calendars", message, fix)])
    results = tuple(run_case(recipe, found.directory, case) for case in found.cases)
    return Report(found.recipe_name, results)


def run_case(recipe: Recipe, directory: Directory, case: Case) -> Result:
    """Play one case; each begins with a directory in which no role has had a turn."""
    got = _refused(recipe, case)
    if got or "refused" in case.expect:
        expected = sorted(case.expect.get("refused", ()))
        differences = [] if expected == got else [Difference("refused", str(expected), str(got))]
        return Result(case.name, tuple(differences), case.line)
    play = Play(recipe, directory.fresh(*case.delegations), case)
    try:
        play.events()
    except CaseFailed as failure:
        what = f"events[{play.played}]"
        return Result(case.name, (Difference(what, "what can be done", str(failure)),), case.line)
    return Result(case.name, tuple(play.differences()), case.line)


def _refused(recipe: Recipe, case: Case) -> list[str]:
    """Pointers of what the submission would be refused for."""
    found = [problem.pointer for problem in inputs.validate(recipe, case.inputs)]
    entity = ["/entity"] if entity_problem(recipe, case.entity) is not None else []
    return sorted(found + entity)


class Play:
    """One case in progress."""

    def __init__(self, recipe: Recipe, directory: Directory, case: Case) -> None:
        self.recipe = recipe
        self.directory = directory
        self.case = case
        self.tasks: dict[str, TaskSeen] = {}
        self.jobs: list[dict[str, Json]] = []
        self.notified: list[dict[str, Json]] = []
        self.path: list[str] = []
        self.reminders = 0
        self.played = 0
        self.ended_after: float | None = None
        timing = timers.deadline_timing(recipe, case.at)
        self.state = progress.initial(
            recipe,
            request_id=str(uuid5(NAMESPACE_OID, case.name)),
            requester=case.requester,
            inputs=case.inputs,
            submitted_at=case.at,
            digest="",
            entity=case.entity,
            deadline=None if timing is None else directory.calendars.times(timing),
        )

    def events(self) -> None:
        """Play all events. CaseFailed at the first that can't happen."""
        self.befall(Started(), self.case.at)
        for number, event in enumerate(self.case.events):
            self.played = number
            moment = self.case.at + timedelta(seconds=event.at)
            while (due := progress.next_wakeup(self.state)) is not None and due <= moment:
                self.befall(Ticked(), due)
            self.happens(event, moment)

    def happens(self, event: Event, moment: datetime) -> None:
        match event.what:
            case "decide":
                self.decide(event, moment)
            case "resubmit":
                self.resubmit(event, moment)
            case "cancel" | "retry" | "reassign":
                self.command(event, event.what, moment)
            case "add":
                self.command(event, "add_approver", moment)
            case "fire":
                self.fire(event, moment)
            case "delegate":
                self.directory.delegate(Delegation(event.who, event.to, event.scope))
                self.ask_again(moment)
            case "return":
                self.directory.come_back(event.who)
                self.ask_again(moment)
            case "leave":
                self.directory.leave(event.who)
                self.ask_again(moment)
            case _:
                pass

    def ask_again(self, moment: datetime) -> None:
        """What the sweep tells a request when the directory has changed under its tasks."""
        open_tasks = tuple(task.id for task in self.state.tasks)
        self.befall(Rechecked(open_tasks, moment), moment)

    def command(
        self,
        event: Event,
        what: Literal["cancel", "retry", "reassign", "add_approver"],
        moment: datetime,
    ) -> None:
        seat = self.seat_of(event) if what in ("reassign", "add_approver") else None
        actor, number, to = Actor(event.who), str(self.played), event.to or None
        told = Commanded(number, what, actor, moment, event.comment, seat, to, where=event.where)
        self.befall(told, moment)

    def fire(self, event: Event, moment: datetime) -> None:
        """Fire an action; or find that it is refused, as the event says."""
        try:
            actor = self.who_fires(event)
            number, moves = str(self.played), self.state.moves
            comment, action = event.comment, event.action
            fire = Commanded(number, "fire", actor, moment, comment, action=action, moves=moves)
            self.befall(fire, moment)
        except CaseFailed as refusal:
            if event.refused is None or event.refused not in str(refusal):
                raise
        else:
            if event.refused is not None:
                raise CaseFailed(f"{event.who} can {event.action} at {calendar.text(event.at)}")

    def who_fires(self, event: Event) -> Actor:
        """As whom the event's person fires its action. CaseFailed if they are not entitled to."""
        if self.recipe.machine is None:
            raise CaseFailed("the recipe is no state machine: it has no actions")
        action = self.recipe.machine.action(event.action)
        if action is None:
            raise CaseFailed(f"there is no action `{event.action}`")
        try:
            pool = self.entitled(action)
        except ExpressionError as error:
            raise CaseFailed(f"{action.id}.who: {error}") from error
        barred = self.case.requester if action.not_requester else ""
        actor = self.directory.decider(
            event.who, Assignment(candidates=pool), barred, self.recipe.workflow
        )
        if actor is None:
            named = " or ".join(pool)
            raise CaseFailed(f"{event.who} may not {action.id}: it is for {named}")
        return actor

    def entitled(self, action: MachineAction) -> tuple[str, ...]:
        """The principals that may fire an action; everybody where nobody is named."""
        if not action.who:
            return tuple(f"user:{person}" for person in self.directory.people)
        employee = None
        if action.employee_paths:
            asks = (AskEmployee(action.employee_paths),)
            [answer] = self.directory.answer(asks, self.case.requester)
            employee = answer.employee
        named = machine.references(self.recipe, self.state, action, employee)
        return tuple(":".join(self.directory.principal(one)) for one in named)

    def seat_of(self, event: Event) -> str:
        """The seat that `reassign` or `add` is about: the one of its step and branch that waits; of
        several, the one that the event's person has."""
        step = progress.step_of(self.recipe, self.state)
        waiting = {it.seat for it in (*self.state.tasks, *self.state.incidents)}
        seats = [
            seat.key
            for seat in self.state.seats
            if seat.key in waiting
            and event.branch in {None, seat.ballot}
            and event.step in {None, step.id if step else None}
        ]
        own = {task.seat for task in self.state.tasks if task.assignment.user == event.who}
        found = [key for key in seats if key in own] if len(seats) > 1 else seats
        if len(found) == 1:
            return found[0]
        what = "reassigned" if event.what == "reassign" else "added to"
        at = calendar.text(event.at)
        raise CaseFailed(f"{len(seats)} tasks could be {what} at {at}; name the one branch")

    def befall(self, happening: Happening, now: datetime) -> None:
        """And whatever job that begins, which takes no time."""
        self.befalls(happening, now)
        while (job := self.state.job) is not None and job.failure is None:
            self.befalls(supposed_end(job, self.case.outputs, self.case.fails, now), now)

    def befalls(self, happening: Happening, now: datetime) -> None:
        requester = self.case.requester
        transition = progress.settle(
            self.recipe,
            self.state,
            happening,
            now,
            lambda asks: self.directory.answer(asks, requester, self.recipe.workflow),
        )
        self.state = transition.state
        since = (now - self.case.at).total_seconds()
        for effect in transition.effects:
            self.note(effect, since)
        if self.state.final and self.ended_after is None:
            self.ended_after = since

    def note(self, effect: Effect, since: float) -> None:
        match effect:
            case OpenTask(task, step, branch, offer):
                self.tasks[task.id] = TaskSeen(
                    task.id,
                    step,
                    branch,
                    task.assignment,
                    offer,
                    since,
                    task.seat,
                    task.ask.without if task.ask is not None else (),
                    effect.added is not None,
                )
            case CloseTask(task_id, _, to):
                self.tasks[task_id] = replace(self.tasks[task_id], closing=to)
            case RemindTask():
                self.reminders += 1
            case StartJob() | EndJob() | Notify():
                self.note_automatic(effect)
            case SettleCommand(_, command, applied, detail):
                if not applied:
                    raise CaseFailed(f"{command} at {calendar.text(since)} is refused: {detail}")
            case Record("action.fired", payload):
                self.path.append(payload["action"])
            case Record("request.rewound", payload):
                self.path.append(f"{payload['step']} rewound to {payload['to']}")
            case KeepApproval(approval):
                self.path.append(f"{approval.seat} kept")
            case Record("step.skipped", payload):
                self.path.append(f"{payload['step']} skipped")
            case Record("step.completed", payload):
                self.path.append(f"{payload['step']} {payload['outcome']}")
            case _:
                pass

    def resubmit(self, event: Event, moment: datetime) -> None:
        """The requester submits again. CaseFailed with all that is wrong with the inputs."""
        if event.who != self.case.requester:
            raise CaseFailed(f"{event.who} is not the requester: only {self.case.requester} is")
        wrong = [f"{it.pointer} {it.message}" for it in inputs.validate(self.recipe, event.inputs)]
        if wrong:
            raise CaseFailed(f"resubmit is refused: {'; '.join(wrong)}")
        told = Commanded(
            str(self.played),
            "resubmit",
            Actor(event.who),
            moment,
            event.comment,
            inputs=event.inputs,
            digest="",
        )
        self.befall(told, moment)

    def note_automatic(self, effect: StartJob | EndJob | Notify) -> None:
        match effect:
            case StartJob(job):
                self.jobs.append({"step": job.step, "run": job.run, "inputs": job.inputs})
            case EndJob(_, _, failure):
                self.jobs[-1]["is"] = "succeeded" if failure is None else "failed"
            case _:
                told = {"step": effect.step, "to": sorted(effect.people)}
                self.notified.append({**told, "message": effect.message})

    def decide(self, event: Event, moment: datetime) -> None:
        fits = ((task, self.decider(task, event)) for task in self.tasks.values())
        task, actor = next((pair for pair in fits if pair[1] is not None), (None, None))
        if task is None or actor is None:
            waiting = [" or ".join(t.to) for t in self.tasks.values() if t.closing == "open"]
            whom = f"waiting for {', '.join(waiting)}" if waiting else "nobody is waited for"
            raise CaseFailed(f"{event.who} has no open task at {calendar.text(event.at)}; {whom}")
        refusal = outcomes.refusal(
            task.offer, event.decision, event.comment, event.reason, event.to or None
        )
        if refusal is not None:
            raise CaseFailed(f"{event.who} at {task.step}: {refusal.message}")
        self.tasks[task.id] = replace(task, closing="decided", by=actor)
        to = event.to or None
        made = Decided(task.id, event.decision, actor, moment, event.comment, to=to)
        self.befall(made, moment)

    def decider(self, task: TaskSeen, event: Event) -> Actor | None:
        """As whom the event's person can decide a task; None if it is another one's, or not theirs."""
        if (
            task.closing != "open"
            or event.step not in {None, task.step}
            or event.branch not in {None, task.branch}
        ):
            return None
        requester, workflow = self.case.requester, self.recipe.workflow
        barred = (*task.without, *self.seated(task))
        return self.directory.decider(event.who, task.assignment, requester, workflow, barred)

    def seated(self, task: TaskSeen) -> set[str]:
        """Who has another part of a step that needs several people, or one that was added. They may have been asked for two
        in person; a shared task is not for them, nor for those for whom they decide."""
        step = progress.step_of(self.recipe, self.state)
        several = not isinstance(step, ApprovalStep) or tally.several(step, self.state.seats)
        people: set[str | None] = set()
        counting = {seat.key: seat.by for seat in self.state.seats if seat.by is not None}
        counting = {key: by for key, by in counting.items() if key != task.seat}
        for other in self.tasks.values():
            in_part = other.seat in counting and other.by == counting[other.seat]
            open_part = other.closing == "open" and other.seat != task.seat
            apart = several or task.added or other.added
            if not (apart and (in_part or open_part)):
                continue
            by, asked = other.by or Actor(""), other.assignment
            people.add(by.user)
            if task.assignment.candidates:
                people |= {by.on_behalf_of, asked.user, asked.on_behalf_of}
        return {person for person in people if person}

    def differences(self) -> list[Difference]:
        """Where the case's expectations and the outcome part."""
        step = None if self.state.final else progress.step_of(self.recipe, self.state)
        got: dict[str, Json] = {
            "state": self.state.state,
            "status": self.state.status,
            "step": step.id if step else None,
            "path": self.path,
            "incidents": [incident.kind for incident in self.state.incidents],
            "reminders": self.reminders,
        }
        wanted = {key: value for key, value in self.case.expect.items() if key in got}
        found = [
            Difference(key, str(value), str(got[key]))
            for key, value in wanted.items()
            if value != got[key]
        ]
        tasks = [task.shown() for task in self.tasks.values()]
        return [
            *found,
            *self.late(),
            *self.others("tasks", tasks),
            *self.others("jobs", self.jobs),
            *self.others("notified", self.notified),
        ]

    def late(self) -> list[Difference]:
        if "after" not in self.case.expect or self.case.expect["after"] == self.ended_after:
            return []
        took = "no end" if self.ended_after is None else calendar.text(self.ended_after)
        return [Difference("after", calendar.text(self.case.expect["after"]), took)]

    def others(self, what: str, got: list[dict[str, Json]]) -> list[Difference]:
        """Where a list of things differs from the one expected, if one is."""
        if what not in self.case.expect:
            return []
        expected: list[dict[str, Json]] = self.case.expect[what]
        if len(expected) == len(got):
            return [
                Difference(f"{what}[{n}]", _flow(want), _flow({key: have[key] for key in want}))
                for n, (want, have) in enumerate(zip(expected, got, strict=True))
                if any(have[key] != value for key, value in want.items())
            ]
        listed = ", ".join(_flow(task) for task in got) or "none"
        return [Difference(what, f"{len(expected)} of them", f"{len(got)}: {listed}")]


def _flow(task: dict[str, Json]) -> str:
    """A task, a job or a notification as a cases file writes it."""
    shown = {
        key: calendar.text(value) if key == "at" else ", ".join(value) if key == "to" else value
        for key, value in task.items()
        if value is not None
    }
    return "{" + ", ".join(f"{key}: {value}" for key, value in shown.items()) + "}"
