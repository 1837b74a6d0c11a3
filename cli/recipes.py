"""`countersign recipe ...`: check and test offline, publish, list, show, switch off and on."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.caller import Caller, calling
from cli.options import AsJson, Limit
from cli.output import Exit, Failure, at, facts, say, table, write, write_json

app = typer.Typer(no_args_is_help=True, help="Recipes: what a workflow asks of whom.")

Name = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The recipe's workflow.")]
Version = Annotated[int, typer.Argument(min=1, help="Its version.")]


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Recipe files, or folders of *.vN.yaml.")],
    as_json: AsJson = False,
) -> None:
    """Check recipes as publication would, offline: every problem, with its place and a fix."""
    from cli.authoring import check_file, problem_text

    checked = [check_file(path) for path in _files(paths, "*.v[0-9]*.yaml")]
    problems = [problem for each in checked for problem in each.problems]
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        write_json([asdict(problem) for problem in problems])
    else:
        for each in checked:
            for problem in each.problems:
                write(problem_text(problem, each.source))
        say(f"{len(checked)} checked: {errors} errors, {len(problems) - errors} warnings")
    if errors:
        raise typer.Exit(Exit.FAILED)


@app.command("test")
def run_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Cases files, or folders of *.cases.yaml. Default: workflows_yaml."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the cases beside recipes, offline, in milliseconds."""
    from cli.authoring import run_cases

    reports = [
        run_cases(file) for file in _files(paths or [Path("workflows_yaml")], "*.cases.yaml")
    ]
    failed = sum(not report.passed for report in reports)
    if as_json:
        write_json([asdict(report) for report in reports])
    else:
        for report in reports:
            for line in report.lines:
                write(line)
        cases = sum(report.cases for report in reports)
        wrong = f"{failed} of {len(reports)} files failed" if failed else "all passed"
        say(f"{cases} cases in {len(reports)} files: {wrong}")
    if failed:
        raise typer.Exit(Exit.FAILED)


@app.command()
@calling
def publish(
    files: Annotated[list[Path], typer.Argument(help="Recipe files (YAML).")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Publish recipes (role admin). The same bytes again change nothing; others are exit code 3."""
    from cli.authoring import problem_text
    from recipes.problems import Problem

    api = caller.connect()
    answers = []
    for file in files:
        answer = api.post_yaml("/v1/recipes", read(file), file.name)
        answers.append(answer)
        if not as_json:
            recipe = f"{answer['workflow']} v{answer['version']}"
            unchanged = answer.get("unchanged")
            say(f"{recipe} is published already, unchanged" if unchanged else f"published {recipe}")
            for warning in answer["warnings"]:
                say(problem_text(Problem(**warning), read(file)))
    if as_json:
        write_json(answers)


@app.command("list")
@calling
def list_recipes(
    limit: Limit = 200,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List the published recipes with their versions."""
    found = list(caller.connect().items("/v1/recipes", limit))
    if as_json:
        write_json(found)
        return
    table(
        ("workflow", "version", "versions", "in flight", "title", "published (UTC)", "by", ""),
        (
            (
                item["workflow"],
                item["version"],
                _versions(item),
                _in_flight(item),
                item["title"],
                at(item["published_at"]),
                item["published_by"],
                Text("disabled", style="red") if item["disabled"] else None,
            )
            for item in found
        ),
        least=("by", "published (UTC)"),
    )


def _versions(item: dict[str, Any]) -> Text:
    """All versions, the disabled ones in brackets and red."""
    found = Text()
    for number in item["versions"]:
        off = number in item["disabled_versions"]
        found += Text(", " if found else "")
        found += Text(f"{number} (disabled)" if off else str(number), style="red" if off else "")
    return found


def _in_flight(item: dict[str, Any]) -> str | None:
    """How many requests are in flight, and on which versions if there are several to be on."""
    flying: dict[str, int] = item["in_flight"]
    if len(item["versions"]) == 1:
        return str(sum(flying.values())) if flying else None
    newest = sorted(flying.items(), key=lambda pair: -int(pair[0]))
    return ", ".join(f"{count} on v{number}" for number, count in newest) or None


@app.command()
@calling
def show(
    workflow: Name,
    version: Annotated[int | None, typer.Argument(min=1, help="The newest, if left out.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Print a published recipe as it was published."""
    path = f"/v1/recipes/{workflow}" + (f"/versions/{version}" if version is not None else "")
    found = caller.connect().get(path)
    if as_json:
        write_json(found)
        return
    say(f"{found['workflow']} v{found['version']}, published by {found['published_by']}")
    if found["disabled"]:
        say(f"disabled by {found['disabled']['by']}: {found['disabled']['reason']}")
    write(found["source"])


@app.command()
@calling
def disable(
    workflow: Name,
    version: Version,
    reason: Annotated[str, typer.Option(help="Why; whoever submits is told.")],
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Take no new requests on a version (role admin). Those in flight go on."""
    path = f"/v1/recipes/{workflow}/versions/{version}/disable"
    _switched(caller.connect().post(path, {"reason": reason}), as_json)


@app.command()
@calling
def enable(workflow: Name, version: Version, *, caller: Caller, as_json: AsJson = False) -> None:
    """Take new requests on a version again (role admin)."""
    path = f"/v1/recipes/{workflow}/versions/{version}/enable"
    _switched(caller.connect().post(path, {}), as_json)


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


def _files(paths: Sequence[Path], pattern: str) -> list[Path]:
    """The files, and of folders those inside whose names match. Failure (usage) if there are none."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(pattern)) if path.is_dir() else [path]
        if not inside:
            raise Failure(f"there is no {pattern} in {path}", code=Exit.USAGE)
        found += inside
    return found
