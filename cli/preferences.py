"""`countersign preferences`: what you are told of by mail and Slack, and when."""

from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, table, write_json
from contract.preferences import KINDS

_NONE = "none"


@calling
def preferences(
    tell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=WAYS",
            help=f"By which ways: mail, slack, mail,slack or none. KIND is all, or one of {', '.join(KINDS)}.",
        ),
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option(metavar="KINDS", help="What comes once a day: kinds with commas, or none."),
    ] = None,
    digest_at: Annotated[str | None, typer.Option(metavar="HH:MM", help="When.")] = None,
    quiet: Annotated[
        str | None, typer.Option(metavar="HH:MM-HH:MM", help="When nothing comes; or none.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="On which clock: Europe/Madrid; or none: the directory's."),
    ] = None,
    gather: Annotated[
        int | None,
        typer.Option(min=0, max=1440, help="Minutes within which all that happens is one message."),
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show what you are told of, how and when; or change it."""
    api = caller.connect()
    found = api.get("/v1/me/preferences")
    said: dict[str, Any] = {
        name: found[name]
        for name in (
            "channels",
            "digest",
            "digest_at",
            "quiet_hours",
            "time_zone",
            "gather_minutes",
        )
    }
    before = dict(said)
    said["channels"] = said["channels"] | _told(tell or [])
    if digest is not None:
        said["digest"] = _listed(digest)
    if quiet is not None:
        said["quiet_hours"] = _hours(quiet)
    if time_zone is not None:
        said["time_zone"] = None if time_zone == _NONE else time_zone
    given = {"digest_at": digest_at, "gather_minutes": gather}
    said |= {name: value for name, value in given.items() if value is not None}
    if said != before:
        found = api.put("/v1/me/preferences", said)
    if as_json:
        write_json(found)
    else:
        _show(found)


def _told(asked: list[str]) -> dict[str, list[str]]:
    channels: dict[str, list[str]] = {}
    for text in asked:
        kind, found, ways = text.partition("=")
        if not found or kind not in (*KINDS, "all"):
            fix = f"such as --tell task=mail,slack; kinds are all, {', '.join(KINDS)}"
            raise Failure(f"--tell {text}: not KIND=WAYS", code=Exit.USAGE, fix=fix)
        channels |= {each: _listed(ways) for each in (KINDS if kind == "all" else (kind,))}
    return channels


def _listed(text: str) -> list[str]:
    return [] if text == _NONE else [each.strip() for each in text.split(",")]


def _hours(text: str) -> dict[str, str] | None:
    if text == _NONE:
        return None
    begins, found, ends = text.partition("-")
    if not found:
        fix = "such as --quiet 19:00-08:00, or none"
        raise Failure(f"--quiet {text}: not HH:MM-HH:MM", code=Exit.USAGE, fix=fix)
    return {"from": begins.strip(), "to": ends.strip()}


def _show(found: dict[str, Any]) -> None:
    on = found["ways"]
    ways = {
        kind: ", ".join(f"{it}{'' if it in on else ' (off here)'}" for it in told) or _NONE
        for kind, told in found["channels"].items()
    }
    hours = found["quiet_hours"]
    rest = [
        ("once a day", ", ".join(found["digest"]) or _NONE),
        ("at", found["digest_at"]),
        ("quiet", f"{hours['from']}-{hours['to']}" if hours else _NONE),
        ("clock", found["clock"]),
        ("gathered for", f"{found['gather_minutes']} min"),
        ("mail", found["email"] or "the directory has no address"),
        ("Slack", found["slack_user"] or "found by mail address when first needed"),
    ]
    table(("", ""), [*ways.items(), *rest])
