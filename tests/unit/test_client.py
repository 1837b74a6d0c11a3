"""The client, held against the OpenAPI page; and when it sends a call again."""

import inspect
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import httpx
import jsonschema_rs
import pytest

from api.app import create_app
from client import Client, calls, problems, shapes
from client.calls import Call
from client.sending import LONGEST_WAIT, TRIES
from settings import Settings

ID = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"
MADE: dict[str, Call[Any]] = {
    "submit": calls.submit("leave_request", {"days": 5}, version=3, entity=("booking", "4711")),
    "request": calls.request(ID),
    "requests": calls.requests(
        state="pending",
        workflow="leave_request",
        requester="alice",
        entity_type="booking",
        entity_id="1",
        words="sea",
        where="days > 3",
    ),
    "cancel": calls.cancel(ID, "no longer"),
    "resubmit": calls.resubmit(ID, {"days": 4}, "shorter"),
    "fire": calls.fire(ID, "approve", comment="Enjoy", moves=3),
    "comment": calls.comment(ID, "please"),
    "events": calls.events(ID),
    "tasks": calls.tasks(),
    "task": calls.task(ID),
    "decide": calls.decide(ID, "approve", comment="Enjoy", reason="r", digest="d", to="boss"),
    "claim": calls.claim(ID),
    "release": calls.release(ID),
    "send_event": calls.send_event(
        "cancelled", ("booking", "1"), "e-1", inputs={"a": 1}, initiated_by="bob"
    ),
    "feed": calls.feed("WzBd", types=["approval.request.created"], workflows=["leave"], wait=20),
    "recipes": calls.recipes(),
    "people": calls.people(q="al"),
}
"""One of each, with all that can be said."""


@cache
def _page() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def _functions() -> dict[str, Callable[..., Call[Any]]]:
    return {
        name: found
        for name, found in vars(calls).items()
        if inspect.isfunction(found) and found.__module__ == calls.__name__
    }


def _operation(call: Call[Any]) -> dict[str, Any]:
    found: dict[str, Any] = _page()["paths"][call.path][call.method.lower()]
    return found


# --- against the page -------------------------------------------------------------------------------


def test_there_is_an_example_of_every_call() -> None:
    assert MADE.keys() == _functions().keys()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_call_is_one_of_the_page(name: str) -> None:
    call = MADE[name]
    operation = _operation(call)
    parameters = {(each["in"], each["name"]) for each in operation.get("parameters", [])}
    assert {name for place, name in parameters if place == "path"} == call.at.keys()
    assert call.query.keys() <= {name for place, name in parameters if place == "query"}
    assert call.keyed == (("header", "Idempotency-Key") in parameters)
    if call.body is not None:
        [content] = operation["requestBody"]["content"].values()
        schema = content["schema"] | {"components": _page()["components"]}
        jsonschema_rs.validate(schema, call.body)


@pytest.mark.parametrize("name", sorted(MADE))
def test_what_comes_back_is_what_the_page_says(name: str) -> None:
    [answered] = get_args(get_type_hints(_functions()[name])["return"])
    said = {
        each["$ref"].rpartition("/")[2]
        for status, response in _operation(MADE[name])["responses"].items()
        if status < "300"
        for content in response["content"].values()
        for each in content["schema"].get("anyOf", [content["schema"]])
    }
    kinds = get_args(answered) if get_origin(answered) is types.UnionType else (answered,)
    assert {_name(kind) for kind in kinds} == {_short(name) for name in said - _NOT_ASKED_FOR}


_NOT_ASKED_FOR = {"DecisionDelayed", "BriefPage"}
"""What is answered only to what no call of the client says: `after`, and `brief`."""


def _name(kind: Any) -> str:
    if get_origin(kind) is shapes.Page:
        return f"page of {get_args(kind)[0].__name__}"
    return str(kind.__name__)


def _short(name: str) -> str:
    properties = _page()["components"]["schemas"][name]["properties"]
    if "next_cursor" not in properties or name == "FeedPage":
        return name  # the feed has no last page
    return f"page of {properties['items']['items']['$ref'].rpartition('/')[2]}"


def _shapes() -> Iterator[Any]:
    for found in vars(shapes).values():
        if is_typeddict(found) and found is not shapes.Page:
            yield found


@pytest.mark.parametrize("shape", list(_shapes()), ids=lambda shape: shape.__name__)
def test_a_shape_has_what_the_page_says(shape: Any) -> None:
    # What acts is told apart from what the audit says of it in our own words alone.
    known = _page()["components"]["schemas"][
        {"Actor": "AuditActor"}.get(shape.__name__, shape.__name__)
    ]
    for name, kind in get_type_hints(shape).items():
        assert name in known["required"], f"{shape.__name__}.{name} is not always there"
        assert _fits(kind, known["properties"][name]), f"{shape.__name__}.{name}"


