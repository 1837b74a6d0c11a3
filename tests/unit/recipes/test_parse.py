"""What is refused, with which words and where; what is warned of; and what a recipe becomes."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.model import (
    STEP_LIMIT,
    ActionStep,
    ApprovalStep,
    Authority,
    Ballot,
    Level,
    Quorum,
    Recipe,
    Reminder,
    dump,
    load,
)
from recipes.parse import Problem, RecipeInvalid, parse

HEAD = """workflow: test
version: 1
owner: admins
deadline: 30d
inputs:
  type: object
  required: [days, amount, tags]
  properties:
    {days: {type: integer}, amount: {type: number}, tags: {type: array, items: {type: string}},
     note: {type: string}, opt: {type: number},
     trip: {type: object, properties: {km: {type: number}}}}
steps:
"""
BAD = yaml.safe_load(Path(__file__).with_name("bad_recipes.yaml").read_text())
LEAVE = Path(__file__).parents[3] / "workflows_yaml" / "leave_request.v3.yaml"


def steps(text: str) -> str:
    return HEAD + "".join(f"  {line}\n" for line in text.splitlines())


def problems_of(text: str | bytes, file: str | None = None) -> tuple[Problem, ...]:
    with pytest.raises(RecipeInvalid) as caught:
        parse(text, file)
    return caught.value.problems


def warnings_of(text: str, principals: frozenset[str] | None = None) -> list[str]:
    return [
        f"{warning.path}: {warning.message}" for warning in parse(text, roles=principals).warnings
    ]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_every_problem_at_once(case: dict[str, Any]) -> None:
    text = case["recipe"] if "recipe" in case else steps(case["steps"])
    found = [problem for problem in problems_of(text) if problem.severity == "error"]
    listed = "\n".join(map(str, found))
    wanted = list(case["problems"])
    for problem in found:
        place = f"{problem.line}:{problem.column} {problem.path}"
        match = next((w for w in wanted if w["at"] == place and w["says"] in problem.message), None)
        assert match is not None, f"unexpected: {problem}\n\nof\n{listed}"
        assert match["fix"] in problem.fix
        assert "excerpt" not in match or match["excerpt"] == problem.excerpt
        wanted.remove(match)
    assert not wanted, listed
    assert found == sorted(found, key=lambda problem: (problem.line, problem.column))


def test_bytes_that_are_no_recipe() -> None:
    assert problems_of(b"workflow: \xff")[0].message == "is not UTF-8"
    assert (problems_of(b"a: b\nc: d \xff")[0].line, problems_of(b"a: b\nc: d \xff")[0].column) == (
        2,
        6,
    )
    assert problems_of("workflow: \ud800")[0].message == "is not UTF-8"
    assert "larger than 256 KiB" in problems_of("#" * 300_000)[0].message
    assert "nested deeper" in problems_of("[" * 100_000)[0].message
    assert "nested deeper" in problems_of("{a: " * 50 + "1" + "}" * 50)[0].message


def test_a_billion_laughs_are_a_few_lines() -> None:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert any("alias" in problem.message for problem in problems_of("\n".join(lines)))


def test_a_problem_reads_like_a_compiler_s() -> None:
    problem = problems_of("workflow: x\nversion: 0\nsteps: [{id: a, action: approve}]", "x.yaml")[1]
    assert str(problem) == (
        "x.yaml:2:10: error: version: must be a whole number (write a number from 1 on)"
    )
    with pytest.raises(RecipeInvalid, match="<recipe>:1:1: error: is no recipe"):
        parse("3")


def test_too_many_steps_and_branches() -> None:
    branches = [f"{{approver: person-{n}}}" for n in range(STEP_LIMIT)]
    many = f"- {{id: p, branches: [{', '.join(branches)}]}}"
    [step] = parse(steps(many)).recipe.steps
    assert isinstance(step, ApprovalStep)
    assert len(step.ballots) == STEP_LIMIT
    one_more = f"{many}\n- {{id: q, approver: bob}}"
    assert "201 steps and branches" in problems_of(steps(one_more))[0].message


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (f"approver: '{'{{ tags }}' * 300}'", "is longer than 2,000 characters"),
        (f"candidates: [{'bob, ' * 101}]", "lists more than 100"),
        (
            f"approver: bob, timeout: 1h, on_timeout: [{'escalate, ' * 21}]",
            "must list 1 to 20 levels",
        ),
    ],
)
def test_what_is_too_much_of_a_good_thing(step: str, message: str) -> None:
    (problem,) = problems_of(steps(f"- {{id: a, {step}}}"))
    assert problem.message == message


def test_of_very_many_problems_the_first_are_told() -> None:
    found = problems_of("".join(f"key{number}: 1\n" for number in range(700)))
    assert len(found) == 501
    assert found[-1].message.startswith("there are ")


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_text_crashes_the_parser(text: str) -> None:
    with pytest.raises(RecipeInvalid) as caught:
        parse(text)
    assert caught.value.problems


@settings(deadline=None)
@given(st.data())
def test_no_mutation_of_a_recipe_crashes_the_parser(data: st.DataObject) -> None:
    text = LEAVE.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 30, len(text))))
    piece = data.draw(
        st.sampled_from(
            ("", "{", "[", ": ", "- ", "&a ", "*a", "!!x ", "\n", "\t", '"', "{{", "é", "?")
        )
    )
    try:
        parse(text[:start] + piece + text[end:])
    except RecipeInvalid as invalid:
        for problem in invalid.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.fix


# --- warnings -------------------------------------------------------------------------------------


def test_an_untyped_recipe_is_warned_of() -> None:
    assert warnings_of(LEAVE.read_text()) == [
        ": nobody is told of incidents: `owner` is missing",
        ": there is no `inputs`: requests must bring days, of any type",
    ]


def test_names_that_an_untyped_recipe_implies() -> None:
    text = """
