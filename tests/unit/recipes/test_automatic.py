"""Automatic steps in all that is done with recipes: read, judged, tried by cases and simulations, compared
and drawn."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from recipes import simulate
from recipes.case_directory import Directory, Person
from recipes.cases import run
from recipes.diagram import chart, mermaid
from recipes.diagram_svg import svg
from recipes.difference import differences
from recipes.inputs import validate
from recipes.model import JobStep, Recipe, Retry, WaitStep
from recipes.parse import parse
from recipes.problems import RecipeInvalid
from recipes.supposed import Simulated, Supposed

HEAD = "workflow: w\nversion: 1\nowner: x\ninputs: {type: object, properties: {n: {type: integer}, day: {type: string}}, required: [n]}\n"
TEXT = """
workflow: order
version: 1
owner: admins
inputs: {type: object, required: [n], properties: {n: {type: integer}}}
steps:
  - id: check
    run: check_order
    with: {n: "{{ n }}"}
    retry: {attempts: 3, first: 2s, most: 1m}
    timeout: 5s
    on_failure: reject
    output: {type: object, properties: {ok: {type: boolean}}}
  - {id: pause, for: 2d}
  - {id: later, until: request.submitted_at}
  - {id: mail, name: Tell them, to: [role:team, "{{ employee.manager }}"], message: "n is {{ n }}"}
  - {id: rest, run: http, on_failure: continue}
on_approved:
  - {id: book, when: n > 1, run: book_sale}
  - {id: praise, to: alice, message: well done}
