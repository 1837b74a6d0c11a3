"""`countersign audit query`: rows of the audit trail, of all requests."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, at, say, table, write_json
from cli.showing import actor, details, withheld

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="A day (UTC), or a moment: from then on.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this day, or moment.")]
Workflow = Annotated[str | None, typer.Option(help="One workflow's alone.")]
Version = Annotated[int | None, typer.Option(min=1, help="One version's alone.")]
ActorId = Annotated[str | None, typer.Option("--actor", metavar="PERSON", help="Who did it.")]
Behalf = Annotated[str | None, typer.Option(metavar="PERSON", help="For whom.")]
InRole = Annotated[str | None, typer.Option("--in-role", metavar="ROLE", help="In which role.")]
EventType = Annotated[str | None, typer.Option("--type", help="Such as decision.recorded.")]
Outcome = Annotated[
    str | None, typer.Option(help="approve, reject, or the state a request ended in.")
]
About = Annotated[
    str | None,
    typer.Option("--entity", metavar="TYPE[:ID]", help="Of requests about such an entity."),
]
Words = Annotated[str | None, typer.Option(help="All of these words, in title, inputs or comment.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="CONDITION", help="On inputs: 'amount > 50000 && currency == \"EUR\"'."),
]


@calling
def query(
    since: Since = None,
    until: Until = None,
    workflow: Workflow = None,
    version: Version = None,
    actor_id: ActorId = None,
    on_behalf_of: Behalf = None,
    actor_role: InRole = None,
    event_type: EventType = None,
    outcome: Outcome = None,
    entity: About = None,
    request: Annotated[str | None, typer.Option(help="One request's alone.")] = None,
    words: Words = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Ask the audit trail, as an auditor or administrator: the newest first."""
    kind, colon, number = (entity or "").partition(":")
    wanted = {
        "since": moment(since),
        "until": moment(until),
        "workflow": workflow,
        "version": version,
        "actor": actor_id,
        "on_behalf_of": on_behalf_of,
        "role": actor_role,
        "type": event_type,
        "outcome": outcome,
        "entity_type": kind or None,
        "entity_id": number if colon else None,
        "request": request,
        "words": words,
        "where": where,
    }
    api = caller.connect()
    found = list(api.items("/v1/audit", limit, **wanted))
    if as_json:
        write_json(found)
    elif not found:
        say("nothing of the kind is on record")
    else:
        show(found)


def show(found: list[dict[str, Any]]) -> None:
    table(
        ("when (UTC)", "request", "title", "version", "what", "outcome", "who", "details"),
        (
            (
                at(item["occurred_at"], seconds=True),
                item["request_id"],
                item["title"],
                f"{item['workflow']}@{item['version']}",
                item["type"],
                item["outcome"],
                actor(item["actor"]),
                details((item["inputs"] or item["payload"]) | withheld(item)),
            )
            for item in found
        ),
        least=("version", "title"),
        wraps=("details",),
    )


def moment(text: str | None) -> str | None:
    """A day is its beginning in UTC. Failure (usage) for what is no time at all; the API reads the rest."""
    if text is None:
        return None
    if _DAY.fullmatch(text):
        return f"{text}T00:00:00Z"
    if "T" not in text:
        fix = "as in 2026-07-01 or 2026-07-01T08:00:00Z"
        raise Failure(f"{text!r} is no day and no moment", code=Exit.USAGE, fix=fix)
    return text


def instant(text: str | None) -> datetime | None:
    """As `moment`, to ask Postgres ourselves; without a zone it is UTC. Failure (usage)."""
    found = moment(text)
    try:
        read = None if found is None else datetime.fromisoformat(found)
    except ValueError:
        fix = "as in 2026-07-01 or 2026-07-01T08:00:00Z"
        raise Failure(f"{text!r} is no moment", code=Exit.USAGE, fix=fix) from None
    return read if read is None or read.tzinfo else read.replace(tzinfo=UTC)
