"""`countersign questions`, `answer`: what you are asked, and what you say, without deciding."""

from typing import Annotated, Any, Literal

import typer

from cli.caller import Caller, calling
from cli.client import Api, is_id
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, at, say, table, told, write_ids, write_json

_SHORTEST = 4


@calling
def answer(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question's id, or its beginning.")
    ],
    text: Annotated[str, typer.Argument(metavar="ANSWER", help="What you say.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Answer a question that you were asked. Nothing is decided by it."""
    api = caller.connect()
    found = _question_id(api, question)
    made = api.post(f"/v1/questions/{found}/answer", {"text": text})
    if as_json:
        write_json(made)
    else:
        say(f"answered {made['asked_by']}: {made['title']}")


@calling
def questions(
    state: Annotated[
        Literal["open", "answered", "all"],
        typer.Option(help="Those that wait for you, those answered, or both."),
    ] = "open",
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the questions put to you."""
    api = caller.connect()
    found = list(api.items("/v1/questions", limit, state=state))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif found:
        show_questions(found)
    else:
        say("no question waits for you" if state == "open" else "there is nothing")


def show_open(api: Api) -> None:
    """Below an inbox: the questions that wait for an answer."""
    found = list(api.items("/v1/questions", 50, state="open"))
    if found:
        say("questions that wait for your answer: countersign answer QUESTION ANSWER")
        show_questions(found)


def show_questions(found: list[dict[str, Any]]) -> None:
    """A table of questions."""
    table(
        ("question", "title", "asked by", "when (UTC)", "text", "answer"),
        (
            (
                it["id"],
                it["title"],
                it["asked_by"],
                at(it["asked_at"]),
                told(it, "text"),
                told(it, "answer"),
            )
            for it in found
        ),
        wraps=("text", "answer"),
        least=("when (UTC)",),
    )


def _question_id(api: Api, given: str) -> str:
    prefix = given.lower()
    if is_id(prefix):
        return prefix
    if len(prefix) < _SHORTEST:
        raise Failure(f"{prefix!r} is too short for a question's id", code=Exit.USAGE)
    items = api.items("/v1/questions", 1000, state="open")
    found = [item for item in items if item["id"].startswith(prefix)]
    if len(found) != 1:
        raise Failure(
            f"{len(found) or 'no'} questions that wait for you begin with {prefix}",
            code=Exit.USAGE if found else Exit.NOT_FOUND,
            fix="countersign questions lists them",
        )
    return str(found[0]["id"])
