"""Services that call: API keys, `csk_<id>_<secret>`, held against what is kept of them."""

import hmac
import re
from hashlib import sha256

import asyncpg

from api import scopes
from api.auth import SERVICE, Caller, unauthenticated
from contract.canonical import timestamp
from storage import api_keys
from storage.pool import Source

PREFIX = "csk_"
_KEY = re.compile(r"csk_([0-9a-f]{16})_([0-9a-f]{64})")


async def known(source: Source, key: str) -> asyncpg.Record:
    """A key's row. Problem 401 for one that does not count.

    It is looked up each time: one that is revoked counts no more from the next call on."""
    spelt = _KEY.fullmatch(key)
    row = None if spelt is None else await api_keys.find(source, spelt[1])
    if spelt is None or row is None:
        raise unauthenticated("this API key is not known", "invalid_token")
    if not hmac.compare_digest(row["digest"], sha256(spelt[2].encode()).digest()):
        raise unauthenticated("this API key is not known", "invalid_token")
    if row["state"] != "active":
        at = timestamp(row["revoked_at"] or row["expires_at"])
        raise unauthenticated(f"this API key {_ENDED[row['state']]} at {at}", "invalid_token")
    return row


async def caller(source: Source, row: asyncpg.Record, method: str, path: str) -> Caller:
    """Who calls with a key, in the call of a route (its template). Problem 403 for one that it does not open."""
    held = frozenset[str](row["scopes"])
    found = Caller(SERVICE + row["service"], scopes.roles_in(held, method, path), held)
    if row["unnoticed"]:
        await api_keys.used(source, row["id"])
    return found


_ENDED = {"revoked": "was revoked", "expired": "expired"}
