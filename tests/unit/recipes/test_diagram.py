"""Pictures: what they show and say, that they are well-formed whatever a recipe says, and safe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from recipes.diagram import chart, mermaid
from recipes.diagram_svg import svg
from recipes.model import ActionStep, ApprovalStep, Ballot, Recipe
from recipes.parse import parse

FOLDER = Path(__file__).parents[3] / "workflows_yaml"
RECIPE = """
workflow: test
version: 7
owner: admins
deadline: 30d
inputs: {type: object, properties: {n: {type: number}}, required: [n]}
steps:
  - {id: auto, when: n < 3, action: approve}
  - {id: refuse, name: Refuse, when: n > 300, action: reject, reason: "Too <much> & \\"more\\""}
  - id: boss
    approver: "{{ employee.manager }}"
    authority: {amount: n, currency: EUR}
    timeout: 2d
    on_timeout: [escalate, {after: 1d, action: "reassign:role:hr"}, expire]
    remind: [24h, 4h before]
    require_comment: [reject, approve]
  - {id: list, approvers: "{{ [employee.manager] }}", quorum: any, not_same_as: [boss]}
  - id: many
    when: n > 14
    quorum: 2
    branches:
      - {approver: "{{ employee.manager.manager }}", timeout: 5d, on_timeout: escalate}
      - {approver: "hr-leave-admin"}
      - {id: x, name: 法務部の承認, candidates: [role:hr, user:bob]}
  - id: board
    quorum: 60%
    weights: {cfo: 2}
    veto: [law]
    groups: [{id: house, branches: [law, works], quorum: any}]
    branches:
      - {id: cfo, approver: ann}
      - {id: coo, approver: ben}
      - {id: law, approver: cy}
      - {id: works, approver: dan}
