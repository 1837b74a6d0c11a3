"""Who calls the API, and where it is: three options of every command that does."""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

import settings
from cli import datadir, token
from cli.client import Api
from cli.output import Exit, Failure

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="COUNTERSIGN_URL",
        help="Where the API is. Default: the running `countersign dev`, or http://127.0.0.1:8080.",
    ),
]

_DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Caller:
    """What the three options say; what they leave open is in the environment."""

    url: Url = None
    as_person: Annotated[
        str | None,
        typer.Option(
            "--as",
            envvar="COUNTERSIGN_AS",
            metavar="PERSON",
            help="Development only: act as this person, with a token of the local issuer.",
        ),
    ] = None
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", metavar="ROLE", help="With --as: roles of the token, such as admin."
        ),
    ] = None

    def connect(self) -> Api:
        """The API as this person (a token of the development issuer), or as COUNTERSIGN_TOKEN says.
        Failure (usage) if there is neither."""
        loaded = settings.load()
        where = self.url or datadir.running(loaded.data_dir).get("api_url") or _DEFAULT_URL
        if self.as_person is not None:
            return Api(where, token.mint(loaded, self.as_person, self.role or []))
        bearer = os.environ.get("COUNTERSIGN_TOKEN", "").strip()
        if not bearer:
            raise Failure(
                "who are you? There is no token",
                code=Exit.USAGE,
                fix="set COUNTERSIGN_TOKEN, or in development add --as PERSON (COUNTERSIGN_AS)",
            )
        if self.role:
            raise Failure("--role goes with --as: a token has its roles", code=Exit.USAGE)
        return Api(where, bearer)


_OPTIONS = inspect.signature(Caller).parameters


def calling(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: with the three options where it takes its `caller`."""

    @functools.wraps(command)
    def called(**given: Any) -> None:
        caller = Caller(*(given.pop(name) for name in _OPTIONS))
        command(caller=caller, **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        parameters += _OPTIONS.values() if parameter.annotation is Caller else [parameter]
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    vars(called)["__signature__"] = inspect.Signature(named)
    return called
