"""Time zones, by the names that the IANA gives them, as this machine knows them."""

from datetime import tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


@cache
def names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(name: str) -> tzinfo | None:
    """The time zone of that name; None if there is none."""
    return ZoneInfo(name) if name in names() else None