def _fits(kind: Any, schema: dict[str, Any]) -> bool:
    """Whether whatever the schema describes is of a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        parts = [each for each in inner if each is not type(None)]
        wanted = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
        nullable = len(wanted) < len(schema.get("anyOf", [schema]))
        return nullable and all(any(_fits(part, each) for part in parts) for each in wanted)
    if origin is Literal:
        return set(schema.get("enum", [schema.get("const")])) == set(inner)
    if origin is list:
        return schema.get("type") == "array" and _fits(inner[0], schema["items"])
    if origin is dict:
        return schema.get("type") == "object"
    if is_typeddict(kind):
        names = {kind.__name__, {"Actor": "AuditActor"}.get(kind.__name__, "")}
        return str(schema.get("$ref", "")).rpartition("/")[2] in names
    expected = {str: "string", int: "integer", float: "number", bool: "boolean"}[kind]
    return schema.get("type") == expected


# --- sending again ----------------------------------------------------------------------------------


class Server:
    """Answers in turn; an exception is raised instead."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Client:
        transport = httpx.MockTransport(self)
        return Client("http://api.test", "csk_x", transport=transport, pause=self.pauses.append)


def _answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={} if body is None else body, headers=headers)


def _problem(status: int, kind: str, **headers: str) -> httpx.Response:
    body = {"type": f"urn:countersign:problem:{kind}", "status": status, "detail": "no"}
    return _answer(status, body, **headers)


def test_a_submission_goes_out_again_under_the_same_key() -> None:
    server = Server(
        httpx.ReadTimeout("slow"),
        _answer(502),
        _problem(409, "idempotency_key_in_flight", **{"Retry-After": "1"}),
        _answer(201, {"id": ID}),
    )
    with server.client() as client:
        assert client.send(MADE["submit"])["id"] == ID
    keys = {request.headers["idempotency-key"] for request in server.asked}
    assert (len(server.asked), len(keys)) == (4, 1)
    assert len({request.content for request in server.asked}) == 1
    assert server.asked[0].headers["authorization"] == "Bearer csk_x"
    assert server.pauses[2] == 1.0
    assert 0 < server.pauses[0] < server.pauses[1] * 2


def test_ones_own_key_is_taken() -> None:
    server = Server(_answer(201, {"id": ID}))
    server.client().send(MADE["submit"], key="order-4711")
    assert server.asked[0].headers["idempotency-key"] == "order-4711"


def test_waits_as_long_as_it_is_asked_to_but_not_for_ever() -> None:
    limited = _problem(429, "rate_limited", **{"Retry-After": "7"})
    server = Server(limited, _answer(503, **{"Retry-After": "9999"}), _answer(200))
    server.client().send(calls.cancel(ID))
    assert server.pauses == [7.0, LONGEST_WAIT]


@pytest.mark.parametrize(
    "first", [httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("gone"), _answer(502)]
)
def test_what_could_do_harm_goes_out_once(first: httpx.Response | Exception) -> None:
    server = Server(first, _answer(200))
    with pytest.raises((problems.Unreachable, problems.Unavailable)):
        server.client().send(Call("POST", "/v1/me/filters", body={"name": "mine"}))
    assert len(server.asked) == 1


def test_what_never_went_out_may_go() -> None:
    server = Server(httpx.ConnectError("refused"), _answer(200, {"id": ID}))
    server.client().send(calls.cancel(ID))
    assert len(server.asked) == 2


def test_it_gives_up() -> None:
    server = Server(*[httpx.ConnectError("refused")] * TRIES)
    with pytest.raises(problems.Unreachable, match="GET /v1/tasks: ConnectError"):
        server.client().send(calls.tasks())
    server = Server(*[_answer(503)] * TRIES)
    with pytest.raises(problems.Unavailable):
        server.client().send(calls.tasks())
    assert (len(server.asked), len(server.pauses)) == (TRIES, TRIES - 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, problems.NotSignedIn),
        (403, problems.NotAllowed),
        (404, problems.NotFound),
        (409, problems.Conflict),
        (422, problems.Invalid),
    ],
)
def test_refusals_are_exceptions(status: int, kind: type[problems.Problem]) -> None:
    server = Server(_problem(status, "some_kind"))
    with pytest.raises(kind) as refused:
        server.client().send(MADE["submit"])
    assert (refused.value.status, refused.value.kind, str(refused.value)) == (
        status,
        "some_kind",
        "no",
    )
    assert len(server.asked) == 1


def test_what_a_proxy_says_is_a_refusal_too() -> None:
    server = Server(httpx.Response(404, text="<html>nowhere</html>"))
    with pytest.raises(problems.NotFound, match="status 404"):
        server.client().send(calls.task(ID))


def test_lists_go_on_to_their_end() -> None:
    server = Server(
        _answer(200, {"items": [{"id": "a"}, {"id": "b"}], "next_cursor": "c1"}),
        _answer(200, {"items": [{"id": "c"}], "next_cursor": None}),
    )
    assert [task["id"] for task in server.client().each(calls.tasks(limit=2))] == ["a", "b", "c"]
    assert [dict(request.url.params) for request in server.asked] == [
        {"state": "open", "limit": "2"},
        {"state": "open", "limit": "2", "cursor": "c1"},
    ]


def test_places_are_filled_in_safely() -> None:
    server = Server(_answer(200))
    server.client().send(calls.task("../keys?x"))
    assert server.asked[0].url.raw_path == b"/v1/tasks/..%2Fkeys%3Fx"
