"""A state machine as people use it: sent by a form, moved by buttons, its picture showing the way."""

from playwright.sync_api import expect

from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import Begin, Visit


def test_a_document_goes_from_hand_to_hand(visit: Begin, product: Product) -> None:
    alice = visit("alice")
    page = alice.go("/new/document_review")
    page.get_by_label("Document", exact=True).fill("Opening hours")
    page.get_by_label("Reviewer").fill("ivan")
    page.get_by_role("button", name="Who can go on first?").click()
    expect(page.locator("#way")).to_contain_text("It begins as Draft.")
    expect(page.locator("#way")).to_contain_text("Alice Moreau")
    alice.check("before")
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_url("**/requests/*")
    request = page.url.rpartition("/")[2]
    # Only what fits now, and is theirs, is offered.
    page.get_by_role("button", name="Withdraw").wait_for()
    assert page.get_by_role("button", name="Publish").count() == 0
    page.get_by_role("button", name="Submit for review").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("In review")
    assert page.get_by_role("button", name="Approve").count() == 0

    phone = visit("ivan", phone=True, dark=True)
    reads = phone.go(f"/requests/{request}")
    reads.get_by_role("button", name="Request changes").click()
    expect(reads.locator("#fire-wrong")).to_contain_text("needs a comment")
    phone.check("needs-a-comment")
    reads.get_by_label("Comment needed for").fill("Sundays are missing.")
    reads.get_by_role("button", name="Request changes").click()
    expect(reads.get_by_role("heading", level=1)).to_contain_text("Draft")

    alice.go(f"/requests/{request}")
    expect(page.locator(".timeline")).to_contain_text("Ivan Petrov: Request changes. Now: Draft")
    page.get_by_role("button", name="Submit for review").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("In review")
    reads.reload()
    reads.get_by_role("button", name="Approve").click()
    expect(reads.get_by_role("heading", level=1)).to_contain_text("Approved")

    # Who only watches sees what becomes of it without doing anything.
    watcher = visit("oscar")
    watched = watcher.go(f"/requests/{request}")
    watched.get_by_role("button", name="Watch", exact=True).click()
    expect(watched.get_by_role("heading", level=1)).to_contain_text("Approved")
    expect(watched.locator("body[data-live=on]")).to_be_visible()
    watched.get_by_text("The way it takes").click()
    watched.locator("body").evaluate("() => document.activeElement.blur()")
    desk = visit("bob")
    published = desk.go(f"/requests/{request}")
    published.get_by_role("button", name="Publish", exact=True).click()
    expect(published.get_by_role("heading", level=1)).to_contain_text("Published")
    desk.check("published")
    expect(watched.get_by_role("heading", level=1)).to_contain_text("Published")
    assert not watched.locator(".picture-of-recipe").is_visible(), "what was folded stays so"
    for text in (
        "Published: approved here",
        "Draft: was here twice",
        "Submit for review: fired twice",
    ):
        assert text in _picture(desk, request), text
    # Seen where it is, not only asked for.
    shown = published.locator(".picture-of-recipe img")
    shown.scroll_into_view_if_needed()
    assert (
        until(lambda: shown.evaluate("it => it.naturalWidth") or None, "the picture is there") > 300
    )
    assert Program(product, "alice").call("GET", f"/v1/requests/{request}")["state"] == "approved"


def _picture(desk: Visit, request: str) -> str:
    """The picture of a request, as its page asks for it."""
    answered = desk.context.request.get(f"{desk.product.url}/requests/{request}/diagram.svg")
    assert answered.headers["content-type"] == "image/svg+xml"
    return answered.text()
