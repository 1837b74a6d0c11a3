"""Idempotency keys: what a key of a person made before. Keys are written where the thing is made."""

from hashlib import sha256
from uuid import UUID

from storage.pool import Source

_AT_ONCE = 10_000


def fingerprint(method: str, path: str, body: bytes, salt: bytes) -> str:
    """What must be the same when a key comes again. `salt` is of the request that was made: nobody can try
    what the body may have been."""
    return sha256(salt + b"\x00".join((method.encode(), path.encode(), body))).hexdigest()


KNOWN = "SELECT fingerprint, request_id FROM idempotency_keys WHERE actor = $1 AND key = $2"


async def known(source: Source, actor: str, key: str) -> tuple[str, UUID] | None:
    """The fingerprint under which a key was used, and the request it made."""
    row = await source.fetchrow(KNOWN, actor, key)
    return None if row is None else (row["fingerprint"], row["request_id"])


FORGET = """
DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(days => $1) LIMIT $2))
"""


async def forget(source: Source, days: int) -> int:
    """Forget the keys older than `days`; how many. What they made stays."""
    forgotten = 0
    while True:
        status = await source.execute(FORGET, days, _AT_ONCE)
        count = int(status.rpartition(" ")[2])
        forgotten += count
        if count < _AT_ONCE:
            return forgotten
