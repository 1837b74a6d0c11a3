"""`confidential`: how it is read, what is refused because others would see it, and what the engine's own
texts leave out."""

from datetime import UTC, datetime
from typing import Any

import pytest

from recipes import migration, progress
from recipes.asks import Answer, Ask, Assignment
from recipes.diagram import chart
from recipes.difference import differences
from recipes.effects import EndJob
from recipes.happenings import JobEnded, Started
from recipes.model import ActionStep, Confidential, Recipe, dump, load
from recipes.parse import RecipeInvalid, parse
from recipes.state import State

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SALARY, WHO = 98765, "zelda"
HEAD = (
    "workflow: a\nversion: 1\nowner: x\n"
    "inputs: {properties: {salary: {type: integer}, who: {type: string}, day: {type: string}}}\n"
)
STEPS = "steps: [{id: s, approver: bob}]\n"
SOME = "confidential: {visible_to: [hr], fields: [salary, who, day]}\n"
ONE = "confidential: {visible_to: [hr], fields: [salary]}\n"
ALL = "confidential: {visible_to: hr}\n"


def problems(text: str, steps: str = STEPS, head: str = HEAD) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        parse(head + text + steps)
    errors = [it for it in caught.value.problems if it.severity == "error"]
    return [f"{it.line}:{it.column} {it.path}: {it.message} ({it.fix})" for it in errors]


def warned(text: str, steps: str = STEPS, roles: frozenset[str] | None = None) -> list[str]:
    found = parse(HEAD + text + steps, roles=roles).warnings
    return [f"{it.path}: {it.message}" for it in found if "`salary`, `who`" not in it.message]


def leaks(text: str) -> list[str]:
    """Where it is refused, and what leaks there."""
    return [
        told.split(" (")[0] for told in problems(SOME + text, "" if "steps:" in text else STEPS)
    ]


# --- reading --------------------------------------------------------------------------------------


def test_what_it_reads() -> None:
    text = "confidential: {visible_to: ['role: hr', board, admin], fields: salary}\n"
    recipe = parse(HEAD + text + STEPS).recipe
    assert recipe.confidential == Confidential(("hr", "board", "admin"), ("salary",))
    assert load(dump(recipe)) == recipe
    assert parse(HEAD + ALL + STEPS).recipe.confidential == Confidential(("hr",))


MACHINE = (
    "kind: state_machine\nstates: [{id: a, initial: true}, {id: b, final: true}]\n"
    "actions: [{id: go, from: a, to: b, who: [role:hr, %s]}]\n"
)


@pytest.mark.parametrize(
    "who",
    [
        "bob",
        "'{{ employee.manager }}'",
        "'{{employee.manager}}'",
        "'user:{{ request.requester }}'",
    ],
)
def test_state_machines_have_it_too(who: str) -> None:
    assert parse(HEAD + SOME + MACHINE % who).recipe.confidential is not None


@pytest.mark.parametrize(
    "who",
    [
        "\"{{ who == 'me' ? 'bob' : 'role:hr' }}\"",
        "'{{ employee.manager.manager }}'",
        "'{{ request.requester }}'",
        "\"{{ employee.manager == null ? 'bob' : 'role:hr' }}\"",
    ],
)
@pytest.mark.parametrize("rule", [ONE, ALL])
def test_whoever_may_fire_is_told_without_inputs(rule: str, who: str) -> None:
    assert problems(rule, MACHINE % who) == [
        (
            "8:52 actions[0].who[1]: who may read what is confidential must be told without the request's inputs"
            " (write a role, a person, `{{ employee.manager }}` or `user:{{ request.requester }}`)"
        )
    ]
    assert parse(HEAD + MACHINE % who).recipe.machine is not None


def test_whoever_may_fire_is_not_told_by_what_is_confidential() -> None:
    told = problems(SOME, MACHINE % "'user:{{ who }}'")
    assert [it.split(" (")[0] for it in told] == [
        "8:52 actions[0].who[1]: who may read what is confidential must be told without the request's inputs",
        "8:60 actions[0].who[1]: everybody who may see the request sees who is asked: `who` is confidential",
    ]


