"""`countersign recipe ...`: check and test offline, publish, list, show, switch off and on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client import As, Role, Url, connect
from cli.output import AsJson, Exit, Failure, facts, say, table, when, write, write_json

app = typer.Typer(no_args_is_help=True, help="Recipes: what a workflow asks of whom.")

Name = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The recipe's workflow.")]
Version = Annotated[int, typer.Argument(min=1, help="Its version.")]


@app.command()
def publish(
    files: Annotated[list[Path], typer.Argument(help="Recipe files (YAML).")],
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Publish recipes (role admin). The same bytes again change nothing; others are exit code 3."""
    api = connect(url, as_person, role)
    answers = []
    for file in files:
        answer = api.post_yaml("/v1/recipes", read(file), file.name)
        answers.append(answer)
        if not as_json:
            say(f"published {answer['workflow']} v{answer['version']}")
            for warning in answer["warnings"]:
                say(problem_text(warning))
    if as_json:
        write_json(answers)


@app.command("list")
def list_recipes(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """List the published recipes with their versions."""
    found = list(connect(url, as_person, role).items("/v1/recipes", limit))
    if as_json:
        write_json(found)
        return
    table(
        ("workflow", "version", "versions", "title", "published", "by", ""),
        (
            (
                item["workflow"],
                item["version"],
                item["versions"],
                item["title"],
                when(item["published_at"]),
                item["published_by"],
                Text("disabled", style="red") if item["disabled"] else None,
            )
            for item in found
        ),
    )


@app.command()
def show(
    workflow: Name,
    version: Annotated[int | None, typer.Argument(min=1, help="The newest, if left out.")] = None,
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Print a published recipe as it was published."""
    path = f"/v1/recipes/{workflow}" + (f"/versions/{version}" if version is not None else "")
    found = connect(url, as_person, role).get(path)
    if as_json:
        write_json(found)
        return
    say(f"{found['workflow']} v{found['version']}, published by {found['published_by']}")
    if found["disabled"]:
        say(f"disabled by {found['disabled']['by']}: {found['disabled']['reason']}")
    write(found["source"])


@app.command()
def disable(
    workflow: Name,
    version: Version,
    reason: Annotated[str, typer.Option(help="Why; whoever submits is told.")],
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Take no new requests on a version (role admin). Those in flight go on."""
    path = f"/v1/recipes/{workflow}/versions/{version}/disable"
    _switched(connect(url, as_person, role).post(path, {"reason": reason}), as_json)


@app.command()
def enable(
    workflow: Name,
    version: Version,
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Take new requests on a version again (role admin)."""
    path = f"/v1/recipes/{workflow}/versions/{version}/enable"
    _switched(connect(url, as_person, role).post(path, {}), as_json)


def _switched(recipe: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(recipe)
        return
    disabled = recipe["disabled"]
    facts(
        {
            "recipe": f"{recipe['workflow']} v{recipe['version']}",
            "new requests": "refused" if disabled else "accepted",
            "reason": disabled and disabled["reason"],
        }
    )


def read(file: Path) -> bytes:
    """The file's bytes. Failure (usage) if there are none to be had."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", code=Exit.USAGE) from None


def problem_text(problem: dict[str, Any]) -> str:
    """One problem of a recipe as text: place, what is wrong, the line with a caret, the fix."""
    place = f"{problem['file'] or 'recipe'}:{problem['line']}:{problem['column']}"
    where = f" {problem['path']}:" if problem["path"] else ""
    lines = [f"{place}: {problem['severity']}:{where} {problem['message']}"]
    lines += [f"    {line}" for line in (problem["excerpt"] or "").splitlines()]
    lines += [f"    fix: {problem['fix']}"] if problem["fix"] else []
    return "\n".join(lines)


def _files(paths: Sequence[Path], suffix: str) -> list[Path]:
    """The files, and of folders those inside that end with `suffix`."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
    return found