workflow: w
version: 1
owner: x
title: "{{ subject }}"
steps:
  - {id: a, when: "has(inputs.maybe) && inputs.maybe > 1 || inputs.sure > 2", approver: "{{ boss }}"}
  - {id: b, when: "inputs.exists(i, i == key) && type(size(key)) == int", candidates: ["{{ boss }}", bob]}
"""
    assert parse(text).recipe.implied == ("subject", "sure", "boss", "key")
    sound = "workflow: w\nversion: 1\nowner: x\nsteps: [{id: a, approver: bob}]"
    assert parse(sound).recipe.implied == ()
    assert parse(sound).warnings == ()


@pytest.mark.parametrize(
    ("when", "warned"),
    [
        ("opt > 3", "`opt` may be absent"),
        ("inputs.opt > 3", "`inputs.opt` may be absent"),
        ("trip.km > 3", "`trip.km` may be absent"),
        ("note.startsWith('x')", "`note` may be absent"),
        ("opt == 3.0", None),
        ("'x' != note", None),
        ("note in tags", None),
        ("has(inputs.opt) && opt > 3", None),
        ("opt != null && opt > 3", None),
        ("amount > 3", None),
    ],
)
def test_optional_inputs_taken_for_granted(when: str, warned: str | None) -> None:
    found = warnings_of(steps(f'- {{id: a, when: "{when}", approver: bob}}'))
    assert [warned in message for message in found if warned] == ([True] if warned else [])
    assert bool(found) == bool(warned)


def test_a_currency_taken_for_granted() -> None:
    step = "- {id: a, approver: bob, authority: amount}"
    absent = steps(step).replace("{days:", "{currency: {type: string}, days:")
    assert warnings_of(absent) == [
        "steps[0].authority: the input `currency` may be absent, and then this fails"
    ]
    optional = "- {id: a, approver: bob, authority: {amount: opt, currency: note}}"
    assert warnings_of(steps(optional)) == [
        "steps[0].authority.amount: `opt` may be absent, and then this fails",
        "steps[0].authority.currency: `note` may be absent, and then this fails",
    ]
    assert warnings_of(absent.replace("[days,", "[currency, days,")) == []


def test_other_warnings() -> None:
    text = steps(
        "- {id: a, approver: bob}\n"
        "- {id: b, candidates: [bob, carol]}\n"
        "- {id: c, branches: [{approver: x}, {approver: x}, {candidates: [y]}, {candidates: y}]}"
    )
    both = frozenset({"role:bob", "user:bob", "user:carol"})
    both |= {"role:admins", "role:x", "role:y"}
    assert warnings_of(text, both) == [
        "steps[0].approver: `bob` is a role and a person; the role is taken",
        "steps[1].candidates[0]: `bob` is a role and a person; the role is taken",
        "steps[2].branches[1]: asks the same as steps[2].branches[0]: one of the two is a formality",
        "steps[2].branches[3]: asks the same as steps[2].branches[2]: one of the two is a formality",
    ]
    unspeakable = (
        HEAD.replace("{days:", "{'a-b': {}, list: {}, days:") + "  - {id: a, approver: bob}"
    )
    assert warnings_of(unspeakable) == [
        "inputs.properties.a-b: `a-b` is no name that an expression can use",
        "inputs.properties.list: `list` is no name that an expression can use",
    ]


# --- what it becomes ------------------------------------------------------------------------------


def test_leave_request_verbatim() -> None:
    parsed = parse(LEAVE.read_bytes(), LEAVE.name)
    assert parsed.sha256 == sha256(LEAVE.read_bytes()).hexdigest()
    assert parse(LEAVE.read_text()).sha256 == parsed.sha256
    manager = Ballot(
        "manager_approval", approver="{{ employee.manager }}", levels=(Level(172_800, "escalate"),)
    )
    both = (
        Ballot("1", approver="{{ employee.manager.manager }}"),
        Ballot("2", approver="hr-leave-admin"),
    )
    assert parsed.recipe == Recipe(
        workflow="leave_request",
        version=3,
        implied=("days",),
        steps=(
            ActionStep("auto_approve_short", "approve", when="days < 3"),
            ApprovalStep("manager_approval", (manager,), employee_paths=("manager",)),
            ApprovalStep(
                "hr_and_grandboss",
                both,
                when="days > 14",
                employee_paths=("manager.manager",),
                type="parallel",
            ),
        ),
    )
    assert load(dump(parsed.recipe)) == parsed.recipe


def test_everything_a_ballot_can_say() -> None:
    text = steps(
        """- id: a
  name: First
  approvers: "{{ [employee.manager, employee.name] }}"
  quorum: 60%
  timeout: 1h30m
  on_timeout: [escalate, {after: 2d, action: "reassign:role:x"}, reject]
  remind: [30m, 10m before]
  require_comment: [reject, approve, reject]
