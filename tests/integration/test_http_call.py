"""The function `http` against a real server: what it sends, what it makes of answers, where it does not go;
and the file of connections."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.connections import Connection, ConnectionsInvalid, Lookup, load, parse
from activities.http_call import http
from activities.registry import Call, Later, Refused
from activities.systems import Systems
from recipes.model import Json
from tests.integration.books_server import books_server

BOOKS = Connection("books", "http://books.test/api/v1")


class Server:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_call(
    server: "Server",
    inputs: dict[str, Json],
    books: Connection = BOOKS,
    *,
    again: bool = False,
    log: list[str] | None = None,
) -> Call:
    lines = [] if log is None else log
    systems = Systems({"books": books}, httpx.MockTransport(server.answer))
    attempt = 2 if again else 1
    return Call(inputs, "r-1:book", "r-1", "book", attempt, again, lines.append, systems)


async def called(
    server: Server, books: Connection = BOOKS, *, again: bool = False, **inputs: Json
) -> Json:
    return await http(a_call(server, {"connection": "books", **inputs}, books, again=again))


def ok(body: Json = None, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


async def test_what_it_sends() -> None:
    server = Server(ok({"id": 7}, 201))
    given = await called(
        server,
        replace(BOOKS, headers={"Accept": "application/json"}),
        method="put",
        path=["records", "a/b?c=../d"],
        query={"x": 1, "y": True, "z": None},
        headers={"X-Team": "sales"},
        body={"amount": 5},
    )
    assert given == {"status": 201, "body": {"id": 7}}
    [request] = server.asked
    assert request.method == "PUT"
    assert str(request.url) == ("http://books.test/api/v1/records/a%2Fb%3Fc%3D..%2Fd?x=1&y=true")
    assert json.loads(request.content) == {"amount": 5}
    sent = request.headers
    assert (sent["idempotency-key"], sent["x-team"], sent["accept"]) == (
        "r-1:book",
        "sales",
        "application/json",
    )
    await called(server, path="/plain/path:it")
    assert (server.asked[-1].method, server.asked[-1].url.path) == ("GET", "/api/v1/plain/path:it")
    await called(server, body=None)
    assert server.asked[-1].method == "POST"


async def test_who_it_says_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKS_TOKEN", " s3cret \n")
    server = Server(ok())
    await called(server, replace(BOOKS, auth="bearer", secret_env="BOOKS_TOKEN"))
    assert server.asked[-1].headers["authorization"] == "Bearer s3cret"
    file = tmp_path / "key"
    by_header = replace(BOOKS, auth="header", header="X-Key", secret_file=file)
    with pytest.raises(Refused, match="its secret is not there"):
        await called(server, by_header)
    file.write_text("k-1\n")
    await called(server, replace(by_header, idempotency_header="X-Once"))
    assert (server.asked[-1].headers["x-key"], server.asked[-1].headers["x-once"]) == (
        "k-1",
        "r-1:book",
    )
    monkeypatch.setenv("BOOKS_TOKEN", "a\nb")
    with pytest.raises(Refused, match="or is none"):
        await called(server, replace(BOOKS, auth="bearer", secret_env="BOOKS_TOKEN"))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"connection": "other"}, "there is no connection 'other'"),
        ({"url": "http://x"}, "http takes connection, method, path"),
        ({"method": "TRACE"}, "`method` is one of GET"),
        ({"path": "http://evil.test"}, "`path` must be a text that begins with one /"),
        ({"path": "//evil.test/x"}, "`path` must be a text that begins with one /"),
        ({"path": "/a/../../admin"}, "`path` must not hold"),
        ({"path": "/a?b=1"}, "`path` must not hold"),
        ({"path": "/%2e%2e/x"}, "`path` must not hold"),
        ({"path": ["a", ".."]}, "`path` must list texts"),
        ({"path": []}, "`path` must list texts"),
        ({"query": [1]}, "`query` must be names and plain values"),
        ({"query": {"a": [1]}}, "`query` must be names and plain values"),
        ({"headers": {"X": "a\r\nb: c"}}, "`headers` must be printable ASCII"),
        ({"headers": {"idempotency-key": "x"}}, "`headers` must not set idempotency-key"),
        ({"headers": {"Authorization": "x"}}, "`headers` must not set Authorization"),
        ({"headers": {"accept": "x"}}, "`headers` must not set accept"),
    ],
)
async def test_what_it_does_not_do(inputs: dict[str, Json], says: str) -> None:
    server = Server(ok())
    connection = replace(BOOKS, headers={"Accept": "application/json"})
    with pytest.raises(Refused) as caught:
        await http(a_call(server, {"connection": "books"} | inputs, connection))
    assert str(caught.value).startswith(says)
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "says", "seconds"),
    [
        (httpx.Response(503), "answers 503", None),
        (httpx.Response(599), "answers 599", None),
        (httpx.Response(429, headers={"Retry-After": "17"}), "answers 429", 17.0),
        (httpx.Response(503, headers={"Retry-After": "999999999"}), "answers 503", 86_400.0),
        (httpx.ConnectError("x"), "books could not be connected to", None),
        (httpx.ReadTimeout("x"), "books did not answer in time", None),
        (httpx.RemoteProtocolError("x"), "books broke off in the middle of an answer", None),
    ],
)
async def test_what_another_try_may_heal(
    answer: httpx.Response | Exception, says: str, seconds: float | None
) -> None:
    with pytest.raises(Later) as caught:
        await called(Server(answer), body={})
    assert (str(caught.value), caught.value.seconds) == (says, seconds)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (ok({"error": "no such book"}, 404), "answers 404: {'error': 'no such book'}"),
        (httpx.Response(400), "answers 400: nothing more"),
        (httpx.Response(200, content=b"x" * 70_000), "answers more than 64 KiB"),
        (
            httpx.Response(302, headers={"Location": "http://evil.test/"}),
            "answers 302 and sends us elsewhere: not followed",
        ),
        (
            httpx.Response(307, headers={"Location": "/api/v1/other"}),
            "answers 307 and sends us elsewhere: not followed",
        ),
    ],
)
async def test_what_fails_at_once(answer: httpx.Response, says: str) -> None:
    with pytest.raises(Refused) as caught:
        await called(Server(answer), body={})
    assert str(caught.value) == says


async def test_redirects_at_home_alone_and_where_nothing_is_done() -> None:
    home = httpx.Response(302, headers={"Location": "/api/v1/there"})
    server = Server(home, ok("here"))
    assert await called(server, path="/here") == {"status": 200, "body": "here"}
    assert server.asked[-1].url.path == "/api/v1/there"
    away = httpx.Response(302, headers={"Location": "http://books.test:81/"})
    with pytest.raises(Refused, match="not followed"):
        await called(Server(away), path="/here")
    with pytest.raises(Refused, match="redirects more than 5 times"):
        await called(Server(home), path="/here")


async def test_bodies_that_are_no_json() -> None:
    assert await called(Server(httpx.Response(204))) == {"status": 204, "body": None}
    text = httpx.Response(200, content=b"caf\xe9 \x00")
    assert await called(Server(text)) == {"status": 200, "body": "caf\ufffd "}


# --- looking up before it is done once more ------------------------------------------------------

LOOKUP = Lookup("/records?id={{ key }}&n={{ inputs.body.n }}", "status == 200 && size(body) > 0")


async def test_a_look_up_before_a_call_is_made_once_more() -> None:
    connection = replace(BOOKS, lookup=LOOKUP)
    server = Server(ok([]), ok("made", 201))
    assert await called(server, connection, body={"n": "a&b"}) == {"status": 200, "body": []}
    assert [request.method for request in server.asked] == [
        "POST"
    ]  # the first time it is not asked
    server = Server(ok([]), ok("made", 201))
    made = await called(server, connection, again=True, body={"n": "a&b"})
    assert made == {"status": 201, "body": "made"}
    assert str(server.asked[0].url) == "http://books.test/api/v1/records?id=r-1%3Abook&n=a%26b"
    server, log = Server(ok([{"id": 7}])), list[str]()
    inputs: dict[str, Json] = {"connection": "books", "body": {"n": 1}}
    again = a_call(server, inputs, connection, again=True, log=log)
    assert await http(again) == {"status": 200, "body": [{"id": 7}]}
    assert log == ["it had been done before: the look-up found it"]
    assert [request.method for request in server.asked] == ["GET"]


async def test_a_look_up_that_does_not_answer_keeps_the_call_from_being_made() -> None:
    connection = replace(BOOKS, lookup=LOOKUP)
    server = Server(httpx.Response(503))
    with pytest.raises(Later, match="answers 503"):
        await called(server, connection, again=True, body={"n": 1})
    assert [request.method for request in server.asked] == ["GET"]
    broken = replace(BOOKS, lookup=Lookup("/x", "body.missing == 1"))
    with pytest.raises(Refused, match="the look-up fails: "):
        await called(Server(ok({})), broken, again=True, body={})
    # What only reads may be done again.
    server = Server(ok("read"))
    assert await called(server, connection, again=True) == {"status": 200, "body": "read"}
    assert [request.url.path for request in server.asked] == ["/api/v1/"]


@pytest.mark.parametrize("honours", [True, False], ids=["by its key", "by looking it up"])
async def test_hundreds_of_orders_are_booked_once_each(honours: bool) -> None:
    """Attempt after attempt, as Temporal would make them, against a server that answers 503 or 429, is
    silent or breaks off after it has done the work, or answers twice: a tenth of the time."""
    orders = 400
    lookup = Lookup("/records?external_id={{ key }}", "status == 200 && size(body) > 0")
    async with books_server(honours=honours, trouble=0.1, seed=7) as books:
        connection = Connection("books", books.url, timeout=0.2, lookup=None if honours else lookup)
        systems = Systems({"books": connection})
        for number in range(orders):
            key = f"o-{number}"
            inputs: dict[str, Any] = {
                "connection": "books",
                "path": "/records",
                "body": {"external_id": key},
            }
            attempt, done = 0, False
            while not done:
                attempt += 1
                again = attempt > 1
                call = Call(inputs, key, "r", "book", attempt, again, lambda _: None, systems)
                try:
                    await http(call)
                    done = True
                except Later:
                    continue
    assert [record["external_id"] for record in books.records] == [
        f"o-{number}" for number in range(orders)
    ]
    assert min(books.did.values()) > 3


# --- the file ------------------------------------------------------------------------------------

FILE = b"""
books:
  url: https://example.org/api/
  auth: header
  header: X-Key
  secret_env: BOOKS_KEY
  timeout: 5s
  idempotency_header: X-Once
  headers: {Accept: application/json}
  lookup: {path: "/records/{{ key }}", found: status == 200}
