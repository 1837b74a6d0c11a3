"""Reading another system's list over real HTTP, whatever it does to us."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import SecretStr

from activities import mapping
from activities.pages import Bounds, Source, SourceFailed, Validators
from recipes.model import Json
from tests.integration.people_server import (
    Asked,
    PeopleServer,
    answer,
    breaking_off,
    computed,
    dripping,
    people_server,
    raw,
    silent,
    status,
)

TOKEN = "the-very-secret-token"
ONE = {"id": "ann", "name": "Ann"}
PEOPLE: list[Json] = [{"id": f"p{n}", "name": f"P {n}"} for n in range(7)]
PLAIN = "request: {path: /people}\nperson: {id: id, name: name}\n"


@dataclass
class Clock:
    """Writes down how long it was to wait, and does not."""

    waited: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.fixture(name="server")
async def server_fixture() -> AsyncIterator[PeopleServer]:
    async with people_server() as server:
        yield server


def source(
    server: PeopleServer, text: str = PLAIN, clock: Clock | None = None, **bounds: Any
) -> Source:
    return Source(
        server.url,
        SecretStr(TOKEN),
        mapping.parse(text.encode(), "map.yaml"),
        replace(Bounds(page=5.0, tries=3), **bounds),
        (clock or Clock()).sleep,
    )


async def refused(reader: Source) -> str:
    with pytest.raises(SourceFailed) as caught:
        await reader.read()
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


# --- as it should be ---


async def test_one_answer_with_everybody(server: PeopleServer) -> None:
    server.will(answer([ONE]))
    listed = await source(server).read()
    assert listed.items == [ONE]
    [asked] = server.asked
    assert asked.path == "/people"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


async def test_parameters_headers_and_a_key_as_the_user(server: PeopleServer) -> None:
    text = """
request:
  path: /v1/people
  auth: key_as_user
  headers: {X-Tenant: acme}
  parameters: {format: json, all: true}
