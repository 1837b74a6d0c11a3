"""`countersign org ...`: people, roles and who reports to whom; and all of it from a file."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.options import AsJson, Ids
from cli.output import Exit, Failure, facts, say, table, when, write, write_ids, write_json

app = typer.Typer(
    no_args_is_help=True, help="The organisation: who reports to whom, who has what role."
)

_FORMATS = {
    "yaml": "application/yaml",
    "json": "application/json",
    "csv": "text/csv",
    "scim": "application/scim+json",
}
_SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".csv": "csv", ".scim": "scim"}
_NO_COUNTS = frozenset({"dry_run", "format", "differences", "differing", "truncated", "warnings"})
_Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]
_At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="As of a moment, such as 2026-12-24T12:00:00Z."),
]


@app.command("import")
@calling
def import_file(
    file: Annotated[Path, typer.Argument(help="YAML, JSON, CSV or SCIM 2.0; - is stdin.")],
    *,
    file_format: Annotated[
        Literal["yaml", "json", "csv", "scim"] | None,
        typer.Option("--format", help="Default: by the file's suffix; of stdin yaml."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="The file is all there is: who is not in it leaves."),
    ] = False,
    allow_mass_departure: Annotated[
        bool,
        typer.Option(
            "--allow-mass-departure", help="With --whole: more than one in ten may leave."
        ),
    ] = False,
    caller: Caller,
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
        # As the API says it. Imported here: it takes the whole API with it.
        from api.org_entries import NOBODY

        raise Failure(
            f"{file}: {NOBODY}",
            code=Exit.USAGE,
            fix="give people or roles, as workflows_yaml/sample_org.yaml does",
        )
    media_type = _FORMATS[file_format or _SUFFIXES.get(file.suffix.lower(), "yaml")]
    flags = {"dry_run": dry_run, "whole": whole, "allow_mass_departure": allow_mass_departure}
    asked = {name: "true" for name, given in flags.items() if given}
    api = caller.connect()
    found = api.post_file("/v1/org/import", source, media_type, file.name, asked)
    if as_json:
        write_json(found)
    else:
        _told(found)


def _told(found: dict[str, Any]) -> None:
    for warning in found["warnings"]:
        say(f"warning: {_where(warning)}{warning['message']}")
    for difference in found["differences"]:
        write(_line(difference))
    if found["truncated"]:
        say(f"and {found['differing'] - len(found['differences'])} more differences")
    if not found["differing"]:
        say("nothing to change: all of it is so already")
        return
    counts = {name: count for name, count in found.items() if name not in _NO_COUNTS}
    facts({name.replace("_", " "): count for name, count in counts.items() if count})
    if found["dry_run"]:
        say("a dry run: nothing was written")


def _where(place: dict[str, Any]) -> str:
    if place.get("row"):
        column = f", column {place['column']}" if place.get("column") else ""
        return f"row {place['row']}{column}: "
    return f"{place['pointer']}: " if place.get("pointer") else ""


def _line(difference: dict[str, Any]) -> str:
    """`~ user:ann manager ben -> cid`; + and - where there is only one side."""
    before, after = difference["from"], difference["to"]
    sign = "+" if before is None else "-" if after is None else "~"
    values = [str(value) for value in (before, after) if value is not None]
    return f"{sign} {difference['subject']} {difference['fact']} {' -> '.join(values)}"


@app.command("people")
@calling
def people(
    query: Annotated[
        str | None, typer.Option("--query", metavar="TEXT", help="In id, name or e-mail address.")
    ] = None,
    at: _At = None,
    limit: _Limit = 100,
    *,
    caller: Caller,
    as_json: AsJson = False,
    ids: Ids = False,
) -> None:
    """Those who are here, by id."""
    api = caller.connect()
    found = list(api.items("/v1/org/people", limit, q=query, at=at))
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif not found:
        say("nobody")
    else:
        columns = ("id", "name", "manager", "department", "time zone", "limits", "e-mail")
        rows = [
            (
                p["id"],
                p["name"],
                p["manager"],
                p["department"],
                p["time_zone"],
                _limits(p),
                p["email"],
            )
            for p in found
        ]
        table(columns, rows, least=("e-mail", "time zone"))


@app.command("person")
@calling
def person(
    person_id: Annotated[str, typer.Argument(metavar="PERSON")],
    at: _At = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """One person: roles, managers, department, delegations in force."""
    api = caller.connect()
    found = _one(api, person_id, at)
    if as_json:
        write_json(found)
        return
    until = f" until {when(found['left'])}" if found["left"] else ""
    facts(
        {
            "id": found["id"],
            "name": found["name"],
            "e-mail": found["email"],
            "here": ("yes" if found["here"] else "no")
            + (f", since {when(found['joined'])}{until}" if found["joined"] else ""),
            "department": found["department"],
            "time zone": found["time_zone"],
            "managers": found["managers"],
            "roles": found["roles"],
            "limits": _limits(found),
            "delegations": [_delegation(item) for item in found["delegations"] or []],
        }
    )


def _one(api: Api, person_id: str, at: str | None) -> dict[str, Any]:
    from urllib.parse import quote

    found: dict[str, Any] = api.get(f"/v1/org/people/{quote(person_id, safe='')}", at=at)
    return found


def _delegation(item: dict[str, Any]) -> str:
    until = f" until {when(item['to'])}" if item["to"] else ""
    return f"{item['delegator']} -> {item['delegate']} ({item['scope']}){until}"


def _limits(found: dict[str, Any]) -> str:
    return "; ".join(f"{currency} {text}" for currency, text in (found["limits"] or {}).items())


@app.command("roles")
@calling
def roles(limit: _Limit = 100, *, caller: Caller, as_json: AsJson = False) -> None:
    """Roles by name, with those who hold them now."""
    found = list(caller.connect().items("/v1/org/roles", limit))
    if as_json:
        write_json(found)
    elif not found:
        say("no roles")
    else:
        rows = [(item["name"], item["members"], item["description"]) for item in found]
        table(("role", "members", "description"), rows, wraps=("members",))
