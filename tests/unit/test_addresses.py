"""Where webhooks may go."""

import pytest

from settings import Settings
from storage import addresses
from storage.addresses import UrlRefused, endpoint, refusal


def networks(text: str) -> tuple[addresses.Network, ...]:
    return Settings(webhook_allow=text).webhook_networks


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:1234::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "nonsense",
    ],
)
def test_nobody_connects_to(address: str) -> None:
    assert refusal(address) is not None


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"],
)
def test_anybody_connects_to(address: str) -> None:
    assert refusal(address) is None


def test_networks_that_are_allowed_all_the_same() -> None:
    allowed = networks("10.1.0.0/16, ::1/128,127.0.0.0/8")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "::1", "127.0.0.1"):
        assert refusal(address, allowed) is None, address
    assert refusal("10.2.0.1", allowed) is not None
    assert networks("") == ()
    with pytest.raises(ValueError, match="has host bits set"):
        networks("10.0.0.1/8")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "must be like"),
        ("https:///path", "must be like"),
        ("example.org", "must be like"),
        ("https://user:secret@example.org/", "no user"),
        ("https://user@example.org/", "no user"),
        ("https://example.org/#a", "fragment"),
        ("https://example.org:0x50/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://exämple.org/", "ASCII"),
        ("https://example.org/a b", "ASCII"),
        ("https://example.org/\r\nHost: x", "ASCII"),
        ("https://" + "x" * 2000, "2000"),
        ("http://example.org/", "https in production"),
        ("https://127.0.0.1/", "not an address of the public"),
        ("https://[::ffff:127.0.0.1]/", "not an address of the public"),
        ("https://169.254.169.254/latest", "WEBHOOK_ALLOW"),
        ("https://2130706433/", "hides an address"),
        ("https://0x7f000001/", "hides an address"),
        ("https://0x7f.1/", "hides an address"),
        ("https://0177.0.0.1/", "hides an address"),
        ("https://127.1/", "hides an address"),
        ("https://127.0.0.1./", "hides an address"),
    ],
)
def test_urls_that_are_refused(url: str, why: str) -> None:
    with pytest.raises(UrlRefused, match=why):
        endpoint(url, production=True)


def test_urls_that_are_taken() -> None:
    assert endpoint("https://example.org:8443/a?b=c", production=True).port == 8443
    assert endpoint("http://localhost:9000/", production=False).hostname == "localhost"
    assert endpoint("https://10.1.2.3/", production=True, allowed=networks("10.0.0.0/8"))
    assert addresses.is_loopback("::ffff:127.0.0.1")
    assert not addresses.is_loopback("10.0.0.1")
