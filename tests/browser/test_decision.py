"""The decision: read, made, taken back, made again; with keys alone, and on a phone without scripts."""

from playwright.sync_api import expect

from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import Begin, Visit


def test_a_decision_is_made_with_keys_and_taken_back(visit: Begin, product: Product) -> None:
    alice = Program(product, "alice")
    request = alice.submit("purchase_order", item="An oven", amount=720.5, currency="EUR")
    task = alice.task_of(request)["id"]
    beaten = _beaten(visit, product)
    desk = visit("bob")
    # What happens at once has stories of its own; here nothing is renewed while it is looked at.
    desk.context.route("**/live", lambda route: route.abort())
    page = desk.go(f"/tasks/{task}")
    page.get_by_text("720.50 EUR", exact=True).wait_for()
    page.get_by_text("Why me?").click()
    page.get_by_text("employee.manager decides").wait_for()
    desk.check("to-decide")

    # Without the comment that its recipe wants nothing is sent.
    page.get_by_role("button", name="Reject", exact=True).press("Enter")
    assert page.get_by_label("Comment needed for").evaluate("field => field.validationMessage")
    page.get_by_label("Comment needed for").fill("Fine by me.")
    page.get_by_role("button", name="Approve", exact=True).press("Enter")
    page.get_by_role("button", name="Undo").wait_for()
    desk.check("may-be-undone")
    page.get_by_role("button", name="Undo").press("Enter")
    page.get_by_role("button", name="Approve", exact=True).wait_for()
    assert page.get_by_role("button", name="Undo").count() == 0

    page.get_by_text("Ask somebody").press("Enter")
    page.get_by_label("Whom", exact=True).fill("alice")
    page.get_by_label("Question").fill("Is the old one beyond repair?")
    page.get_by_role("button", name="Ask", exact=True).press("Enter")
    page.get_by_text("Not answered yet.").wait_for()
    page.get_by_role("button", name="Approve", exact=True).press("Enter")
    page.get_by_role("button", name="Undo").wait_for()

    hers = visit("alice", dark=True)
    hers.context.route("**/live", lambda route: route.abort())
    hers.go(f"/requests/{request}")
    hers.page.get_by_label("Your answer").fill("Yes.")
    hers.page.get_by_role("button", name="Answer").press("Enter")
    hers.page.get_by_text("Alice Moreau answered").last.wait_for()
    hers.check("request")
    _comes_to(alice, request, "approved")
    desk.go(f"/tasks/{task}")
    page.get_by_text("You decided").filter(has_text="Approve").first.wait_for()
    desk.check("decided")
    # Meanwhile his time is over. His page, which nobody has touched, does not say that it was sent.
    expect(beaten.page.get_by_role("alert")).to_contain_text("did not count. Carol")
    expect(beaten.page.get_by_role("alert")).to_contain_text("was first")
    beaten.check("did-not-count")


def test_a_page_says_what_became_of_a_decision_in_another_window(
    visit: Begin, product: Product
) -> None:
    alice = Program(product, "alice")
    request = alice.submit("purchase_order", item="A shelf", amount=300, currency="EUR")
    task = alice.task_of(request)["id"]
    desk = visit("bob")
    desk.context.route("**/live", lambda route: route.abort())
    # Its clock can be put forward: the server's ten seconds are not over then.
    desk.page.clock.install()
    page, banner = (
        desk.go(f"/tasks/{task}"),
        desk.page.locator(".banner").filter(has_text="A shelf"),
    )
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(banner).to_contain_text("Sending in")
    other = desk.context.new_page()
    other.goto(f"{product.url}/tasks/{task}")
    other.get_by_role("button", name="Undo").click()
    other.get_by_role("button", name="Approve", exact=True).wait_for()
    page.clock.fast_forward(11_000)
    expect(banner).to_contain_text("Sending now")
    page.clock.fast_forward(1_000)
    expect(banner).to_contain_text("Not sent: undone in another window")
    desk.check("undone-elsewhere")

    # Nor is it guessed where the server says nothing.
    desk.context.route("**/delayed/*", lambda route: route.abort())
    desk.go(f"/tasks/{task}").get_by_role("button", name="Approve", exact=True).click()
    expect(banner).to_contain_text("Sending in")

    def told() -> bool | None:
        page.clock.fast_forward(11_000)
        return "Not known yet whether it was sent" in (banner.text_content() or "") or None

    until(told, "the page gives up")
    desk.check("not-known")
    banner.get_by_role("link", name="Look again").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Approve", exact=True).wait_for()