on_expired: [{id: sweep, run: sweep}]
"""
PEOPLE = Directory(
    {"alice": Person("alice", "Alice", "bob"), "bob": Person("bob", "Bob")},
    {"team": ("alice",)},
)


def made(text: str = TEXT) -> Recipe:
    return parse(text).recipe


# --- reading and judging -------------------------------------------------------------------------


def problems(text: str, **known: Any) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        parse(text, **known)
    return [f"{p.path}: {p.message}" for p in caught.value.problems if p.severity == "error"]


def of_steps(*steps: str) -> list[str]:
    return problems(HEAD + "steps:\n" + "".join(f"  - {step}\n" for step in steps))


def test_what_it_reads() -> None:
    check, pause, *_ = made().steps
    assert isinstance(check, JobStep)
    assert (check.run, check.timeout, check.on_failure) == ("check_order", 5, "reject")
    assert check.retry == Retry(3, 2, 60)
    assert pause == WaitStep("pause", 2 * 86_400)
    assert [step.id for step in made().on_approved] == ["book", "praise"]
    for retry, read in (
        ("7", Retry(7)),
        ("{most: 20s}", Retry(5, 1, 20)),
        ("{first: 10m}", Retry(5, 600, 600)),
    ):
        [step] = parse(f"{HEAD}steps: [{{id: a, run: f, retry: {retry}}}]\n").recipe.steps
        assert isinstance(step, JobStep)
        assert step.retry == read


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{id: a, type: task}", "steps[0]: `run` is missing"),
        ("{id: a, run: Charge-Card}", "steps[0].run: `Charge-Card` must be small letters"),
        ("{id: a, run: f, with: 3}", "steps[0].with: must name the function's inputs"),
        ("{id: a, run: f, with: {x: '{{ m }}'}}", "steps[0].with.x: `m`: unknown name `m`"),
        ("{id: a, run: f, with: {x: [1, '{{ n']}}", "steps[0].with.x[1]: `{{` is not closed"),
        ("{id: a, run: f, retry: 0}", "steps[0].retry: is no number of attempts"),
        ("{id: a, run: f, retry: {attempts: x}}", "steps[0].retry.attempts: is no number"),
        ("{id: a, run: f, retry: {first: 2m, most: 1m}}", "steps[0].retry.most: is shorter than"),
        ("{id: a, run: f, output: 3}", "steps[0].output: must be a JSON Schema"),
        ("{id: a, run: f, output: {type: objekt}}", "steps[0].output.type: "),
        ("{id: a, run: f, output: {properties: {x: {type: 3}}}}", "steps[0].output.properties.x"),
        ("{id: a, run: f, on_failure: expire}", "steps[0].on_failure: `expire` is not possible"),
        ("{id: a, run: f, approver: bob}", "steps[0].run: unknown key `run`"),
        ("{id: a, type: wait}", "steps[0]: waits for nothing"),
        ("{id: a, for: 2d, until: day}", "steps[0].until: comes beside `for`"),
        ("{id: a, until: n}", "steps[0].until: `n`: gives int instead of a time or a date"),
        ("{id: a, message: x}", "steps[0]: `to` is missing"),
        ("{id: a, type: notify, to: bob}", "steps[0]: `message` is missing"),
        ("{id: a, to: bob, message: '{{ m }}'}", "steps[0].message: `m`: unknown name"),
        ("{id: a, to: '{{ n }}', message: x}", "steps[0].to: `n`: gives int instead of a person"),
    ],
)
def test_what_is_wrong_with_a_step(step: str, says: str) -> None:
    found = of_steps(step)
    assert any(problem.startswith(says) for problem in found), found


def test_what_is_wrong_with_callbacks() -> None:
    steps = "steps: [{id: a, approver: bob}]\n"
    for callbacks, says in (
        ("3", "on_approved: must be a list of tasks and notifications"),
        ("[3]", "on_approved[0]: must be a task or a notification"),
        ("[{id: a, run: f}]", "on_approved[0].id: two steps are called `a`"),
        ("[{id: b, approver: bob}]", "on_approved[0].approver: unknown key `approver`"),
        ("[{id: b, run: f, on_failure: reject}]", "on_approved[0].on_failure: has no effect"),
        ("[{id: b, run: f, when: 1 > 2}]", "on_approved[0].when: is never true"),
        (
            "[{id: b, run: f, when: steps.c.outcome == 'x'}]",
            "on_approved[0].when: `steps.c.outcome == 'x'`: no earlier step is called `c`",
        ),
        ("[{id: b, type: wait, for: 2d}]", "on_approved[0].type: `wait` is not possible here"),
        (
            f"[{', '.join(f'{{id: c{number}, run: f}}' for number in range(51))}]",
            "on_approved: lists 51; 50 are the most",
        ),
    ):
        found = problems(f"{HEAD}{steps}on_approved: {callbacks}\n")
        assert any(problem.startswith(says) for problem in found), found


def test_one_callback_sees_those_before_it_and_not_those_of_another_end() -> None:
    text = HEAD + "steps: [{id: a, run: f}]\non_approved: [{id: b, run: f}]\n"
    sees = "[{id: c, run: f}, {id: d, when: steps.c.output == 1 && steps.a.output == 2, run: f}]"
    assert parse(f"{text}on_rejected: {sees}\n").recipe.on_rejected[1].when is not None
    found = problems(f"{text}on_rejected: [{{id: c, when: steps.b.output == 1, run: f}}]\n")
    assert found == [
        "on_rejected[0].when: `steps.b.output == 1`: no earlier step is called `b`",
    ]


def test_who_decides_is_asked_of_no_automatic_step() -> None:
    found = of_steps("{id: a, run: f}", "{id: b, approver: bob, not_same_as: [a]}")
    assert found == ["steps[1].not_same_as[0]: nobody decides step `a`: it is automatic"]


def test_a_wait_that_never_ends() -> None:
    text = f"{HEAD}deadline: 2d\nsteps: [{{id: a, for: 2d}}]\n"
    assert problems(text) == ["steps[0].for: never ends: the recipe's deadline comes first"]


def test_functions_that_no_worker_has_are_warned_of() -> None:
    text = (
        f"{HEAD}steps: [{{id: a, run: charge_cart}}, {{id: b, run: http}}, {{id: c, run: zzz}}]\n"
    )
    found = parse(text, functions=frozenset({"charge_card"})).warnings
    assert [(p.path, p.message, p.fix) for p in found] == [
        (
            "steps[0].run",
            "no worker has a function `charge_cart`",
            "did you mean `charge_card`? they have charge_card, http",
        ),
        ("steps[2].run", "no worker has a function `zzz`", "they have charge_card, http"),
    ]
    assert parse(text).warnings == ()


def test_people_who_are_told_are_looked_for() -> None:
    text = f"{HEAD}steps: [{{id: a, to: bib, message: x}}]\non_expired: [{{id: b, to: eve, message: x}}]\n"
    found = parse(text, roles=frozenset({"user:bob", "role:x"})).warnings
    assert [p.message for p in found] == [
        "`bib` is nobody in the directory",
        "`eve` is nobody in the directory",
    ]


def test_outputs_have_types() -> None:
    schema = "{type: object, required: [id], properties: {id: {type: integer}, name: {type: string}}, additionalProperties: false}"
    first = f"{{id: a, run: f, output: {schema}}}"
    for when, says in (
        ("steps.a.output.id > 'x'", "`>` does not take int, string"),
        ("steps.a.output.nam == 'x'", "unknown output `steps.a.output.nam`"),
        ("steps.a.decided_by == []", "`steps.a` has no `decided_by`"),
        ("steps.p.output == 1", "`steps.p` has no `output`"),
    ):
        found = of_steps(first, "{id: p, for: 1d}", f'{{id: b, when: "{when}", run: f}}')
        assert any(says in problem for problem in found), found
    fine = "steps.a.output.id > 3 && steps.a.output.name == null && has(steps.a.error)"
    parse(f'{HEAD}steps: [{first}, {{id: b, when: "{fine}", run: f}}]\n')


def test_an_untyped_recipe_needs_what_automatic_steps_read() -> None:
    text = """