def test_a_recipe_of_before_says_nothing_of_it() -> None:
    old = dump(Recipe("a", 1, (ActionStep("s", "approve"),)))
    del old["confidential"]
    assert load(old).confidential is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "confidential: [salary]\n",
            (
                "5:15 confidential: must say `visible_to`, and which `fields` if not all"
                " (write `confidential: {visible_to: [hr], fields: [salary]}`)"
            ),
        ),
        (
            "confidential: {fields: [salary]}\n",
            (
                "5:15 confidential: `visible_to` is missing"
                " (add `visible_to: [hr]`, roles beside those whom a request asks)"
            ),
        ),
        (
            "confidential: {visible_to: [hr], field: [salary]}\n",
            "5:34 confidential.field: unknown key `field` in `confidential` (did you mean `fields`?)",
        ),
        (
            "confidential: {visible_to: []}\n",
            "5:28 confidential.visible_to: is an empty list (list something, or leave the key out)",
        ),
        (
            "confidential: {visible_to: hr, fields: []}\n",
            "5:40 confidential.fields: is an empty list (list something, or leave the key out)",
        ),
        (
            "confidential: {visible_to: [hr, 'user:bob']}\n",
            (
                "5:33 confidential.visible_to[1]: `user:bob` names no role"
                " (write a role that they have: people come and go, and requests stay)"
            ),
        ),
        (
            'confidential: {visible_to: "{{ who }}"}\n',
            (
                "5:28 confidential.visible_to: `{{ who }}` names no role"
                " (write role:name or a name: what people see must not depend on one request)"
            ),
        ),
        (
            "confidential: {visible_to: [hr, 'role:hr']}\n",
            "5:33 confidential.visible_to[1]: `hr` stands there twice (write it once)",
        ),
        (
            "confidential: {visible_to: hr, fields: [salary, salary]}\n",
            "5:49 confidential.fields[1]: `salary` stands there twice (write it once)",
        ),
        (
            "confidential: {visible_to: hr, fields: [selary]}\n",
            "5:41 confidential.fields[0]: there is no input `selary` (did you mean `salary`?)",
        ),
        (
            "confidential: {visible_to: hr, fields: bonus}\n",
            "5:40 confidential.fields: there is no input `bonus` (inputs are salary, who, day)",
        ),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    assert problems(text) == [told]


def test_an_untyped_recipe_has_the_inputs_that_it_uses() -> None:
    head, steps = (
        "workflow: a\nversion: 1\nowner: x\n",
        "steps: [{id: s, when: days > 1, approver: bob}]\n",
    )
    rule = "confidential: {visible_to: hr, fields: days}\n"
    assert parse(head + rule + steps).recipe.implied == ("days",)
    assert problems(rule, STEPS, head) == [
        "4:40 confidential.fields: there is no input `days` (declare it under `inputs`)"
    ]


def test_roles_that_nobody_knows_are_warned_of() -> None:
    known = frozenset({"role:hr", "user:bob", "role:x"})
    rule = "confidential: {visible_to: [hr, admin, auditor, hrr, board]}\n"
    assert warned(rule, roles=known) == [
        "confidential.visible_to[3]: `hrr` is no role of the directory",
        "confidential.visible_to[4]: `board` is no role of the directory",
    ]
    assert warned("confidential: {visible_to: bob}\n", roles=known) == [
        "confidential.visible_to: `bob` is no role of the directory"
    ]
    assert warned(rule) == []


# --- what others see ------------------------------------------------------------------------------

