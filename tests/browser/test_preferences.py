"""Saying what one wants to be told, as people do it: on a phone, in the dark, without JavaScript."""

from tests.browser.visits import Begin


def test_what_one_wants_to_be_told_is_said_and_stays(visit: Begin) -> None:
    bob = visit("bob", phone=True, scripts=False)
    page = bob.go("/preferences")
    finished = page.get_by_role("group", name="A request of mine, or that I watch, has ended")
    finished.get_by_label("Once a day").check()
    page.get_by_label("Quiet from").fill("20:00")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_label("Quiet until").get_attribute("aria-invalid") == "true"
    page.get_by_label("Quiet until").fill("07:00")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_text("Saved.").is_visible()
    assert page.get_by_label("Quiet from").input_value() == "20:00"
    assert finished.get_by_label("Once a day").is_checked()
    again = visit("bob", phone=True, dark=True)
    again.go("/preferences")
    again.check("preferences")
