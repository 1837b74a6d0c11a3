"""Cases: the shipped ones pass; what differs is told; what is wrong with a cases file is told."""

from pathlib import Path

import pytest

from recipes.cases import Report, run
from recipes.problems import RecipeInvalid
from storage.zones import zone

SHIPPED = Path(__file__).parents[3] / "workflows_yaml"
RECIPE = """
workflow: test
version: 1
owner: admins
steps:
  - {id: boss, approver: "{{ employee.manager }}", timeout: 24h, on_timeout: escalate, remind: [2h],
     require_comment: [reject]}
  - {id: two, when: n > 1, branches: [{id: x, candidates: [role:team, user:dave]}, {id: y, approver: dave}]}
"""
HEAD = """
recipe: test.v1.yaml
org:
  people:
    - {id: alice, name: Alice, manager: bob, department: d}
    - {id: bob, manager: carol}
    - {id: carol}
    - {id: dave}
  roles: {team: [alice, bob], empty: {members: []}}
cases:
"""


def opened(name: str) -> bytes:
    if name == "test.v1.yaml":
        return RECIPE.encode()
    return (SHIPPED / name).read_bytes()


def play(*cases: str) -> Report:
    return run(
        (HEAD + "".join(f"  - {case}\n" for case in cases)).encode(), opened, "test.cases.yaml"
    )


def differences(case: str) -> list[str]:
    (result,) = play("{name: c, requester: alice, " + case + "}").results
    return [str(difference) for difference in result.differences]


def problems(text: str) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        run(text.encode(), opened, "t")
    return [f"{p.path}: {p.message}" for p in caught.value.problems if p.severity == "error"]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.cases.yaml")), ids=lambda path: path.name)
def test_shipped_cases_pass(path: Path) -> None:
    report = run(path.read_bytes(), opened, path.name, zone)
    told = [f"{result.case}: {d}" for result in report.results for d in result.differences]
    assert told == []
    assert report.passed
    assert len(report.results) >= 4


def test_every_shipped_recipe_has_cases() -> None:
    workflows = {path.name.split(".")[0] for path in SHIPPED.glob("*.v*.yaml")}
    assert workflows == {path.name.split(".")[0] for path in SHIPPED.glob("*.cases.yaml")}
    assert len(workflows) >= 5


def test_a_case_with_everything() -> None:
    assert (
        differences(
            "inputs: {n: 2}, at: '2026-02-03T04:05:06+01:00', events: ["
            "{at: 0s, who: bob, decide: approve, step: boss},"
            "{at: 1h, who: dave, decide: approve, branch: y},"
            "{at: 1h}, {at: 2h, who: bob, decide: approve, comment: yes sir}], expect: {state: approved, step: null,"
            "incidents: [], reminders: 0, after: 2h, path: [boss approved, two approved], tasks: ["
            "{step: boss, to: bob, is: decided, at: 0},"
            "{step: two, branch: x, to: [user:dave, role:team], is: decided},"
            "{branch: y, to: dave, at: 0s}]}"
        )
        == []
    )


def test_each_case_begins_anew() -> None:
    event = "{at: 1h, who: bob, decide: approve}"
    case = f"{{name: c, requester: alice, inputs: {{n: 1}}, events: [{event}], expect: {{state: approved}}}}"
    report = play(case, case)
    assert report.passed
    assert len(report.results) == 2


def test_what_differs_is_told() -> None:
    told = differences(
        "inputs: {n: 2}, events: [{at: 3h}], expect: {state: approved, step: two, incidents: [X],"
        " reminders: 0, after: 2h, path: [boss approved], tasks: [{to: carol, is: decided, at: 1h}]}"
    )
    assert told == [
        "state: expected approved, got pending",
        "step: expected two, got boss",
        "incidents: expected ['X'], got []",
        "reminders: expected 0, got 1",
        "path: expected ['boss approved'], got []",
        "after: expected 2h, got no end",
        "tasks[0]: expected {to: carol, is: decided, at: 1h}, got {to: bob, is: open, at: 0s}",
    ]


