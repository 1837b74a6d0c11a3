"""What starts a request and what it is about: read, judged, held against submissions, seen by expressions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from recipes import inputs, progress
from recipes.cases import run
from recipes.happenings import Started
from recipes.model import ActionStep, EntityRule, Json, Recipe, Start, dump, load
from recipes.parse import RecipeInvalid, parse
from recipes.starting import entity_problem
from recipes.state import Entity

HEAD = "workflow: a\nversion: 1\nowner: x\ninputs: {properties: {n: {type: integer}}}\n"
STEPS = "steps: [{id: s, approver: bob}]\n"
BOOKING = Entity("booking", "4711")


def problems(text: str, steps: str = STEPS) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        parse(HEAD + text + steps)
    return [f"{p.line}:{p.column} {p.path}: {p.message} ({p.fix})" for p in caught.value.problems]


def warnings(text: str, steps: str = STEPS, principals: frozenset[str] | None = None) -> list[str]:
    found = parse(HEAD + text + steps, roles=principals).warnings
    return [f"{problem.path}: {problem.message} ({problem.fix})" for problem in found]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", None),
        ("entity: optional\n", EntityRule()),
        ("entity: required\n", EntityRule(required=True)),
        ("entity: {one_open: true}\n", EntityRule(one_open=True)),
        (
            "entity: {required: true, one_open: true}\n",
            EntityRule(required=True, one_open=True),
        ),
    ],
)
def test_entity(text: str, rule: EntityRule | None) -> None:
    recipe = parse(HEAD + text + STEPS).recipe
    assert recipe.entity == rule
    assert load(dump(recipe)) == recipe


def test_start() -> None:
    text = "entity: optional\nstart: {who: 'role: sales', events: [a.b, C/d:e-1]}\n"
    recipe = parse(HEAD + text + STEPS).recipe
    assert recipe.start == Start(("role:sales",), ("a.b", "C/d:e-1"))
    assert load(dump(recipe)) == recipe
    assert parse(HEAD + "start: {who: [bob]}\n" + STEPS).recipe.start == Start(("bob",))


def test_a_recipe_of_before_says_nothing_of_it() -> None:
    old = dump(Recipe("a", 1, (ActionStep("s", "approve"),)))
    del old["entity"], old["start"]
    assert (load(old).entity, load(old).start) == (None, None)


def test_what_is_refused() -> None:
    assert problems("entity: requird\n") == [
        "5:9 entity: `requird` is not possible here (did you mean `required`?)"
    ]
    assert problems("entity: {}\n") == [
        "5:9 entity: says nothing (write `entity: required`, or `{one_open: true}`)"
    ]
    assert problems("entity: {one_opn: true, required: 'yes'}\n") == [
        "5:10 entity.one_opn: unknown key `one_opn` in `entity` (did you mean `one_open`?)",
        "5:35 entity.required: must be true or false (write `required: true`, or leave the key out)",
    ]
    assert problems("start: role:x\n") == [
        (
            "5:8 start: must say `who` or `events`"
            " (write `start: {who: [role:sales], events: [booking.cancelled]}`)"
        )
    ]
    assert problems("start: {}\n") == [
        "5:8 start: says nothing (add `who: [role:sales]`, or leave the key out)"
    ]
    assert problems("start: {event: a}\n") == [
        "5:9 start.event: unknown key `event` in `start` (did you mean `events`?)"
    ]
    assert problems("start: {who: ['{{ employee.manager }}', x y]}\n") == [
        (
            "5:15 start.who[0]: `{{ employee.manager }}` names nobody"
            " (write role:name, user:name or a name: who submits is known by no expression)"
        ),
        (
            "5:41 start.who[1]: `x y` names nobody"
            " (write role:name, user:name or a name: who submits is known by no expression)"
        ),
    ]
    assert problems("entity: required\nstart: {events: [a b, c, c]}\n") == [
        (
            "6:18 start.events[0]: `a b` is no name of an event"
            " (write letters, digits and _ . : / - as in booking.cancellation_requested)"
        ),
        "6:26 start.events[2]: `c` stands there twice (write it once)",
    ]
    assert problems("start: {events: c}\n") == [
        (
            "5:17 start.events: needs `entity`: an event is about one, and its requests are about the"
            " same (add `entity: required` to the recipe)"
        )
    ]
    # Of what is wrong with `entity` is told once.
    assert len(problems("start: {events: c}\nentity: some\n")) == 1


def test_names_of_nobody() -> None:
    known = frozenset(["role:sales", "user:bob", "role:x"])
    text = "start: {who: [role:sale, sales, bob, bobb, role:zzzz]}\n"
    assert warnings(text, principals=known) == [
        "start.who[0]: `role:sale` is nobody in the directory (did you mean `role:sales`?)",
        "start.who[3]: `bobb` is nobody in the directory (did you mean `bob`?)",
        "start.who[4]: `role:zzzz` is nobody in the directory (import it first, or correct it)",
    ]


def test_a_submission_and_its_entity() -> None:
    def recipe(rule: EntityRule | None) -> Recipe:
        return Recipe("a", 1, (), entity=rule)

    assert entity_problem(recipe(None), None) is None
    assert entity_problem(recipe(None), BOOKING) == "a version 1 takes no entity: leave it out"
    assert entity_problem(recipe(EntityRule()), None) is None
    assert entity_problem(recipe(EntityRule()), BOOKING) is None
    required = recipe(EntityRule(required=True))
    assert entity_problem(required, BOOKING) is None
    assert "needs an entity: {type, id}" in (entity_problem(required, None) or "")


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"properties": {"a": True}}, {"a": 1}),
        ({"properties": {}}, {}),
        ({"type": "object"}, {"a": 1, "b": 2}),
        ({"properties": {"a": True}, "allOf": []}, {"a": 1, "b": 2}),
        (None, {"b": 2}),
    ],
)
def test_the_inputs_that_a_recipe_declares(schema: dict[str, Any] | None, kept: Json) -> None:
    implied = () if schema is not None else ("b", "c")
    recipe = Recipe("a", 1, (), inputs=schema, implied=implied)
    assert inputs.declared(recipe, {"a": 1, "b": 2}) == kept


# --- expressions ----------------------------------------------------------------------------------


def when(source: str) -> str:
    return f'steps:\n  - {{id: s, action: reject, when: "{source}"}}\n'


def test_expressions_read_it() -> None:
    text = HEAD + "entity: optional\n"
    recipe = parse(text + when("request.entity != null && request.entity.type == 'booking'")).recipe
    for entity, outcome in (
        (BOOKING, "rejected"),
        (None, "approved"),
        (Entity("u", "1"), "approved"),
    ):
        state = progress.initial(
            recipe,
            request_id="7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
            requester="alice",
            inputs={},
            submitted_at=datetime(2026, 1, 5, tzinfo=UTC),
            digest="",
            entity=entity,
        )
        assert progress.apply(recipe, state, Started(), state.submitted_at).state.state == outcome


def test_expressions_that_read_what_may_not_be_there() -> None:
    assert problems("", when("request.entity.id == 'x'")) == [
        (
            "6:36 steps[0].when: `request.entity` is never there: requests are about no entity"
            " (add `entity: required` to the recipe)"
        )
    ]
    assert (
        "`request.entity` has no `typ`"
        in problems("entity: required\n", when("request.entity.typ == ''"))[0]
    )
    assert "does not take" in problems("entity: required\n", when("request.entity.id > 3"))[0]
    assert warnings("entity: required\n", when("request.entity.id == 'x'")) == []
    assert warnings("entity: optional\n", when("request.entity.id == 'x'")) == [
        (
            "steps[0].when: `request.entity` may be absent, and then this fails"
            " (ask `request.entity != null` first, or write `entity: required`)"
        )
    ]
    title = 'entity: optional\ntitle: "{{ request.entity.id }} {{ request.id }}"\n'
    assert warnings(title) == []


# --- cases ----------------------------------------------------------------------------------------

CASES = """\
recipe: r.yaml
org: {people: [{id: bob, name: Bob}]}
cases:
  - {name: one, requester: bob, entity: {type: booking, id: "1"}, expect: {state: rejected}}
  - {name: none, requester: bob, expect: {refused: [/entity]}}
"""
RECIPE = HEAD + "entity: required\n" + when("request.entity.id == '1'")


def test_cases_have_entities() -> None:
    report = run(CASES.encode(), lambda _: RECIPE.encode())
    assert [result.differences for result in report.results] == [(), ()]


def test_an_entity_of_a_case_has_a_type_and_an_id() -> None:
    text = CASES.replace('{type: booking, id: "1"}', "{typ: booking}")
    with pytest.raises(RecipeInvalid) as caught:
        run(text.encode(), lambda _: RECIPE.encode())
    assert [problem.message for problem in caught.value.problems] == [
        "`type` is missing",
        "`id` is missing",
        "unknown key `typ` in an entity",
    ]
