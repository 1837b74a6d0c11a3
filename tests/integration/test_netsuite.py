"""Purchase orders in NetSuite: one for each job, whatever its answers are; tokens; refusals in its own words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from activities.connections import Connection
from activities.netsuite import purchase_order
from activities.registry import Call, Later, Refused
from activities.systems import Systems
from recipes.model import Json
from tests.integration.netsuite_server import (
    FAULTS,
    LOOK_UP_FAULTS,
    PATH,
    STRICT_FAULTS,
    NetSuite,
    Sent,
    netsuite_server,
    problem,
)

RECORD: dict[str, Json] = {"entity": {"id": "42"}, "memo": "a press"}
BASE = Connection(
    "netsuite",
    "http://netsuite.test/services/rest",
    idempotency_header="X-NetSuite-Idempotency-Key",
)


def a_call(
    systems: Systems,
    key: str = "r-1:order",
    *,
    attempt: int = 1,
    log: list[str] | None = None,
    **inputs: Json,
) -> Call:
    given: dict[str, Json] = {"connection": "netsuite", "record": RECORD} | inputs
    lines = [] if log is None else log
    return Call(given, key, "r-1", "order", attempt, attempt > 1, lines.append, systems)


class Answers:
    """What NetSuite says, one answer after the other; and what it was asked."""

    def __init__(self, *answers: Sent | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.systems = Systems({"netsuite": BASE}, httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, headers, body = answer
        if isinstance(body, str) or body is None:
            return httpx.Response(status, headers=headers, text=body)
        return httpx.Response(status, headers=headers, json=body)

    @property
    def methods(self) -> str:
        return " ".join(request.method for request in self.asked)


def made(order: int = 1001) -> Sent:
    return 204, {"Location": f"http://netsuite.test{PATH}/{order}"}, None


MISSING = problem(404, "The record instance does not exist.", "NONEXISTENT_ID")
FOUND: Sent = (200, {}, {"id": "1001", "externalId": "r-1-order"})
PAGE: Sent = (200, {}, "<html>Back in a moment</html>")
ORDER = {"id": "1001", "url": f"http://netsuite.test{PATH}/1001"}


@pytest.mark.parametrize(
    ("attempt", "answers", "methods"),
    [
        (1, [made()], "POST"),
        (2, [MISSING, made()], "GET POST"),
        (2, [FOUND], "GET"),
        # There by now, though it is refused; and made, though it is not said which.
        (1, [problem(400, "This record already exists.", "USER_ERROR"), FOUND], "POST GET"),
        (1, [PAGE, FOUND], "POST GET"),
        (1, [(204, {"Location": "http://elsewhere.test/"}, None), FOUND], "POST GET"),
    ],
)
async def test_the_order(attempt: int, answers: list[Sent], methods: str) -> None:
    netsuite, log = Answers(*answers), list[str]()
    assert await purchase_order(a_call(netsuite.systems, attempt=attempt, log=log)) == ORDER
    assert netsuite.methods == methods
    assert all(
        request.url.path == f"{PATH}/eid:r-1-order"
        for request in netsuite.asked
        if request.method == "GET"
    )
    assert log == ["order 1001 is made" if "POST" in methods else "order 1001 had been made before"]


async def test_what_is_sent() -> None:
    netsuite = Answers(made(), made())
    await purchase_order(a_call(netsuite.systems))
    await purchase_order(a_call(netsuite.systems, "r-1:order:2"))
    [first, second] = netsuite.asked
    assert first.url.path == PATH
    assert first.headers["x-netsuite-idempotency-key"] == "r-1:order"
    assert first.read() == b'{"entity":{"id":"42"},"memo":"a press","externalId":"r-1-order"}'
    assert b'"externalId":"r-1-order-2"' in second.read()


LOST = httpx.ReadTimeout("x")


@pytest.mark.parametrize(
    ("attempt", "answers", "says", "seconds", "methods"),
    [
        (1, [LOST], "netsuite did not answer in time", None, "POST"),
        (1, [(503, {}, PAGE[2])], "answers 503", None, "POST"),
        (1, [(429, {"Retry-After": "17"}, None)], "answers 429", 17.0, "POST"),
        (1, [PAGE, MISSING], "answers 200, but has made no order", None, "POST GET"),
        # While it is not certain that the order is not there, no second one is made.
        (2, [LOST], "netsuite did not answer in time", None, "GET"),
        (2, [(502, {}, "")], "answers 502", None, "GET"),
        (2, [PAGE], "answers 200 to the look-up, and neither", None, "GET"),
        (2, [(404, {}, PAGE[2])], "answers 404 to the look-up, and neither", None, "GET"),
        (2, [(200, {}, {"id": "7", "externalId": "r-2-order"})], "answers 200 to", None, "GET"),
        (1, [problem(400, "No.", "USER_ERROR"), LOST], "netsuite did not answer", None, "POST GET"),
    ],
)
async def test_what_is_tried_again(
    attempt: int, answers: list[Any], says: str, seconds: float | None, methods: str
) -> None:
    netsuite = Answers(*answers)
    with pytest.raises(Later) as caught:
        await purchase_order(a_call(netsuite.systems, attempt=attempt))
    assert str(caught.value).startswith(says)
    assert caught.value.seconds == seconds
    assert netsuite.methods == methods


NO_VENDOR = problem(400, "Please enter value(s) for: Vendor.", "USER_ERROR", "entity")
TWO = problem(400, "Invalid item.", "INVALID_CONTENT", "item.items[0].item")
TWO[2]["o:errorDetails"].append({"detail": "Invalid class.", "o:errorCode": "INVALID_CONTENT"})
FORBIDDEN = problem(
    403, "Permission Violation: you need the 'Purchase Order' permission.", "DENIED"
)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([NO_VENDOR, MISSING], "Please enter value(s) for: Vendor. (entity)"),
        ([TWO, MISSING], "Invalid item. (item.items[0].item); Invalid class. (INVALID_CONTENT)"),
        ([(422, {}, "nope"), MISSING], "answers 422: nope"),
        ([(400, {}, {"o:errorDetails": "odd"}), MISSING], "answers 400: {'o:errorDetails': 'odd'}"),
        (
            [FORBIDDEN, FORBIDDEN],
            "Permission Violation: you need the 'Purchase Order' permission. (DENIED)",
        ),
    ],
)
async def test_what_is_refused_in_its_own_words(answers: list[Sent], says: str) -> None:
    with pytest.raises(Refused) as caught:
        await purchase_order(a_call(Answers(*answers).systems))
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (
            {"connection": "erp"},
            "there is no connection 'erp'; COUNTERSIGN_CONNECTIONS has: netsuite",
        ),
        ({"connection": None}, "`connection` must be the name of one in COUNTERSIGN_CONNECTIONS"),
        ({"vendor": "42"}, "it takes connection and record, not vendor"),
        ({"record": {}}, "`record` must be the order's fields, such as `entity: {id: ...}`"),
        ({"record": {"externalId": "x"}}, "`record` must not set externalId"),
    ],
)
async def test_what_it_does_not_take(inputs: dict[str, Json], says: str) -> None:
    netsuite = Answers()
    with pytest.raises(Refused) as caught:
        await purchase_order(a_call(netsuite.systems, **inputs))
    assert str(caught.value).startswith(says)


# --- who we say we are ---------------------------------------------------------------------------


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


@asynccontextmanager
async def guarded(
    secret: Any, ours: str, **changes: Any
) -> AsyncIterator[tuple[NetSuite, Systems]]:
    """A NetSuite that wants a token, and the systems with it, whose secret is `ours`."""
    async with netsuite_server(secret=secret) as netsuite:
        connection = replace(
            BASE,
            url=netsuite.url,
            auth="oauth2",
            token_url=netsuite.token_url,
            client_id="countersign",
            secret_env="NETSUITE_SECRET",
            scope="rest_webservices",
            **changes,
        )
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("NETSUITE_SECRET", ours)
            yield netsuite, Systems({"netsuite": connection})


@pytest.mark.parametrize(
    ("secret", "ours", "key_id"),
    [
        ("s3cret", "s3cret", None),
        (RSA.public_key(), pem(RSA), "certificate-1"),
        (EC.public_key(), pem(EC), "certificate-1"),
    ],
    ids=["client secret", "RSA key", "EC key"],
)
async def test_a_token_is_kept_and_had_again(secret: Any, ours: str, key_id: str | None) -> None:
    async with guarded(secret, ours, key_id=key_id) as (netsuite, systems):
        for number in range(3):
            await purchase_order(a_call(systems, f"r-{number}:order"))
        assert netsuite.tokens == ["token-1"]
        netsuite.tokens.append("another's")  # ours does not count any more
        assert (await purchase_order(a_call(systems, "r-3:order")))["id"] == "1004"
        assert netsuite.tokens[2:] == ["token-3"]
    assert [order["externalId"] for order in netsuite.orders] == [f"r-{n}-order" for n in range(4)]


async def test_no_token(tmp_path: Path) -> None:
    async with guarded("s3cret", "another") as (netsuite, systems):
        with pytest.raises(Refused) as caught:
            await purchase_order(a_call(systems))
        assert str(caught.value) == "netsuite gives no token: 400, invalid_client: who is that?"
    for wrong in ("no key", pem(ed25519.Ed25519PrivateKey.generate())):
        async with guarded("s3cret", wrong, key_id="certificate-1") as (netsuite, systems):
            with pytest.raises(Refused, match="its secret is no private key"):
                await purchase_order(a_call(systems))
    async with guarded("s3cret", "") as (netsuite, systems):
        with pytest.raises(Refused, match="its secret is not there, or is none"):
            await purchase_order(a_call(systems))
    assert netsuite.orders == []


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((503, {}, ""), Later, "answers 503"),
        ((429, {"Retry-After": "3"}, ""), Later, "answers 429"),
        ((302, {"Location": "http://evil.test/"}, ""), Refused, "not followed"),
        ((200, {}, "<html>"), Refused, "its token_url answers without one"),
        ((200, {}, {"access_token": "a\nb"}), Refused, "its token_url answers without one"),
        ((401, {}, "<html>"), Refused, "netsuite gives no token: 401, without saying why"),
        ((400, {}, {"error": "is it s3cret?"}), Refused, r"token: 400, is it \(secret\)\?"),
        (httpx.ConnectError("x"), Later, "netsuite could not be connected to"),
    ],
)
async def test_what_a_token_url_may_say(
    answer: Any, error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSUITE_SECRET", "s3cret")
    netsuite = Answers(answer)
    connection = replace(
        BASE,
        auth="oauth2",
        token_url="http://netsuite.test/token",
        client_id="countersign",
        secret_env="NETSUITE_SECRET",
    )
    systems = Systems({"netsuite": connection}, httpx.MockTransport(netsuite.answer))
    with pytest.raises(error, match=says):
        await purchase_order(a_call(systems))


async def test_a_secret_that_comes_back_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSUITE_SECRET", "s3cret-of-ours")
    netsuite = Answers(problem(400, "You sent Bearer s3cret-of-ours.", "ODD"), MISSING)
    connection = replace(BASE, auth="bearer", secret_env="NETSUITE_SECRET")
    systems = Systems({"netsuite": connection}, httpx.MockTransport(netsuite.answer))
    with pytest.raises(Refused) as caught:
        await purchase_order(a_call(systems))
    assert str(caught.value) == "You sent Bearer (secret). (ODD)"
    assert "s3cret" not in repr(a_call(systems))


# --- answers that are one too many ---------------------------------------------------------------


async def test_a_second_answer_is_not_taken_for_the_next_one() -> None:
    async with netsuite_server(trouble=1.0) as netsuite:
        netsuite.look_up_faults = netsuite.order_faults = cycle(["twice"])
        systems = Systems({"netsuite": replace(BASE, url=netsuite.url)})
        assert (await purchase_order(a_call(systems, attempt=2)))["id"] == "1001"
        assert [request["method"] for request in netsuite.asked] == ["GET", "POST"]


# --- exactly once --------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True], ids=["by looking up alone", "by its rule, too"])
async def test_hundreds_of_orders_are_made_once_each(
    strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempt after attempt, as Temporal would make them, twenty at a time; a quarter of all answers goes
    wrong."""
    monkeypatch.setenv("NETSUITE_SECRET", "s3cret")
    keys, done = [f"r{n}:order" for n in range(300)], dict[str, Any]()
    async with netsuite_server(trouble=0.25, strict=strict, secret="s3cret") as netsuite:
        # Long enough that a call which was given up is not still on its way when it is looked up.
        connection = replace(
            BASE,
            url=netsuite.url,
            timeout=2.0,
            auth="oauth2",
            token_url=netsuite.token_url,
            client_id="countersign",
            secret_env="NETSUITE_SECRET",
        )
        systems, left = Systems({"netsuite": connection}), iter(keys)

        async def worker() -> None:
            for key in left:
                attempt = 0
                while key not in done:
                    attempt += 1
                    try:
                        done[key] = await purchase_order(a_call(systems, key, attempt=attempt))
                    except Later:
                        assert attempt < 50

        await asyncio.gather(*(worker() for _ in range(20)))
    assert sorted(order["externalId"] for order in netsuite.orders) == sorted(
        key.replace(":", "-") for key in keys
    )
    assert {order["externalId"]: order["id"] for order in netsuite.orders} == {
        key.replace(":", "-"): output["id"] for key, output in done.items()
    }
    assert set(netsuite.did) == {*FAULTS, *LOOK_UP_FAULTS, *(STRICT_FAULTS if strict else ())}
    assert len(netsuite.tokens) > 3
