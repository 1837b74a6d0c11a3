"""The way a request took: what came of each step, also after it went back; drawn and said."""

from xml.etree import ElementTree

from recipes.diagram_svg import svg
from recipes.model import Json
from recipes.parse import parse
from recipes.way_taken import Way, way

RECIPE = parse("""
workflow: test
version: 1
owner: admins
steps:
  - {id: one, name: First, approver: user:ann}
  - {id: two, when: days > 3, approver: user:ben}
  - {id: three, approver: user:cy}
""").recipe

Events = list[tuple[str, dict[str, Json]]]
ONE: Events = [
    ("request.created", {}),
    ("step.completed", {"step": "one", "outcome": "approved"}),
]


def test_steps_that_were_done_skipped_and_are_next() -> None:
    events = [*ONE, ("step.skipped", {"step": "two"})]
    assert way(RECIPE, events, "three") == Way(
        {"one": ("good", "approved"), "two": ("passed", "skipped"), "three": ("now", "here now")}
    )


def test_what_went_back_is_looked_at_again() -> None:
    two: Events = [("step.completed", {"step": "two", "outcome": "odd"})]
    to_two: Events = [("request.rewound", {"to": "two"})]
    to_requester: Events = [("request.rewound", {"to": "requester"})]
    assert way(RECIPE, [*ONE, *two], None).steps["two"] == ("good", "odd")
    assert way(RECIPE, [*ONE, *two, *to_two], "two").steps == {
        "one": ("good", "approved"),
        "two": ("now", "here now"),
    }
    assert way(RECIPE, [*ONE, *to_requester], None) == Way()


def test_the_end() -> None:
    events: Events = [
        ("step.completed", {"step": "one", "outcome": "rejected"}),
        ("request.finalized", {"state": "rejected"}),
    ]
    assert way(RECIPE, events, "one") == Way({"one": ("bad", "rejected")}, "rejected")


def test_it_is_drawn_and_said() -> None:
    picture = svg(RECIPE, way(RECIPE, [*ONE, ("step.skipped", {"step": "two"})], "three"))
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    told = root.findtext(f"{space}desc") or ""
    assert told.endswith("The way it took: First: approved. two: skipped. three: here now.")
    assert [
        each.get("class") for each in root.iter(f"{space}rect") if "box" in str(each.get("class"))
    ] == [
        "box good",
        "box passed",
        "box now",
    ]
    ended = svg(RECIPE, Way({}, "cancelled"))
    assert "The way it took: The request is cancelled." in ended
    assert svg(RECIPE, Way()) == svg(RECIPE)