def test_other_differences() -> None:
    cancel = "inputs: {n: 2}, events: [{at: 1h, who: alice, cancel: true}], expect: "
    assert differences(cancel + "{after: 2h}") == ["after: expected 2h, got 1h"]
    assert differences(cancel + "{tasks: []}") == [
        "tasks: expected 0 of them, got 1: {step: boss, to: bob, is: cancelled, at: 0s}"
    ]
    assert differences("expect: {tasks: [{to: x}], refused: [/n]}") == []
    assert differences("inputs: {n: 1}, expect: {refused: [/n]}") == [
        "refused: expected ['/n'], got []"
    ]
    assert differences("expect: {state: approved}") == ["refused: expected [], got ['/n']"]
    none = "inputs: {n: 2}, expect: {tasks: [{to: x}, {to: y}]}"
    assert differences(none)[0].startswith("tasks: expected 2 of them, got 1: ")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (
            "{at: 1h, who: carol, decide: approve}",
            "carol has no open task at 1h; waiting for bob",
        ),
        ("{at: 1h, who: bob, decide: approve, step: two}", "bob has no open task"),
        ("{at: 1h, who: bob, decide: approve, branch: x}", "bob has no open task"),
        (
            "{at: 1h, who: bob, decide: reject}",
            "bob at boss: a comment is needed to reject this task",
        ),
        (
            "{at: 1h, who: bob, decide: approve}, {at: 2h, who: alice, decide: approve}",
            "alice has no open task at 2h; waiting for role:team or user:dave, dave",
        ),
        (
            "{at: 1h, who: bob, decide: approve}, {at: 2h, who: dave, decide: approve, branch: x}",
            "dave has no open task at 2h",
        ),
        (
            (
                "{at: 1h, who: bob, decide: approve}, {at: 2h, who: bob, decide: approve, branch: x},"
                " {at: 3h, who: carol, reassign: bob, branch: y}"
            ),
            "bob already has a seat in step two",
        ),
        (
            "{at: 1h, who: bob, decide: reject, comment: nope}, {at: 2h, who: bob, decide: approve}",
            "bob has no open task at 2h; nobody is waited for",
        ),
        (
            "{at: 1h, who: alice, retry: true}",
            "retry at 1h is refused: the request has no incident",
        ),
        (
            "{at: 1h, who: carol, reassign: bob}",
            "reassign at 1h is refused: it is bob's already",
        ),
        (
            "{at: 1h, who: bob, decide: approve}, {at: 2h, who: carol, reassign: bob}",
            "2 tasks could be reassigned at 2h; name the one branch",
        ),
        (
            "{at: 1h, who: carol, reassign: dave, step: two}",
            "0 tasks could be reassigned at 1h",
        ),
        (
            "{at: 1h, who: bob, add: bob, where: after}",
            "add_approver at 1h is refused: bob already has a seat in step boss",
        ),
        (
            "{at: 1h, who: bob, decide: approve}, {at: 2h, who: carol, add: carol, where: after}",
            "2 tasks could be added to at 2h; name the one branch",
        ),
        (
            "{at: 1h, who: bob, add: dave, where: after}, {at: 2h, who: dave, decide: approve}",
            "dave has no open task at 2h; waiting for bob",
        ),
        (
            (
                "{at: 1h, who: bob, decide: approve}, {at: 1h, who: dave, add: bob, where: beside},"
                " {at: 2h, who: bob, decide: approve, branch: x}"
            ),
            "bob has no open task at 2h; waiting for role:team or user:dave, dave, bob",
        ),
        (
            "{at: 1h, who: alice, cancel: true}, {at: 2h, who: carol, reassign: dave, step: two}",
            "0 tasks could be reassigned at 2h",
        ),
    ],
)
def test_events_that_cannot_be(events: str, told: str) -> None:
    (difference,) = differences(
        f"inputs: {{n: 2}}, events: [{events}], expect: {{state: approved}}"
    )
    assert told in difference


