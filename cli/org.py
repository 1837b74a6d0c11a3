"""`countersign org import`: people, manager lines and roles from a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.client import As, Role, Url, connect
from cli.output import AsJson, Exit, Failure, facts, say, write_json

app = typer.Typer(
    no_args_is_help=True, help="The organisation: who reports to whom, who has what role."
)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="YAML or JSON as sample_org.yaml; - is stdin.")],
    url: Url = None,
    as_person: As = None,
    role: Role = None,
    as_json: AsJson = False,
) -> None:
    """Import people and roles, all of the file or nothing (role admin).

    People and roles that it does not name stay as they are; `left: true` ends somebody's
    employment; a role's members are those it lists.
    """
    try:
        source = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", code=Exit.USAGE) from None
    if not source.strip():
        raise Failure(
            f"{file} is empty: it names nobody",
            code=Exit.USAGE,
            fix="give people or roles, as workflows_yaml/sample_org.yaml does",
        )
    api = connect(url, as_person, role)
    changes = api.post_yaml("/v1/org/import", source, file.name)
    if as_json:
        write_json(changes)
    elif any(changes.values()):
        facts({name.replace("_", " "): count for name, count in changes.items() if count})
    else:
        say("nothing to change: all of it is so already")