items: data.people
person: {id: id, name: name}
"""
    server.will(answer({"data": {"people": [ONE]}}))
    assert (await source(server, text).read()).items == [ONE]
    [asked] = server.asked
    assert asked.query == {"format": "json", "all": "true"}
    assert asked.headers["x-tenant"] == "acme"
    scheme, _, code = asked.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert b64decode(code).startswith(TOKEN.encode() + b":")


async def test_a_header_of_its_own_carries_the_token(server: PeopleServer) -> None:
    server.will(answer([ONE]))
    text = PLAIN.replace("/people", "/people, auth: header, header: X-Key")
    await source(server, text).read()
    assert server.asked[0].headers["x-key"] == TOKEN
    assert "authorization" not in server.asked[0].headers


def _slice(asked: Asked, begin: int) -> list[Json]:
    return PEOPLE[begin : begin + int(asked.query["limit"])]


PAGED = {
    "page": computed(lambda asked: {"data": _slice(asked, (int(asked.query["page"]) - 1) * 3)}),
    "offset": computed(lambda asked: {"data": _slice(asked, int(asked.query["offset"]))}),
    "cursor": computed(
        lambda asked: {
            "data": _slice(asked, int(asked.query.get("cursor", 0))),
            "next": str(int(asked.query.get("cursor", 0)) + 3)
            if int(asked.query.get("cursor", 0)) < 6
            else None,
        }
    ),
}


@pytest.mark.parametrize("by", ["page", "offset", "cursor"])
async def test_pages_are_read_to_the_end(server: PeopleServer, by: str) -> None:
    follows = ", next: next" if by == "cursor" else ""
    text = (
        f"pages: {{by: {by}, parameter: {by}, size: 3, size_parameter: limit{follows}}}\n"
        f"items: data\n{PLAIN}"
    )
    server.will(PAGED[by])
    assert (await source(server, text).read()).items == PEOPLE


async def test_links_to_the_next_page_are_followed(server: PeopleServer) -> None:
    text = f"pages: {{by: link, next: links.next}}\nitems: data\n{PLAIN}"
    server.will(
        answer({"data": PEOPLE[:4], "links": {"next": "/people?after=4"}}),
        answer({"data": PEOPLE[4:], "links": {}}),
    )
    assert (await source(server, text).read()).items == PEOPLE
    assert server.asked[1].query == {"after": "4"}
    assert server.asked[1].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_total_ends_the_pages(server: PeopleServer) -> None:
    text = f"pages: {{by: page, parameter: page, total: total}}\nitems: data\n{PLAIN}"
    server.will(answer({"data": PEOPLE, "total": 7}))
    assert (await source(server, text).read()).items == PEOPLE
    assert len(server.asked) == 1


async def test_amounts_stay_exact(server: PeopleServer) -> None:
    server.will(raw(b'[{"id": "ann", "limit": 0.1000000000000000055}]'))
    [item] = (await source(server).read()).items or []
    assert str(item["limit"]) == "0.1000000000000000055"


async def test_nothing_new_since(server: PeopleServer) -> None:
    server.will(answer([ONE], ETag='"v1"'), status("304 Not Modified"))
    first = await source(server).read()
    assert first.validators == Validators('"v1"', None)
    again = await source(server).read(first.validators)
    assert again.items is None
    assert again.validators == first.validators
    assert server.asked[1].headers["if-none-match"] == '"v1"'


async def test_an_unasked_304_is_no_list(server: PeopleServer) -> None:
    server.will(status("304 Not Modified"))
    assert "answers 304" in await refused(source(server))


# --- what may pass if tried again ---


@pytest.mark.parametrize(
    "trouble",
    [
        status("503 Service Unavailable"),
        status("500 Oh"),
        status("429 Too Many Requests"),
        breaking_off,
        raw(b'[{"id": "ann"'),
    ],
)
async def test_what_passes_is_tried_again(server: PeopleServer, trouble: Any) -> None:
    clock = Clock()
    server.will(trouble, trouble, answer([ONE]))
    assert (await source(server, clock=clock).read()).items == [ONE]
    first, second = clock.waited
    assert 0.5 <= first <= 1.0 <= second <= 2.0  # twice as long, less by chance


async def test_retry_after_is_kept_to(server: PeopleServer) -> None:
    clock = Clock()
    server.will(status("429 Too Many Requests", Retry_After="17"), answer([ONE]))
    await source(server, clock=clock).read()
    assert clock.waited == [17.0]


async def test_a_date_to_retry_after(server: PeopleServer) -> None:
    clock = Clock()
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.will(status("503 Wait", Retry_After=past), answer([ONE]))
    await source(server, clock=clock).read()
    assert clock.waited == [0.0]


async def test_whoever_asks_for_an_hour_is_not_waited_for(server: PeopleServer) -> None:
    clock = Clock()
    server.will(status("429 Too Many Requests", Retry_After="3600"))
    assert "asks to wait 3600 s" in await refused(source(server, clock=clock))
    assert clock.waited == []


async def test_trouble_without_end(server: PeopleServer) -> None:
    server.will(status("503 Service Unavailable"))
    text = await refused(source(server))
    assert text.endswith("/people answers 503 Service Unavailable, 3 times")
    assert len(server.asked) == 3


@pytest.mark.parametrize("how", [silent, dripping])
async def test_slowness_has_an_end(server: PeopleServer, how: Any) -> None:
    server.will(how)
    text = await refused(source(server, page=0.1, tries=2))
    assert text.endswith(
        ("did not answer in time, 2 times", "did not answer within 0.1 s, 2 times")
    )


async def test_the_whole_list_has_a_limit_of_time(server: PeopleServer) -> None:
    server.will(silent)
    assert "for the whole list" in await refused(source(server, whole=0.1, page=30.0))


async def test_nobody_is_there(server: PeopleServer) -> None:
    server.url = "http://127.0.0.1:1"
    assert "could not be connected to" in await refused(source(server))


# --- nonsense ---


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (raw(b"<html>Sign in</html>", kind="text/html"), "HTML or XML instead of JSON"),
        (raw(b"\n <!doctype html>"), "instead of JSON"),
        (raw(b"\xff\xfe\x00"), "no JSON"),
        (raw(b"NaN"), "no JSON"),
        (raw(b"[" * 100_000 + b"]" * 100_000), "nested too deep"),
        (answer({"people": [ONE]}), "an object at `items`"),
        (answer("people"), "a text at `items`"),
        (status("401 Unauthorized"), "check COUNTERSIGN_DIRECTORY_TOKEN"),
        (status("403 Forbidden"), "give its account the right"),
        (status("404 Not Found"), "check COUNTERSIGN_DIRECTORY_URL"),
        (status("418 I'm a teapot"), "answers 418"),
        (status("204 No Content"), "answers 204"),
        (status("302 Found", Location="/people"), "redirects more than"),
    ],
)
async def test_nonsense_is_refused_at_once(server: PeopleServer, reply: Any, said: str) -> None:
    server.will(reply)
    assert said in await refused(source(server, tries=1))


async def test_answers_have_a_limit_of_size(server: PeopleServer) -> None:
    server.will(answer([ONE] * 1000))
    assert "at once: use `pages`" in await refused(source(server, page_bytes=1000))


PAGES = f"pages: {{by: page, parameter: page}}\n{PLAIN}"


async def test_all_pages_together_have_a_limit_of_size(server: PeopleServer) -> None:
    server.will(computed(lambda asked: [{"id": asked.query["page"]}]))
    assert "in all" in await refused(source(server, PAGES, all_bytes=1000))


async def test_pages_that_never_end(server: PeopleServer) -> None:
    server.will(computed(lambda asked: [{"id": asked.query["page"]}]))
    assert "more than 50 people" in await refused(source(server, PAGES, people=50))


async def test_a_page_that_repeats_for_ever(server: PeopleServer) -> None:
    server.will(answer(PEOPLE))
    assert "the same people on every page" in await refused(source(server, PAGES))
    assert len(server.asked) == 2


async def test_a_next_page_that_goes_in_a_circle(server: PeopleServer) -> None:
    text = f"pages: {{by: cursor, parameter: c, next: next}}\nitems: data\n{PLAIN}"
    server.will(
        answer({"data": PEOPLE[:1], "next": "b"}),
        answer({"data": PEOPLE[1:2], "next": "c"}),
        answer({"data": PEOPLE[2:3], "next": "b"}),
    )
    assert "the same next page again" in await refused(source(server, text))


async def test_a_total_that_is_not_kept(server: PeopleServer) -> None:
    text = f"pages: {{by: page, parameter: page, total: total}}\nitems: data\n{PLAIN}"
    server.will(answer({"data": PEOPLE, "total": 9}), answer({"data": [], "total": 9}))
    assert "says there are 9 people and lists 7" in await refused(source(server, text))


async def test_the_token_goes_nowhere_else(server: PeopleServer) -> None:
    async with people_server() as other:
        other.will(answer([ONE]))
        server.will(status("302 Found", Location=f"{other.url}/people"))
        assert "sends us elsewhere" in await refused(source(server))
        text = f"pages: {{by: link, next: next}}\nitems: data\n{PLAIN}"
        server.will(answer({"data": [ONE], "next": f"{other.url}/people?token=x"}))
        said = await refused(source(server, text))
        assert "sends us elsewhere" in said
        assert "token=x" not in said
        assert other.asked == []


async def test_a_redirect_at_home_is_followed(server: PeopleServer) -> None:
    server.will(status("307 Temporary Redirect", Location="/v2/people?x=1"), answer([ONE]))
    assert (await source(server).read()).items == [ONE]
    assert server.asked[1].path == "/v2/people"


@pytest.mark.parametrize("token", [None, SecretStr(" "), SecretStr("tök€n"), SecretStr("a\nb")])
async def test_a_token_that_is_none(server: PeopleServer, token: SecretStr | None) -> None:
    reader = source(server)
    reader.token = token
    with pytest.raises(SourceFailed, match="TOKEN"):
        await reader.read()
    assert server.asked == []


async def test_a_body_that_is_not_shown(server: PeopleServer) -> None:
    server.will(raw(json.dumps({"salary": 12345}).encode() + b"]"))
    assert "12345" not in await refused(source(server, tries=1))


async def test_reading_can_be_cancelled(server: PeopleServer) -> None:
    server.will(silent)
    reading = asyncio.create_task(source(server).read())
    while not server.asked:  # noqa: ASYNC110 - until the request is there
        await asyncio.sleep(0.005)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
