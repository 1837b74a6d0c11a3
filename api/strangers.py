"""Callers without a good token: how often an address may try, counted in this process.

Whoever guesses is told so, and then that it is too often. What was good here before is let in all the same: others behind
the same address go on. Little is remembered: of many addresses, those that came last.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import Request

from api import errors, limits
from settings import Settings

_REMEMBERED = 10_000


class Strangers:
    """The quota of refused calls that an address has each minute; 0 is none."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._quota = settings.refused_rate_limit
        self._now = now
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    @contextmanager
    def trying(
        self, request: Request, credential: str | None, no_good: type[Exception] = errors.Problem
    ) -> Iterator[None]:
        """Around what looks at a credential, and raises `no_good` (of problems, one of 401) where it is. Problem 429
        where too many were."""
        address = _address(request)
        if self._quota == 0 or address is None:
            yield
            return
        known = sha256((credential or "").encode()).digest()
        if known not in self._good:
            self._check(request, address)
        try:
            yield
        except no_good as refusal:
            if not isinstance(refusal, errors.Problem) or refusal.status == 401:
                self._good.pop(known, None)
                self._count(request, address)
            raise
        if credential is not None:
            self._good[known] = None
            _shorten(self._good)

    def _check(self, request: Request, address: str) -> None:
        rate = self._rate(address)
        if rate.wait > 0:
            request.scope[limits.COUNTED] = rate
            raise limits.too_many(f"{address} was refused {rate.quota} times a minute", rate)

    def _count(self, request: Request, address: str) -> None:
        rate = request.scope[limits.COUNTED] = self._rate(address)
        self._full_at[address] = self._now() + rate.seconds
        self._full_at.move_to_end(address)
        _shorten(self._full_at)

    def _rate(self, address: str) -> limits.Rate:
        now = self._now()
        return limits.rate("refused", self._quota, self._full_at.get(address, now) - now)


def _address(request: Request) -> str | None:
    """Whose it is: of IPv6 the network of 64 bits, any address of which one household has."""
    if request.client is None:
        return None
    try:
        found = ip_address(request.client.host)
    except ValueError:
        return request.client.host
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, 64), strict=False))
    return str(found)


def _shorten(known: OrderedDict[str, float] | OrderedDict[bytes, None]) -> None:
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
