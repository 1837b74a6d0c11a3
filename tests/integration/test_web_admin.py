"""Administration as pages: recipes with their problems in place, incidents, switches, reports."""

import re
from hashlib import sha256

from storage.org import PersonRow
from tests.integration.browsing import sent, shown, signed_in
from tests.integration.house import PEOPLE, House, shared

GOOD = """workflow: trip
version: 1
steps:
  - id: boss
    type: approval
    approver: "{{ employee.manager }}"
"""


async def test_pages_are_for_those_who_run_the_house(house: House) -> None:
    await signed_in(house, "bob")
    assert "Admin" not in await shown(house, "/")
    assert "are for administrators and auditors" in await shown(house, "/admin/reports", 403)
    await signed_in(house, "frank", "auditor")
    assert 'href="/admin"' in await shown(house, "/")
    # An auditor looks, and publishes nothing.
    assert "Publish a recipe" not in await shown(house, "/admin/recipes")


async def test_a_recipe_is_checked_published_changed_and_switched_off(house: House) -> None:
    csrf = await signed_in(house, "frank", "admin")
    bad = GOOD.replace("employee.manager", "employee.boss")
    checked = await sent(house, "/admin/recipes/new", csrf, source=bad, do="check")
    assert checked.status_code == 200
    assert "Error, line 6" in checked.text
    assert '<span class="line marked"><span class="number">6</span>' in checked.text
    assert "employee.boss" in checked.text.partition("<textarea")[2]
    refused = await sent(house, "/admin/recipes/new", csrf, source=bad, do="publish")
    assert (refused.status_code, "Error, line 6" in refused.text) == (422, True)

    fine = await sent(house, "/admin/recipes/new", csrf, source=GOOD, do="check")
    assert 'class="done">It can be published' in fine.text
    done = await sent(
        house,
        "/admin/recipes/new",
        csrf,
        files={"file": ("trip.yaml", GOOD.encode(), "application/yaml")},
        source="",
        do="publish",
    )
    assert done.headers["location"] == "/admin/recipes/trip?version=1&published=1"
    page = await shown(house, done.headers["location"])
    assert ("Published." in page, "None." in page, sha256(GOOD.encode()).hexdigest() in page) == (
        True,
        True,
        True,
    )
    picture = await house.client.get("/admin/recipes/trip/versions/1/diagram.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in picture.headers["content-security-policy"]

    assert GOOD.split("\n")[3] in await shown(house, "/admin/recipes/new?from=trip")
    newer = GOOD.replace("version: 1", "version: 2").replace("boss", "chief")
    await sent(house, "/admin/recipes/new", csrf, source=newer.replace("\n", "\r\n"), do="publish")
    page = await shown(house, "/admin/recipes/trip")
    assert "What is new since version 1" in page
    taken = await sent(house, "/admin/recipes/new", csrf, source=newer + "# more", do="publish")
    assert (taken.status_code, "use version 3" in taken.text) == (409, True)

    off = "/admin/recipes/trip/versions/2/disable"
    moved = await sent(house, off, csrf, reason="Finance asked to stop.")
    assert moved.headers["location"] == "/admin/recipes/trip?version=2"
    assert "Finance asked to stop." in await shown(house, "/admin/recipes/trip?version=2")
    await sent(house, "/admin/recipes/trip/versions/2/enable", csrf)
    assert "Finance asked to stop." not in await shown(house, "/admin/recipes/trip?version=2")
    assert "no page" in await shown(house, "/admin/nothing", 404)
    assert "version" in await shown(house, "/admin/recipes/trip?version=1/requests", 422)
    assert "there is no such recipe" in await shown(house, "/admin/recipes/nothing", 404)


async def test_an_incident_is_seen_and_helped(house: House) -> None:
    await house.publish(shared("role:empty", workflow="lost"))
    flow = await house.begun("alice", "lost", {})
    csrf = await signed_in(house, "frank", "admin")
    assert "NoApproverFound" in await shown(house, "/admin")
    page = await shown(house, "/admin/incidents")
    assert ("NoApproverFound" in page, "Try again" in page, "Give it to" in page) == (
        True,
        True,
        True,
    )
    place = f"/admin/incidents/{flow.state.request_id}/reassign"
    refused = await sent(house, place, csrf, seat="pool", to="nobody", comment="For now.")
    assert refused.status_code == 422
    assert 'value="nobody"' in refused.text
    assert 'role="alert"' in refused.text


async def test_an_incident_is_given_to_whom_a_name_means(house: House) -> None:
    two = [PersonRow(each, "Kim Lee") for each in ("kim", "kim2")]
    await house.import_org((*PEOPLE, *two))
    await house.publish(shared("role:empty", workflow="lost"))
    flow = await house.begun("alice", "lost", {})
    csrf = await signed_in(house, "frank", "admin")
    assert 'hx-get="/people?of=to"' in await shown(house, "/admin/incidents")
    place = f"/admin/incidents/{flow.state.request_id}/reassign"

    async def told(to: str) -> tuple[int, str]:
        answered = await sent(house, place, csrf, seat="pool", to=to, comment="For now.")
        at_field = re.search(r'<p class="problem" id="to-1-problem">(.*?)</p>', answered.text)
        return answered.status_code, at_field[1] if at_field else ""

    assert await told("Kim Lee") == (
        422,
        "Several people are called so: Kim Lee (kim), Kim Lee (kim2). Write the id.",
    )
    status, unknown = await told("Nobody Known")
    assert (status, "countersign org people" in unknown) == (422, True)
    assert await told("Dave Singh") == (303, "")
    [(_, command)] = house.delivery.signals
    assert "dave" in str(command)


async def test_requests_in_flight_and_reports(house: House) -> None:
    flow = await house.begun()
    await house.decide("bob", flow.task)
    await house.begun()
    await signed_in(house, "frank", "auditor")
    page = await shown(house, "/admin/recipes/leave?version=1")
    assert page.count("5 days for Alice Moreau") == 2
    assert "http://127.0.0.1:8233/namespaces/default/workflows/" in page
    page = await shown(house, "/admin/reports?days=30&workflow=leave")
    assert ("leave: manager" in page, '<svg class="plot"' in page) == (True, True)
    assert "Nothing was decided" in await shown(house, "/admin/reports?workflow=shared")


async def test_a_source_is_shown_as_text(house: House) -> None:
    source = GOOD + "# <script>alert(1)</script>\n"
    csrf = await signed_in(house, "frank", "admin")
    await sent(house, "/admin/recipes/new", csrf, source=source, do="publish")
    page = await shown(house, "/admin/recipes/trip")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
