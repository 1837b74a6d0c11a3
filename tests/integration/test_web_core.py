"""Pages: who may look, what a form must bring, and which headers keep others out."""

import gzip
import re
from typing import Any

import httpx
import pytest

from api import sessions
from api.app import create_app
from api.sessions import Ended
from api.web.visitors import AUDIENCE
from storage.pool import Pool, vault_of
from tests import pages
from tests.integration.browsing import HTML, ORIGIN, signed_in
from tests.integration.house import House, Recorder
from tests.integration.test_delayed import kept

PAGE = "text/html; charset=utf-8"
INLINE = r"<script(?![^>]*\ssrc=)|<style|\son[a-z]+=|\sstyle="
"""What a page of ours has none of: scripts and styles that are no file of ours."""


async def test_who_has_not_signed_in_is_sent_to_do_so(house: House) -> None:
    answered = await house.client.get("/?q=a%20b")
    assert answered.status_code == 303
    assert answered.headers["location"] == "/sign-in?next=/%3Fq%3Da%2520b"
    sent = await house.client.post("/sign-out", headers=ORIGIN)
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/")


async def test_the_session_is_of_whom_one_chose(house: House) -> None:
    await house.begun()
    await signed_in(house, "bob")
    cookie = next(iter(house.client.cookies.jar))
    assert (cookie.name, cookie.has_nonstandard_attr("HttpOnly")) == ("countersign", True)
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
    shown = await house.client.get("/")
    assert "5 days for Alice Moreau" in shown.text
    again = await house.client.get("/sign-in?next=/absence")
    assert (again.status_code, again.headers["location"]) == (303, "/absence")


async def test_every_page_keeps_scripts_of_others_out_and_is_small(house: House) -> None:
    """With its styles and scripts, compressed: what a phone loads at first."""
    flow = await house.begun(inputs={"days": 5, "why": "<script>alert(1)</script>"})
    delayed = await kept(house, "bob", (await house.begun()).task)
    known = {
        "task_id": flow.task,
        "delayed_id": delayed["id"],
        "request_id": str(flow.state.request_id),
        "workflow": "leave",
        "name": "leave",
    }
    sizes = dict[str, int]()

    async def look(path: str, status: int) -> None:
        found = await house.client.get(path, headers=HTML)
        assert (found.status_code, found.headers["content-type"]) == (status, PAGE), path
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
        assert "unsafe" not in policy
        assert found.headers["cache-control"] == "no-store", path
        assert not re.search(INLINE, found.text), path
        loaded = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', found.text))
        for each in loaded - sizes.keys():
            sizes[each] = len(gzip.compress((await house.client.get(each)).content, 5))
        size = len(gzip.compress(found.content, 5)) + sum(sizes[each] for each in loaded)
        assert size < 100_000, (path, size)

    await look("/sign-in", 200)
    await signed_in(house, "bob", "admin")
    await look("/nowhere", 404)
    for page in pages.paths():
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: known[found[1]], page)
        # Only whoever submitted a request sends it again.
        await look(f"{path}?task={flow.task}", 403 if path.endswith("/resubmit") else 200)


async def test_a_form_must_come_from_a_page_of_ours(house: House) -> None:
    token = await signed_in(house, "bob")

    async def leave(**headers: str) -> httpx.Response:
        return await house.client.post("/sign-out", data={"csrf": token}, headers=headers)

    elsewhere = await leave(origin="https://evil.example")
    assert elsewhere.status_code == 403
    assert "another site" in elsewhere.json()["detail"]
    assert (await leave(**{"sec-fetch-site": "cross-site"})).status_code == 403
    for forged in ("", "x" * len(token)):
        refused = await house.client.post("/sign-out", data={"csrf": forged}, headers=ORIGIN)
        assert refused.status_code == 403
    page = await house.client.post("/sign-out", headers=ORIGIN | {"accept": "text/html"})
    assert "load it again" in page.text
    by_header = await house.client.post("/sign-out", headers=ORIGIN | {"x-csrf-token": token})
    assert by_header.headers["location"] == "/sign-in"
    assert (await house.client.get("/")).status_code == 303


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", ""]
)
async def test_one_goes_on_to_pages_of_ours_alone(house: House, path: str) -> None:
    answered = await house.client.post(
        "/sign-in", data={"person": "bob", "next": path}, headers=ORIGIN
    )
    assert answered.headers["location"] == "/"


