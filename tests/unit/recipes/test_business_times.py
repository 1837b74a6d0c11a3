"""Where recipes count business days: tasks, levels, reminders, timers, deadlines; and what is refused."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from recipes import difference, progress, simulate, timers
from recipes.asks import Answer, Ask, AskApprover, AskTimes, Assignment, DueBy, Refusal
from recipes.business import Calendar, Calendars, Holiday
from recipes.diagram import chart, mermaid
from recipes.effects import OpenTask, Record
from recipes.happenings import Actor, Commanded, Happening, Migration, Rechecked, Started, Ticked
from recipes.migration import judge
from recipes.model import Recipe, dump, load
from recipes.parse import parse
from recipes.problems import RecipeInvalid
from recipes.state import State
from recipes.supposed import Asked, Simulated, Supposed, Supposition
from storage.zones import zone

FRIDAY = datetime(2026, 3, 6, 15, tzinfo=UTC)
HEAD = "workflow: w\nversion: 1\nowner: x\n"
WORK = Calendar("work", "UTC", (0, 1, 2, 3, 4), 540, 1080, (date(2026, 1, 1), date(2026, 12, 31)))
MONDAY = Holiday(date(2026, 3, 9), "a Monday off")
TASK = (
    "calendar: work\nsteps:\n  - {id: a, approver: bob, timeout: 1bd, remind: [1bd at 09:00 before, 2h],"
    " on_timeout: [escalate, {after: 4h, action: escalate},"
    " {after: 1bd at 09:00 in assignee zone, action: expire}]}\n"
)
MACHINE = """\
calendar: work
kind: state_machine
states:
  - {id: draft, initial: true}
  - {id: review, timers: [{after: 5d, fire: drop}, {after: 1bd, fire: back}, {after: 3bd, fire: drop}]}
  - {id: done, final: true}
actions:
  - {id: submit, from: draft, to: review}
  - {id: back, from: review, to: draft}
  - {id: drop, from: review, to: done}
