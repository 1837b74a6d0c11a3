"""docs/ speaks of every command, option, call, setting, exit code, figure and alarm there is, and of no other; the
README leads to all of it, and no link leads nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from api.app import create_app
from cli import main
from cli.output import Exit
from settings import Settings
from tests.unit.test_figures import ours

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
COMMAND_LINE = DOCS["cli.md"]
OPERATIONS = DOCS["operations.md"]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "deploy/**/*.md", "client/*.md")
    for path in ROOT.glob(pattern)
)
# Said once for all commands, above the table.
EVERYWHERE = {
    "--help",
    "--url",
    "--as",
    "--json",
    "--ids",
    "--samples",
    "--no-samples",
    "--version",
}


def _commands(command: Any, path: str = "countersign") -> Iterator[tuple[str, set[str]]]:
    """Every command with its long options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        options = {
            name
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("--")
        }
        yield path, options
    else:
        for name, child in inner.items():
            yield from _commands(child, f"{path} {name}")


COMMANDS = dict(_commands(typer.main.get_command(main.app)))


def test_every_command_is_there() -> None:
    missing = [name for name in COMMANDS if not re.search(rf"`{name}[` ]", COMMAND_LINE)]
    assert missing == []


def test_every_option_is_there_and_no_other() -> None:
    documented = set(re.findall(r"--[a-z][a-z-]+", COMMAND_LINE))
    existing = {option for options in COMMANDS.values() for option in options}
    assert existing - documented - EVERYWHERE == set()
    assert documented - existing == set()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in DOCS)])
def test_every_command_that_is_spoken_of_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    run = re.findall(r"(?:^ *|\$\()(countersign [a-z][a-z -]*)", text, re.MULTILINE)
    for line in [*run, *re.findall(r"`(countersign [a-z][a-z\s-]*)", text)]:
        words = line.split()
        assert any(" ".join(words[:count]) in COMMANDS for count in (2, 3, 4)), line


def test_every_call_is_there_and_no_other() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    existing = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    assert _calls(DOCS["http.md"]) == existing
    for name, text in DOCS.items():
        assert _calls(text) - existing == set(), name


def _calls(text: str) -> set[str]:
    return set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", text))


def test_every_setting_is_there_and_no_other() -> None:
    documented = set(re.findall(r"`COUNTERSIGN_([A-Z_]+)`", DOCS["settings.md"]))
    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_exit_code_is_there() -> None:
    documented = set(re.findall(r"^\| (\d) \|", COMMAND_LINE, re.MULTILINE))
    assert documented == {str(int(code)) for code in Exit}


def test_the_commands_of_the_makefile_are_there() -> None:
    for target in ("run", "test"):
        assert re.search(rf"^    make {target}\b", README, re.MULTILINE)


def test_every_figure_is_explained_and_no_other() -> None:
    reference = OPERATIONS.partition("## Figures")[2].partition("## Logs")[0]
    assert set(re.findall(r"`(countersign_[a-z_]+)`", reference)) == ours()


def test_every_alarm_has_its_answer() -> None:
    groups = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())["groups"]
    alarms = {rule["alert"] for group in groups for rule in group["rules"]}
    assert set(re.findall(r"^\| `(Countersign\w+)`", OPERATIONS, re.MULTILINE)) == alarms


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _links(page.read_text()):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there.read_text()), target


def _links(text: str) -> list[str]:
    """Where the page's links lead, but for those that leave the tree."""
    targets: list[str] = re.findall(r"\]\(([^)\s]+)\)", _prose(text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def _anchors(text: str) -> set[str]:
    """Those of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(text: str) -> str:
    """Without blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_the_readme_leads_to_every_page_and_is_short() -> None:
    linked = {target.partition("#")[0] for target in _links(README)}
    assert {f"docs/{name}" for name in DOCS} - linked == set()
    assert len(README.splitlines()) <= 250  # what is looked up is in docs/
