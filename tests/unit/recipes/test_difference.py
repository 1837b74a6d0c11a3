"""The difference of two versions, by meaning: what is told, and that other spellings are not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from recipes import difference
from recipes.difference import Change, differences
from recipes.model import Json, Recipe
from recipes.parse import parse

FOLDER = Path(__file__).parents[3] / "workflows_yaml"
OLD = """
workflow: test
version: 1
title: Old
owner: admins
inputs:
  type: object
  required: [days]
  properties: {days: {type: number, maximum: 10}, why: {type: string}, old: true}
steps:
  - {id: first, when: days < 1, action: approve}
  - id: boss
    approver: "{{ employee.manager }}"
    timeout: 48h
    on_timeout: [escalate, {after: 1d, action: "reassign:role:hr"}, expire]
    remind: [24h, 4h before]
  - {id: third, approver: role:hr, authority: {amount: days, currency: EUR}}
  - {id: list, approvers: "{{ ['a', 'b', 'c'] }}", quorum: 60%}
  - id: many
    quorum: 2
    branches: [{id: a, approver: bob}, {id: b, approver: dave}, {id: c, candidates: [role:hr]}]
  - id: board
    quorum: 2
    weights: {a: 2}
    veto: [b]
    groups: [{id: g, branches: [c, d], quorum: any}]
    branches:
      - {id: a, approver: ann}
      - {id: b, approver: ben}
      - {id: c, approver: cy}
      - {id: d, approver: dan}
"""


def changes(*edits: tuple[str, str], text: str = OLD) -> list[str]:
    new = text
    for before, after in edits:
        assert before in new
        new = new.replace(before, after)
    found = differences(_parsed(text), _parsed(new))
    return [f"{change.place} {change.kind}: {change.text}" for change in found]


def _parsed(text: str) -> Recipe:
    return parse(text).recipe


def test_the_same_in_other_words() -> None:
    assert changes(("timeout: 48h", "timeout: 2d  # two days"), ("version: 1", "version: 2")) == []
    for path in FOLDER.glob("*.v*.yaml"):
        recipe = _parsed(path.read_text())
        assert differences(recipe, recipe) == ()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("title: Old", "title: New", "title changed: Old becomes New"),
        ("title: Old\n", "", "title removed: is gone: Old"),
        ("owner: admins", "owner: admins\ndeadline: 30d", "deadline added: is new: 30d"),
        ("maximum: 10", "maximum: 20", "inputs.days.maximum changed: 10 becomes 20"),
        ("required: [days]", "required: [days, why]", "inputs.why.required changed: false becomes true"),
        (", old: true", "", 'inputs.old removed: is gone: {"allowed":true,"required":false}'),
        (
            "inputs:\n  type: object",
            "inputs:\n  type: object\n  additionalProperties: false",
            "inputs.(additionalProperties) added: is new: false",
        ),
        ("days < 1", "days < 2", "steps.first.when changed: days < 1 becomes days < 2"),
        ("timeout: 48h", "timeout: 36h", "steps.boss.timeout changed: 2d becomes 1d12h"),
        ("24h, 4h before", "24h", 'steps.boss.remind changed: ["1d","4h before"] becomes ["1d"]'),
        ("currency: EUR", "currency: USD", "steps.third.authority.currency changed: 'EUR' becomes 'USD'"),
        ("quorum: 60%", "quorum: any", "steps.list.quorum changed: 60% becomes any"),
        ("quorum: 2", "quorum: 1", "steps.many.quorum changed: 2 becomes 1"),
        ("approver: dave", "approver: erin", "steps.many.branches.b.approver changed: dave becomes erin"),
        ("weights: {a: 2}", "weights: {a: 2, b: 2}", "steps.board.weights.b added: is new: 2"),
        ("veto: [b]", "veto: [c]", 'steps.board.veto changed: ["b"] becomes ["c"]'),
        (
            "[{id: g, branches: [c, d], quorum: any}]",
            "[{id: g, branches: [c, d], quorum: 2}]",
            "steps.board.groups.g.quorum changed: any becomes 2",
        ),
        (
            "{id: c, candidates: [role:hr]}",
            "{id: d, candidates: [role:hr]}",
            'steps.many.branches.c removed: is gone: {"candidates":["role:hr"]}',
        ),
        (
            "  - {id: first, when: days < 1, action: approve}\n",
            "",
            'steps.first removed: is gone: {"action":"approve","when":"days < 1","type":"action"}',
        ),
    ],
)  # fmt: skip
def test_one_difference(before: str, after: str, told: str) -> None:
    assert told in changes((before, after))


def test_timeouts_as_recipes_write_them() -> None:
    [told] = changes(("[escalate, {after: 1d", "[{action: escalate}, {after: 2d"))
    assert told == (
        'steps.boss.on_timeout changed: ["escalate",{"after":"1d","action":"reassign:role:hr"},"expire"]'
        ' becomes ["escalate","reassign:role:hr","expire"]'
    )


def test_new_and_moved_steps() -> None:
    third = "  - {id: third, approver: role:hr, authority: {amount: days, currency: EUR}}\n"
    moved = changes((third, ""), ("steps:\n", f"steps:\n{third}"))
    assert moved == ["steps.third moved: comes first, came after boss"]
    added = changes((third, f"{third}  - {{id: new, approver: carol}}\n"))
    assert added == [
        'steps.new added: is new: {"comes":"after third","type":"approval","approver":"carol"}'
    ]


def test_inputs_of_untyped_recipes() -> None:
    text = "workflow: w\nversion: 1\nsteps: [{id: a, when: days > 1, approver: bob}]"
    assert changes(("days", "hours"), text=text) == [
        "inputs.days removed: is gone: anything, required",
        "inputs.hours added: is new: anything, required",
        "steps.a.when changed: days > 1 becomes hours > 1",
    ]


def test_what_is_long_is_cut() -> None:
    assert len(Change("x", "added", None, "y" * 500).text) < 200


def test_fields_that_are_not_known_here_are_told_as_they_are() -> None:
    @dataclass(frozen=True)
    class Later:
        amount: int

    value: Json = difference._value(Later(1))
    assert value == {"amount": 1}


def test_outcomes_and_ways_back() -> None:
    assert changes(
        ("owner: admins", "owner: admins\nresubmit_within: 14d\nkeep_approvals: unaffected"),
        (
            "approver: role:hr, authority",
            "approver: role:hr, on_reject: rewind, show: [days], authority",
        ),
        (
            "quorum: 60%}",
            "quorum: 60%, reasons: [a], outcomes: [{id: fine, as: approve}, {id: b, as: rewind, to: boss}]}",
        ),
    ) == [
        "keep_approvals changed: none becomes unaffected",
        "resubmit_within added: is new: 14d",
        "steps.third.on_reject added: is new: rewind:requester",
        'steps.third.show added: is new: ["days"]',
        'steps.list.reasons added: is new: ["a"]',
        (
            "steps.list.outcomes added: is new: "
            '{"fine":{"name":"Fine","as":"approve"},"b":{"name":"B","as":"rewind","to":"boss"}}'
        ),
    ]
