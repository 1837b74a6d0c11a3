"""Asking for something, leaving decisions to somebody else, and saying what to be told, as people do it."""

from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import Begin

TRIP = """
workflow: business_trip
version: 1
title: "To {{ to.city }}"
description: A journey for the house, with all who come along.
entity: optional
inputs:
  type: object
  required: [to, leaves, hotel, travellers, agreed]
  additionalProperties: false
  properties:
    to:
      type: object
      title: Where to
      required: [city]
      properties:
        city: {type: string, title: City}
        country: {type: string, title: Country, pattern: "^[A-Z]{2}$", examples: [ES]}
    leaves: {type: string, format: date-time, title: Departure}
    hotel: {type: boolean, title: Is a hotel needed?}
    by: {type: array, title: How, uniqueItems: true, items: {enum: [train, plane]}}
    travellers:
      type: array
      title: Travellers
      minItems: 1
      items:
        type: object
        required: [name]
        properties: {name: {type: string, title: Name}, allowance: {type: number, maximum: 500}}
    special: {type: object, title: Anything special}
    agreed: {const: true, title: I know the rules for journeys}
steps:
  - {id: manager, name: Manager, approver: "{{ employee.manager }}", timeout: 48h, on_timeout: escalate}
  - {id: many, name: Many travellers, when: size(travellers) > 3, approver: role:finance}
"""


def publish(product: Product) -> None:
    admin = Program(product, "oscar", ("admin",))
    admin.call("POST", "/v1/recipes", content=TRIP, headers={"content-type": "application/yaml"})


def test_on_a_phone_in_the_dark_rows_come_and_mistakes_stand_where_they_are(
    visit: Begin, product: Product
) -> None:
    publish(product)
    phone = visit("alice", phone=True, dark=True)
    page = phone.go("/new/business_trip")
    phone.check("trip")
    page.get_by_label("City").fill("Vigo")
    assert page.get_by_text("by the clocks of UTC").is_visible()
    page.get_by_label("Departure").fill("2027-03-01T09:30")
    page.get_by_label("No", exact=True).check()
    page.get_by_label("Train").check()
    page.get_by_label("Name").fill("Dora")
    page.get_by_role("button", name="Add another of Travellers").click()
    page.get_by_label("Name").nth(1).fill("Eva")
    page.get_by_label("Anything special").fill("{window")
    page.get_by_label("I know the rules").check()
    page.get_by_role("button", name="Send", exact=True).click()
    summary = page.get_by_role("alert")
    summary.get_by_role("link", name="Anything special").click()
    assert page.get_by_label("Anything special").input_value() == "{window"
    assert [it.input_value() for it in page.get_by_label("Name").all()] == ["Dora", "Eva"]
    phone.check("mistake")
    page.get_by_label("Anything special").fill('{"window": true}')
    page.get_by_role("button", name="Send", exact=True).click()
    page.wait_for_url("**/requests/*")
    made = Program(product, "alice").call("GET", f"/v1/requests/{page.url.rpartition('/')[2]}")
    assert made["inputs"] == {
        "to": {"city": "Vigo"},
        "leaves": "2027-03-01T09:30:00+00:00",
        "hotel": False,
        "by": ["train"],
        "travellers": [{"name": "Dora"}, {"name": "Eva"}],
        "special": {"window": True},
        "agreed": True,
    }


def test_what_came_back_is_sent_again_without_scripts(visit: Begin, product: Product) -> None:
    alice = Program(product, "alice")
    request = alice.submit("purchase_order", item="A press", amount=7200, currency="EUR")
    bob = Program(product, "bob")
    bob.decide(alice.task_of(request)["id"], "request_changes", comment="Which one?")

    def came_back() -> bool | None:
        return alice.call("GET", f"/v1/requests/{request}")["state"] == "rewound" or None

    until(came_back, "the request comes back")
    desk = visit("alice", scripts=False)
    page = desk.go(f"/new?resubmit={request}")
    assert "Which one?" in page.get_by_role("blockquote").inner_text()
    desk.shot("again")
    page.get_by_label("What is bought").fill("A letterpress")
    page.get_by_role("button", name="Who will be asked?").click()
    page.get_by_role("heading", name="Who will be asked").wait_for()
    assert "Bob Larsson" in page.locator("#way").inner_text()
    page.get_by_role("button", name="Send again").click()
    page.wait_for_url(f"**/requests/{request}")

    def goes_on() -> bool | None:
        now = alice.call("GET", f"/v1/requests/{request}")
        return (now["state"], now["inputs"]["item"]) == ("pending", "A letterpress") or None

    until(goes_on, "the request goes on with what it says now")


def test_somebody_leaves_for_a_week_and_stays_after_all(visit: Begin) -> None:
    desk = visit("judy")
    page = desk.page
    page.get_by_role("link", name="Out of office").click()
    page.get_by_label("Who decides instead of you").fill("Larss")
    page.locator("#delegate-people option[value=bob]").wait_for(state="attached")
    page.get_by_label("First day").fill("2047-01-07")
    page.get_by_label("Last day").fill("2047-01-13")
    desk.check("leaving")
    page.get_by_role("button", name="Save").click()
    said = "Saved: Bob Larsson decides instead of you from Mon 7 Jan 2047 to Sun 13 Jan 2047."
    page.get_by_role("status").filter(has_text=said).wait_for()
    desk.check("left")
    page.get_by_role("button", name="Cancel Bob Larsson").click()
    page.get_by_text("Ended.").wait_for()


def test_somebody_wants_less_mail(visit: Begin) -> None:
    phone = visit("grace", phone=True)
    page = phone.go("/preferences")
    phone.check("told")
    page.get_by_role("group", name="It still waits").get_by_label("Once a day").check()
    page.get_by_label("Quiet from").fill("20:00")
    page.get_by_label("Quiet until").fill("07:00")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    assert page.get_by_role("group", name="It still waits").get_by_label("Once a day").is_checked()
    desk = visit("grace", dark=True)
    desk.go("/preferences")
    desk.check("told-dark")