- {id: b, candidates: role:x, timeout: PT48H, on_timeout: "reassign:{{ employee.id }}", remind: 1h}
- {id: c, branches: [{id: x, approver: bob, name: X}, {approver: carol}], quorum: any}
- {id: d, type: approval, approver: bob, when: "size(employee) > 0"}
- {id: e, branches: [{approver: bob}, {approver: carol}], quorum: 2}
- {id: f, action: reject, reason: Because., name: End}"""
    )
    first, second, third, fourth, fifth, sixth = parse(text).recipe.steps
    levels = (Level(5400, "escalate"), Level(172_800, "reassign", "role:x"), Level(5400, "reject"))
    ballot = Ballot(
        "a",
        "First",
        approvers="{{ [employee.manager, employee.name] }}",
        levels=levels,
        remind=(Reminder(1800), Reminder(600, before_due=True)),
        require_comment=("reject", "approve"),
    )
    assert first == ApprovalStep(
        "a", (ballot,), Quorum("percent", 60), "First", employee_paths=("manager", "name")
    )
    assert isinstance(second, ApprovalStep)
    assert second.employee_paths == ("id",)
    assert second.ballots[0].levels == (Level(172_800, "reassign", "{{ employee.id }}"),)
    assert second.ballots[0].remind == (Reminder(3600),)
    assert isinstance(third, ApprovalStep)
    assert [ballot.id for ballot in third.ballots] == ["x", "2"]
    assert third.quorum == Quorum("any")
    assert fourth.employee_paths == ("id",)
    assert isinstance(fifth, ApprovalStep)
    assert fifth.quorum == Quorum("count", 2)
    assert sixth == ActionStep("f", "reject", "End", reason="Because.")


def test_who_may_decide_what_and_after_whom() -> None:
    text = steps(
        """- {id: a, approver: bob, authority: {amount: amount, currency: " EUR "}}
