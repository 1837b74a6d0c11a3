"""Pictures of state machines: what they show and say, the way a request took, and that no ways hide each other."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from recipes import picture
from recipes.machine_chart import MachineWay
from recipes.model import Json, Machine, MachineAction, MachineState, Recipe
from recipes.parse import parse

SPACE = "{http://www.w3.org/2000/svg}"
SAMPLE = Path(__file__).parents[3] / "workflows_yaml" / "document_review.v1.yaml"
RECIPE = parse("""
workflow: paper
version: 2
kind: state_machine
owner: admins
deadline: 90d
inputs: {properties: {reader: {type: string}}, required: [reader]}
states:
  - {id: draft, name: Draft, initial: true}
  - {id: read, name: Being read, timers: [{after: 5d, fire: back}]}
  - {id: parked, enabled: false}
  - {id: out, name: Out, final: true}
  - {id: dropped, final: true, outcome: rejected}
actions:
  - {id: submit, name: Submit, from: draft, to: read, who: "user:{{ request.requester }}"}
  - {id: note, from: read, to: read}
  - {id: back, from: read, to: draft, who: ["role:hr", "user:{{ reader }}"], require_comment: true}
  - {id: park, from: read, to: parked, who: role:hr}
  - {id: rush, from: draft, to: out, who: bob, enabled: false}
  - {id: publish, from: read, to: out, who: "{{ employee.manager }}", not_requester: true}
  - {id: drop, from: [draft, read], to: dropped}
