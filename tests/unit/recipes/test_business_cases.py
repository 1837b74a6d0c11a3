"""Cases of recipes that count business days."""

import pytest

from recipes.cases import Report, run
from recipes.problems import RecipeInvalid
from storage.zones import zone

RECIPE = """\
workflow: w
version: 1
owner: team
calendar: es
deadline: 3bd
steps:
  - {id: a, approver: bob, timeout: 1bd at 09:00 in assignee zone, on_timeout: escalate}
"""
SPAIN = """\
calendar: es
time_zone: Europe/Madrid
week: [mon, tue, wed, thu, fri]
hours: 09:00-18:00
covers: {from: 2026-01-01, to: 2026-12-31}
holidays: [{date: 2026-01-06, name: Reyes}]
"""
CASES = """\
recipe: w.v1.yaml
org:
  people:
    - {id: alice, manager: bob}
    - {id: bob, manager: carol, time_zone: Asia/Tokyo}
    - {id: carol, time_zone: Europe/Madrid}
  roles: {team: [carol]}
calendars: [es.yaml]
cases:
  - name: a holiday, each in their own zone
    requester: alice
    at: "2026-01-05T08:00:00Z"
    events: [{at: 120h}]
    expect:
      state: expired
      after: 96h
      tasks:
        - {to: bob, is: expired, at: 0s}
        - {to: carol, is: expired, at: 40h}
"""
# bob's next business day after Monday 17:00 in Tokyo is Wednesday, whose 09:00 is 00:00 UTC, 40 h on.


def report(cases: str = CASES, recipe: str = RECIPE, spain: str = SPAIN) -> Report:
    files = {"w.v1.yaml": recipe, "es.yaml": spain}

    def opened(name: str) -> bytes:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[name].encode()

    return run(cases.encode(), opened, "w.cases.yaml", zone)


def problems(cases: str = CASES, recipe: str = RECIPE, spain: str = SPAIN) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        report(cases, recipe, spain)
    return [f"{p.file}:{p.line} {p.path}: {p.message}" for p in caught.value.problems]


def test_cases_count_business_days() -> None:
    [result] = report().results
    assert result.differences == ()


def test_a_calendar_may_stand_in_the_file() -> None:
    inline = SPAIN.replace("\n", "\n    ").strip()
    cases = CASES.replace("[es.yaml]", f"\n  - {inline}")
    [result] = report(cases).results
    assert result.differences == ()
    found = problems(cases.replace("[mon, tue", "[man, tue"))
    assert found == ["w.cases.yaml:11 calendars[0].week[0]: `man` is not possible here"]


def test_machines_have_timers_that_count_them() -> None:
    recipe = """\
workflow: w
version: 1
owner: team
calendar: es
kind: state_machine
states:
  - {id: open, initial: true, timers: [{after: 1bd, fire: close}]}
  - {id: closed, final: true}
actions: [{id: close, from: open, to: closed}]
"""
    cases = CASES.partition("    expect:")[0] + "    expect: {state: approved, after: 48h}\n"
    [result] = report(cases, recipe).results
    assert result.differences == ()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (
            "calendars: [es.yaml]\n",
            "",
            "w.cases.yaml:1 calendars: the recipe counts business days of",
        ),
        ("[es.yaml]", "es.yaml", "w.cases.yaml:8 calendars: must be a list"),
        ("[es.yaml]", "[fr.yaml]", "w.cases.yaml:8 calendars[0]: can't be read: No such file"),
        ("[es.yaml]", "[5]", "w.cases.yaml:8 calendars[0]: must be text, not a number"),
        ("Asia/Tokyo", "Asia/Kyoto", "w.cases.yaml:3 org: bob: there is no time zone `Asia/Kyoto`"),
    ],
)
def test_what_is_wrong(before: str, after: str, problem: str) -> None:
    found = problems(CASES.replace(before, after))
    assert any(each.startswith(problem) for each in found), found


def test_a_calendar_file_that_is_wrong() -> None:
    assert problems(spain=SPAIN.replace("Madrid", "Madird")) == [
        "es.yaml:2 time_zone: there is no time zone `Europe/Madird`"
    ]
