"""Sessions of browsers: cookies that say who somebody is, signed with keys that all processes of a region share.

A session is good for what it was made for alone (`audience`), and until it ends: there is no list of sessions to
be looked up, or lost. Whoever has left decides nothing all the same, since each decision asks the directory.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from api.auth import Caller
from storage.vault import Vault


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in, and until when (seconds since 1970). `csrf` is what forms of theirs repeat."""

    caller: Caller
    until: int
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


def signed(vault: Vault, audience: str, session: Session) -> str:
    """The cookie's value."""
    said = {
        "sub": session.caller.id,
        "roles": sorted(session.caller.roles),
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
    return Session(caller, said["exp"], said["csrf"])


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
