"""Preferences: what I am told of, by which ways, and when."""

from datetime import time, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.auth import Caller
from api.entitled import NOT_HERE
from api.http import Route, answer, read, takes
from api.message_shapes import PreferencesBody, PreferencesShown
from api.services import Services, caller_of, services
from contract.preferences import CHANNELS, KINDS, Preferences, Quiet
from recipes.model import Json
from storage import preferences, zones
from storage.preferences import Reached

router = APIRouter(prefix="/v1/me", tags=["notifications"], route_class=Route)


@router.get("/preferences", response_model=PreferencesShown, summary="What I am told of")
async def show_preferences(request: Request) -> Response:
    """What I said, or how it is for everybody who never said anything: by mail, ten minutes after the
    first thing that happens, with all that follows until then. `email` and `slack_user` are where I am reached,
    `ways` those that are on here."""
    house, caller = services(request), await caller_of(request)
    return answer(_shown(house, await _mine(house, caller)))


@router.put(
    "/preferences",
    response_model=PreferencesShown,
    summary="Say what I want to be told of",
    openapi_extra=takes(PreferencesBody),
)
async def say_preferences(request: Request) -> Response:
    """All of it, instead of what I said before; what is left out is as it is for everybody."""
    house, caller = services(request), await caller_of(request)
    body = await read(request, PreferencesBody)
    await _mine(house, caller)
    _check_ways(house, body)
    await preferences.say(house.pool, caller.id, _said(body))
    return answer(_shown(house, await _mine(house, caller)))


async def _mine(house: Services, caller: Caller) -> Reached:
    found = await preferences.of_person(house.pool, caller.id)
    if found is None:
        raise errors.forbidden(NOT_HERE)
    return found


def _check_ways(house: Services, body: PreferencesBody) -> None:
    """Problem 422 on a way that would lead nowhere."""
    if house.settings.slack_token is None:
        for kind, channels in body.channels.items():
            if "slack" in channels:
                raise errors.invalid_at(
                    f"/channels/{kind}", "Slack is not set up here (COUNTERSIGN_SLACK_TOKEN)"
                )
    if body.time_zone is not None and zones.zone(body.time_zone) is None:
        raise errors.invalid_at(
            "/time_zone", f"{body.time_zone!r} is no time zone, such as Europe/Madrid"
        )


def _said(body: PreferencesBody) -> Preferences:
    usual = Preferences()
    hours = body.quiet_hours
    return Preferences(
        {
            kind: tuple(
                it for it in CHANNELS if it in body.channels.get(kind, usual.channels[kind])
            )
            for kind in KINDS
        },
        frozenset(body.digest),
        time.fromisoformat(body.digest_at),
        None if hours is None else Quiet(_time(hours.begins), _time(hours.ends)),
        body.time_zone,
        timedelta(minutes=body.gather_minutes),
    )


def _time(clock: str) -> time:
    return time.fromisoformat(clock)


def _shown(house: Services, reached: Reached) -> dict[str, Json]:
    mine, settings = reached.preferences, house.settings
    channels: dict[str, Any] = {kind: list(mine.channels[kind]) for kind in KINDS}
    ways = {"mail": settings.smtp_url, "slack": settings.slack_token}
    return {
        "channels": channels,
        "digest": [kind for kind in KINDS if kind in mine.digest],
        "digest_at": f"{mine.digest_at:%H:%M}",
        "quiet_hours": None
        if mine.quiet is None
        else {"from": f"{mine.quiet.begins:%H:%M}", "to": f"{mine.quiet.ends:%H:%M}"},
        "time_zone": mine.time_zone,
        "gather_minutes": int(mine.gather.total_seconds() // 60),
        "clock": reached.zone,
        "email": reached.email,
        "slack_user": reached.slack_user,
        "ways": [name for name, setting in ways.items() if setting is not None],
    }
