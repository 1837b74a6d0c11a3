"""Posting to endpoints that answer in every way there is, on real sockets."""

import socket
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from relay.posting import Poster, PostFailed
from tests.integration.certificates import certificate, serving
from tests.integration.receiver import receiving

HERE = (ip_network("127.0.0.0/8"),)
HEADERS = {"webhook-id": "x", "content-type": "application/json"}


def poster(**changes: object) -> Poster:
    values: dict[str, object] = {"production": False, "allowed": HERE, "timeout": 60.0}
    return Poster(**(values | changes))  # type: ignore[arg-type]


async def test_connections_are_kept() -> None:
    async with receiving() as there:
        mine = poster()
        for _ in range(3):
            assert await mine.post(there.url, HEADERS, b"{}") == (200, None)
        assert there.connections == 1
        assert [each.path for each in there.taken] == ["/hook?a=b"] * 3
        assert there.taken[0].headers["host"] == f"127.0.0.1:{there.port}"
        mine.close()


async def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    async with receiving() as there:
        mine = poster()
        await mine.post(there.url, HEADERS, b"1")
        there.stop()
        assert await mine.post(there.url, HEADERS, b"2") == (200, None)
        assert [each.body for each in there.taken] == [b"1", b"2"]
        mine.close()


def test_on_the_loop_that_relays_run_on() -> None:
    async def posted() -> None:
        async with receiving() as there:
            mine = poster()
            for _ in range(2):
                assert await mine.post(there.url, HEADERS, b"{}") == (200, None)
            assert there.connections == 1
            mine.close()

    uvloop.run(posted())


@pytest.mark.parametrize("what", ["twice", "huge", "cut", "200", "204"])
async def test_taken_and_nothing_is_left_for_the_next(what: str) -> None:
    """Whatever comes with an answer is not taken for the next one's."""
    answers = iter([what, "500", "200"])
    async with receiving(lambda _: next(answers)) as there:
        mine = poster()
        found = [(await mine.post(there.url, HEADERS, b"{}"))[0] for _ in range(3)]
        assert found == [204 if what == "204" else 200, 500, 200]
        mine.close()


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("close", "closed the connection"),
        ("garbage", "not HTTP"),
        ("long head", "not HTTP"),
    ],
)
async def test_no_answer(what: str, why: str) -> None:
    async with receiving(lambda _: what) as there:
        mine = poster()
        with pytest.raises(PostFailed, match=why):
            await mine.post(there.url, HEADERS, b"{}")
        mine.close()


async def test_an_answer_that_never_comes_and_one_that_does_not_end() -> None:
    async with receiving(lambda _: "hang") as there:
        with pytest.raises(PostFailed, match="no answer in time"):
            await poster(timeout=3.0).post(there.url, HEADERS, b"{}")
    async with receiving(lambda _: "no end") as there:
        mine = poster(timeout=5.0)
        assert await mine.post(there.url, HEADERS, b"{}") == (200, None)


async def test_statuses_and_what_they_ask_for() -> None:
    answers = iter(["302", "410", "429"])
    async with receiving(lambda _: next(answers)) as there:
        mine = poster()
        found = [await mine.post(there.url, HEADERS, b"{}") for _ in range(3)]
        assert found == [(302, None), (410, None), (429, "900")]
        mine.close()


# --- where it may go ----------------------------------------------------------------------------------


async def test_nothing_connects_to_what_is_not_allowed() -> None:
    async with receiving() as there:
        for url in (there.url, there.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(PostFailed, match="not an address of the public"):
                await poster(allowed=()).post(url, HEADERS, b"{}")
        for address in ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"):
            with pytest.raises(PostFailed):
                await poster(allowed=()).post(
                    there.url.replace("127.0.0.1", address), HEADERS, b"{}"
                )
        with pytest.raises(PostFailed, match="https in production"):
            await poster(production=True).post(there.url, HEADERS, b"{}")
        assert there.connections == 0


async def test_a_name_that_leads_elsewhere_the_second_time() -> None:
    """It is asked once; and where one of its addresses is not allowed, none is."""
    asked: list[str] = []

    async def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async def mixed(_: str, __: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"]

    async def nowhere(_: str, __: int) -> list[str]:
        raise OSError("no such name")

    async with receiving() as there:
        url = there.url.replace("127.0.0.1", "hook.example.test")
        mine = poster(resolve=rebinding)
        assert await mine.post(url, HEADERS, b"{}") == (200, None)
        assert asked == ["hook.example.test"]
        assert there.taken[0].headers["host"] == f"hook.example.test:{there.port}"
        mine.close()
        with pytest.raises(PostFailed, match=r"169\.254\.169\.254"):
            await mine.post(url, HEADERS, b"{}")
        with pytest.raises(PostFailed, match=r"10\.0\.0\.1"):
            await poster(resolve=mixed).post(url, HEADERS, b"{}")
        with pytest.raises(PostFailed, match="cannot be resolved"):
            await poster(resolve=nowhere).post(url, HEADERS, b"{}")
        assert there.connections == 1


async def test_http_is_for_loopback_alone() -> None:
    async def private(_: str, __: int) -> list[str]:
        return ["10.0.0.1"]

    mine = poster(resolve=private, allowed=(ip_network("10.0.0.0/8"),))
    with pytest.raises(PostFailed, match="loopback alone"):
        await mine.post("http://hook.example.test/", HEADERS, b"{}")


async def test_tls_is_by_name(tmp_path: Path) -> None:
    """The connection goes to the checked address; the certificate has to be the name's."""
    pem = certificate(tmp_path, "hook.example.test")
    trusting = ssl.create_default_context(cafile=pem)

    async def here(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async with receiving(tls=serving(pem)) as there:
        url = f"https://hook.example.test:{there.port}/"
        mine = poster(production=True, tls=trusting, resolve=here)
        assert await mine.post(url, HEADERS, b"{}") == (200, None)
        mine.close()
        for refused in (url.replace("hook", "other"), url):
            tls = trusting if refused != url else ssl.create_default_context()
            with pytest.raises(PostFailed, match="certificate"):
                await poster(production=True, tls=tls, resolve=here).post(refused, HEADERS, b"{}")
        assert len(there.taken) == 1


async def test_nobody_is_there() -> None:
    with socket.socket() as taken:  # by us, and nobody listens: no other test can
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PostFailed, match="cannot be connected to"):
            await poster().post(f"http://127.0.0.1:{port}/", HEADERS, b"{}")
