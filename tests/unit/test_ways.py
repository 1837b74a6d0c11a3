"""When what did not get through is tried again; and what of mail and Slack needs nobody at the other end."""

from datetime import UTC, datetime, timedelta

import pytest

from contract import buttons
from contract.buttons import Pressed
from contract.lines import one_line
from relay.mail import Server
from relay.slack import escaped
from relay.ways import Breaker, pause

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_way_that_is_closed_is_tried_by_one_until_one_gets_through() -> None:
    breaker = Breaker()
    assert breaker.most(NOON, 20) == 20
    until = breaker.failed(NOON, "away", None)
    assert NOON < until <= NOON + timedelta(seconds=6)
    assert breaker.most(until - timedelta(seconds=1), 20) == 0
    assert breaker.most(until, 20) == 1
    for _ in range(10):
        until = breaker.failed(NOON, "away", None)
    assert until <= NOON + timedelta(seconds=72)
    assert breaker.failed(NOON, "wait", timedelta(hours=1)) == NOON + timedelta(hours=1)
    breaker.passed()
    assert breaker.most(NOON, 20) == 20


def test_pauses_grow_up_to_hours_and_differ() -> None:
    pauses = [pause(attempts) for attempts in range(1, 12)]
    assert timedelta(seconds=20) < pauses[0] < timedelta(minutes=1)
    assert timedelta(hours=4) < pauses[-1] < timedelta(hours=8)
    assert len({pause(3) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("url", "server", "must_encrypt"),
    [
        ("smtp://mail.example.org", Server("mail.example.org", 25, False, None, None), None),
        ("smtp://m.org:2525", Server("m.org", 2525, False, None, None), None),
        ("smtp://bob:p%40ss@m.org", Server("m.org", 587, False, "bob", "p@ss"), True),
        ("smtp://bob:x@127.0.0.1:25", Server("127.0.0.1", 25, False, "bob", "x"), None),
        ("smtps://bob:x@m.org", Server("m.org", 465, True, "bob", "x"), False),
    ],
)
def test_a_password_goes_out_encrypted_alone(
    url: str, server: Server, must_encrypt: bool | None
) -> None:
    found = Server.of(url)
    assert found == server
    assert found.must_encrypt is must_encrypt


def test_what_a_button_says_is_read_back_and_nothing_else() -> None:
    from uuid import UUID

    pressed = Pressed(UUID(int=7), "approve", "d1")
    assert buttons.read(pressed.text()) == pressed
    for text in ("", "{}", "[]", '{"task_id": "x", "decision": "approve", "digest": "d"}'):
        assert buttons.read(text) is None


def test_what_people_wrote_is_text() -> None:
    assert escaped("<!channel> <http://x|y> & so") == "&lt;!channel&gt; &lt;http://x|y&gt; &amp; so"
    assert one_line("a\r\nBcc: eve\x00\u2028b  c\u202ed") == "a Bcc: eve b c d"
