"""The list as people use it: by keys, on a phone, without scripts, and while others decide."""

from playwright.sync_api import expect

from tests.acceptance.product import Product
from tests.browser.programs import Program
from tests.browser.visits import Begin


def _asked(product: Product, days: int) -> dict[str, str]:
    """A leave request of alice's of three days or more (fewer need nobody), as the task that somebody is asked."""
    alice = Program(product, "alice")
    task = alice.task_of(alice.submit("leave_request", days=days))
    return {"who": task["assignee"], "task": task["id"], "request": task["request_id"]}


def test_the_list_is_gone_through_by_keys(visit: Begin, product: Product) -> None:
    asked = [_asked(product, days) for days in (8, 9)]
    who = asked[0]["who"]
    desk = visit(who)
    page = desk.page
    links = page.locator("#list .tasks a")
    expect(links.nth(1)).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    desk.check("keys")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("#list a[aria-current=true]")).to_have_count(1)
    expect(page.locator("#pane article h1")).to_be_visible()
    first = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != first)
    # The focus stays in the list, for the next key; what was opened is said.
    expect(page.locator("#list a[aria-current=true]")).to_be_focused()
    page.keyboard.press("k")
    page.wait_for_url(first)
    expect(page.locator("#list a[aria-current=true]")).to_be_focused()
    title = page.locator("#pane h1").inner_text()
    expect(page.locator("#said[role=status]")).to_have_text(f"Opened: {title}")
    desk.check("chosen")
    page.keyboard.press("a")
    expect(page.locator("button[name=decision][value=approve]")).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator("button[name=decision][value=reject]")).to_be_focused()
    page.keyboard.press("c")
    page.keyboard.type("jka")
    expect(page.locator("#decide textarea[name=comment]")).to_have_value("jka")
    page.keyboard.press("Escape")
    page.locator("#pane h1").click()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("leave")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=leave*")
    # They are switched off for good.
    page.locator("#keys-open").click()
    page.get_by_role("switch").uncheck()
    page.get_by_role("button", name="Close").click()
    page.locator("#list h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_what_another_decides_cannot_be_clicked_any_more(visit: Begin, product: Product) -> None:
    alice = Program(product, "alice")

    def run(payments: int) -> str:
        request = alice.submit("payment_run", amount=90, currency="EUR", payments=payments)
        return str(alice.task_of(request)["id"])

    task = run(3)
    desk = visit("dave")
    desk.go(f"/tasks/{task}")
    expect(desk.page.locator("body[data-live=on]")).to_be_visible()
    expect(desk.page.locator("#decide")).to_be_visible()
    carol = Program(product, "carol")
    # A claim is none: it says whose it is, and what one was writing is still there.
    desk.page.locator("#decide textarea[name=comment]").fill("Three of them are late.")
    carol.call("POST", f"/v1/tasks/{task}/claim")
    expect(desk.page.locator("#decide")).to_have_count(0)
    expect(desk.page.locator("#said")).to_contain_text("Claimed by Carol Jensen")
    # What had the focus is gone: reading goes on at the top of what came instead, not of the page.
    expect(desk.page.locator("#pane h1")).to_be_focused()
    expect(desk.page.get_by_label("what you were writing")).to_have_value("Three of them are late.")
    desk.check("claimed-meanwhile")
    carol.call("POST", f"/v1/tasks/{task}/release")
    desk.go(f"/tasks/{task}")
    expect(desk.page.locator("body[data-live=on]")).to_be_visible()
    expect(desk.page.locator("#decide")).to_be_visible()
    carol.decide(task)
    expect(desk.page.locator("#decide")).to_have_count(0)
    expect(desk.page.locator("#said")).to_have_text("Carol Jensen decided this just now")
    expect(desk.page.locator(f"#list a[href*='{task}']")).to_have_count(0)
    desk.check("decided-meanwhile")
    # What comes in shows up by itself.
    more = run(4)
    expect(desk.page.locator(f"#list a[href*='{more}']")).to_have_count(1)
    # It takes the focus from nothing, and least of all from what has to be quick.
    desk.go(f"/tasks/{more}")
    desk.page.get_by_role("button", name="Approve", exact=True).click()
    undo = desk.page.get_by_role("button", name="Undo")
    undo.focus()
    expect(desk.page.locator("body[data-live=on]")).to_be_visible()
    desk.page.locator(".banner").evaluate("it => it.setAttribute('data-old', '')")
    run(5)
    expect(desk.page.locator(".banner:not([data-old])")).to_be_visible()
    expect(undo).to_be_focused()
    undo.press("Enter")
    expect(desk.page.get_by_role("button", name="Approve", exact=True)).to_be_visible()


def test_what_is_opened_on_a_phone_is_read_from_its_top(visit: Begin, product: Product) -> None:
    asked = _asked(product, 4)
    phone = visit(asked["who"], phone=True)
    page = phone.page
    page.locator(f"#list a[href*='{asked['task']}']").press("Enter")
    page.wait_for_url(f"**/tasks/{asked['task']}*")
    # There is no list any more that could keep the focus.
    heading = page.locator("#pane h1")
    expect(heading).to_be_focused()
    expect(page.locator("#said[role=status]")).to_have_text(f"Opened: {heading.inner_text()}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Whole request")).to_be_focused()
    phone.check("opened")


def test_like_ones_are_approved_together_without_scripts(visit: Begin, product: Product) -> None:
    asked = [_asked(product, days) for days in (5, 6)]
    desk = visit(asked[0]["who"], phone=True, scripts=False)
    for each in asked:
        desk.page.locator(f"input[value='{each['task']}']").check()
    desk.shot("chosen")
    desk.page.get_by_role("button", name="together").click()
    expect(desk.page.locator(".sums")).to_contain_text("11")
    desk.shot("preview")
    Program(product, asked[0]["who"]).decide(asked[0]["task"], "reject", comment="No.")
    desk.page.get_by_role("button", name="Approve these 2").click()
    expect(desk.page.locator(".outcomes .said-of")).to_have_text(
        ["✗ Bob Larsson was first: Reject", "✓ Approved"]
    )
    desk.shot("results")


def test_lists_filters_and_pages_hold_to_the_rules(visit: Begin, product: Product) -> None:
    asked = _asked(product, 7)
    for person, phone, dark in ((asked["who"], False, True), (asked["who"], True, False)):
        desk = visit(person, phone=phone, dark=dark)
        desk.go("/?due=soon&q=leave")
        page, name = desk.page, "Soon, on a phone" if phone else "Soon"
        page.get_by_text("Save this filter").click()
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Save").click()
        page.get_by_role("link", name=name, exact=True).wait_for()
        desk.check("narrowed")
        desk.go("/")
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url("**/?*due=soon*")
        assert page.get_by_role("searchbox").input_value() == "leave"
        desk.go("/")
        page.get_by_text("Remove a filter").click()
        page.get_by_role("button", name=f"Remove “{name}”").click()
        expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)
        desk.go(f"/bulk?task={asked['task']}")
        desk.check("bulk")
    alice = visit("alice")
    for view in ("waiting", "done"):
        alice.go(f"/?view={view}")
        alice.check(view)
    alice.go("/notifications")
    alice.check("notifications")
