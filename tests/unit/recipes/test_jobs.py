"""Automatic steps, one rule at a time: how jobs begin and end, what a failure does, what follows the end,
until when is waited, who is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes import jobs, progress
from recipes.asks import Answer, Ask, Assignment, Refusal
from recipes.case_directory import Directory, Person
from recipes.effects import CancelJob, EndJob, Notify, SettleCommand, StartJob, Transition
from recipes.happenings import (
    Actor,
    Commanded,
    Decided,
    Happening,
    JobEnded,
    Migration,
    Rechecked,
    Started,
    Ticked,
)
from recipes.model import Json, Recipe
from recipes.parse import parse

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = Actor("root", "admin")
REQUEST = "3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00"
PEOPLE = Directory(
    {
        "alice": Person("alice", "Alice", "bob"),
        "bob": Person("bob", "Bob"),
        "gone": Person("gone", "Gone", left=True),
    },
    {"team": ("alice", "bob", "gone"), "empty": ()},
)
UNAVAILABLE = Answer(refusal=Refusal("DirectoryUnavailable", "the mirror is too old"))


def recipe(*steps: str, version: int = 1, more: str = "") -> Recipe:
    text = "".join(f"  - {step}\n" for step in steps)
    head = f"workflow: w\nversion: {version}\nowner: x\n{more}"
    inputs = "inputs: {type: object, properties: {n: {type: integer}}, required: [n]}\n"
    return parse(f"{head}{inputs}steps:\n{text}").recipe


class Play:
    """A request of a recipe, from its start on."""

    def __init__(self, made: Recipe, directory: bool = True) -> None:
        self.recipe = made
        self.now = NOW
        self.available = directory
        self.done: list[object] = []
        self.commands = 0
        self.state = progress.initial(
            made,
            request_id=REQUEST,
            requester="alice",
            inputs={"n": 1},
            submitted_at=NOW,
            digest="",
        )
        self.befall(Started())

    def befall(self, happening: Happening) -> Transition:
        after = progress.settle(self.recipe, self.state, happening, self.now, self.answers)
        if after.migration is not None:
            self.recipe = after.migration.recipe
        self.state = after.state
        self.done += after.effects
        return after

    def answers(self, asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
        return PEOPLE.answer(asks, "alice") if self.available else (UNAVAILABLE,) * len(asks)

    def ends(self, output: Json = None, failure: str | None = None) -> None:
        job = self.state.job
        assert job is not None
        self.befall(JobEnded(job.id, self.now, output, failure, attempts=3, again=job.again))

    def command(self, command: Any, **more: Any) -> SettleCommand:
        self.commands += 1
        told = Commanded(str(self.commands), command, ROOT, self.now, **more)
        effects = self.befall(told).effects
        [settled] = [effect for effect in effects if isinstance(effect, SettleCommand)]
        return settled

    def jobs(self) -> list[str]:
        shown = {StartJob: "starts", EndJob: "ends", CancelJob: "is to stop"}
        return [f"{e.job.step} {shown[type(e)]}" for e in self.done if type(e) in shown]  # type: ignore[attr-defined]

    @property
    def troubles(self) -> list[tuple[str, str]]:
        return [(incident.step, incident.detail) for incident in self.state.incidents]


def test_inputs_are_rendered_however_deep_they_stand() -> None:
    step = (
        '{id: a, run: f, with: {x: ["{{ n + 1 }}", {y: "n is {{ n }}", z: true}], w: 1.5, v: null}}'
    )
    run = Play(recipe(step))
    job = run.state.job
    assert job is not None
    assert job.inputs == {"x": [2, {"y": "n is 1", "z": True}], "w": 1.5, "v": None}
    assert (job.key, run.state.state) == (f"{REQUEST}:a", "pending")


def test_what_later_steps_see_of_it() -> None:
    run = Play(
        recipe(
            "{id: a, run: f}",
            '{id: b, run: g, on_failure: continue, with: {x: "{{ steps.a.output.id }}"}}',
            "{id: c, when: steps.a.outcome == 'done' && steps.b.error == 'no', action: reject}",
        )
    )
    run.ends({"id": 7})
    assert run.state.job is not None
    assert run.state.job.inputs == {"x": 7}
    run.ends(failure="no")
    assert run.state.state == "rejected"
    assert run.state.results["b"] == {"outcome": "failed", "error": "no"}


def test_inputs_that_cannot_be_had_are_an_incident() -> None:
    run = Play(recipe('{id: a, run: f, with: {x: "{{ 60 / (n - 1) }}"}}'))
    assert run.troubles == [("a", "a: fails: divide by zero")]
    assert run.command("retry").applied
    assert run.troubles == [("a", "a: fails: divide by zero")]
    assert run.jobs() == []
    large = "x" * 1_000
    many = ", ".join(f'a{number}: "{large}"' for number in range(70))
    run = Play(recipe(f"{{id: a, run: f, with: {{{many}}}}}"))
    assert run.troubles == [("a", "a: gives more than 64 KiB of inputs")]


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("text", "its output does not fit: it the value is not of type"),
        ({"id": "x"}, "its output does not fit: /id the value is not of type"),
        ({"id": 1, "more": 2}, "its output does not fit: /more is not expected here"),
        ({"id": 1, "text": "x" * 70_000}, "its output is larger than 64 KiB"),
        ({"id": 1, "text": "\x00"}, "its output does not fit: /text holds the character NUL"),
    ],
)
def test_an_output_that_does_not_fit_is_a_failure(output: Json, why: str) -> None:
    schema = (
        "{type: object, properties: {id: {type: integer}, text: {}}, additionalProperties: false}"
    )
    run = Play(recipe(f"{{id: a, run: f, output: {schema}}}"))
    run.ends(output)
    [(step, detail)] = run.troubles
    assert step == "a"
    assert detail.startswith(why)
    assert run.command("retry").applied
    run.ends({"id": 1})
    assert run.state.state == "approved"
    starts = [effect.job for effect in run.done if isinstance(effect, StartJob)]
    assert [(job.again, job.key) for job in starts] == [(0, f"{REQUEST}:a"), (1, f"{REQUEST}:a")]


def test_all_outputs_together_have_a_limit() -> None:
    run = Play(recipe(*(f"{{id: s{number}, run: f}}" for number in range(10))))
    for _ in range(8):
        run.ends("x" * 64_000)
    assert run.troubles == []
    run.ends("x" * 64_000)
    assert run.troubles == [("s8", "all outputs together are larger than 512 KiB")]


def test_an_end_counts_once_and_for_the_job_that_runs() -> None:
    run = Play(recipe("{id: a, run: f}"))
    assert run.state.job is not None
    first = JobEnded(run.state.job.id, NOW, failure="no")
    for stray in (JobEnded("another", NOW), JobEnded(first.job_id, NOW, again=1)):
        assert progress.apply(run.recipe, run.state, stray, NOW) == Transition(run.state)
    run.befall(first)
    assert progress.apply(run.recipe, run.state, first, NOW) == Transition(run.state)
    run.command("retry")
    assert progress.apply(run.recipe, run.state, first, NOW) == Transition(run.state)


def test_a_failure_that_rejects_says_why() -> None:
    run = Play(recipe("{id: a, run: f, on_failure: reject, output: {type: integer}}"))
    run.ends("five")
    assert run.state.state == "rejected"
    assert "its output does not fit" in (run.state.reason or "")


def test_a_deadline_stops_a_job_and_forgets_one_that_failed() -> None:
    for failure in (None, "no"):
        run = Play(recipe("{id: a, run: f}", more="deadline: 2d\n"))
        if failure is not None:
            run.ends(failure=failure)
        run.now += timedelta(days=2)
        run.befall(Ticked())
        assert (run.state.state, run.troubles) == ("expired", [])
        assert jobs.over(run.recipe, run.state) == (failure is not None)
        if failure is None:
            run.ends(failure="was stopped")
            assert run.jobs() == ["a starts", "a is to stop"]
        assert jobs.over(run.recipe, run.state)


def test_a_skipped_step_forgets_the_job_that_failed() -> None:
    """Begun again, its condition is looked at again: by a version that has one."""
    run = Play(recipe("{id: a, run: f}"))
    run.ends(failure="no")
    other = recipe("{id: a, run: g, when: n > 5}", version=2)
    assert run.command("migrate", migration=Migration(other, "x", "d", run.state.digest)).applied
    assert (run.state.state, run.state.job) == ("approved", None)


def test_moved_to_another_version() -> None:
    run = Play(recipe("{id: a, run: f}", "{id: b, for: 2d}"))
    for steps, why in (
        (("{id: a, run: g}",), "step a runs f, and does not in version 2"),
        (("{id: a, approver: bob}",), "step a runs f, and does not in version 2"),
    ):
        other = recipe(*steps, version=2)
        settled = run.command("migrate", migration=Migration(other, "x", "d", run.state.digest))
        assert (settled.applied, settled.detail) == (False, why)
    other = recipe("{id: a, run: f, on_failure: continue}", "{id: b, for: 2d}", version=2)
    assert run.command("migrate", migration=Migration(other, "x", "d", run.state.digest)).applied
    assert run.jobs() == ["a starts"]
    run.ends(failure="no")
    until = run.state.waits_until
    run.now += timedelta(days=1)
    same = recipe("{id: a, run: f}", "{id: b, for: 2d}", version=3)
    assert run.command("migrate", migration=Migration(same, "x", "e", run.state.digest)).applied
    assert run.state.waits_until == until
    longer = recipe("{id: a, run: f}", "{id: b, for: 4d}", version=4)
    assert run.command("migrate", migration=Migration(longer, "x", "f", run.state.digest)).applied
    assert run.state.waits_until == run.now + timedelta(days=4)
    another = recipe("{id: a, run: f}", "{id: b, approver: bob}", version=5)
    settled = run.command("migrate", migration=Migration(another, "x", "g", run.state.digest))
    assert settled.detail == "step b is another type of step in version 5"


def test_a_job_that_failed_is_begun_again_as_the_new_version_has_it() -> None:
    run = Play(recipe("{id: a, run: f, with: {x: 1}}"))
    run.ends(failure="no")
    other = recipe("{id: a, run: g, with: {x: 2}}", version=2)
    assert run.command("migrate", migration=Migration(other, "x", "d", run.state.digest)).applied
    job = run.state.job
    assert job is not None
    assert (job.run, job.inputs, job.key, job.again) == ("g", {"x": 2}, f"{REQUEST}:a", 1)


# --- after the end -------------------------------------------------------------------------------

AFTER = """
on_approved:
  - {id: a1, run: f}
  - {id: a2, when: steps.a1.outcome == 'failed', run: g}
  - {id: a3, to: "{{ employee.manager }}", message: "{{ steps.boss.outcome }}"}