async def test_one_is_somebody_who_is_there(house: House) -> None:
    for person in ("nobody", "bob,carol", "", "*"):
        refused = await house.client.post("/sign-in", data={"person": person}, headers=ORIGIN)
        assert (refused.status_code, "there is no such person" in refused.text) == (422, True)


async def test_one_is_whom_one_likes_at_this_machines_own_names_alone(house: House) -> None:
    """A page of a name that somebody else runs, and makes lead here, would be of our own origin."""
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[::1", "api.evil"):
        named = {"host": host, "origin": f"http://{host}"} | HTML
        refused = await house.client.get("/sign-in", headers=named)
        assert (refused.status_code, "open http://api, or set" in refused.text) == (403, True)
        assert "Bob Tanaka" not in refused.text
        forged = await house.client.post("/sign-in", data={"person": "bob"}, headers=named)
        assert (forged.status_code, "set-cookie" in forged.headers) == (403, False)
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "LOCALHOST", "api:8080"):
        own = {"host": host, "origin": f"http://{host}"}
        begun = await house.client.post("/sign-in", data={"person": "bob"}, headers=own)
        assert (begun.status_code, "set-cookie" in begun.headers) == (303, True), host


async def test_nobody_is_whom_they_like_outside_development(house: House, pool: Pool) -> None:
    settings = house.settings.model_copy(update={"environment": "production"})

    async def recorded(*_: Any) -> Recorder:
        return Recorder()

    app = create_app(settings, recorded)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            shown = await client.get("/sign-in")
            assert "No sign-in is set up" in shown.text
            refused = await client.post("/sign-in", data={"person": "bob"}, headers=ORIGIN)
            assert refused.status_code == 404
            assert (await client.get("/sign-in/oidc")).status_code == 404


async def test_a_cookie_is_ours_or_none(house: House) -> None:
    await signed_in(house, "bob")
    cookie = house.client.cookies["countersign"]
    for forged in (cookie[:-3], "x", "", cookie.replace(".", "")):
        house.client.cookies.clear()
        shown = await house.client.get("/", headers={"cookie": f"countersign={forged}"})
        assert shown.status_code == 303


async def test_programs_are_answered_as_before(house: House) -> None:
    shown = await house.client.get("/v1/nothing", headers={"accept": "text/html"})
    assert shown.headers["content-type"] == "application/problem+json"
    page = await house.client.get("/nothing", headers={"accept": "text/html"})
    assert (page.status_code, "no page at /nothing" in page.text) == (404, True)
    # A session is for pages: the API takes tokens alone, so no other site's form can reach it.
    await signed_in(house, "bob")
    assert (await house.client.get("/v1/tasks")).status_code == 401


async def test_a_copy_of_the_cookie_counts_no_more_once_one_has_signed_out(house: House) -> None:
    token = await signed_in(house, "bob")
    copy = {"cookie": f"countersign={house.client.cookies['countersign']}", "accept": "text/html"}
    elsewhere = Ended(house.pool)
    left = await house.client.post("/sign-out", data={"csrf": token}, headers=ORIGIN)
    assert left.headers["location"] == "/sign-in"
    house.client.cookies.clear()
    assert (await house.client.get("/", headers=copy)).status_code == 303
    session = sessions.read(
        vault_of(house.pool), AUDIENCE, copy["cookie"].removeprefix("countersign=")
    )
    assert session is not None
    assert await elsewhere.has(session)
    await signed_in(house, "bob")
    assert (await house.client.get("/")).status_code == 200


async def test_somebody_is_signed_out_everywhere(house: House) -> None:
    await signed_in(house, "bob", "admin")
    refused = await house.post("/v1/sessions/end", "alice", json={"person": "bob"})
    assert refused.status_code == 403
    ended = await house.post("/v1/sessions/end", "root", "admin", json={"person": "bob"})
    assert ended.status_code == 200
    # As another process, or this one five seconds later.
    house.app.state.services.ended._asked = float("-inf")
    assert (await house.client.get("/")).status_code == 303
    await signed_in(house, "bob")
    assert (await house.client.get("/")).status_code == 200
    told = await house.get("/v1/audit", "tess", "auditor", params={"type": "sessions.ended"})
    [event] = told.json()["items"]
    assert (event["actor"]["user"], event["payload"]["person"]) == ("root", "bob")
