"""The README speaks of every command, option, call, setting and exit code there is, docs/operations.md of every
figure and alarm; and of no other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml

from api.app import create_app
from cli import main
from cli.output import Exit
from settings import Settings
from tests.unit.test_figures import ours

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
COMMAND_LINE = README.partition("### Command line")[2].partition("### HTTP")[0]
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


def test_every_command_in_the_readme_exists() -> None:
    lines = re.findall(r"^(?:\w+=\$\()?(countersign [a-z ]+)", README, re.MULTILINE)
    for line in [*lines, *re.findall(r"(?:^|`)(countersign [a-z ]+)", OPERATIONS, re.M)]:
        words = line.split()
        assert any(" ".join(words[:count]) in COMMANDS for count in (2, 3, 4)), line


def test_every_call_is_there_and_no_other() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    existing = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    reference = README.partition("### HTTP")[2].partition("### Recipes")[0]
    documented = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", reference))
    assert documented == existing


def test_every_setting_is_there_and_no_other() -> None:
    reference = README.partition("### Settings")[2].partition("### Running")[0]
    documented = set(re.findall(r"`COUNTERSIGN_([A-Z_]+)`", reference))
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
