"""Days as people mean them: from when until when one is, where its clocks are."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day by the clocks of `zone`, in UTC; it ends where the next one starts.

    Usually midnight. Where clocks are put forward over it, the day starts when they are; a day that a
    country left out starts, and ends, where the next one does. Where they are put back to before
    midnight, it is the first of two. OverflowError or ValueError at the ends of the calendar.
    """
    midnight = datetime.combine(day, time(), zone)
    late = midnight.astimezone(UTC)
    if _wall(late, zone) == midnight.replace(tzinfo=None):
        return late
    # In a gap: by the clock before it midnight comes `late`, by the one after it `early`.
    early = midnight.replace(fold=1).astimezone(UTC)
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if _wall(middle, zone).date() < day:
            early = middle
        else:
            late = middle
    return late


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
