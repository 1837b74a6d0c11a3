"""What recipe authors are shown: problems at their place, and how cases went."""

import time
from dataclasses import dataclass
from pathlib import Path

from cli.recipes import read
from recipes import cases
from recipes.parse import parse
from recipes.problems import Problem, RecipeInvalid
from storage.zones import zone


@dataclass(frozen=True, slots=True)
class Checked:
    """One file and all that was found in it."""

    source: bytes
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class CasesRun:
    """How the cases of one file went; `lines` say it, a line each, differences below."""

    file: str
    passed: bool
    cases: int
    lines: tuple[str, ...]


def check_file(path: Path) -> Checked:
    source = read(path)
    try:
        return Checked(source, parse(source, str(path)).warnings)
    except RecipeInvalid as error:
        return Checked(source, error.problems)


def run_cases(path: Path) -> CasesRun:
    """Run a cases file; the files it names are beside it."""
    began = time.perf_counter()
    source = read(path)
    try:
        report = cases.run(source, lambda name: (path.parent / name).read_bytes(), str(path), zone)
    except RecipeInvalid as error:
        problems = tuple(problem_text(problem, b"") for problem in error.problems)
        return CasesRun(str(path), False, 0, problems)
    lines: list[str] = []
    for result in report.results:
        if result.passed:
            lines.append(f"ok     {report.recipe}: {result.case}")
            continue
        lines.append(f"FAILED {path}:{result.line}: {result.case}")
        lines += [f"         {difference}" for difference in result.differences]
    lines.append(f"{path.name}: {(time.perf_counter() - began) * 1000:.0f} ms")
    return CasesRun(str(path), report.passed, len(report.results), tuple(lines))


def problem_text(problem: Problem, source: bytes) -> str:
    """One problem: place, what is wrong, the line with a caret below the place, and the fix."""
    where = f" {problem.path}:" if problem.path else ""
    place = f"{problem.file or 'recipe'}:{problem.line}:{problem.column}"
    excerpt = problem.excerpt or _excerpt(source, problem.line, problem.column)
    return "\n".join(
        (
            f"{place}: {problem.severity}:{where} {problem.message}",
            *(f"    {line}" for line in excerpt.splitlines()),
            *([f"    fix: {problem.fix}"] if problem.fix else []),
        )
    )


def _excerpt(source: bytes, line: int, column: int) -> str:
    """A line of the source with a caret below `column`; empty for a problem of the whole file."""
    lines = source.decode(errors="replace").splitlines()
    if (line, column) == (1, 1) or not 1 <= line <= len(lines) or not lines[line - 1].strip():
        return ""
    return f"{lines[line - 1]}\n{' ' * (column - 1)}^"
