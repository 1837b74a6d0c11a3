"""`countersign comment`, `ask`, `watch`: what people say and ask about a request, and who follows it."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, say, write_json
from cli.requests import RequestId, request_id
from cli.tasks import TaskId, task_id


@calling
def comment(
    request: RequestId,
    text: Annotated[str, typer.Argument(help="What you say; it stays on the record.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Say something about a request: everybody who may see it reads it."""
    api = caller.connect()
    made = api.post(f"/v1/requests/{request_id(api, request)}/comments", {"text": text})
    if as_json:
        write_json(made)
    else:
        say("commented; countersign request show shows it")


@calling
def ask(
    task: TaskId,
    text: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    to: Annotated[str, typer.Option(metavar="PERSON", help="Whom you ask: anybody.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Ask somebody about a task that you may decide; it waits for you on."""
    api = caller.connect()
    body = {"to": to, "text": text}
    made = api.post(f"/v1/tasks/{task_id(api, task)}/questions", body)
    if as_json:
        write_json(made)
    else:
        say(f"asked {to} about {made['title']}; the answer is shown with the request")


@calling
def watch(
    request: RequestId,
    person: Annotated[
        str | None, typer.Option(help="Somebody else, as the requester, say; they may then see it.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Watch it no more.")] = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Watch a request, or have somebody watch it."""
    api = caller.connect()
    path = f"/v1/requests/{request_id(api, request)}/watchers"
    if not stop:
        found = api.post(path, {"person": person})
    elif person is None:
        raise Failure("--stop needs --person PERSON: yourself, say", code=Exit.USAGE)
    else:
        found = api.delete(f"{path}/{quote(person, safe='')}")
    if as_json:
        write_json(found)
    else:
        say("watched by " + (", ".join(it["person"] for it in found["items"]) or "nobody"))