TITLE = "a title is shown in lists and mails"
MESSAGE = "a message goes to people who may not see all of the request"
ASKED = "everybody who may see the request sees who is asked"
UNTIL = "everybody who may see the request sees until when it waits"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('title: "Raise to {{ salary }}"\n', f"6:21 title: {TITLE}: `salary` is confidential"),
        ('title: "{{ inputs.salary }}"\n', f"6:12 title: {TITLE}: `inputs.salary` is confidential"),
        (
            "title: \"{{ inputs['salary'] }}\"\n",
            f"6:12 title: {TITLE}: `inputs.salary` is confidential",
        ),
        (
            "title: \"{{ inputs['sal' + 'ary'] }}\"\n",
            f"6:12 title: {TITLE}: `inputs` is confidential",
        ),
        ('title: "{{ size(inputs) }}"\n', f"6:17 title: {TITLE}: `inputs` is confidential"),
        ('title: "{{ .salary }}"\n', f"6:13 title: {TITLE}: `salary` is confidential"),
        (
            "title: \"{{ salary > 5 ? 'much' : 'little' }}\"\n",
            f"6:12 title: {TITLE}: `salary` is confidential",
        ),
        (
            'on_approved: [{id: t, to: bob, message: "It is {{ salary }}"}]\n',
            f"6:51 on_approved[0].message: {MESSAGE}: `salary` is confidential",
        ),
        (
            'steps: [{id: j, run: f}, {id: t, to: bob, message: "{{ steps.j.output.a }}"}]\n',
            f"6:56 steps[1].message: {MESSAGE}: `steps.j.output` is confidential",
        ),
        (
            'steps: [{id: j, run: f}, {id: t, to: bob, message: "x {{ steps.j }}"}]\n',
            f"6:58 steps[1].message: {MESSAGE}: `steps.j` is confidential",
        ),
        (
            'steps: [{id: a, approver: "user:{{ who }}"}]\n',
            f"6:36 steps[0].approver: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: a, approvers: \"{{ [who, salary > 1 ? 'b' : 'c'] }}\"}]\n",
            f"6:33 steps[0].approvers: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: a, approver: \"{{ ({'x': who})['a' == who ? 'x' : 'x'] }}\"}]\n",
            f"6:38 steps[0].approver: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: a, approver: \"{{ salary > 1 ? who : 'c' }}\"}]\n",
            f"6:44 steps[0].approver: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: a, approver: b, timeout: 1h, on_timeout: ['reassign:{{ who }}']}]\n",
            f"6:69 steps[0].on_timeout[0]: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: t, to: ['{{ who }}'], message: it}]\n",
            f"6:26 steps[0].to[0]: {ASKED}: `who` is confidential",
        ),
        (
            "steps: [{id: w, until: day}]\n",
            f"6:24 steps[0].until: {UNTIL}: `day` is confidential",
        ),
    ],
)
def test_what_would_show_it(text: str, told: str) -> None:
    assert leaks(text) == [told]


def test_the_place_has_a_caret_and_a_fix() -> None:
    with pytest.raises(RecipeInvalid) as caught:
        parse(HEAD + SOME + 'title: "Raise to {{ salary }}"\n' + STEPS)
    [problem] = caught.value.problems
    assert problem.excerpt == "Raise to {{ salary }}\n            ^"
    assert problem.fix == "leave it out here, or out of `confidential`"


FITS = """title: "A raise asked for by {{ employee.name }}"
steps:
  - {id: small, when: salary < 10, action: approve}
  - {id: a, approver: "{{ f && salary > 5 || (day == 'x') ? 'bob' : who == 'y' ? 'carol' : 'dave' }}"}
  - {id: b, approver: "{{ ['x', 'y'].exists(it, it == who) ? 'bob' : 'carol' }}"}
  - {id: limited, approver: bob, authority: {amount: salary, currency: EUR}}
  - {id: j, run: f, with: {salary: "{{ salary }}", all: "{{ inputs }}"}}
  - {id: c, approver: "{{ steps.j.output.who }}"}
  - {id: w, until: "salary > 3 ? '2026-01-01' : '2026-01-02'"}
  - {id: t, to: bob, message: "{{ steps.j.outcome }}: {{ steps.a.comment }} {{ f }} {{ inputs.f }}"}
"""


def test_what_may_read_it() -> None:
    head = HEAD.replace("{salary:", "{f: {type: boolean}, salary:").replace(
        "inputs: {", "inputs: {required: [f, salary, who, day], "
    )
    assert parse(head + SOME + FITS).recipe.confidential is not None
    assert [it.split(" (")[0] for it in problems(ALL, FITS, head)] == [
        f"15:58 steps[7].message: {MESSAGE}: `steps.a.comment` is confidential",
        f"15:80 steps[7].message: {MESSAGE}: `f` is confidential",
        f"15:88 steps[7].message: {MESSAGE}: `inputs.f` is confidential",
    ]


def test_where_everything_is_confidential_a_title_may_say_it() -> None:
    title = 'title: "Raise to {{ salary }}"\n'
    steps = "steps: [{id: a, approver: 'user:{{ who }}'}, {id: w, until: day}]\n"
    assert [it for it in warned(ALL + title, steps) if "confidential" in it] == [
        f"steps[0].approver: {ASKED}: `who` is confidential",
        f"steps[1].until: {UNTIL}: `day` is confidential",
    ]


def test_what_cannot_be_read_is_told_once() -> None:
    text = SOME + 'title: "{{ salary"\n'
    assert problems(text, "steps: [{id: t, type: notify, to: bob}]\n") == [
        "6:9 title: `{{` is not closed by `}}` (write `}}` behind it)",
        "7:9 steps[0]: `message` is missing (say what they are told)",
    ]


# --- versions -------------------------------------------------------------------------------------


def made(text: str, version: int = 1, steps: str = STEPS) -> Recipe:
    return parse(HEAD.replace("version: 1", f"version: {version}") + text + steps).recipe


