"""Signatures and times of webhooks."""

import pytest

from contract import webhooks


def test_the_signature_of_the_specification() -> None:
    """The example of Standard Webhooks."""
    from base64 import b64decode

    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhooks.signature(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_signatures() -> None:
    found = webhooks.headers([b"new", b"old"], "id", 5, b"{}")
    assert found["webhook-signature"].split() == [
        webhooks.signature(each, "id", 5, b"{}") for each in (b"new", b"old")
    ]
    assert webhooks.spelt(bytes(32)) == "whsec_" + "A" * 43 + "="


def test_pauses_grow_and_stay() -> None:
    steps = [webhooks.pause(attempts, 0.5) for attempts in range(1, 20)]
    assert steps[:7] == [pytest.approx(each) for each in webhooks.PAUSES]
    assert steps[7:] == [pytest.approx(21_600)] * 12
    assert sum(steps[:18]) > webhooks.PATIENCE.total_seconds() > sum(steps[:10])
    assert [webhooks.pause(1, chance) for chance in (0, 1)] == [pytest.approx(4), pytest.approx(6)]
    probes = [webhooks.probe_pause(count, 0.5) for count in (0, 1, 2, 9, 1000)]
    assert probes == [pytest.approx(each) for each in (5, 10, 20, 600, 600)]
