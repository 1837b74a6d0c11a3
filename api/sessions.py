"""Sessions of browsers: cookies that say who somebody is, signed with keys that all processes of a region share.

A session is good for what it was made for alone (`audience`), and until it ends. There is no list of those that count, to
be looked up or lost: only of those that were ended before their time (`Ended`), which each process knows.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt

from api.auth import Caller
from storage import sessions
from storage.pool import Pool
from storage.vault import Vault

LONGEST = 8 * 3600
"""Seconds that a session lasts at most."""
FRESH = 5.0
"""Seconds until a session that was ended in another process counts no more in this one."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in, when, and until when (seconds since 1970). `csrf` is what forms of theirs repeat."""

    caller: Caller
    until: int
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    began: float = field(default_factory=time.time)

    @property
    def id(self) -> str:
        """What it is known by where it is ended, which is of no use to anybody."""
        return sha256(self.csrf.encode()).hexdigest()


def signed(vault: Vault, audience: str, session: Session) -> str:
    """The cookie's value."""
    said = {
        "sub": session.caller.id,
        "roles": sorted(session.caller.roles),
        "began": session.began,
        "exp": session.until,
        "csrf": session.csrf,
    }
    return sign(vault, audience, said)


def read(vault: Vault, audience: str, cookie: str | None) -> Session | None:
    """The session that a cookie says, if it is one of ours and still counts."""
    said = None if cookie is None else verified(vault, audience, cookie)
    if said is None:
        return None
    caller = Caller(said["sub"], frozenset(said["roles"]))
    # Those of before sessions said when they began lasted as long as any.
    return Session(caller, said["exp"], said["csrf"], said.get("began", said["exp"] - LONGEST))


def sign(vault: Vault, audience: str, said: Mapping[str, Any]) -> str:
    """Claims, among them `exp`, as a text that only we can have made."""
    [key, *_] = vault.derived(audience)
    return jwt.encode({**said, "aud": audience}, key, algorithm="HS256")


def verified(vault: Vault, audience: str, text: str) -> dict[str, Any] | None:
    """What `sign` put in, unless it is over or not ours."""
    for key in vault.derived(audience):
        try:
            said: dict[str, Any] = jwt.decode(
                text, key, algorithms=["HS256"], audience=audience, options={"require": ["exp"]}
            )
        except jwt.PyJWTError:
            continue
        return said
    return None


class Ended:
    """Sessions that were ended before their time, as one process knows them: it asks for news when somebody comes,
    every `FRESH` seconds at most, so a page costs nothing by it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._one: dict[str, float] = {}
        self._all: dict[str, tuple[float, float]] = {}
        self._asked = float("-inf")
        self._heard = 0.0
        self._lock = asyncio.Lock()

    async def has(self, session: Session) -> bool:
        """Whether a session was ended. UNAVAILABLE where that cannot be known."""
        async with self._lock:
            if time.monotonic() - self._asked > FRESH:
                await self._ask()
        before, _ = self._all.get(session.caller.id, (0.0, 0.0))
        return session.id in self._one or session.began <= before

    async def end(self, session: Session) -> None:
        """End a session: nobody comes with a copy of its cookie any more."""
        await sessions.end_one(self._pool, session.id, session.until)
        self._one[session.id] = session.until

    async def _ask(self) -> None:
        asked, now = time.monotonic(), time.time()
        for row in await sessions.ended_since(self._pool, self._heard):
            self._heard = max(self._heard, row["ended_at"])
            if row["session"] is not None:
                self._one[row["session"]] = row["until"]
            else:
                self._all[row["person"]] = (row["ended_at"], row["until"])
        self._one = {one: until for one, until in self._one.items() if until > now}
        self._all = {who: found for who, found in self._all.items() if found[1] > now}
        self._asked = asked
