"""Webhooks as both ends know them: signatures of Standard Webhooks, and when is tried again.

What is signed is `id.timestamp.body` with HMAC-SHA256; a secret is `whsec_` and base64 of its bytes. While a
secret is replaced there are two signatures, and a receiver takes either.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from hmac import digest as hmac
from uuid import UUID

SECRET_BYTES = 32
_PREFIX = "whsec_"
OVERLAP = timedelta(hours=24)
"""So long a secret that was replaced signs beside the new one."""

PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0, 10_800.0, 21_600.0)
"""Seconds after each attempt at an event that failed; the last one stays."""
PATIENCE = timedelta(days=3)
"""So long after its first failure an event is tried."""
TRIP = 5
"""After so many failures in a row nothing new is sent until one goes through."""
LONGEST_PROBE = 600.0
_FIRST_PROBE = 5.0


def spelt(secret: bytes) -> str:
    """A secret as people get it."""
    return _PREFIX + b64encode(secret).decode()


def signature(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac(secret, signed, "sha256")).decode()


def headers(
    secrets: Sequence[bytes], event_id: UUID | str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The headers of a message. `timestamp` is in seconds, of when it is sent."""
    signatures = [signature(secret, str(event_id), timestamp, body) for secret in secrets]
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def pause(attempts: int, chance: float) -> float:
    """Seconds until an event is tried again that failed so many times: up to a fifth more or less, as `chance`
    (0 to 1) has it, so that what failed together does not come back together."""
    return _jittered(PAUSES[min(attempts, len(PAUSES)) - 1], chance)


def probe_pause(probes: int, chance: float) -> float:
    """Seconds until an endpoint is tried again that failed so many probes."""
    return _jittered(min(_FIRST_PROBE * 2.0 ** min(probes, 20), LONGEST_PROBE), chance)


def _jittered(seconds: float, chance: float) -> float:
    return seconds * (0.8 + 0.4 * chance)
