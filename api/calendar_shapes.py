"""The shapes of what is told of calendars: see `schemas`."""

from datetime import date, datetime

from pydantic import Field

from api.shapes import Strict, example


class OnOlderVersions(Strict):
    """What is open and was timed by an older version: tasks, and requests by their deadlines or by the
    timers of state machines."""

    tasks: int
    requests: int


class CalendarImported(Strict):
    """`version` is the one that counts from now on, or with `dry_run` would. What rests on older
    versions keeps its times."""

    model_config = example(
        name="es",
        version=2,
        unchanged=False,
        dry_run=False,
        on_older_versions={"tasks": 12, "requests": 3},
    )
    name: str
    version: int
    unchanged: bool
    dry_run: bool
    on_older_versions: OnOlderVersions


class Covers(Strict):
    """The days, both included, of which the holidays are known."""

    first: date = Field(alias="from")
    to: date


class Holiday(Strict):
    date: date
    name: str


class Calendar(Strict):
    """One version, by default the one that counts now. `versions` are all there are."""

    model_config = example(
        name="es",
        version=2,
        versions=[2, 1],
        time_zone="Europe/Madrid",
        week=["mon", "tue", "wed", "thu", "fri"],
        hours="09:00-18:00",
        covers={"from": "2026-01-01", "to": "2026-12-31"},
        holidays=[{"date": "2026-01-01", "name": "Año Nuevo"}],
        sha256="9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a",
        imported_at="2026-03-02T09:12:44.001122Z",
        imported_by="root",
    )
    name: str
    version: int
    versions: list[int]
    time_zone: str
    week: list[str]
    hours: str
    covers: Covers
    holidays: list[Holiday]
    sha256: str
    imported_at: datetime
    imported_by: str


class CalendarPage(Strict):
    items: list[Calendar]
    next_cursor: str | None