on_approved: [{id: tell, run: mail}]
""").recipe

Events = list[tuple[str, dict[str, Json]]]


def fired(*moves: str) -> Events:
    """Each as `action source to`."""
    return [
        ("action.fired", dict(zip(("action", "from", "to"), move.split(), strict=True)))
        for move in moves
    ]


def drawn(events: Events | None = None, status: str | None = None) -> ElementTree.Element:
    taken = None if events is None else picture.way(RECIPE, events, status)
    return ElementTree.fromstring(picture.svg(RECIPE, taken))  # noqa: S314 - our own


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SPACE}text")]


def boxes(root: ElementTree.Element) -> list[str]:
    looks = [str(each.get("class")) for each in root.iter(f"{SPACE}rect")]
    return [look for look in looks if look.startswith("box")]


def test_states_stand_as_they_are_reached_each_with_what_leads_out_of_it() -> None:
    root = drawn()
    shown = texts(root)
    names = ("Draft", "Being read", "parked", "Out", "dropped")
    assert [text for text in shown if text in names] == list(names)
    for text in (
        "expires after 90d",
        "Submit",
        "to Being read",
        "by its requester",
        "stays there",
        "by anybody who may see it",
        "by role:hr or reader",
        "with a comment",
        "by itself after 5d",
        "disabled: nothing leads into it",
        "disabled",
        "by employee.manager",
        "not by its requester",
        "final: the request is rejected",
        "tell runs mail",
    ):
        assert text in shown, text
    told = root.findtext(f"{SPACE}desc") or ""
    assert told.startswith(
        "It begins in Draft. State Draft; Submit to Being read, by its requester;"
    )
    assert "It expires 90d after its submission. Once approved: tell runs mail." in told
    assert boxes(root) == ["box", "box", "box passed", "box", "box"]


def test_the_way_that_a_request_took_is_drawn_and_said() -> None:
    first = "submit draft read"
    root = drawn(fired(first, "note read read", "back read draft", first), "read")
    assert "Draft: was here twice" in texts(root)
    assert "Being read: here now, for the 2nd time" in texts(root)
    assert "Submit: fired twice" in texts(root)
    assert boxes(root) == ["box good", "box now", "box passed", "box", "box"]
    told = root.findtext(f"{SPACE}desc") or ""
    assert told.endswith(
        "The way it took: Draft: was here twice. Being read: here now, for the 2nd time."
        " Submit: fired twice, from Draft. note: fired, from Being read. back: fired, from Being read."
    )
    kinds = [str(each.get("class")) for each in root.iter(f"{SPACE}path")]
    assert kinds.count("way took") == 2  # what stays where it is has no way
    assert kinds.count("tip arrived") == 2


@pytest.mark.parametrize(
    ("moves", "status", "end", "said"),
    [
        (["submit draft read", "publish read out"], "out", "approved", "Out: approved here"),
        (["drop draft dropped"], "dropped", "rejected", "dropped: rejected here"),
        ([], "draft", "cancelled", "Draft: cancelled here"),
    ],
)
def test_the_end(moves: list[str], status: str, end: str, said: str) -> None:
    root = drawn([*fired(*moves), ("request.finalized", {"state": end})], status)
    assert said in texts(root)
    assert f"box {'good' if end == 'approved' else 'bad'}" in boxes(root)
    assert (root.findtext(f"{SPACE}desc") or "").endswith(f"The request is {end}.")


def test_where_it_is_is_known_before_anything_happened() -> None:
    assert picture.way(RECIPE, [("request.created", {})], None) == MachineWay(
        {"draft": 1}, {}, "draft"
    )
    ended = ElementTree.fromstring(picture.svg(RECIPE, MachineWay(ended="expired")))  # noqa: S314 - our own
    assert (ended.findtext(f"{SPACE}desc") or "").endswith(
        "The way it took: The request is expired."
    )


@pytest.mark.parametrize(
    ("times", "said"),
    [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st")],
)
def test_how_often(times: int, said: str) -> None:
    moves = fired("submit draft read", "back read draft") * times
    root = drawn(moves[:-1], "read")
    assert f"Being read: here now, for the {said} time" in texts(root)


def test_ways_to_different_states_share_no_rail_where_both_run() -> None:
    names = [f"s{number}" for number in range(8)]
    states = tuple(MachineState(name, initial=name == "s0") for name in names)
    actions = tuple(
        MachineAction(f"{source}_{to}", (source,), to) for source in names for to in names
    )
    recipe = Recipe(
        "w", 1, (), deadline=None, kind="state_machine", machine=Machine(states, actions)
    )
    runs: dict[int, list[tuple[int, int, int]]] = {}
    for path in re.findall(r'class="way" d="M\d+ (\d+)H(\d+)V(\d+)H', picture.svg(recipe)):
        begin, rail, end = map(int, path)
        runs.setdefault(rail, []).append((min(begin, end), max(begin, end), end))
    assert sum(map(len, runs.values())) == 8 * 7
    for run in runs.values():
        for top, bottom, end in run:
            others = [it for it in run if it[2] != end]
            assert all(bottom < it[0] or it[1] < top for it in others)


def test_mermaid() -> None:
    lines = [line.strip() for line in picture.mermaid(RECIPE).splitlines()]
    assert lines[:2] == ["flowchart TD", "accTitle: paper version 2"]
    for line in (
        "submitted --> state0",
        'state0["Draft"]',
        'state0 -->|"Submit<br>by its requester"| state1',
        'state0 -.->|"rush<br>by bob<br>disabled"| state3',
        'state1 -.->|"park<br>by role:hr"| state2',
        'state4["dropped<br>final: the request is rejected"]',
        'submitted -. "after 90d" .-> expired(["Expired"])',
    ):
        assert line in lines, lines
    assert "expired" not in picture.mermaid(replace(RECIPE, deadline=None)).splitlines()[-1]


@pytest.mark.parametrize("name", ["</text><script>", 'a"]; click a "javascript:x"', "x" * 2000])
def test_hostile_names(name: str) -> None:
    machine = Machine(
        (MachineState("a", name=name, initial=True),),
        (MachineAction("b", ("a",), "a", name=name, who=(name,)),),
    )
    recipe = Recipe("w", 1, (), kind="state_machine", machine=machine)
    root = ElementTree.fromstring(picture.svg(recipe))  # noqa: S314 - our own
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "path", "text",
    }  # fmt: skip
    assert all(line.count('"') in {0, 2} for line in picture.mermaid(recipe).splitlines()[3:])


def test_steps_are_drawn_as_they_were() -> None:
    recipe = parse("workflow: w\nversion: 1\nowner: x\nsteps: [{id: one, approver: bob}]").recipe
    taken = picture.way(recipe, [("step.completed", {"step": "one", "outcome": "approved"})], None)
    assert "one: approved" in picture.svg(recipe, taken)
    assert picture.mermaid(recipe).startswith("flowchart TD")


def test_the_sample_fits_a_page() -> None:
    recipe = parse(SAMPLE.read_text()).recipe
    root = ElementTree.fromstring(picture.svg(recipe))  # noqa: S314 - our own
    assert int(root.get("width") or 0) <= 720
