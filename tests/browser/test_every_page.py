"""Every page there is, on a desk and on a phone, in light and in dark: by axe, by its size, and by the fingers and
the keys that have to find what is on it."""

import re

import pytest

from tests import pages
from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import COLOURS, Begin, Visit

ODD = """
workflow: odd
version: 1
title: Nobody decides this
inputs: {type: object, properties: {}}
steps:
  - {id: house, candidates: role:nobody-at-all}
"""
CHOICES = """
workflow: choices
version: 1
title: Where the summer party is to be
inputs: {type: object, properties: {}}
steps:
  - id: place
    approver: user:mallory
    outcomes:
      - {id: garden, name: In the garden of the house, as: approve}
      - {id: terrace, name: Upstairs on the terrace, as: approve}
      - {id: elsewhere, name: Somewhere else altogether, as: approve}
"""
FRAGMENTS = {"/people", "/delayed/{delayed_id:uuid}"}
"""Parts of pages that a script asks for."""
MOST_BYTES = 100_000
LEAST_BYTES = 10_000
"""Less is no page of ours with its styles: then what is looked at is not what was meant."""
OBSCURED = """() => {
  // WCAG 2.4.11: what gets the focus is not hidden, all of it, by what sticks to an edge; not even where it
  // was just there when it got it.
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
  const found = [];
  for (const it of document.querySelectorAll(wanted)) {
    if (it.tabIndex < 0) continue;
    const at = it.getBoundingClientRect();
    window.scrollBy(0, at.bottom - window.innerHeight);
    it.focus();
    if (document.activeElement !== it) continue;
    const box = it.getBoundingClientRect();
    const seen = [0.1, 0.5, 0.9].some((down) => [0.1, 0.5, 0.9].some((across) => {
      const top = document.elementFromPoint(box.left + box.width * across, box.top + box.height * down);
      return top && (it.contains(top) || top.contains(it) && top.matches("label"));
    }));
    if (!seen) found.push(it.outerHTML.slice(0, 150));
  }
  document.activeElement.blur();
  window.scrollTo(0, 0);
  return found;
}"""
WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((it) => !it.name.includes("/files/")).reduce((sum, it) => sum + it.encodedBodySize, 0)"""


@pytest.fixture(scope="module")
def known(product: Product) -> dict[str, str]:
    """What the pages are about: mallory's, who has something to decide, and got something back."""
    nina, mallory, erin = (Program(product, it) for it in ("nina", "mallory", "erin"))
    admin = Program(product, "oscar", ("admin",))
    for recipe in (ODD, CHOICES):
        yaml = {"content-type": "application/yaml"}
        admin.call("POST", "/v1/recipes", content=recipe, headers=yaml)
    nina.submit("odd")
    asked = nina.submit(
        "purchase_order", item="A press " * 12, amount=7200, currency="EUR", reason="Old. " * 380
    )
    for words in ("Which one of the three?", "https://example.org/" + "a-long-address/" * 20):
        nina.call("POST", f"/v1/requests/{asked}/comments", {"text": words})
    back = mallory.submit("purchase_order", item="A chair", amount=72, currency="EUR")
    erin.decide(mallory.task_of(back)["id"], "request_changes", comment="Which one?")
    until(lambda: mallory.call("GET", f"/v1/requests/{back}")["state"] == "rewound" or None, "back")
    until(lambda: admin.call("GET", "/v1/incidents?workflow=odd")["items"] or None, "an incident")
    return {
        "task_id": nina.task_of(asked)["id"],
        "request_id": back,
        "workflow": "expense",
        "name": "purchase_order",
        "asked": asked,
        "choices": nina.task_of(nina.submit("choices"))["id"],
        "machine": nina.submit("document_review", document="Opening hours", reviewer="mallory"),
    }


def _addresses(known: dict[str, str]) -> list[str]:
    """Every page once; and again, what looks different with other things on it."""
    filled = [
        re.sub(r"{(\w+)(?::\w+)?}", lambda it: known[it[1]], path)
        + (f"?task={known['task_id']}" if path == "/bulk" else "")
        for path in pages.paths()
        if path not in FRAGMENTS
    ]
    return [
        *filled,
        *(f"/?view={view}" for view in ("waiting", "mine", "done")),
        "/?q=nothing-is-called-so&due=overdue",
        f"/requests/{known['asked']}",
        f"/requests/{known['machine']}",
        f"/tasks/{known['choices']}",
        "/admin/recipes/document_review",
        "/nowhere",
    ]


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_every_page_holds_to_the_rules(visit: Begin, known: dict[str, str], *, phone: bool) -> None:
    nobody = visit(None, phone=phone)
    wrong = _wrong(nobody, "/sign-in", "0-sign-in", phone=phone)
    desk = visit("mallory", "admin", phone=phone)
    # Nothing is renewed while it is looked at.
    desk.context.route("**/live", lambda route: route.abort())
    for number, path in enumerate(_addresses(known), 1):
        name = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\W+", "-", path).strip("-")
        wrong += _wrong(desk, path, f"{number}-{name}", phone=phone)
    assert not wrong, "\n".join(wrong)


def _wrong(desk: Visit, path: str, name: str, *, phone: bool) -> list[str]:
    """What is wrong with a page, in light and in dark; the picture is of the one that such a screen is more often."""
    page = desk.go(path)
    page.emulate_media(color_scheme="dark" if phone else "light")
    desk.shot(name)
    wrong = desk.violations()
    page.emulate_media(color_scheme="light" if phone else "dark")
    wrong += desk.violations(COLOURS)
    wide = desk.too_wide()
    if wide:
        wrong.append(f"scrolls sideways by {wide} px")
    wrong += [f"has the focus and is hidden: {it}" for it in page.evaluate(OBSCURED)]
    weight = page.evaluate(WEIGHT)
    if not LEAST_BYTES < weight < MOST_BYTES:
        wrong.append(f"weighs {weight} bytes")
    return [f"{path}: {it}" for it in wrong]
