"""What several share: a task claimed, given back and handed on, files, words, and pages that have grown old."""

from base64 import b64decode

from playwright.sync_api import expect

from tests.acceptance.product import Product
from tests.browser.programs import Program
from tests.browser.visits import Begin

PARTY = """
workflow: party
version: 1
title: "A party for {{ guests }}"
inputs:
  type: object
  required: [guests]
  properties: {guests: {type: integer, title: Guests}}
steps:
  - id: money
    name: Money
    candidates: role:finance
    require_reason: [reject]
    reasons: [too_large, not_now]
    outcomes: [{id: smaller, name: Smaller please, as: reject}]
"""
PICTURE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_somebody_decides_for_another_via_a_third(visit: Begin, product: Product) -> None:
    """Mallory is away, and so is Grace, who was to decide for her."""
    away = [("mallory", "grace"), ("grace", "oscar")]
    delegations = [
        (who, Program(product, who).call("POST", "/v1/org/delegations", {"delegate": to})["id"])
        for who, to in away
    ]
    nina, oscar = Program(product, "nina"), Program(product, "oscar")
    request = nina.submit("purchase_order", item="A badge", amount=12, currency="EUR")
    task = nina.task_of(request)
    assert task["assignee"] == "oscar"
    phone = visit("oscar", phone=True, dark=True)
    page = phone.page
    page.locator(f"#list a[href*='{task['id']}']").click()
    expect(page.locator("#decide")).to_contain_text(
        "You decide on behalf of Mallory Dunn, via Grace Okafor."
    )
    page.get_by_text("Why me?").click()
    why = page.locator(".why")
    expect(why).to_contain_text("employee.manager decides")
    expect(why).to_contain_text("On behalf of Mallory Dunn, via Grace Okafor.")
    phone.check("why")
    oscar.decide(task["id"], comment="Badges are cheap.")
    desk = visit("nina")
    desk.go(f"/requests/{request}")
    expect(desk.page.locator(".timeline")).to_contain_text(
        "Oscar Lind, on behalf of Mallory Dunn, via Grace Okafor"
    )
    desk.check("timeline")
    for who, delegation in delegations:
        Program(product, who).call("POST", f"/v1/org/delegations/{delegation}/end", {})


def test_a_shared_task_goes_from_hand_to_hand(visit: Begin, product: Product) -> None:
    admin = Program(product, "oscar", ("admin",))
    admin.call("POST", "/v1/recipes", content=PARTY, headers={"content-type": "application/yaml"})
    alice = Program(product, "alice")
    request = alice.submit("party", guests=40)
    task = alice.task_of(request)["id"]
    desk = visit("dave")
    # What comes at once has a story of its own.
    desk.context.route("**/live", lambda route: route.abort())
    page = desk.go(f"/tasks/{task}")
    page.get_by_role("button", name="Claim").click()
    page.get_by_role("button", name="Release").wait_for()
    carol = visit("carol", phone=True)
    carol.context.route("**/live", lambda route: route.abort())
    other = carol.go(f"/tasks/{task}")
    expect(other.locator("#pane .notice")).to_contain_text("Claimed by Dave Kim")
    assert other.get_by_role("button", name="Approve").count() == 0
    carol.check("claimed")
    page.get_by_role("button", name="Release").click()
    page.get_by_role("button", name="Claim").wait_for()

    page.get_by_text("Add an approver").click()
    page.get_by_label("Who has to approve as well").fill("Heidi Brandt")
    page.get_by_label("When").select_option("After them")
    page.locator("#add-comment").fill("The contract is long.")
    page.get_by_role("button", name="Add", exact=True).last.click()
    page.get_by_text("Say something").click()
    page.get_by_label("Comment all who may see").fill("Where will it be?")
    page.get_by_role("button", name="Comment", exact=True).click()
    page.get_by_text("Where will it be?").wait_for()
    for name, content in (("room.png", PICTURE), ("offer.pdf", b"%PDF-1.4\n%%EOF\n")):
        page.get_by_text("Add a file").click()
        page.get_by_label("File PDF").set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )
        page.locator(".files").get_by_role("button", name="Add").click()
        page.get_by_role("link", name=name).wait_for()
    expect(page.locator(".files")).to_contain_text("PDF, 15 bytes, by Dave Kim")
    picture = page.locator(".files img")
    assert picture.evaluate("it => it.decode().then(() => it.naturalWidth)") == 1
    desk.check("shared")

    # Whoever looks at what it was decides nothing.
    page.locator("#decide input[name=digest]").evaluate("it => { it.value = 'what it was' }")
    page.get_by_role("button", name="Smaller please").click()
    page.get_by_text("This is not what you looked at").wait_for()
    desk.check("changed")
    # A reason is asked for where it is needed; and it is given away, for somebody else to decide.
    page.get_by_role("button", name="Reject", exact=True).click()
    assert page.get_by_label("Reason").evaluate("it => it.validationMessage")
    page.get_by_role("button", name="Claim").click()
    page.get_by_text("Give it to somebody else").click()
    page.get_by_label("To whom").fill("carol")
    page.get_by_label("Why", exact=True).locator("visible=true").fill("She knows the house.")
    page.get_by_role("button", name="Give it away").click()
    page.get_by_text("it is reassigned").wait_for()
    other.goto(f"{product.url}/requests/{request}")
    expect(other.locator(".next-up")).to_contain_text("Carol Jensen")
    for said in (
        "Dave Kim claimed it",
        "Dave Kim added Heidi Brandt",
        "Dave Kim added the file offer.pdf",
    ):
        expect(other.locator(".timeline")).to_contain_text(said)
    theirs = Program(product, "carol")
    theirs.decide(theirs.task_of(request)["id"], "smaller")
    ended = visit("alice", dark=True)
    ended.go(f"/requests/{request}")
    expect(ended.page.locator(".timeline")).to_contain_text("Carol Jensen chose Smaller please")
    ended.check("ended")