def test_people_change_under_way() -> None:
    events = (
        "events: [{at: 1h, who: bob, delegate: carol}, {at: 2h, who: dave, reassign: dave, step: boss},"
        " {at: 3h, who: dave, delegate: bob, scope: 'role:team'}, {at: 4h, who: dave, leave: true},"
        " {at: 5h, who: dave, return: true}, {at: 5h, who: carol, retry: true},"
        " {at: 6h, who: dave, decide: approve}],"
    )
    expected = (
        "expect: {state: approved, tasks: [{to: bob, is: reassigned, at: 0s}, {to: carol, behalf: bob,"
        " is: reassigned, at: 1h}, {to: dave, is: decided, at: 2h}]}"
    )
    assert differences("inputs: {n: 1}," + events + expected) == []


def test_approvers_are_added() -> None:
    events = (
        "events: [{at: 1h, who: bob, add: dave, where: before}, {at: 2h, who: dave, add: carol, where:"
        " beside}, {at: 3h, who: dave, decide: approve}, {at: 4h, who: bob, decide: approve},"
        " {at: 5h, who: carol, decide: approve}],"
    )
    expected = (
        "expect: {state: approved, after: 5h, path: [boss approved, two skipped], tasks:"
        " [{to: bob, is: superseded}, {to: dave, is: decided, at: 1h}, {to: carol, is: decided, at: 2h},"
        " {to: bob, is: decided, at: 3h}]}"
    )
    assert differences("inputs: {n: 1}," + events + expected) == []


def test_time_alone_escalates_up_to_an_incident() -> None:
    case = "inputs: {n: 1}, events: [{at: 3d}, {at: 3d, who: alice, retry: true}], expect: "
    expected = "{state: pending, incidents: [NoApproverFound], reminders: 2, tasks: [{to: bob}, {to: carol}]}"
    assert differences(case + expected) == []


