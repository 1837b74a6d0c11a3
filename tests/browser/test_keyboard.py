"""The keyboard alone: from the sign-in page through a form with everything in it to where one's requests are."""

from playwright.sync_api import Locator, Page, expect

from tests.acceptance.product import Product
from tests.browser.programs import Program
from tests.browser.visits import Begin

EQUIPMENT = """
workflow: equipment
version: 1
title: "Equipment for {{ place }}"
inputs:
  type: object
  required: [place, needed, things]
  additionalProperties: false
  properties:
    place: {title: For which place, enum: [kitchen, bar, terrace, office, cellar]}
    needed: {type: string, format: date, title: Needed by}
    things:
      type: array
      title: Things
      minItems: 1
      items:
        type: object
        required: [what]
        properties: {what: {type: string, title: What}, count: {type: integer, title: How many}}
    why: {type: string, title: Why}
steps:
  - {id: manager, name: Manager, approver: "{{ employee.manager }}"}
"""
MOST_TABS = 60


def test_a_request_from_sign_in_to_mine_with_nothing_but_keys(
    visit: Begin, product: Product
) -> None:
    admin = Program(product, "oscar", ("admin",))
    admin.call(
        "POST", "/v1/recipes", content=EQUIPMENT, headers={"content-type": "application/yaml"}
    )
    desk = visit(None)
    page = desk.page
    keys = page.keyboard
    to(page, page.get_by_label("Person"))
    keys.type("Alice")
    keys.press("Enter")
    to(page, page.get_by_role("button", name="Sign in as this person"))
    keys.press("Enter")
    page.wait_for_url(f"{product.url}/")
    to(page, page.get_by_role("link", name="New request"))
    keys.press("Enter")
    page.get_by_role("link", name="Equipment").wait_for()
    desk.check("choose")
    to(page, page.get_by_role("link", name="Equipment"))
    keys.press("Enter")
    page.wait_for_url("**/new/equipment")

    to(page, page.get_by_label("For which place"))
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    to(page, page.get_by_label("Needed by"))
    keys.type("05052027")  # the same day wherever days or months come first
    to(page, page.get_by_label("What", exact=True))
    keys.type("Blender")
    to(page, page.get_by_role("button", name="Add another of Things"))
    keys.press("Space")
    expect(page.get_by_label("What", exact=True)).to_have_count(2)
    expect(page.get_by_label("What", exact=True).nth(1)).to_be_focused()
    keys.type("Whisk")
    to(page, page.get_by_role("button", name="Add another of Things"))
    keys.press("Enter")
    expect(page.get_by_label("What", exact=True).nth(2)).to_be_focused()
    to(page, page.get_by_role("button", name="Remove Things 3"))
    keys.press("Enter")
    expect(page.get_by_label("What", exact=True)).to_have_count(2)
    expect(page.get_by_role("button", name="Add another of Things")).to_be_focused()
    # Enter looks at its way; it does not send.
    to(page, page.get_by_label("Why"))
    keys.press("Enter")
    expect(page.locator("#way")).to_contain_text("Bob Larsson")
    desk.check("way")
    to(page, page.get_by_role("button", name="Send", exact=True))
    keys.press("Enter")
    page.wait_for_url("**/requests/*")
    made = Program(product, "alice").call("GET", f"/v1/requests/{page.url.rpartition('/')[2]}")
    assert made["inputs"] == {
        "place": "bar",
        "needed": "2027-05-05",
        "things": [{"what": "Blender"}, {"what": "Whisk"}],
    }
    to(page, page.get_by_role("link", name="Countersign"))
    keys.press("Enter")
    page.wait_for_url(f"{product.url}/")
    to(page, page.get_by_role("link", name="Mine", exact=True))
    keys.press("Enter")
    page.wait_for_url("**/?view=mine")
    to(page, page.locator(f"#list a[href='/requests/{made['id']}']"))
    desk.check("mine")

    # The same on a phone: what does not fit the line is behind a button, with and without scripts.
    for scripts in (True, False):
        phone = visit("alice", phone=True, dark=True, scripts=scripts)
        small = phone.go("/new/equipment")
        top = small.locator(".top").bounding_box()
        assert top is not None
        assert top["height"] <= 60
        assert not small.get_by_role("link", name="Out of office").is_visible()
        to(small, small.get_by_role("button", name="Menu"))
        small.keyboard.press("Enter")
        to(small, small.get_by_role("link", name="Out of office"))
        for target in small.locator(".menu a, .menu button").all():
            box = target.bounding_box()
            assert box is None or box["height"] >= 44
        if scripts:
            phone.check("menu")
        else:
            small.get_by_label("What", exact=True).fill("Blender")
            small.get_by_role("button", name="Add another of Things").click()
            assert small.locator(":focus").get_attribute("name") == "/inputs/things/1/what"
            phone.shot("form")


def test_like_ones_are_approved_together_with_nothing_but_keys(
    visit: Begin, product: Product
) -> None:
    alice = Program(product, "alice")
    tasks = [alice.task_of(alice.submit("leave_request", days=days))["id"] for days in (3, 4)]
    desk = visit("bob")
    page, keys = desk.page, desk.page.keyboard
    for task in tasks:
        to(page, page.locator(f"input[value='{task}']"))
        keys.press("Space")
    to(page, page.get_by_role("button", name="Approve these 2 together"))
    keys.press("Enter")
    expect(page.locator(".sums")).to_contain_text("7")
    to(page, page.get_by_label("Comment"))
    keys.type("Enjoy.")
    to(page, page.get_by_role("button", name="Approve these 2"))
    keys.press("Enter")
    expect(page.locator(".outcomes .said-of")).to_have_text(["✓ Approved", "✓ Approved"])
    desk.check("together")


def to(page: Page, wanted: Locator) -> None:
    """Go there by Tab alone, and see on the way that one sees where one is."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("it => it === document.activeElement"):
            break
    expect(wanted).to_be_focused()
    seen = wanted.evaluate(
        "it => { const s = getComputedStyle(it); return s.outlineStyle !== 'none' || s.boxShadow !== 'none' }"
    )
    assert seen, f"nobody sees that {wanted} has the focus"
