"""How often somebody may call: so many calls a minute each, counted in this process.

Whoever was quiet for a minute may make all of a minute's calls at once; what is used up comes back evenly (the
generic cell rate algorithm: one number for each caller, the moment when all of it will be back).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from api import errors
from api.auth import Caller
from settings import Settings

MINUTE = 60.0
COUNTED = "countersign.rate"
"""The key in a scope under which `count` leaves what the answer's headers are to say."""
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """What a caller has left of `quota` calls a minute; all of it is back in `seconds`, and if this call is
    one too many, `wait` says when the next may come."""

    policy: str
    quota: int
    left: int
    seconds: float
    wait: float = 0.0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As of the IETF's draft `ratelimit-headers`."""
        named = f'"{self.policy}"'
        left = f"{named};r={self.left};t={math.ceil(self.seconds)}"
        return [
            (b"ratelimit-policy", f"{named};q={self.quota};w={MINUTE:.0f}".encode()),
            (b"ratelimit", left.encode()),
        ]


def rate(policy: str, quota: int, used: float) -> Rate:
    """What is left once one more call is counted, `used` seconds of a minute's being used up."""
    used, each = max(used, 0.0), MINUTE / quota
    wait = used + each - MINUTE
    if wait > each * 1e-6:
        return Rate(policy, quota, 0, used, wait)
    return Rate(policy, quota, int((MINUTE - used - each) / each + 1e-6), used + each)


class Limits:
    """The quotas of people and of services; one of 0 is none."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._quotas = {"person": settings.rate_limit, "service": settings.service_rate_limit}
        self._now = now
        self._full_at: dict[str, float] = {}
        self._most = _REMEMBERED

    def take(self, caller: Caller) -> Rate | None:
        """Count a call of theirs; None where calls are not counted."""
        policy = "person" if caller.scopes is None else "service"
        quota = self._quotas[policy]
        if quota == 0:
            return None
        now = self._now()
        found = rate(policy, quota, self._full_at.get(caller.id, now) - now)
        if found.wait > 0:
            return found
        if len(self._full_at) >= self._most:
            self._full_at = {who: at for who, at in self._full_at.items() if at > now}
            self._most = max(_REMEMBERED, 2 * len(self._full_at))
        self._full_at[caller.id] = now + found.seconds
        return found


def count(limits: Limits, request: Request, caller: Caller) -> None:
    """Count a call, for the headers of its answer. Problem 429 if it is one too many."""
    found = limits.take(caller)
    if found is None:
        return
    request.scope[COUNTED] = found
    if found.wait > 0:
        raise too_many(f"{caller.id} may make {found.quota} calls a minute", found)


def too_many(why: str, rate: Rate) -> errors.Problem:
    """429, with when to try again."""
    seconds = math.ceil(rate.wait)
    return errors.Problem(
        429,
        "rate_limited",
        f"{why}: try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