"""


def _texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    return [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_mermaid() -> None:
    text = mermaid(parse(RECIPE).recipe)
    assert text.startswith("flowchart TD\n  accTitle: test version 7\n  accDescr: Step 1, auto;")
    lines = [line.strip() for line in text.splitlines()]
    for line in (
        'when0{"n #60; 3"}',
        "when0 -->|yes| step0",
        "step0 -->|approved| approved",
        "when0 -- no --> when1",
        'step1["Refuse<br>Too #60;much#62; #38; #34;more#34;"]',
        "when1 -- no --> step2",
        "step2 -->|expired| expired",
        "step2 --> step3",
        'step3["list<br>asks each of #91;employee.manager#93;<br>not who decided boss<br>needs any of them"]',
        'subgraph step4["many<br>needs 2 of 3"]',
        'step4_2["法務部の承認<br>asks any of role:hr, user:bob"]',
        "when4 -- no --> step5",
        "step4 --> step5",
        'subgraph step5["board<br>group house needs any of 2<br>needs 60% of a weight of 3"]',
        'step5_0["cfo<br>asks ann<br>counts 2"]',
        'step5_2["law<br>asks cy<br>may veto<br>in group house"]',
        "step5 --> approved",
        'submitted -. "after 30d" .-> expired',
        'rejected(["Rejected"])',
    ):
        assert line in lines, text


def test_svg() -> None:
    picture = svg(parse(RECIPE).recipe)
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title desc")
    assert root.findtext(f"{space}title") == "test version 7"
    told = root.findtext(f"{space}desc") or ""
    assert "Step 2, Refuse; only when n > 300; Too <much>" in told
    assert "It expires 30d after its submission." in told
    texts = _texts(picture)
    for text in (
        "Submitted",
        "when n < 3",
        "asks employee.manager",
        "whose limit covers n EUR",
        "reminds after 1d, 4h before",
        "after 2d: escalate",
        "then after 1d: reassign:role:hr",
        "then after 2d: expire",
        "comment needed to reject or approve",
        "needs 2 of 3",
        "after 5d: escalate",
        "hr-leave-admin",
        "after 30d",
    ):
        assert any(text in each for each in texts), text
    assert texts.count("Rejected") == 5
    assert texts.count("Expired") == 2
    assert texts.count("Approved") == 2
    assert "prefers-color-scheme:dark" in picture


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.v*.yaml")), ids=lambda path: path.name)
def test_every_shipped_recipe_can_be_drawn(path: Path) -> None:
    recipe = parse(path.read_text()).recipe
    ElementTree.fromstring(svg(recipe))  # noqa: S314 - our own
    assert mermaid(recipe).count("subgraph") == sum(
        step.type == "parallel" for step in recipe.steps
    )


@pytest.mark.parametrize(
    "name",
    [
        "</text><script>alert(1)</script>",
        "]]> <!-- \x00\x1b\ud800 \u202e",
        'a"]; click a "javascript:x"',
        "x" * 2000,
        "字" * 300,
        " ",
    ],
)
def test_hostile_names(name: str) -> None:
    branch = Ballot("b", name=name, approver=name)
    step = ApprovalStep(
        "s", (branch, replace(branch, id="c")), name=name, when=name, type="parallel"
    )
    recipe = Recipe("w", 1, (step, ActionStep("a", "reject", name=name, reason=name)))
    picture = svg(recipe)
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "path", "polygon", "text",
    }  # fmt: skip
    assert all(len(text) <= 80 for text in _texts(picture))
    # What ends it may be an action: then there is no way to an approval.
    assert "Approved" not in _texts(picture)
    for line in mermaid(recipe).splitlines()[3:]:
        assert line.count('"') in {0, 2}, line
        assert "<script" not in line


def test_one_line_ends_in_an_action_that_may_be_passed() -> None:
    steps = (ActionStep("a", "reject", when="n > 1"),)
    assert "After the last step" in chart(Recipe("w", 1, steps)).description
    assert "Approved" in _texts(svg(Recipe("w", 1, steps)))


def test_a_kind_of_step_that_is_not_known_here_is_drawn_by_its_keys() -> None:
    @dataclass(frozen=True)
    class Later:
        id: str = "later"
        name: str | None = None
        when: str | None = None
        type: str = "task"
        run: str = "mail"

    step: Any = Later()
    recipe = Recipe("w", 1, (step,))
    drawn = chart(recipe)
    assert drawn.nodes[0].box.lines == ("type: task", "run: mail")
    assert "Step 1, later; type: task; run: mail; goes on." in drawn.description
    assert "step0 --> approved" in mermaid(recipe)


WAYS_BACK = """
workflow: back
version: 1
owner: x
inputs: {properties: {n: {type: integer}}, required: [n]}
steps:
  - {id: a, approver: bob}
  - id: b
    when: n > 0
    approver: carol
    on_reject: rewind:a
    show: [n]
    require_reason: [reject]
    outcomes: [{id: fine, as: approve, name: Fine so}, {id: again, as: rewind, to: b}]
  - {id: c, branches: [{approver: dave, outcomes: [{id: rethink, as: rewind}]}, {approver: erin}]}
"""


def test_ways_back() -> None:
    recipe = parse(WAYS_BACK).recipe
    lines = mermaid(recipe).splitlines()
    assert '  step1 -. "rejected" .-> step0' in lines
    assert '  step1 -. "Again" .-> when1' in lines
    assert '  step2 -. "Rethink" .-> submitted' in lines
    assert "  step2 -->|rejected| rejected" in lines
    assert "  step1 -->|rejected| rejected" not in lines
    description = chart(recipe).description
    for said in (
        "also offers Fine so (approve); shows n; reason needed to reject; rejected: back to a",
        "Rethink: back to requester",
        "Whoever is asked may request changes instead: then it goes back.",
    ):
        assert said in description
    drawn = svg(recipe)
    assert drawn.count("way dash") == 3
    assert "H18V35H" in drawn  # up to where it was submitted
