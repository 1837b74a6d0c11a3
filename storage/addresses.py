"""Where webhooks may go: an address that an endpoint's name leads to is judged here, before anybody connects.

Whoever may make webhooks must not reach what only our machines can: loopback, private networks, what tells
machines their credentials. Addresses that carry another one inside (IPv4 in IPv6, NAT64, 6to4) are judged by that.
"""

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NAT64 = ip_network("64:ff9b::/96")
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "::ffff:0:0:0/96",  # IPv4 in IPv6 as translators have it (RFC 2765)
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/9",
    )
)
"""Networks for special purposes, some of which not every Python knows."""
_COMPATIBLE = ip_network("::/96")
_CLOUDS = frozenset(ip_address(text) for text in ("168.63.129.16", "100.100.100.200"))
"""Where clouds tell machines about themselves, in networks that look public."""
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)
_LONGEST = 2000


class UrlRefused(ValueError):
    """This URL is none that events may be sent to; the text says why, and what to do."""


def refusal(text: str, allowed: Sequence[Network] = ()) -> str | None:
    """Why nobody may connect to an address; None if they may."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text} is no address"
    inner = _inner(address)
    if any(address in network or inner in network for network in allowed):
        return None
    if inner in _CLOUDS:
        return f"{text} is where a cloud tells machines about themselves"
    if inner.is_multicast or address.is_multicast:
        return f"{text} is a multicast address"
    if not inner.is_global or any(it in network for it in (inner, address) for network in _SPECIAL):
        return f"{text} is not an address of the public Internet"
    return None


def _inner(address: Address) -> Address:
    """The address that another one leads to."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def endpoint(url: str, *, production: bool, allowed: Sequence[Network] = ()) -> SplitResult:
    """The parts of an endpoint's URL. UrlRefused; what its name leads to is judged when it is connected to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UrlRefused(f"it is no URL: {error}") from None
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise UrlRefused(f"a URL is at most {_LONGEST} visible ASCII characters")
    if parts.scheme not in ("http", "https") or not host:
        raise UrlRefused("it must be like https://example.org/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise UrlRefused("it must have no user, password or fragment; messages are signed")
    if parts.scheme == "http" and production:
        raise UrlRefused("it must be https in production")
    _check_literal(host, allowed)
    return parts


def _check_literal(host: str, allowed: Sequence[Network]) -> None:
    """UrlRefused for a host that is an address nobody may connect to, or spelt so that it hides one."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        if _NUMBERS.fullmatch(host):
            raise UrlRefused(f"{host} hides an address: write it as 192.0.2.1") from None
        return
    why = refusal(host, allowed)
    if why is not None:
        raise UrlRefused(f"{why}; COUNTERSIGN_WEBHOOK_ALLOW can allow its network")


def is_loopback(text: str) -> bool:
    """Whether an address leads to this machine alone."""
    return _inner(ip_address(text.partition("%")[0])).is_loopback