plain: {url: "http://127.0.0.1:9000", auth: bearer, secret_file: /run/secrets/token}
erp:
  url: https://erp.example.org/rest
  auth: oauth2
  token_url: https://erp.example.org/token
  client_id: countersign
  key_id: certificate-1
  secret_env: ERP_KEY
  scope: orders
"""


def test_a_file_of_connections(tmp_path: Path) -> None:
    found = parse(FILE, "connections.yaml")
    assert found["books"] == Connection(
        "books",
        "https://example.org/api",
        "header",
        "X-Key",
        "BOOKS_KEY",
        None,
        5.0,
        "X-Once",
        {"Accept": "application/json"},
        Lookup("/records/{{ key }}", "status == 200"),
    )
    assert found["plain"].secret_file == Path("/run/secrets/token")
    assert found["erp"] == Connection(
        "erp",
        "https://erp.example.org/rest",
        "oauth2",
        secret_env="ERP_KEY",
        token_url="https://erp.example.org/token",
        client_id="countersign",
        key_id="certificate-1",
        scope="orders",
    )
    assert load(None) == {}
    (tmp_path / "c.yaml").write_bytes(FILE)
    assert load(tmp_path / "c.yaml") == found
    with pytest.raises(ConnectionsInvalid, match="No such file"):
        load(tmp_path / "d.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3", "names no connections"),
        ("a: 3", "a: must be a connection"),
        ("a: {}", "a: `url` is missing"),
        ("a: {url: ftp://x}", "a.url: is no http or https address"),
        ("a: {url: 'https://u:p@x/'}", "a.url: is a base address alone"),
        ("a: {url: 'https://x/?a=1'}", "a.url: is a base address alone"),
        ("a: {url: 'https://x:y/'}", "a.url: is no http or https address"),
        ("a: {url: 'https://x', token: t}", "a.token: unknown key `token` in a connection"),
        ("a: {url: 'https://x', auth: bearer}", "needs one of `secret_env` and `secret_file`"),
        ("a: {url: 'https://x', auth: header, secret_env: X}", "does not say in which header"),
        ("a: {url: 'https://x', auth: oauth2, secret_env: X}", "a: `client_id` is missing"),
        ("a: {url: 'https://x', auth: oauth2, secret_env: X}", "a: `token_url` is missing"),
        ("a: {url: 'https://x', auth: oauth2, token_url: x}", "a.token_url: is no http or https"),
        ("a: {url: 'https://x', auth: oauth2}", "needs one of `secret_env` and `secret_file`"),
        ("a: {url: 'https://x', scope: all}", "a.scope: counts with `auth: oauth2` alone"),
        ("a: {url: 'https://x', headers: {a: 1}}", "a.headers: must be names and texts"),
        ("a: {url: 'https://x', lookup: 3}", "a.lookup: must say `path` and `found`"),
        ("a: {url: 'https://x', lookup: {path: x, found: status}}", "must begin with /"),
        ("a: {url: 'https://x', lookup: {path: '/{{', found: true}}", "is not closed"),
        ("a: {url: 'https://x', lookup: {path: /x, found: stat == 2}}", "unknown name `stat`"),
        ("a: {url: 'https://x', lookup: {path: /x, found: size(body)}}", "instead of true or"),
    ],
)
def test_what_is_wrong_with_a_file(text: str, says: str) -> None:
    with pytest.raises(ConnectionsInvalid) as caught:
        parse(text.encode(), "connections.yaml")
    assert says in str(caught.value)
