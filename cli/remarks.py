"""`countersign comment`, `ask`: what people say and ask about a request."""

from typing import Annotated

import typer

from cli.client import As, Role, Url, connect
from cli.output import AsJson, say, write_json
from cli.requests import RequestId, request_id
from cli.tasks import TaskId, task_id


def comment(
    request: RequestId,
    text: Annotated[str, typer.Argument(help="What you say; it stays on the record.")],
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Say something about a request: everybody who may see it reads it."""
    api = connect(url, as_person, role)
    made = api.post(f"/v1/requests/{request_id(api, request)}/comments", {"text": text})
    if as_json:
        write_json(made)
    else:
        say("commented; countersign request show shows it")


def ask(
    task: TaskId,
    text: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    to: Annotated[str, typer.Option(metavar="PERSON", help="Whom you ask: anybody.")],
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Ask somebody about a task that you may decide; it waits for you on."""
    api = connect(url, as_person, role)
    body = {"to": to, "text": text}
    made = api.post(f"/v1/tasks/{task_id(api, task)}/questions", body)
    if as_json:
        write_json(made)
    else:
        say(f"asked {to} about {made['title']}; the answer is shown with the request")
