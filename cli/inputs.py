"""Inputs and entities as commands take them: NAME=VALUE, text as it stands, a file; TYPE:ID."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cli.output import Exit, Failure

Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE]...", help="Inputs: days=5 reason='a trip'."),
]

Texts = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=VALUE", help="An input, taken as text as it stands."),
]

InputsFile = Annotated[
    Path | None, typer.Option(help="Inputs from a JSON or YAML file; - is stdin.")
]

About = Annotated[
    str | None,
    typer.Option("--entity", metavar="TYPE:ID", help="What it is about, such as booking:4711."),
]


def given_inputs(values: list[str], path: Path | None, texts: Sequence[str] = ()) -> dict[str, Any]:
    """Inputs from a file, from NAME=VALUE, JSON where it is some, and from NAME=TEXT. Failure if they
    are none."""
    given = _from_file(path) if path else {}
    given |= dict(_pair(item, literal=False) for item in values)
    return given | dict(_pair(item, literal=True) for item in texts)


def parse_entity(text: str) -> dict[str, str]:
    """`booking:4711` as the API takes it. Failure (usage) if it is none."""
    kind, _, number = text.partition(":")
    if not kind or not number:
        raise Failure(
            f"an entity is TYPE:ID, not {text!r}", code=Exit.USAGE, fix="as in booking:4711"
        )
    return {"type": kind, "id": number}


def _pair(text: str, *, literal: bool) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"an input is NAME=VALUE, not {text!r}", code=Exit.USAGE)
    if literal:
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _from_file(path: Path) -> dict[str, Any]:
    try:
        source = sys.stdin.read() if str(path) == "-" else path.read_text()
        found = yaml.load(source, Loader=_JsonShaped)  # noqa: S506 - it is a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failure(f"{path} cannot be read: {error}", code=Exit.USAGE) from None
    if not isinstance(found, dict):
        raise Failure(f"{path} must hold an object of inputs", code=Exit.USAGE)
    return {str(name): value for name, value in found.items()}


class _JsonShaped(yaml.SafeLoader):
    """YAML whose dates stay texts: inputs are JSON."""


def _as_text(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_JsonShaped.add_constructor("tag:yaml.org,2002:timestamp", _as_text)