on_cancelled:
  - {id: c1, when: steps.boss.outcome == 'not_done', run: undo, on_failure: continue}
"""


def test_callbacks_in_order() -> None:
    run = Play(recipe("{id: boss, when: n > 5, approver: bob}", more=AFTER.lstrip()))
    assert (run.state.state, run.jobs()) == ("approved", ["a1 starts"])
    run.ends(1)
    assert run.jobs() == ["a1 starts", "a1 ends"]
    assert [it for it in run.done if isinstance(it, Notify)] == [Notify("a3", ("bob",), "skipped")]
    assert jobs.over(run.recipe, run.state)


def test_a_step_that_was_not_come_through_is_not_done() -> None:
    run = Play(recipe("{id: boss, approver: bob}", more=AFTER.lstrip()))
    assert run.command("cancel").applied
    assert run.jobs() == ["c1 starts"]
    assert not run.command("cancel").applied
    run.ends(failure="no")
    assert jobs.over(run.recipe, run.state)
    assert run.state.results["c1"]["error"] == "no"
    assert not run.command("retry").applied


def test_callbacks_wait_for_the_directory() -> None:
    run = Play(
        recipe("{id: boss, when: n > 5, approver: bob}", more=AFTER.lstrip()), directory=False
    )
    run.ends(1)
    assert [incident.kind for incident in run.state.incidents] == ["DirectoryUnavailable"]
    run.befall(Rechecked((), NOW))  # of requests that are open: this one waits for `retry`
    assert run.troubles
    run.available = True
    assert run.command("retry").applied
    assert jobs.over(run.recipe, run.state)


MACHINE = """
workflow: m
version: 1
owner: x
kind: state_machine
inputs: {type: object}
deadline: 3d
states: [{id: a, initial: true}, {id: b, final: true, outcome: rejected}]
actions: [{id: go, from: a, to: b}]
on_rejected: [{id: r, run: f}, {id: t, to: role:team, message: gone}]
on_expired: [{id: e, run: g}]
"""


def test_state_machines_have_callbacks_too() -> None:
    run = Play(parse(MACHINE).recipe)
    assert run.state.state == "pending"
    assert run.command("fire", action="go").applied
    assert (run.state.state, run.jobs()) == ("rejected", ["r starts"])
    assert run.command("fire", action="go").detail == "the request is already rejected"
    run.ends(failure="no")
    assert run.troubles == [("r", "no")]
    assert run.command("retry").applied
    run.ends()
    assert [it for it in run.done if isinstance(it, Notify)] == [
        Notify("t", ("alice", "bob"), "gone")
    ]
    expired = Play(parse(MACHINE).recipe)
    expired.now += timedelta(days=3)
    seq = expired.state.seq
    expired.befall(Ticked())
    assert (expired.state.state, expired.jobs()) == ("expired", ["e starts"])
    assert expired.state.seq == seq + 1


# --- waiting and telling -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "until"),
    [
        ("for: 36h", NOW + timedelta(hours=36)),
        ("until: request.submitted_at + duration('48h')", NOW + timedelta(hours=48)),
        ("until: \"'2026-03-09'\"", datetime(2026, 3, 9, tzinfo=UTC)),
        ("until: \"'2026-03-09T10:00:00+02:00'\"", datetime(2026, 3, 9, 8, tzinfo=UTC)),
    ],
)
def test_until_when_it_waits(wait: str, until: datetime) -> None:
    run = Play(recipe(f"{{id: a, {wait}}}"))
    assert (run.state.waits_until, progress.next_wakeup(run.state)) == (until, until)
    run.now = until - timedelta(seconds=1)
    assert run.befall(Ticked()) == Transition(run.state)
    run.now = until
    run.befall(Ticked())
    assert (run.state.state, run.state.waits_until) == ("approved", None)


def test_a_moment_that_is_past_is_not_waited_for() -> None:
    assert Play(recipe("{id: a, until: \"'2020-01-01'\"}")).state.state == "approved"


@pytest.mark.parametrize("value", ["'soon'", "n > 0 ? [1] : [2]"])
def test_what_is_no_moment_is_an_incident(value: str) -> None:
    run = Play(recipe(f'{{id: a, until: "{value} "}}') if "[" not in value else _dynamic(value))
    [(_, detail)] = run.troubles
    assert "gives no time and no date" in detail


def _dynamic(value: str) -> Recipe:
    """A type that only the request tells."""
    return recipe("{id: f, run: f, when: n > 5}", f'{{id: a, until: "dyn({value})"}}')


def test_cancelling_ends_a_wait() -> None:
    run = Play(recipe("{id: a, for: 2d}"))
    assert run.command("cancel").applied
    assert (run.state.waits_until, progress.next_wakeup(run.state)) == (None, None)


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("role:team", ("alice", "bob")),
        ("[role:empty]", ()),
        ("[user:gone, user:nobody]", ()),
        ('["user:{{ request.requester }}", alice, role:team]', ("alice", "bob")),
        ('["{{ employee.manager.manager }}", bob]', ("bob",)),  # he has none: left out
    ],
)
def test_who_is_told(to: str, told: tuple[str, ...]) -> None:
    run = Play(recipe(f'{{id: a, to: {to}, message: "n is {{{{ n }}}}"}}'))
    assert [it for it in run.done if isinstance(it, Notify)] == [Notify("a", told, "n is 1")]
    assert run.state.state == "approved"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("{id: a, to: \"{{ n > 5 ? 'bob' : '' }}\", message: x}", "a: gives an empty text"),
        ('{id: a, to: bob, message: "{{ 60 / (n - 1) }}"}', "a.message: fails: divide by zero"),
    ],
)
def test_telling_that_fails_is_an_incident(step: str, why: str) -> None:
    [(_, detail)] = Play(recipe(step)).troubles
    assert detail.startswith(why)


def test_telling_more_than_a_thousand_is_an_incident() -> None:
    run = Play(recipe("{id: a, to: bob, message: x}"), directory=False)
    [(_, detail)] = run.troubles
    assert detail == "the mirror is too old"
    crowd = tuple(f"user:p{number}" for number in range(1_001))
    many = Answer(assignment=Assignment(candidates=crowd))
    told = Rechecked((), NOW)
    after = progress.settle(run.recipe, run.state, told, NOW, lambda asks: (many,) * len(asks))
    [incident] = after.state.incidents
    assert incident.detail == "a.to: names more than 1,000 people"


def test_a_directory_that_is_back_is_asked_again() -> None:
    for to in ("bob", '"{{ employee.manager }}"'):
        run = Play(recipe(f"{{id: a, to: {to}, message: x}}"), directory=False)
        assert run.troubles
        run.available = True
        run.befall(Rechecked((), NOW))
        assert (run.state.state, run.troubles) == ("approved", [])
    run = Play(recipe('{id: a, run: f, with: {x: "{{ employee.manager }}"}}'), directory=False)
    run.available = True
    run.befall(Rechecked((), NOW))
    assert run.jobs() == ["a starts"]


# --- sent back -----------------------------------------------------------------------------------


def test_work_that_is_come_to_once_more_is_other_work() -> None:
    """After a rewind: with another key. What is tried again has the same one."""
    run = Play(recipe("{id: a, run: f}", "{id: boss, approver: bob}", "{id: b, for: 2d}"))
    run.ends(1)
    [task] = run.state.tasks
    run.befall(Decided(task.id, "request_changes", Actor("bob"), NOW, "more"))
    assert (run.state.state, run.state.job, run.state.results) == ("rewound", None, {})
    assert run.command("resubmit", inputs={"n": 2}, digest="x").applied
    assert run.state.job is not None
    assert run.state.job.key == f"{REQUEST}:a:2"
    run.ends(failure="no")
    assert run.command("retry").applied
    assert run.state.job is not None
    assert (run.state.job.key, run.state.job.again) == (f"{REQUEST}:a:2", 1)
    assert len({effect.job.id for effect in run.done if isinstance(effect, StartJob)}) == 2


def test_one_that_waits_for_its_requester_has_callbacks_when_it_expires() -> None:
    more = "resubmit_within: 3d\non_expired: [{id: e, run: f}]\n"
    run = Play(recipe("{id: boss, approver: bob}", more=more))
    [task] = run.state.tasks
    run.befall(Decided(task.id, "request_changes", Actor("bob"), NOW, "more"))
    run.now += timedelta(days=3)
    run.befall(Ticked())
    assert (run.state.state, run.jobs()) == ("expired", ["e starts"])