BROKEN: list[tuple[str, list[str]]] = [
    (
        """\
3
""",
        [
            ": must be a mapping",
            ": `org` is missing",
            ": `recipe` is missing",
            ": `cases` is missing",
        ],
    ),
    (
        """\
recipe: gone.yaml
org: gone.yaml
cases: {}
recipes: x
""",
        [
            "recipe: can't be read: No such file or directory",
            "org: can't be read: No such file or directory",
            "cases: must be a list",
            "recipes: unknown key `recipes` in a cases file",
        ],
    ),
    (
        """\
recipe: test.v1.yaml
org: {people: [{name: x}, {id: a, manager: z, age: 3}], roles: {r: [q]}, x: 1}
cases: [3]
""",
        [
            "org.people[0]: `id` is missing",
            "org.people[1].age: unknown key `age` in a person",
            "org.people: nobody is called `z`",
            "org.roles: nobody is called `q`",
            "org.x: unknown key `x` in an organisation",
            "cases[0]: must be a mapping",
            "cases[0]: `name` is missing",
            "cases[0]: `requester` is missing",
            "cases[0]: `expect` is missing",
        ],
    ),
    (
        """\
recipe: test.v1.yaml
org:
  people:
    - {id: a, limits: 3, left: "2026-01-01"}
    - {id: b, limits: {eur: 1, EUR: -1, USD: "1e3", GBP: [1], CHF: 10.5}}
  roles: {r: [a]}
  delegations: [{from: a, to: z}, {scope: r, from: a, to: b}, {from: a, to: b, scope: "role:q"}, {until: 3}]
cases:
  - name: x
    requester: a
    expect: {state: approved, tasks: [{behalf: b}]}
    delegations: [{from: z, to: a, scope: "workflow:"}]
    events:
      - {at: 1h, who: a, delegate: z}
      - {at: 1h, who: a, delegate: b, scope: "role:z", leave: true}
      - {at: 1h, who: a, reassign: true}
      - {at: 1h, who: a, add: z, where: up}
      - {at: 1h, who: a, add: b}
      - {at: 1h, who: a, reassign: b, where: after}
""",
        [
            "org.people[0].limits: must be a mapping",
            "org.people[0].left: must be true or false: cases have no calendar",
            "org.people[1].limits.eur: `eur` is no currency",
            "org.people[1].limits.EUR: is no amount",
            "org.people[1].limits.USD: is no amount",
            "org.people[1].limits.GBP: is no amount",
            "org.delegations[0].to: nobody is called `z`",
            "org.delegations[1].scope: `r` is no scope",
            "org.delegations[2].scope: no role is called `q`",
            "org.delegations[3].until: unknown key `until` in a delegation",
            "org.delegations[3]: `from` is missing",
            "org.delegations[3]: `to` is missing",
            "cases[0].delegations[0].from: nobody is called `z`",
            "cases[0].delegations[0].scope: `workflow:` is no scope",
            "cases[0].events[0].delegate: nobody is called `z`",
            "cases[0].events[1].leave: comes beside `delegate`",
            "cases[0].events[1].scope: no role is called `z`",
            "cases[0].events[2].reassign: must be text, not a boolean",
            "cases[0].events[3].add: nobody is called `z`",
            "cases[0].events[3].where: `up` is not possible here",
            "cases[0].events[4]: `where` is missing",
            "cases[0].events[5].where: has no effect: nobody is added",
        ],
    ),
    (
        """\
recipe: test.v1.yaml
org: {people: [{id: a}], roles: 3}
cases:
  - {name: x, requester: b, at: noon, expect: {}}
  - {name: y, requester: a, at: '2026-01-01T00:00:00', expect: {state: done, task: []}}
  - name: z
    requester: a
    expect: {tasks: [{is: gone, by: x}], after: soon}
    events:
      - {at: 2h, who: a}
      - {at: 1h, decide: approve}
      - {who: c, decide: ok, cancel: true}
""",
        [
            "org.roles: must be a mapping",
            "cases[0].requester: nobody is called `b`",
            "cases[0].at: is no moment with a time zone",
            "cases[0].expect: expects nothing",
            "cases[1].at: is no moment with a time zone",
            "cases[1].expect.state: `done` is not possible here",
            "cases[1].expect.task: unknown key `task` in an expectation",
            "cases[2].expect.tasks[0].is: `gone` is not possible here",
            "cases[2].expect.tasks[0].by: unknown key `by` in an expected task",
            "cases[2].expect.after: `soon` is not a duration",
            "cases[2].events[0]: needs somebody and what they do, or neither",
            "cases[2].events[1]: needs somebody and what they do, or neither",
            "cases[2].events[1]: is before the event above it",
            "cases[2].events[2]: `at` is missing",
            "cases[2].events[2]: is before the event above it",
            "cases[2].events[2].who: nobody is called `c`",
            "cases[2].events[2].cancel: comes beside `decide`",
        ],
    ),
]


def test_what_an_organisation_says_counts() -> None:
    case = """
recipe: test.v1.yaml
org:
  people:
    - {id: alice, manager: bob, limits: {EUR: 10.50}, time_zone: Europe/Paris, joined: "2020-01-01"}
    - {id: bob, left: false}
    - {id: carol, left: true}
    - {id: dave}
  delegations: [{from: bob, to: carol}, {from: bob, to: alice}]
cases:
  - name: bob has delegated to the requester, so it is his decision again, but he has nobody above
    requester: alice
    inputs: {n: 1}
    expect: {state: created, incidents: [NoApproverFound]}
  - name: of two delegations of one scope the later counts
    requester: alice
    inputs: {n: 1}
    delegations: [{from: bob, to: dave}]
    events:
      - {at: 1h, who: dave, decide: approve}
    expect: {state: approved, tasks: [{to: dave, behalf: bob}]}
"""
    report = run(case.encode(), opened, "x")
    assert [result.differences for result in report.results] == [(), ()]
    assert [result.line for result in report.results] == [11, 15]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_what_is_wrong_with_a_cases_file(text: str, told: list[str]) -> None:
    assert sorted(problems(text)) == sorted(told)


