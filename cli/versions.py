"""`countersign recipe diff`, `requests`, `diagram`: what versions differ in, what is in flight on one,
and a picture of it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.options import AsJson, Ids, Limit
from cli.output import Exit, Failure, at, say, table, write, write_ids, write_json
from cli.recipes import Name, Version, read

if TYPE_CHECKING:  # a recipe's parts take long to import
    from recipes.model import Recipe

_PUBLISHED = re.compile(r"[a-z][a-z0-9_]{0,62}(?:@[1-9][0-9]{0,9})?")


@calling
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A file, WORKFLOW@VERSION, or WORKFLOW in use.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show what two recipes differ in, by meaning. Two files are compared offline."""
    places = [_PUBLISHED.fullmatch(old), _PUBLISHED.fullmatch(new)]
    api = caller.connect() if any(places) else None
    changes = _told(api, old, new) if api and all(places) else None
    if changes is None:
        changes = _compared(_recipe(old, api), _recipe(new, api))
    if as_json:
        write_json(changes)
        return
    if not changes:
        say("they mean the same")
        return
    table(
        ("place", "", "difference"),
        ((change["place"], change["kind"], change["text"]) for change in changes),
        wraps=("place", "difference"),
    )


def _told(api: Api, old: str, new: str) -> list[dict[str, Any]] | None:
    """What the API says of two versions of one workflow; None if they are of two."""
    (before, first), (after, second) = _named(api, old), _named(api, new)
    if before != after:
        return None
    found: list[dict[str, Any]] = api.get(
        f"/v1/recipes/{before}/diff", **{"from": first, "to": second}
    )["changes"]
    return found


def _named(api: Api, place: str) -> tuple[str, int]:
    """The workflow and the version that a place names; without a number the one in use."""
    name, _, version = place.partition("@")
    return name, int(version or api.get(f"/v1/recipes/{name}")["version"])


def _compared(old: "Recipe", new: "Recipe") -> list[dict[str, Any]]:
    from recipes.difference import differences

    return [
        {
            "place": change.place,
            "kind": change.kind,
            "text": change.text,
            "from": change.before,
            "to": change.after,
        }
        for change in differences(old, new)
    ]


def _recipe(place: str, api: Api | None) -> "Recipe":
    """A recipe from a file, or as it was published. Failure with all problems of a file."""
    from cli.authoring import problem_text
    from recipes.parse import parse
    from recipes.problems import RecipeInvalid

    if api is not None and _PUBLISHED.fullmatch(place):
        name, number = _named(api, place)
        source = str(api.get(f"/v1/recipes/{name}/versions/{number}")["source"]).encode()
    else:
        source = read(Path(place))
    try:
        return parse(source, place).recipe
    except RecipeInvalid as error:
        told = [problem_text(problem, source) for problem in error.problems]
        raise Failure(f"{place} is not a valid recipe", details=told) from None


@calling
def in_flight(
    workflow: Name,
    version: Version,
    limit: Limit = 50,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the requests in flight on a version, of which you may see, newest first."""
    path = f"/v1/recipes/{workflow}/versions/{version}/requests"
    found = list(caller.connect().items(path, limit))
    if as_json:
        write_json(found)
        return
    if ids:
        write_ids(found)
        return
    table(
        ("request", "title", "requester", "step", "submitted (UTC)"),
        (
            (item["id"], item["title"], item["requester"], item["step"], at(item["created_at"]))
            for item in found
        ),
        least=("requester",),
    )


@calling
def diagram(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A file, WORKFLOW@VERSION, or WORKFLOW in use.")
    ],
    kind: Annotated[str, typer.Option("--format", help="svg or mermaid.")] = "svg",
    output: Annotated[Path | None, typer.Option(help="Where to. Default: stdout.")] = None,
    *,
    caller: Caller,
) -> None:
    """Draw a recipe: SVG, or Mermaid for documents. A file is drawn offline."""
    if kind not in ("svg", "mermaid"):
        raise Failure(f"--format is svg or mermaid, not {kind}", code=Exit.USAGE)
    if _PUBLISHED.fullmatch(recipe) is None:
        drawn = _drawn(recipe, kind)
    else:
        api = caller.connect()
        name, number = _named(api, recipe)
        suffix = "svg" if kind == "svg" else "mmd"
        drawn = api.text(f"/v1/recipes/{name}/versions/{number}/diagram.{suffix}")
    if output is None:
        write(drawn)
        return
    try:
        output.write_text(drawn, encoding="utf-8")
    except OSError as error:
        told = f"{output} cannot be written: {error.strerror}"
        raise Failure(told, code=Exit.USAGE) from None
    say(f"drawn: {output}")


def _drawn(file: str, kind: str) -> str:
    from recipes import picture

    recipe = _recipe(file, None)
    return picture.svg(recipe) if kind == "svg" else picture.mermaid(recipe)
