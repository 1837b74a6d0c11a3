"""`countersign reassign`: give a task, or a seat that has none, to somebody else."""

from typing import Annotated

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.options import AsJson
from cli.output import Exit, Failure
from cli.requests import request_id
from cli.showing import show_answer
from cli.tasks import task_id


@calling
def reassign(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="The task's id, or its beginning in your inbox."),
    ] = None,
    to: Annotated[str, typer.Option(metavar="PERSON", help="Who decides from now on.")] = "",
    reason: Annotated[str, typer.Option(help="Why: it goes on the record.")] = "",
    request: Annotated[
        str | None, typer.Option(help="Instead of TASK: the request, or its beginning.")
    ] = None,
    seat: Annotated[
        str | None, typer.Option(help="With --request: which seat, as the incident names it.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Give a task, or a seat that has none, to somebody else. Too late is exit code 3."""
    for name, value in (("--to PERSON", to), ("--reason WHY", reason)):
        if not value.strip():
            raise Failure(f"{name} is needed", code=Exit.USAGE)
    if (task is None) == (request is None):
        raise Failure("give either TASK or --request REQUEST", code=Exit.USAGE)
    api = caller.connect()
    body = {"to": to, "comment": reason}
    if request is not None:
        found = request_id(api, request)
        body["seat"] = seat or _only_seat(api, found)
        answer = api.post(f"/v1/requests/{found}/reassign", body)
    elif seat is not None:
        raise Failure("--seat goes with --request: a task has its seat", code=Exit.USAGE)
    else:
        answer = api.post(f"/v1/tasks/{task_id(api, task or '')}/reassign", body)
    show_answer(api, answer, as_json=as_json)


def _only_seat(api: Api, request: str) -> str:
    """The seat of the request's only incident. Failure if there are several, or none."""
    incidents = api.get(f"/v1/requests/{request}")["incidents"]
    seats = [item["seat"] for item in incidents if item["seat"] is not None]
    if len(seats) == 1:
        return str(seats[0])
    raise Failure(
        "which seat? --seat says it" if seats else "no seat of it waits with an incident",
        code=Exit.USAGE,
        details=[f"--seat {name}" for name in seats],
        fix=None if seats else "give the task: countersign reassign TASK --to PERSON --reason WHY",
    )
