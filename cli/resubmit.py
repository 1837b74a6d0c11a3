"""`countersign request resubmit`: what came back goes in again, with what was to be changed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.inputs import Texts, given_inputs
from cli.options import AsJson
from cli.output import at, due, say, table, write
from cli.requests import RequestId, request_id
from cli.showing import show_answer

_INBOX = 50


@calling
def resubmit(
    request: RequestId,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="What changes; the rest stays as it was."),
    ] = None,
    inputs: Texts = None,
    inputs_file: Annotated[
        Path | None, typer.Option(help="All inputs, from a JSON or YAML file; - is stdin.")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="What has changed.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Submit your request again, after changes were requested. Too late is exit code 3."""
    api = caller.connect()
    found = api.get(f"/v1/requests/{request_id(api, request)}")
    given = given_inputs(values or [], inputs_file, inputs or [])
    if inputs_file is None:
        given = found["inputs"] | given
    answer = api.post(f"/v1/requests/{found['id']}/resubmit", {"inputs": given, "comment": comment})
    show_answer(api, answer, as_json=as_json, named=request)


def show_rewound(api: Api) -> None:
    """Below an inbox: own requests that were sent back."""
    found: list[dict[str, Any]] = list(
        api.items("/v1/requests", _INBOX, state="rewound", mine="true")
    )
    if not found:
        return
    write("")
    table(
        ("request", "title", "what is to be changed", "until", "submitted (UTC)"),
        (
            (
                item["id"],
                item["title"],
                item["reason"],
                due(item["resubmit_by"]),
                at(item["created_at"]),
            )
            for item in found
        ),
        least=("submitted (UTC)",),
        wraps=("what is to be changed",),
    )
    say("change it: countersign request resubmit REQUEST NAME=VALUE... --comment WHAT")