def test_a_broken_organisation_or_recipe_is_told_with_its_own_file() -> None:
    def other(name: str) -> bytes:
        return b"people: [{id: a, boss: b}]" if name == "org.yaml" else b"workflow: x"

    with pytest.raises(RecipeInvalid, match=r"org.yaml:1:18: error: people\[0\].boss"):
        run(b"recipe: r.yaml\norg: org.yaml\ncases: []", other)
    with pytest.raises(RecipeInvalid, match=r"r.yaml:1:1: error: `version`"):
        run(b"recipe: r.yaml\norg: {}\ncases: []", other)


def test_a_verdict_that_yaml_reads_as_a_boolean() -> None:
    with pytest.raises(RecipeInvalid) as caught:
        run(b"cases: [{events: [{at: 1h, who: bob, decide: yes}]}]", lambda _: b"")
    assert "write approve or reject" in [problem.fix for problem in caught.value.problems]


BACK = """
workflow: back
version: 1
owner: x
keep_approvals: unaffected
inputs: {properties: {n: {type: integer}}, required: [n]}
steps:
  - {id: boss, approver: bob}
  - {id: team, approver: dave, reasons: [dear], require_reason: [reject], outcomes: [{id: up, as: rewind, to: boss}]}
"""


def back(events: str, expect: str) -> list[str]:
    text = HEAD.replace("test.v1.yaml", "back.v1.yaml") + (
        "  - {name: c, requester: alice, inputs: {n: 1}, events: [{at: 1h, who: bob, decide: approve},"
        f" {events}], expect: {expect}}}\n"
    )
    (result,) = run(text.encode(), lambda _: BACK.encode(), "t").results
    return [str(difference) for difference in result.differences]


def test_changes_are_requested_and_made() -> None:
    events = (
        "{at: 2h, who: dave, decide: up}, {at: 3h, who: bob, decide: approve},"
        " {at: 4h, who: dave, decide: request_changes, comment: more},"
        " {at: 5h, who: alice, resubmit: {n: 1}, comment: done}, {at: 6h, who: dave, decide: approve}"
    )
    path = (
        "[boss approved, team rewound to boss, boss approved, team rewound to requester, boss kept"
    )
    assert not back(events, f"{{state: approved, path: {path}, boss approved, team approved]}}")
    rewound = "{at: 2h, who: dave, decide: request_changes, comment: more, to: requester}"
    assert not back(rewound, "{state: rewound, step: null}")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ("{at: 2h, who: dave, decide: upp}", "dave at team: `upp` is none of approve"),
        (
            "{at: 2h, who: dave, decide: reject}",
            "a reason is needed to reject this task, one of dear",
        ),
        ("{at: 2h, who: dave, decide: reject, reason: x}", "`x` is none of dear"),
        ("{at: 2h, who: dave, decide: request_changes}", "a comment is needed"),
        ("{at: 2h, who: dave, decide: up, to: boss}", "up leads to boss"),
        ("{at: 2h, who: bob, resubmit: {n: 1}}", "bob is not the requester: only alice is"),
        ("{at: 2h, who: alice, resubmit: {m: 1}}", "resubmit is refused: /n is required"),
        ("{at: 2h, who: alice, resubmit: true}", "the inputs must be an object"),
        ("{at: 2h, who: alice, resubmit: {n: 1}}", "does not wait to be resubmitted"),
    ],
)
def test_changes_that_cannot_be(events: str, told: str) -> None:
    (difference,) = back(events, "{state: approved}")
    assert told in difference


def test_where_to_and_why_are_of_a_decision() -> None:
    text = (
        HEAD
        + "  - {name: c, requester: alice, events: [{at: 1h, who: bob, cancel: true, to: x, reason: y}], expect: {state: created}}"
    )
    assert problems(text.replace("test.v1.yaml", "purchase_order.v2.yaml"))[:2] == [
        "cases[0].events[0].to: has no effect: nothing is decided",
        "cases[0].events[0].reason: has no effect: nothing is decided",
    ]
