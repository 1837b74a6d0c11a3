"""`countersign request ...`: submit, show, list, events, cancel, retry."""

import re
import shlex
import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.caller import Caller, calling
from cli.client import Api, is_id
from cli.inputs import About, InputsFile, Texts, Values, given_inputs, parse_entity
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, at, say, table, write_ids, write_json
from cli.showing import actor, details, show_answer, show_request, state_of, withheld
from recipes.state import RequestState

app = typer.Typer(no_args_is_help=True, help="Submit requests and look after them.")

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST", help="The request's id, or its beginning.")
]

_SETTLE_SECONDS = 3.0
_SHORTEST = 4  # digits of an id's beginning
_LOOKED_AT = 1000
_MACHINERY = frozenset(
    {"chain", "decision_id", "digest", "level", "recipe_sha256", "seat", "seats", "task_id"}
)  # of an event's payload: there with --json


@app.command()
@calling
def submit(
    workflow: Annotated[str, typer.Argument(help="The recipe's workflow, such as leave_request.")],
    values: Values = None,
    inputs: Texts = None,
    inputs_file: InputsFile = None,
    version: Annotated[int | None, typer.Option(help="A version other than the newest.")] = None,
    entity: About = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting again with the same key makes no second request.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Submit a request.

    A VALUE that is JSON (5, true, ["a"]) is taken as that, anything else as text.
    """
    given = given_inputs(values or [], inputs_file, inputs or [])
    body: dict[str, object] = {"workflow": workflow, "inputs": given}
    if version is not None:
        body["version"] = version
    if entity is not None:
        body["entity"] = parse_entity(entity)
    api = caller.connect()
    key = idempotency_key or str(uuid4())
    try:
        request = api.post("/v1/requests", body, **{"Idempotency-Key": key})
    except Failure as failure:
        failure.fix = failure.fix or _as_texts(failure, values or [])
        raise
    if as_json:
        write_json(request)
        return
    say(f"submitted: {request['title']}")
    show_request(api, _taken_up(api, request))


@app.command()
@calling
def show(request: RequestId, *, caller: Caller, as_json: AsJson = False) -> None:
    """Show a request: where it stands, its tasks, who is next."""
    api = caller.connect()
    found = api.get(f"/v1/requests/{request_id(api, request)}")
    if as_json:
        write_json(found)
    else:
        show_request(api, found)


@app.command("list")
@calling
def list_requests(
    state: Annotated[RequestState | None, typer.Option(help="Those in one state.")] = None,
    workflow: Annotated[str | None, typer.Option(help="One workflow's alone.")] = None,
    requester: Annotated[str | None, typer.Option(help="One person's alone.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Those of state machines that are in this state.")
    ] = None,
    incident: Annotated[
        bool, typer.Option("--incident", help="Those alone that need people.")
    ] = False,
    entity: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE[:ID]", help="Those about one entity, booking:4711, or one type of them."
        ),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Those with all of these words in title or inputs.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="On inputs: 'amount > 50000'.")
    ] = None,
    imported: Annotated[
        bool | None,
        typer.Option("--imported/--live", help="Those alone that another system had; or none."),
    ] = None,
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the requests that you may see, newest first."""
    api = caller.connect()
    kind, colon, number = (entity or "").partition(":")
    wanted = {
        "state": state,
        "workflow": workflow,
        "requester": requester,
        "status": status,
        "entity_type": kind or None,
        "entity_id": number if colon else None,
        "words": words,
        "where": where,
        "imported": imported,
    }
    found = list(api.items("/v1/requests", limit, **wanted, incident="true" if incident else None))
    if as_json:
        write_json(found)
        return
    if ids:
        write_ids(found)
        return
    table(
        ("request", "title", "requester", "state", "step", "submitted (UTC)"),
        (
            (
                item["id"],
                item["title"],
                item["requester"],
                state_of(item),
                item["step"] or item["status"],
                at(item["created_at"]),
            )
            for item in found
        ),
        least=("step", "requester"),
    )


@app.command()
@calling
def events(
    request: RequestId,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show a request's audit trail: what happened, when, and by whom."""
    api = caller.connect()
    found = list(api.items(f"/v1/requests/{request_id(api, request)}/events", limit))
    if as_json:
        write_json(found)
        return
    table(
        ("#", "when (UTC)", "what", "who", "details", "hash"),
        (
            (
                item["seq"],
                at(item["occurred_at"], seconds=True),
                item["type"],
                actor(item["actor"]),
                details(item["payload"] | withheld(item), leave_out=_MACHINERY),
                item["hash"][:12],
            )
            for item in found
        ),
        least=("hash",),
        wraps=("details",),
    )


@app.command()
@calling
def cancel(
    request: RequestId,
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Cancel a request. Too late is exit code 3."""
    _command("cancel", request, comment, caller.connect(), as_json)


@app.command()
@calling
def retry(
    request: RequestId,
    comment: Annotated[str | None, typer.Option(help="What was put right.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Try a request's incidents again, after what was wrong is put right."""
    _command("retry", request, comment, caller.connect(), as_json)


def _command(command: str, request: str, comment: str | None, api: Api, as_json: bool) -> None:
    answer = api.post(f"/v1/requests/{request_id(api, request)}/{command}", {"comment": comment})
    show_answer(api, answer, as_json=as_json, named=request)


def request_id(api: Api, given: str) -> str:
    """A request's id from the whole of it or its beginning. Failure if it does not name one."""
    prefix = given.lower()
    if is_id(prefix):
        return prefix
    if len(prefix) < _SHORTEST or set(prefix) - set("0123456789abcdef-"):
        raise Failure(f"{given!r} is not the id of a request", code=Exit.USAGE)
    items = api.items("/v1/requests", _LOOKED_AT)
    found = [item for item in items if item["id"].startswith(prefix)]
    if len(found) > 1:
        listed = [f"{item['id']}  {item['title']}" for item in found[:10]]
        raise Failure(f"{len(found)} requests begin with {prefix}", code=Exit.USAGE, details=listed)
    if not found:
        raise Failure(
            f"none of your newest {_LOOKED_AT} requests begins with {prefix}",
            code=Exit.NOT_FOUND,
            fix="countersign request list shows them; a whole id is always found",
        )
    return str(found[0]["id"])


def _taken_up(api: Api, request: dict[str, Any]) -> dict[str, Any]:
    """The request once its first tasks are there, or as it is after a moment of waiting."""
    until = time.monotonic() + _SETTLE_SECONDS
    while _untouched(request) and time.monotonic() < until:
        time.sleep(0.1)
        request = api.get(f"/v1/requests/{request['id']}")
    if _untouched(request):
        say("no worker has taken it up yet; it is recorded and will be")
    return request


def _untouched(request: dict[str, Any]) -> bool:
    return request["state"] == "created" and not request["incidents"]


def _as_texts(failure: Failure, values: list[str]) -> str | None:
    """How to send as text what was taken as JSON and refused for not being text."""
    said = "\n".join((failure.message, *failure.details))
    refused = set(re.findall(r'/inputs/(\w+): .*not of type "string"', said))
    texts = [value for value in values if value.partition("=")[0] in refused]
    return " ".join(f"--input {shlex.quote(value)}" for value in texts) or None
