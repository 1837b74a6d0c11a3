"""Administration: a recipe from its first mistake to the switch that ends it; incidents; reports."""

from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import Begin

RECIPE = """workflow: parking
version: 1
title: A place to park
steps:
  - id: house
    type: approval
    candidates: role:nobody-yet
"""


def test_a_recipe_is_published_gets_stuck_and_is_switched_off(
    visit: Begin, product: Product
) -> None:
    desk = visit("heidi", "admin")
    page = desk.page
    page.get_by_role("link", name="Admin").click()
    desk.check("overview")
    page.get_by_role("link", name="Recipes").click()
    desk.check("recipes")
    page.get_by_role("button", name="Publish a recipe").click()
    page.get_by_label("or its text").fill(RECIPE.replace("candidates:", "candidate:"))
    page.get_by_role("button", name="Check").click()
    page.get_by_text("Error, line 7").wait_for()
    # The caret stands under its line.
    line = page.locator(".finding .marked").last.bounding_box()
    caret = page.locator(".finding .caret").last.bounding_box()
    assert line is not None
    assert caret is not None
    assert caret["y"] >= line["y"] + line["height"] - 2, (line, caret)
    desk.check("recipe-with-a-problem")
    page.get_by_label("or its text").fill(RECIPE)
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("Published.").wait_for()
    desk.check("recipe-published")
    page.get_by_role("button", name="New version").click()
    newer = RECIPE.replace("version: 1", "version: 2").replace("nobody-yet", "nobody-still")
    page.get_by_label("or its text").fill(newer)
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("heading", name="What is new since version 1").wait_for()
    page.get_by_text("role:nobody-still").first.wait_for()
    assert (
        page.locator(".diagram img").evaluate("it => it.decode().then(() => it.naturalWidth)") > 300
    )
    desk.go("/admin/recipes/document_review")
    assert (
        page.locator(".diagram img").evaluate("it => it.decode().then(() => it.naturalWidth)") > 300
    )
    desk.check("machine")

    request = Program(product, "alice").submit("parking")
    program = Program(product, "heidi", ("admin",))
    until(
        lambda: program.call("GET", "/v1/incidents?workflow=parking")["items"] or None,
        "the request has an incident",
    )
    desk.go("/admin/incidents")
    stuck = page.get_by_role("article").filter(has_text="A place to park")
    desk.check("incidents")
    stuck.get_by_label("Give it to").fill("carol")
    stuck.get_by_label("Why").fill("Nobody looks after parking yet.")
    stuck.get_by_role("button", name="Reassign").click()
    page.get_by_text("Reassigned.").wait_for()
    assert Program(product, "alice").task_of(request)["assignee"] == "carol"

    desk.go("/admin/recipes/parking")
    page.get_by_role("row", name="A place to park").wait_for()
    page.get_by_label("Why").fill("Not before there is a role.")
    page.get_by_role("button", name="Take no new requests").click()
    page.get_by_text("Not before there is a role.").wait_for()
    page.get_by_role("button", name="Take new requests again").wait_for()


def test_reports_on_a_phone_without_scripts(visit: Begin, product: Product) -> None:
    alice = Program(product, "alice")
    task = alice.task_of(alice.submit("leave_request", days=5))
    Program(product, task["assignee"]).decide(task["id"])
    visit("grace", "auditor").go("/admin/reports")
    desk = visit("grace", "auditor", phone=True, dark=True, scripts=False)
    page = desk.go("/admin/reports")
    page.get_by_label("Within").select_option("a year")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("rowheader", name="leave_request: manager_approval").wait_for()
    desk.shot("reports")