def test_a_page_that_renews_itself_says_that_a_decision_was_sent(
    visit: Begin, product: Product
) -> None:
    alice, bob = Program(product, "alice"), Program(product, "bob")
    request = alice.submit("purchase_order", item="A stool", amount=80, currency="EUR")
    bob.decide(alice.task_of(request)["id"], after=4)
    banner = visit("bob").go("/").locator(".banner").filter(has_text="A stool")
    expect(banner).to_contain_text("Sending in")
    expect(banner).to_contain_text("Sent", timeout=20_000)
    expect(banner).to_have_count(0, timeout=20_000)


def test_a_decision_on_a_phone_without_scripts(visit: Begin, product: Product) -> None:
    alice = Program(product, "alice")
    request = alice.submit("purchase_order", item="A desk", amount=400, currency="EUR")
    task = alice.task_of(request)["id"]
    phone = visit("bob", phone=True, dark=True, scripts=False)
    page = phone.go(f"/tasks/{task}")
    phone.shot("to-decide")
    page.get_by_role("button", name="Request changes").click()
    page.get_by_role("alert").wait_for()
    phone.shot("needs-a-comment")
    page.get_by_label("Comment needed for").fill("A smaller one.")
    page.get_by_role("button", name="Request changes").click()
    page.get_by_role("button", name="Undo").wait_for()
    _comes_to(alice, request, "rewound")

    hers = visit("alice", phone=True)
    hers.context.route("**/live", lambda route: route.abort())
    hers.go(f"/requests/{request}")
    hers.page.get_by_text("A smaller one.").first.wait_for()
    hers.check("came-back")
    hers.page.get_by_role("button", name="Change it and send it again").wait_for()


def test_a_sign_that_turns_text_round_does_so_in_its_own_text_alone(
    visit: Begin, product: Product
) -> None:
    alice = Program(product, "alice")
    request = alice.submit("purchase_order", item="A lamp\u202e", amount=300, currency="EUR")
    task = alice.task_of(request)["id"]
    desk = visit("bob")
    desk.context.route("**/live", lambda route: route.abort())
    page = desk.go(f"/tasks/{task}")
    assert "\u202e" not in (page.locator("article h1").text_content() or "\u202e")
    page.get_by_role("button", name="Approve", exact=True).click()
    left = page.locator(".banner", has_text="A lamp").locator(".left")
    expect(left).to_contain_text("Sending in")
    # A title of before they were cleaned.
    page.locator(".banner a").evaluate(_TURNED)
    assert left.evaluate(_IN_ORDER)
    desk.shot("turned")
    desk.go(f"/requests/{request}")
    page.locator("h1 bdi").evaluate(_TURNED)
    assert page.locator("h1 .state").evaluate(_IN_ORDER)
    desk.shot("turned-request")


_TURNED = "it => { it.textContent += '\u202e'; }"
_IN_ORDER = """it => {
    const [range, text] = [document.createRange(), it.firstChild];
    const places = [0, 1, 2, 3].map(count => {
        range.setStart(text, count);
        range.setEnd(text, count + 1);
        return range.getBoundingClientRect().left;
    });
    return places.every((place, count) => !count || place > places[count - 1]);
}"""
"""Whether the letters of an element's text stand from left to right."""


def _beaten(visit: Begin, product: Product) -> Visit:
    """Somebody whose decision may be undone yet, and who will be told that another's was first."""
    alice = Program(product, "alice")
    task = alice.task_of(alice.submit("payment_run", amount=75, currency="EUR", payments=2))["id"]
    desk = visit("dave")
    desk.context.route("**/live", lambda route: route.abort())
    page = desk.go(f"/tasks/{task}")
    page.get_by_role("button", name="Approve", exact=True).click()
    page.get_by_role("button", name="Undo").wait_for()
    Program(product, "carol").decide(task)
    return desk


def _comes_to(person: Program, request: str, state: str) -> None:
    """Once it can be undone no more, what was decided is sent."""

    def look() -> bool | None:
        return person.call("GET", f"/v1/requests/{request}")["state"] == state or None

    until(look, f"the request is {state}")
