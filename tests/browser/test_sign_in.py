"""Signing in, as whoever one likes in development; and what the tests of pages stand on."""

import hashlib

from tests.acceptance.product import Product
from tests.browser.programs import Program
from tests.browser.visits import HERE, Begin


def test_somebody_signs_in_and_finds_what_needs_them(visit: Begin, product: Product) -> None:
    request = Program(product, "alice").submit("leave_request", days=5)
    task = Program(product, "alice").task_of(request)
    desk = visit(None)
    desk.check("sign-in")
    desk.page.get_by_label("Person").select_option(task["assignee"])
    desk.page.get_by_role("button", name="Sign in as this person").click()
    desk.page.locator(f"#list a[href='/tasks/{task['id']}']").wait_for()
    desk.check("inbox")
    desk.page.get_by_role("button", name="sign out").click()
    desk.page.wait_for_url("**/sign-in")


def test_on_a_phone_in_the_dark(visit: Begin) -> None:
    visit(None, phone=True, dark=True).check("sign-in")
    visit("judy", phone=True, dark=True).check("inbox")


def test_without_scripts_by_the_keyboard_alone(visit: Begin) -> None:
    desk = visit(None, scripts=False)
    desk.page.keyboard.press("Tab")
    assert desk.focused().inner_text() == "Skip to content"
    desk.page.keyboard.press("Enter")
    desk.page.keyboard.press("Tab")
    desk.page.keyboard.type("Bob")
    for _ in ("administrator", "auditor", "sign in"):
        desk.page.keyboard.press("Tab")
    desk.page.keyboard.press("Enter")
    desk.page.wait_for_url(f"{desk.product.url}/")
    assert desk.page.get_by_role("button", name="Bob Larsson, sign out").is_visible()


def test_vendored_files_are_as_published() -> None:
    vendor = HERE / "vendor"
    lines = (vendor / "SHA256SUMS").read_text().splitlines()
    listed = {path: digest for digest, path in (line.split() for line in lines)}
    there = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.glob("*/*")
    }
    assert there == listed
