"""The lists of the inbox, filters, and approving together, as pages without a browser."""

import gzip
import re

from storage.pool import Pool
from tests.integration.browsing import HTML, sent, shown, signed_in
from tests.integration.house import House


def _titles(page: str) -> list[str]:
    return re.findall(r'<span class="what">([^<]*)</span>', page)


async def test_four_lists_and_what_they_are_narrowed_to(house: House) -> None:
    csrf = await signed_in(house, "bob")
    assert "Nothing needs you now." in await shown(house, "/")
    for days in (1, 2):
        await house.begun(inputs={"days": days})
    await house.begun("bob", "shared", {})
    page = await shown(house, "/")
    assert _titles(page) == ["1 days for Alice Moreau", "2 days for Alice Moreau"]
    assert re.search(r'aria-current="page">Needs me <span class="count">2</span>', page)
    assert _titles(await shown(house, "/?q=2+days&due=soon")) == ["2 days for Alice Moreau"]
    assert "Nothing fits." in await shown(house, "/?due=overdue")
    waiting = await shown(house, "/?view=waiting")
    assert _titles(waiting) == ["Shared"]
    assert "waits for anyone in hr" in waiting
    assert _titles(await shown(house, "/?view=mine")) == ["Shared"]
    # What is not known is left out, and what cannot be is said.
    assert len(_titles(await shown(house, "/?view=nothing&unknown=1"))) == 2
    assert "due" in await shown(house, "/?due=later")

    saved = await sent(house, "/filters", csrf, view="needs", q="2 days", name="Two")
    assert saved.headers["location"] == "/?view=needs&q=2+days"
    page = await shown(house, "/")
    assert '<a href="/?view=needs&amp;q=2+days">Two</a>' in page
    [filter_id] = re.findall(r"/filters/([^/]+)/remove", page)
    nameless = await sent(house, "/filters", csrf, q="x", name="")
    assert (nameless.status_code, 'id="filter-wrong"' in nameless.text) == (422, True)
    for _ in range(2):
        removed = await sent(house, f"/filters/{filter_id}/remove", csrf)
        assert removed.status_code == 303
    assert "Two" not in await shown(house, "/")


async def test_pages_of_a_list(house: House) -> None:
    await signed_in(house, "bob")
    for _ in range(51):
        await house.begun()
    page = await shown(house, "/")
    assert len(_titles(page)) == 50
    [more] = re.findall(r'href="([^"]+)" rel="next"', page)
    last = await shown(house, more.replace("&amp;", "&"))
    assert len(_titles(last)) == 1
    assert "To the beginning" in last


async def test_like_tasks_are_approved_together(house: House, pool: Pool) -> None:
    csrf = await signed_in(house, "bob")
    first, second, third = [await house.begun(inputs={"days": n}) for n in (1, 2.5, 3)]
    other = await house.begun("alice", "shared", {})
    ids = [flow.task for flow in (first, second, third, other)]
    page = await shown(house, "/bulk?" + "&".join(f"task={each}" for each in ids))
    assert "They are sent at once: several together cannot be undone." in page
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "3 &times; Leave, Manager",
        "1 &times; Shared, Pool",
    ]
    assert "<dd>6.5</dd>" in page
    pinned = re.findall(r'name="item" value="([^"]+)"', page)[:3]
    # Meanwhile one is decided by another, and one is about something else.
    await pool.execute(
        "UPDATE tasks SET digest = repeat('f', 64) WHERE id = $1::text::uuid", third.task
    )
    await house.decide("bob", first.task, "reject", comment="no")
    done = await sent(house, "/bulk", csrf, item=[*pinned], comment="")
    assert done.status_code == 200, done.text
    results = re.findall(r'<span class="said-of">(. [^<]*)</span>', done.text)
    assert results == [
        "✗ Bob Tanaka was first: Reject",
        "✓ Approved",
        "✗ Changed since you looked: open it and look again",
    ]
    assert (await shown(house, f"/bulk?task={first.task}")).count("nothing left to approve") == 1
    assert (await sent(house, "/bulk", csrf)).headers["location"] == "/"


async def test_static_files_are_kept_and_compressed_where_it_tells_nothing(house: House) -> None:
    csrf = await signed_in(house, "bob")
    page = await house.client.get("/", headers=HTML)
    assert "content-encoding" not in page.headers
    for site, packed in (("same-origin", True), ("none", True), ("cross-site", False)):
        again = await house.client.get("/", headers=HTML | {"sec-fetch-site": site})
        assert (again.headers.get("content-encoding") == "gzip") is packed
        assert csrf in again.text
    [path] = re.findall(r'href="(/static/web/list.css[^"]+)"', page.text)
    style = await house.client.get(path)
    assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert style.headers["content-encoding"] == "gzip"
    assert "cache-control" not in (await house.client.get("/static/web/list.css")).headers
    listed = await house.get("/v1/tasks", "bob", headers={"sec-fetch-site": "same-origin"})
    assert "content-encoding" not in listed.headers


async def test_a_page_stays_under_100_kb(house: House) -> None:
    """Compressed, with its styles and scripts, with a list as long as lists get."""
    await signed_in(house, "bob")
    for _ in range(50):
        await house.begun()
    page = await shown(house, "/")
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    parts = [page.encode(), *[(await house.client.get(path)).content for path in paths]]
    assert sum(len(gzip.compress(part, 5)) for part in parts) < 100_000


async def test_notifications_are_read(house: House, pool: Pool) -> None:
    csrf = await signed_in(house, "bob")
    flow = await house.begun()
    await pool.execute(
        "INSERT INTO notifications (id, request_id, step, person, message, sent_at)"
        " VALUES (gen_random_uuid(), $1, 'tell', 'bob', 'Look here', now())",
        flow.state.request_id,
    )
    assert "1 unread notification<" in await shown(house, "/")
    assert "Look here" in await shown(house, "/notifications")
    await sent(house, "/notifications/read", csrf)
    assert "unread" not in await shown(house, "/")