- id: b
  branches:
    - {approver: carol, authority: {amount: "employee.attributes.rate * 2", currency: note}, not_same_as: a}
    - {approver: dave, authority: {amount: 1000}}
- {id: c, candidates: role:x, not_same_as: [a, b, a]}"""
    ).replace("steps:", "resolve: at_submit\nsteps:")
    recipe = parse(text.replace("{days:", "{currency: {type: string}, days:")).recipe
    assert recipe.resolve == "at_submit"
    first, second, third = recipe.steps
    assert isinstance(first, ApprovalStep)
    assert isinstance(second, ApprovalStep)
    assert isinstance(third, ApprovalStep)
    assert first.ballots[0].authority == Authority("amount", "'EUR'")
    assert [ballot.authority for ballot in second.ballots] == [
        Authority("employee.attributes.rate * 2", "note"),
        Authority("1000", "currency"),
    ]
    assert second.employee_paths == ("attributes.rate",)
    assert second.ballots[0].not_same_as == ("a",)
    assert third.ballots[0].not_same_as == ("a", "b")
    assert load(dump(recipe)) == recipe
    assert parse(LEAVE.read_text()).recipe.resolve == "at_step"


def test_authority_of_an_untyped_recipe_implies_inputs() -> None:
    text = (
        "workflow: w\nversion: 1\nowner: x\nsteps: [{id: a, approver: bob, authority: total * 2}]"
    )
    assert parse(text).recipe.implied == ("total", "currency")


def test_a_mark_at_the_beginning_is_no_character() -> None:
    assert parse("\ufeff" + LEAVE.read_text()).recipe.workflow == "leave_request"


def test_scalars() -> None:
    text = steps("- {id: a, approver: bob, when: true}").replace(
        "{type: integer}",
        "{type: integer, enum: [1, -2, 0], default: ~, deprecated: False, maximum: 1.5e3}",
    )
    schema = parse(text).recipe.inputs
    assert schema is not None
    assert schema["properties"]["days"] == {
        "type": "integer",
        "enum": [1, -2, 0],
        "default": None,
        "deprecated": False,
        "maximum": 1500.0,
    }


def test_an_employee_who_is_read_in_a_roundabout_way() -> None:
    text = steps(
        "- {id: a, approver: '{{ [employee].exists(e, e.manager.id == note) ? \"bob\" : employee.id }}'}\n"
        "- {id: b, approver: '{{ employee }}'}\n"
        "- {id: c, when: 'has(employee.manager)', approver: '{{ employee[\"manager\"] }}'}\n"
        "- {id: d, approver: '{{ (days > 1 ? employee : employee.manager).manager }}'}"
    )
    told = "what is read from `employee` here can't be told: managers will be missing"
    found = [warning for warning in warnings_of(text) if "told" in warning]
    assert found == [f"steps[0].approver: {told}", f"steps[3].approver: {told}"]


def test_references_that_the_directory_does_not_know() -> None:
    text = steps(
        "- {id: a, approver: 'role:ghosts', timeout: 1h, on_timeout: 'reassign:role:nope'}\n"
        "- {id: b, candidates: ['user:ghost', carrol]}\n"
        "- {id: c, approver: 'user:carol'}\n"
        "- {id: d, approver: '{{ employee.manager }}'}"
    )
    known = frozenset({"user:carol", "role:hr"})
    warned = {warning.path: warning for warning in parse(text, roles=known).warnings}
    assert {path: warning.message for path, warning in warned.items()} == {
        "owner": "`admins` is no role of the directory: nobody is told of incidents",
        "steps[0].approver": "`role:ghosts` is nobody in the directory",
        "steps[0].on_timeout[0]": "`role:nope` is nobody in the directory",
        "steps[1].candidates[0]": "`user:ghost` is nobody in the directory",
        "steps[1].candidates[1]": "`carrol` is nobody in the directory",
    }
    assert warned["steps[1].candidates[1]"].fix == "did you mean `carol`?"
    assert warned["owner"].fix == "import `admins` first, or correct it"
    assert warnings_of(text) == []