workflow: w
version: 1
steps:
  - {id: a, run: f, with: {x: ["{{ order }}", {y: "{{ inputs.amount }}"}, 3]}}
  - {id: b, until: date}
  - {id: c, to: ["{{ boss }}"], message: "hello {{ name }}"}
  - {id: d, for: 2d}
on_approved: [{id: e, run: f, with: {z: "{{ last }}"}}]
"""
    recipe = parse(text).recipe
    assert recipe.implied == ("order", "amount", "date", "boss", "name", "last")
    found = {problem.pointer: problem.message for problem in validate(recipe, {})}
    assert found["/order"] == "input `order` is missing; it is used by step a"
    assert found["/date"] == "input `date` is missing; it is used by step b"
    assert found["/name"] == "input `name` is missing; it is used by step c"


# --- cases ---------------------------------------------------------------------------------------

CASES = """
recipe: order.v1.yaml
org:
  people: [{id: alice, name: Alice, manager: bob}, {id: bob}]
  roles: {team: [alice]}
cases:
"""


def played(case: str) -> list[str]:
    text = f"{CASES}  - {{name: c, requester: alice, inputs: {{n: 2}}, {case}}}\n"
    (result,) = run(text.encode(), lambda _: TEXT.encode(), "c").results
    return [str(difference) for difference in result.differences]


def test_cases_suppose_how_automatic_work_ends() -> None:
    told = (
        'notified: [{step: mail, to: [bob, alice], message: "n is 2"}, {step: praise, to: alice}]'
    )
    jobs = "[{step: check, run: check_order, inputs: {n: 2}, is: succeeded}, {step: rest}, {step: book}]"
    path = "[check done, pause done, later done, mail done, rest done, book done, praise done]"
    fine = "outputs: {check: {ok: true}}, events: [{at: 3d}]"
    assert played(f"{fine}, expect: {{state: approved, path: {path}, jobs: {jobs}, {told}}}") == []
    few, none = played(f"{fine}, expect: {{jobs: [{{step: check}}], notified: []}}")
    begins = (
        "jobs: expected 1 of them, got 3: {step: check, run: check_order, inputs: {'n': 2}, is: "
    )
    assert few.startswith(f"{begins}succeeded}}, {{step: rest, run: http")
    assert none == (
        "notified: expected 0 of them, got 2: {step: mail, to: alice, bob, message: n is 2},"
        " {step: praise, to: alice, message: well done}"
    )
    assert played("expect: {state: rejected, path: []}") == []  # no output does not fit
    assert played("fails: {check: unknown}, expect: {jobs: [{is: failed}], state: rejected}") == []


def test_a_failure_that_is_supposed_comes_once() -> None:
    fails = "outputs: {check: {}}, fails: {book: closed}"
    stuck = "events: [{at: 3d}], expect: {state: approved, incidents: [JobFailed]}"
    assert played(f"{fails}, {stuck}") == []
    healed = "events: [{at: 3d}, {at: 4d, who: bob, retry: true}], expect: {incidents: []}"
    assert played(f"{fails}, {healed}") == []


def test_what_is_wrong_with_them() -> None:
    text = f"{CASES}  - {{name: c, requester: alice, outputs: 3, expect: {{jobs: [{{it: 3, is: done}}], notified: [{{whom: x}}]}}}}\n"
    with pytest.raises(RecipeInvalid) as caught:
        run(text.encode(), lambda _: TEXT.encode(), "c")
    found = [problem.path for problem in caught.value.problems]
    assert found == [
        "cases[0].outputs",
        "cases[0].expect.jobs[0].it",
        "cases[0].expect.jobs[0].is",
        "cases[0].expect.notified[0].whom",
    ]


# --- simulations ---------------------------------------------------------------------------------


def simulated(**supposed: Any) -> Simulated:
    start = Supposed("alice", {"n": 2}, datetime(2026, 3, 2, 9, tzinfo=UTC), **supposed)
    playing = simulate.play(made(), start)
    try:
        asked = next(playing)
        while True:
            asked = playing.send(PEOPLE.answer(asked.asks, "alice"))
    except StopIteration as end:
        found: Simulated = end.value
        return found


def test_a_simulation_says_what_is_done() -> None:
    found = simulated(outputs={"check": {"ok": True}})
    assert found.state == "approved"
    assert [(step.step, step.outcome, step.does) for step in found.path] == [
        ("check", "done", 'runs check_order with {"n":2}'),
        ("pause", "done", "waits until 2026-03-04T09:00:00Z"),
        ("later", "done", "waits until 2026-03-02T09:00:00Z"),
        ("mail", "done", "tells alice, bob: n is 2"),
        ("rest", "done", "runs http with nothing"),
        ("book", "done", "runs book_sale with nothing"),
        ("praise", "done", "tells alice: well done"),
    ]


def test_a_simulation_with_a_failure() -> None:
    found = simulated(outputs={"check": {}}, fails={"rest": "no answer", "book": "closed"})
    assert [step.outcome for step in found.path[-2:]] == ["failed", None]
    assert [incident.detail for incident in found.incidents] == ["closed"]
    assert simulated(fails={"check": "unknown"}).reason == "unknown"


# --- differences and pictures --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout: 5s", "timeout: 9s", "steps.check.timeout: 5s becomes 9s"),
        ("first: 2s", "first: 4s", "steps.check.retry.first: 2s becomes 4s"),
        ('{n: "{{ n }}"}', "{n: 3}", "steps.check.with.n: {{ n }} becomes 3"),
        ("on_failure: reject", "on_failure: incident", "steps.check.on_failure: is gone: reject"),
        ("for: 2d", "for: 3d", "steps.pause.for: 2d becomes 3d"),
        ("for: 2d", "until: request.submitted_at", "steps.pause.for: is gone: 2d"),
        ("run: book_sale", "run: book", "on_approved.book.run: book_sale becomes book"),
        ("on_expired: [{id: sweep, run: sweep}]", "", "on_expired.sweep: is gone: "),
        (
            "message: well done",
            "message: fine",
            "on_approved.praise.message: well done becomes fine",
        ),
    ],
)
def test_differences(old: str, new: str, told: str) -> None:
    assert old in TEXT
    found = differences(made(), made(TEXT.replace(old, new)))
    shown = [f"{change.place}: {change.text}" for change in found]
    assert any(text.startswith(told) for text in shown), shown


def test_what_is_said_as_the_default_is_no_difference() -> None:
    said = TEXT.replace("run: book_sale", "run: book_sale, timeout: 60s, on_failure: incident")
    assert differences(made(), made(said)) == ()


def test_pictures() -> None:
    drawn = chart(made())
    assert [node.box.lines for node in drawn.nodes] == [
        ("runs check_order",),
        ("waits 2d",),
        ("waits until request.submitted_at",),
        ("tells role:team, employee.manager",),
        ("runs http", "goes on if it fails"),
    ]
    assert drawn.nodes[0].out == ("Rejected",)
    assert "Once approved: book runs book_sale when n > 1, then praise tells alice." in (
        drawn.description
    )
    text = mermaid(made())
    assert "approved --> after_approved" in text
    assert 'expired(["Expired"])' in text
    assert ElementTree.fromstring(svg(made())) is not None  # noqa: S314 - our own text
    assert "Once expired" in svg(made())
    plain = replace(made(), on_approved=(), on_expired=())
    assert chart(plain).after == ()