"""


def recipe(text: str) -> Recipe:
    return load(dump(parse(HEAD + text).recipe))


def new(made: Recipe, calendars: Calendars | None = None) -> State:
    timing = timers.deadline_timing(made, FRIDAY)
    known = calendars or Calendars((WORK,), zone)
    return progress.initial(
        made,
        request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
        requester="alice",
        inputs={},
        submitted_at=FRIDAY,
        digest="",
        deadline=None if timing is None else known.times(timing),
    )


class World:
    """A directory in which everybody lives in Tokyo, and the calendar as it is now."""

    def __init__(self, made: Recipe, *holidays: Holiday) -> None:
        self.recipe = made
        self.calendars = Calendars((replace(WORK, holidays=holidays),), zone)
        self.state = new(made, self.calendars)
        self.effects: list[Any] = []
        self.asked: list[Ask] = []
        self.refuse = False

    def answer(self, asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        self.asked += asks
        return tuple(self.one(ask) for ask in asks)

    def one(self, ask: Ask) -> Answer:
        if isinstance(ask, AskTimes):
            return Answer(times=self.calendars.times(ask.timing))
        if self.refuse:
            return Answer(refusal=Refusal("NoApproverFound", "nobody"))
        name = ask.reference.removeprefix("user:") if isinstance(ask, AskApprover) else "above"
        timing = getattr(ask, "timing", None)
        times = None if timing is None else self.calendars.times(timing, "Asia/Tokyo")
        return Answer(assignment=Assignment(name), times=times)

    def befall(self, happening: Happening, now: datetime) -> State:
        after = progress.settle(self.recipe, self.state, happening, now, self.answer)
        self.state, self.effects = after.state, list(after.effects)
        return self.state


def test_a_task_is_due_by_the_calendar_and_says_by_which() -> None:
    world = World(recipe(TASK))
    [task] = world.befall(Started(), FRIDAY).tasks
    assert task.due_at == datetime(2026, 3, 9, 15, tzinfo=UTC)
    assert task.remind_at == (FRIDAY + timedelta(hours=2),)
    assert task.due_by == DueBy("work", 1, "UTC")
    assert task.ask is not None
    assert task.ask.timing is None


def test_levels_of_both_kinds_one_after_the_other() -> None:
    world = World(recipe(TASK), MONDAY)
    [first] = world.befall(Started(), FRIDAY).tasks
    due = datetime(2026, 3, 10, 15, tzinfo=UTC)
    assert (first.due_at, progress.next_wakeup(world.state)) == (due, FRIDAY + timedelta(hours=2))
    world.befall(Ticked(), FRIDAY + timedelta(hours=2))
    [second] = world.befall(Ticked(), due).tasks
    assert (second.level, second.due_at) == (1, due + timedelta(hours=4))
    assert second.remind_at == (due + timedelta(hours=2),)
    assert second.due_by == DueBy("work", 1, "UTC")
    [third] = world.befall(Ticked(), due + timedelta(hours=4)).tasks
    # 19:00 UTC is Wednesday in Tokyo already: the next business day there is Thursday.
    assert (third.level, third.due_at) == (2, datetime(2026, 3, 12, tzinfo=UTC))
    assert third.due_by == DueBy("work", 1, "Asia/Tokyo")
    assert world.befall(Ticked(), datetime(2026, 3, 12, tzinfo=UTC)).state == "expired"


def test_what_is_running_keeps_its_time_whatever_becomes_of_the_calendar() -> None:
    world = World(recipe(TASK))
    [task] = world.befall(Started(), FRIDAY).tasks
    world.calendars = Calendars((replace(WORK, holidays=(MONDAY,)),), zone)
    hour = FRIDAY + timedelta(hours=1)
    world.asked.clear()
    world.befall(Rechecked((task.id,), hour), hour)
    assert all(getattr(ask, "timing", None) is None for ask in world.asked)
    assert world.state.tasks == (task,)
    moved = Commanded("1", "reassign", Actor("root"), hour, "ill", "a", "carol")
    [now_hers] = world.befall(moved, hour).tasks
    assert now_hers.assignment.user == "carol"
    assert (now_hers.due_at, now_hers.due_by) == (task.due_at, task.due_by)


def test_whoever_is_chosen_where_nobody_was_found_has_the_whole_time() -> None:
    world = World(recipe(TASK), MONDAY)
    world.refuse = True
    assert world.befall(Started(), FRIDAY).tasks == ()
    world.refuse = False
    given = Commanded("1", "reassign", Actor("root"), FRIDAY, "so", "a", "carol")
    [task] = world.befall(given, FRIDAY).tasks
    assert (task.due_at, task.by_hand) == (datetime(2026, 3, 10, 15, tzinfo=UTC), True)
    [opened] = [effect for effect in world.effects if isinstance(effect, OpenTask)]
    assert opened.task.due_by == DueBy("work", 1, "UTC")


def test_a_task_handed_on_in_place_of_its_level_is_timed_as_that() -> None:
    world = World(recipe(TASK))
    [task] = world.befall(Started(), FRIDAY).tasks
    world.refuse = True
    due = task.due_at
    assert due is not None
    world.befall(Ticked(), due)
    world.refuse = False
    given = Commanded("1", "reassign", Actor("root"), due, "so", "a", "carol")
    [after] = world.befall(given, due).tasks
    assert (after.level, after.due_at) == (1, due + timedelta(hours=4))


def test_a_reminder_alone() -> None:
    made = recipe("calendar: work\nsteps:\n  - {id: a, approver: bob, remind: 1bd at 09:00}\n")
    world = World(made)
    [task] = world.befall(Started(), FRIDAY).tasks
    assert (task.due_at, task.remind_at) == (None, (datetime(2026, 3, 9, 9, tzinfo=UTC),))


def test_a_deadline_is_worked_out_at_the_submission() -> None:
    text = "calendar: work\ndeadline: 2bd\nsteps:\n  - {id: a, approver: bob}\n"
    state = new(recipe(text))
    assert state.deadline_at == datetime(2026, 3, 10, 15, tzinfo=UTC)
    assert state.deadline_by == DueBy("work", 1, "UTC")
    assert timers.deadline_timing(recipe(text.replace("2bd", "2d")), FRIDAY) is None
    unknown = progress.initial(
        recipe(text),
        request_id="x",
        requester="alice",
        inputs={},
        submitted_at=FRIDAY,
        digest="",
    )
    assert unknown.deadline_at is None


def test_timers_of_a_state() -> None:
    world = World(recipe(MACHINE), MONDAY)
    world.befall(Started(), FRIDAY)
    submit = Commanded("1", "fire", Actor("alice"), FRIDAY, action="submit", moves=0)
    timers = world.befall(submit, FRIDAY).timers
    by = DueBy("work", 1, "UTC")
    assert [(timer.at.day, timer.fire, timer.due_by) for timer in timers] == [
        (10, "back", by),
        (11, "drop", None),
        (12, "drop", by),
    ]
    told = [effect for effect in world.effects if isinstance(effect, Record)]
    assert [record.type for record in told] == ["action.fired", "timer.set", "timer.set"]
    assert told[1].payload["fire"] == "back"
    assert world.state.seq == 2
    begun = progress.apply(world.recipe, new(world.recipe), Started(), FRIDAY).state
    asking = progress.apply(world.recipe, begun, submit, FRIDAY).state
    with pytest.raises(ValueError, match="open asks"):
        progress.apply(world.recipe, asking, Ticked(), FRIDAY)
    world.befall(Ticked(), datetime(2026, 3, 10, 15, tzinfo=UTC))
    assert (world.state.status, world.state.timers) == ("draft", ())


def played(world: World, playing: simulate.Playing, asked: Asked) -> Simulated:
    try:
        while True:
            asked = playing.send(world.answer(asked.asks))
    except StopIteration as end:
        simulated: Simulated = end.value
        return simulated


def test_a_simulation_asks_for_the_deadline_first() -> None:
    made = recipe("calendar: work\ndeadline: 2bd\n" + TASK.removeprefix("calendar: work\n"))
    world = World(made)
    playing = simulate.play(made, Supposed("alice", {}, FRIDAY, (Supposition("wait"),), "wait"))
    asked = next(playing)
    assert isinstance(asked.asks[0], AskTimes)
    found = played(world, playing, asked)
    assert found.deadline_at == datetime(2026, 3, 10, 15, tzinfo=UTC)
    assert found.deadline_by == DueBy("work", 1, "UTC")
    assert found.path[0].tasks[0].due_by == DueBy("work", 1, "UTC")


def test_versions_and_pictures_tell_business_days() -> None:
    old, made = (
        recipe("steps:\n  - {id: a, approver: bob, timeout: 24h, on_timeout: expire}\n"),
        None,
    )
    made = recipe(TASK)
    told = {change.place: change.text for change in difference.differences(old, made)}
    assert told["calendar"] == "is new: work"
    assert told["steps.a.timeout"] == "1d becomes 1bd"
    assert told["steps.a.remind"] == 'is new: ["1bd at 09:00 before","2h"]'
    assert "1bd at 09:00 in assignee zone" in told["steps.a.on_timeout"]
    assert "after 1bd: escalate" in mermaid(made)
    assert chart(made).description.endswith("Business days (bd) are those of the calendar work.")
    machine = recipe(MACHINE)
    other = recipe(MACHINE.replace("after: 3bd", "after: 4bd at 09:00"))
    [change] = difference.differences(machine, other)
    assert "4bd at 09:00" in str(change.after)


def problems(text: str, calendars: frozenset[str] | None = None) -> list[tuple[str, str, str]]:
    try:
        found = parse(HEAD + text, calendars=calendars).warnings
    except RecipeInvalid as error:
        found = error.problems
    return [(problem.path, problem.message, problem.fix) for problem in found]


def test_business_days_need_a_calendar() -> None:
    text = TASK.replace("calendar: work\n", "deadline: 9bd\n")
    assert [place for place, message, _ in problems(text) if "names no `calendar`" in message] == [
        "deadline",
        "steps[0].timeout",
        "steps[0].remind[0]",
        "steps[0].on_timeout[2].after",
    ]
    machine = problems(MACHINE.replace("calendar: work\n", ""))
    assert [place for place, *_ in machine] == [
        "states[1].timers[1].after",
        "states[1].timers[2].after",
    ]
    one = problems("steps:\n  - {id: a, approver: bob, remind: 2bd}\n")
    assert [place for place, *_ in one] == ["steps[0].remind"]
    assert problems("calendar: 5\nsteps:\n  - {id: a, approver: bob, remind: 2bd}\n") == [
        ("calendar", "must be text, not a number", 'write "5"')
    ]


def test_the_calendar_must_be_there() -> None:
    assert problems(TASK) == []
    assert problems(TASK, frozenset({"work", "es"})) == []
    [(place, message, fix)] = problems(TASK, frozenset({"worK", "es"}))
    assert (place, message) == ("calendar", "no calendar is called `work`")
    assert fix == "did you mean `worK`?"
    [(_, _, fix)] = problems(TASK, frozenset())
    assert fix == "import it first, as an administrator"


def test_a_calendar_that_nothing_counts_on() -> None:
    [(place, message, _)] = problems("calendar: work\nsteps:\n  - {id: a, approver: bob}\n")
    assert (place, message) == ("calendar", "has no effect: nothing counts business days")


def test_nobodys_zone() -> None:
    text = "calendar: work\ndeadline: 2bd in assignee zone\nsteps:\n  - {id: a, approver: bob}\n"
    [(place, message, fix)] = problems(text)
    assert (place, fix) == ("deadline", "write `2bd`")
    assert "no assignee's zone" in message
    [(place, _, _)] = problems(MACHINE.replace("after: 3bd", "after: 3bd in assignee zone"))
    assert place == "states[1].timers[2].after"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        # What certainly never happens is refused,
        ("timeout: 2bd, on_timeout: expire, remind: 2bd", "remind[0]"),
        ("timeout: 2bd, on_timeout: expire, remind: 3bd before", "remind[0]"),
        ("timeout: 2bd at 09:00, on_timeout: expire, remind: [1h, 3bd at 09:00]", "remind[1]"),
        ("timeout: 5bd, on_timeout: expire", "on_timeout"),
        ("timeout: 40d, on_timeout: [escalate, {after: 1bd, action: expire}]", None),
        ("remind: 5bd", "remind[0]"),
        # and nothing that cannot be told.
        ("timeout: 2bd, on_timeout: expire, remind: 2bd before", None),
        ("timeout: 2bd, on_timeout: expire, remind: [40d, 40d before]", None),
        ("timeout: 40d, on_timeout: expire, remind: [1bd, 1bd before]", None),
        ("timeout: 2bd, on_timeout: expire, remind: 3bd at 09:00", None),
        ("timeout: 5bd at 09:00, on_timeout: expire", None),
        ("timeout: 2bd, on_timeout: [escalate, {after: 3bd, action: expire}]", None),
    ],
)
def test_times_are_compared_where_they_can_be(keys: str, place: str | None) -> None:
    found = problems(
        f"calendar: work\ndeadline: 5bd\nsteps:\n  - {{id: a, approver: bob, {keys}}}\n"
    )
    assert [where for where, *_ in found] == ([] if place is None else [f"steps[0].{place}"])


def test_timers_that_come_after_the_deadline() -> None:
    [(place, message, _)] = problems(
        "deadline: 2bd\n" + MACHINE.replace("after: 3bd", "after: 2bd")
    )
    assert place == "states[1].timers[2].after"
    assert "deadline comes first" in message


# --- another version -----------------------------------------------------------------------------


def moved(world: World, text: str, now: datetime) -> State:
    """The request, gone on with another version of its recipe."""
    wanted = parse(text).recipe
    timing = timers.deadline_timing(wanted, FRIDAY)
    times = None if timing is None else world.calendars.times(timing)
    migration = Migration(wanted, "sha", f"v{wanted.version}", world.state.digest, times)
    judged = judge(world.recipe, wanted, world.state, now, times)
    command = Commanded(
        migration.digest, "migrate", Actor("root"), now, "better", migration=migration
    )
    world.befall(command, now)
    world.recipe = wanted
    assert (world.state.digest == migration.digest) == (judged.refusals == ())
    return world.state


def test_a_deadline_of_another_version() -> None:
    text = "calendar: work\ndeadline: 2bd\nsteps:\n  - {id: a, approver: bob}\n"
    hour = FRIDAY + timedelta(hours=1)
    world = World(recipe(text))
    world.befall(Started(), FRIDAY)
    # The calendar has changed, the deadline is the same: it stays.
    world.calendars = Calendars((replace(WORK, holidays=(MONDAY,)),), zone)
    same = moved(world, HEAD.replace("version: 1", "version: 2") + text, hour)
    assert same.deadline_at == datetime(2026, 3, 10, 15, tzinfo=UTC)
    world = World(recipe(text), MONDAY)
    world.befall(Started(), FRIDAY)
    longer = text.replace("2bd", "3bd")
    after = moved(world, HEAD.replace("version: 1", "version: 2") + longer, hour)
    assert after.deadline_at == datetime(2026, 3, 12, 15, tzinfo=UTC)
    assert after.deadline_by == DueBy("work", 1, "UTC")
    world = World(recipe(text))
    world.befall(Started(), FRIDAY)
    plain = moved(world, HEAD.replace("version: 1", "version: 2") + text.replace("2bd", "9d"), hour)
    assert (plain.deadline_at, plain.deadline_by) == (FRIDAY + timedelta(days=9), None)
    world = World(recipe(text))
    world.befall(Started(), FRIDAY)
    late = datetime(2026, 3, 10, 12, tzinfo=UTC)
    shorter = text.replace("2bd", "1bd")
    stays = moved(world, HEAD.replace("version: 1", "version: 2") + shorter, late)
    assert stays.deadline_at == datetime(2026, 3, 10, 15, tzinfo=UTC)


def test_timers_of_another_version() -> None:
    world = World(recipe(MACHINE))
    world.befall(Started(), FRIDAY)
    world.befall(Commanded("1", "fire", Actor("alice"), FRIDAY, action="submit", moves=0), FRIDAY)
    before = world.state.timers
    head, hour = HEAD.replace("version: 1", "version: 2"), FRIDAY + timedelta(hours=1)
    world.calendars = Calendars((replace(WORK, holidays=(MONDAY,)),), zone)
    assert moved(world, head + MACHINE.replace("draft", "sketch"), hour).timers == before
    text = MACHINE.replace("after: 1bd", "after: 2bd at 10:00")
    after = moved(world, head.replace("version: 2", "version: 3") + text, hour).timers
    assert [(timer.at.day, timer.at.hour, timer.fire) for timer in after] == [
        (11, 10, "back"),
        (11, 16, "drop"),
        (12, 16, "drop"),
    ]
    assert world.state.asks == ()


# --- waiting ---------------------------------------------------------------------------------------

PAUSE = "calendar: work\nsteps:\n  - {id: pause, for: 2bd}\n  - {id: end, action: approve}\n"


def test_a_wait_of_business_days_ends_by_the_calendar_and_says_by_which() -> None:
    world = World(recipe(PAUSE), MONDAY)
    until = datetime(2026, 3, 11, 15, tzinfo=UTC)
    state = world.befall(Started(), FRIDAY)
    assert (state.state, state.waits_until, progress.next_wakeup(state)) == (
        "pending",
        until,
        until,
    )
    assert (
        Record(
            "step.waiting",
            {
                "step": "pause",
                "until": "2026-03-11T15:00:00Z",
                "due_by": {
                    "calendar": "work",
                    "version": 1,
                    "time_zone": "UTC",
                    "uncovered": False,
                },
            },
        )
        in world.effects
    )
    world.calendars = Calendars((replace(WORK, holidays=()),), zone)
    assert world.befall(Ticked(), until - timedelta(hours=1)).state == "pending"
    assert world.befall(Ticked(), until).state == "approved"


def test_a_wait_whose_calendar_cannot_be_asked_goes_on_when_it_can() -> None:
    world = World(recipe(PAUSE))
    asked = progress.apply(world.recipe, world.state, Started(), FRIDAY)
    refusal = Answer(refusal=Refusal("DirectoryUnavailable", "the mirror is too old"))
    world.state = progress.then(world.recipe, asked, (refusal,), FRIDAY).state
    assert [(it.kind, it.seat) for it in world.state.incidents] == [("DirectoryUnavailable", None)]
    later = FRIDAY + timedelta(hours=1)
    state = world.befall(Rechecked((), later), later)
    assert state.incidents == ()
    assert state.waits_until == datetime(2026, 3, 10, 16, tzinfo=UTC)
    silent = progress.then(world.recipe, asked, (Answer(),), FRIDAY).state
    assert (silent.waits_until, silent.incidents) == (None, ())


def test_a_wait_is_judged_as_other_times_are() -> None:
    found = problems("steps:\n  - {id: a, for: 2bd}\n")
    assert [(path, message) for path, message, _ in found] == [
        ("steps[0].for", "`2bd` counts business days, and the recipe names no `calendar`")
    ]
    found = problems("calendar: work\nsteps:\n  - {id: a, for: 2bd in assignee zone}\n")
    assert "no one person's time" in found[0][1]
    found = problems("calendar: work\ndeadline: 2bd\nsteps:\n  - {id: a, for: 3bd}\n")
    assert [message for _, message, _ in found] == ["never ends: the recipe's deadline comes first"]
    assert problems("calendar: work\ndeadline: 2d\nsteps:\n  - {id: a, for: 3bd}\n") == []
    made = recipe(PAUSE)
    assert "waits 2bd" in str(chart(made))
    [told] = difference.differences(made, recipe(PAUSE.replace("2bd", "3bd")))
    assert (told.place, told.before, told.after) == ("steps.pause.for", "2bd", "3bd")