def begun(recipe: Recipe) -> State:
    first = progress.initial(
        recipe,
        request_id="3a2f6a2e-5f0b-4f57-9f5c-3d2a7f6a1b00",
        requester="alice",
        inputs={"salary": SALARY, "who": WHO, "day": "2026-01-01"},
        submitted_at=NOW,
        digest="",
    )
    return progress.settle(recipe, first, Started(), NOW, _bob).state


def _bob(asks: tuple[Ask, ...]) -> tuple[Answer, ...]:
    return tuple(Answer(assignment=Assignment("bob")) for _ in asks)


OTHER = "confidential: {visible_to: [board], fields: [day, who, salary]}\n"


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        (SOME, OTHER, None),
        (ALL, ALL.replace("hr", "[board, hr]"), None),
        ("", "", None),
        ("", ONE, "version 2 keeps salary confidential, and the request nothing"),
        (ALL, ONE, "version 2 keeps salary confidential, and the request everything"),
        (SOME, ALL, "version 2 keeps everything confidential, and the request day, salary, who"),
        (ONE, "", "version 2 keeps nothing confidential, and the request salary"),
    ],
)
def test_moving_to_another_version(old: str, new: str, refusal: str | None) -> None:
    before = made(old)
    judged = migration.judge(before, made(new, 2), begun(before), NOW)
    assert judged.refusals == (() if refusal is None else (refusal,))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (SOME, SOME.replace("[hr]", "role:hr"), []),
        (
            ONE,
            OTHER,
            [
                'confidential.visible_to ["hr"] becomes ["board"]',
                'confidential.fields ["salary"] becomes ["day","who","salary"]',
            ],
        ),
        (ONE, ALL, ['confidential.fields ["salary"] becomes everything']),
        ("", ALL, ['confidential is new: {"visible_to":["hr"],"fields":"everything"}']),
    ],
)
def test_differences(old: str, new: str, told: list[str]) -> None:
    assert [f"{it.place} {it.text}" for it in differences(made(old), made(new))] == told


def test_pictures_say_it() -> None:
    assert "Confidential: salary; visible to hr." in chart(made(ONE)).description
    assert "Confidential: everything; visible to hr." in chart(made(ALL)).description


# --- what the engine says -------------------------------------------------------------------------


def failing(rule: str, on_failure: str) -> tuple[State, list[Any]]:
    steps = f"steps: [{{id: j, run: pay, on_failure: {on_failure}}}, {{id: s, approver: bob}}]\n"
    recipe = made(rule, steps=steps)
    state = begun(recipe)
    assert state.job is not None
    ended = JobEnded(state.job.id, NOW, failure="no account takes 98765")
    after = progress.settle(recipe, state, ended, NOW, _bob)
    return after.state, [it for it in after.effects if not isinstance(it, EndJob)]


@pytest.mark.parametrize("rule", [ONE, ALL])
def test_what_a_failure_says_stays_with_its_job(rule: str) -> None:
    why = "pay failed; why is kept with its job, which is confidential"
    state, told = failing(rule, "incident")
    assert [it.detail for it in state.incidents] == [why]
    assert "98765" not in str(told)
    assert state.job is not None
    assert state.job.failure == "no account takes 98765"
    state, told = failing(rule, "reject")
    assert (state.state, state.reason) == ("rejected", why)
    assert "98765" not in str(told)
    state, told = failing(rule, "continue")
    assert state.results["j"]["error"] == "no account takes 98765"
    assert "98765" not in str(told)


def test_elsewhere_it_is_said() -> None:
    assert [it.detail for it in failing("", "incident")[0].incidents] == ["no account takes 98765"]
    assert failing("", "reject")[0].reason == "no account takes 98765"


@pytest.mark.parametrize(
    "step",
    [
        "{id: s, when: 60 / (salary - salary) > 1, approver: bob}",
        "{id: s, approver: bob, authority: {amount: 0 - salary, currency: EUR}}",
        "{id: s, approver: bob, authority: {amount: salary, currency: who}}",
        "{id: w, until: \"salary > 1 ? who : '2026-01-01'\"}",
        "{id: j, run: f, with: {a: \"{{ {'b': 1}[who] }}\"}}",
        "{id: s, approvers: \"{{ salary > 1 ? [] : ['bob'] }}\"}",
    ],
)
def test_an_incident_says_types_and_no_values(step: str) -> None:
    [incident] = begun(made("", steps=f"steps: [{step}]\n")).incidents
    assert str(SALARY) not in incident.detail
    assert WHO not in incident.detail
