"""`countersign audit ...`: the evidence, and whether it holds. Straight from Postgres, not by the API."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import asking
from cli.audit_keys import public_keys
from cli.options import AsJson
from cli.output import Exit, Failure, facts, say, table, write, write_json
from contract import notes
from contract.canonical import timestamp
from contract.notes import KeyInvalid, PublicKey
from recipes import progress
from settings import Settings

if TYPE_CHECKING:
    from cli.beside_temporal import Beside
    from contract.verifying import Finding
    from storage.evidence import Scope, Verified
    from storage.replay import Replayed

app = typer.Typer(no_args_is_help=True, help="The audit trail as evidence.")

Request = Annotated[UUID | None, typer.Option(help="Of this request alone: its whole id.")]
Month = Annotated[str | None, typer.Option(help="What was recorded in a month (UTC): 2026-11.")]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", help="A public key to trust; default: those of this machine. Repeatable."
    ),
]


@app.command()
def checkpoints(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the signed checkpoints of the audit tree, the newest first."""
    from cli.evidence import connected
    from storage import sealing
    from storage.sealing import Sealed

    async def read() -> list[Sealed]:
        async with connected() as connection:
            return await sealing.checkpoints(connection, limit)

    found = asyncio.run(read())
    if as_json:
        write_json(
            [
                {
                    "number": each.number,
                    "size": each.size,
                    "root": each.root.hex(),
                    "sealed_at": timestamp(each.sealed_at),
                    "note": each.note,
                }
                for each in found
            ]
        )
        return
    rows = ((e.number, e.size, timestamp(e.sealed_at), e.root.hex()) for e in found)
    table(("#", "rows", "sealed (UTC)", "root"), rows)


@app.command()
def verify(
    request: Request = None,
    month: Month = None,
    export: Annotated[
        Path | None, typer.Option(help="An export, offline, instead of the database.")
    ] = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Read the audit again and calculate it again: everything, a request, a month, or an export.

    Rows, chains, the tree, signatures, and what witnesses keep. Exit code 1 if something is wrong.
    """
    if export is not None:
        _verify_export(export, _texts(keys))
        return
    verified = asyncio.run(_verified(scope_of(request, month), _trusted(keys)))
    if verified.rows == 0 and request is not None and not verified.findings:
        raise Failure(f"there is no request {request}", code=Exit.NOT_FOUND)
    if as_json:
        write_json(_report(verified))
    elif verified.findings:
        table(
            ("what", "request", "row", "right until (UTC)", "in detail"), _rows(verified.findings)
        )
    if verified.findings:
        raise Failure(f"{len(verified.findings)} findings in {verified.rows} rows")
    if verified.sealed_at is None:
        say(
            f"{verified.rows} rows, their chains hold; nothing was ever sealed: rows may be missing"
        )
        return
    say(
        f"{verified.rows} rows hold, against {verified.checkpoints} checkpoints,"
        f" the last of {timestamp(verified.sealed_at)} with {verified.size} rows"
    )


@app.command()
def replay(
    request: Annotated[UUID, typer.Argument(help="The request's whole id.")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Up to this moment, such as 2026-12-24T12:00:00Z; default: to where it is.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Carry a request out again by the engine: rows, request, tasks and workflow must be what follows.

    Exit code 1 if something is not.
    """
    found, beside = asyncio.run(_replayed(request, asking.instant(at)))
    differences = [*found.findings, *beside.findings]
    shown = {
        "request_id": str(request),
        "transitions": found.transitions,
        "rows": found.rows,
        "state": progress.snapshot(found.recipe, found.state),
        "workflow": beside.compared,
        "findings": [{"seq": each.seq, "what": each.what} for each in differences],
    }
    if as_json:
        write_json(shown)
    else:
        facts({**shown, "state": json.dumps(shown["state"]), "findings": None})
        if differences:
            table(("row", "in detail"), ((each.seq, each.what) for each in differences))
    if differences:
        raise Failure(f"{len(differences)} findings in {found.rows} rows")


# --- replaying ------------------------------------------------------------------------------------


async def _replayed(request: UUID, at: datetime | None) -> "tuple[Replayed, Beside]":
    from cli.beside_temporal import Beside, workflow_of
    from cli.evidence import cold_tier, connected
    from storage.errors import ColdUnavailable, Erased, NeverCarriedOut
    from storage.replay import replay as carry_out_again

    async with connected() as connection:
        try:
            found = await carry_out_again(connection, request, at, cold_tier())
        except LookupError:
            raise Failure(f"there is no request {request}", code=Exit.NOT_FOUND) from None
        except NeverCarriedOut:
            raise Failure(
                f"request {request} was imported: another system carried it out",
                fix=f"countersign audit verify --request {request} looks at its rows",
            ) from None
        except Erased as error:
            raise Failure(
                f"{error}: nothing is left to carry out again",
                fix=f"countersign audit verify --request {request} looks at its rows",
            ) from None
        except ColdUnavailable as error:
            raise Failure(str(error), code=Exit.UNAVAILABLE) from None
        if at is not None:
            return found, Beside((), "not compared: it is asked where it was")
        return found, await workflow_of(connection, _settings(), found)


# --- verifying ------------------------------------------------------------------------------------


async def _verified(scope: "Scope", keys: tuple[PublicKey, ...]) -> "Verified":
    from cli.evidence import cold_tier, connected, kept_by_witnesses
    from storage import evidence
    from storage.errors import ColdUnavailable

    kept = () if scope.request_id is not None else await asyncio.to_thread(kept_by_witnesses)
    try:
        async with connected() as connection:
            return await evidence.verify(connection, scope, keys, kept, cold_tier())
    except ColdUnavailable as error:
        raise Failure(str(error), code=Exit.UNAVAILABLE) from None


def _verify_export(path: Path, keys: list[str]) -> None:
    """By the very file that is given to auditors."""
    from cli import verify_audit

    try:
        with path.open() as lines:
            found = list(verify_audit.verify(lines, keys, []))
    except (OSError, ValueError, KeyError, TypeError, verify_audit.Unreadable) as error:
        raise Failure(f"{path} cannot be read: {error}", code=Exit.USAGE) from None
    for problem in found:
        write(problem)
    if found:
        raise Failure(f"{len(found)} findings in {path}")
    say(f"{path} holds")


def _report(verified: "Verified") -> dict[str, Any]:
    return {
        "rows": verified.rows,
        "size": verified.size,
        "checkpoints": verified.checkpoints,
        "sealed_at": verified.sealed_at and timestamp(verified.sealed_at),
        "findings": [
            asdict(each)
            | {
                "request_id": each.request_id and str(each.request_id),
                "since": each.since and timestamp(each.since),
            }
            for each in verified.findings
        ],
    }


def _rows(findings: "Iterable[Finding]") -> list[tuple[object, ...]]:
    return [
        (
            each.kind,
            each.request_id and str(each.request_id),
            each.seq,
            each.since and timestamp(each.since),
            each.what,
        )
        for each in findings
    ]


# --- what is asked for ----------------------------------------------------------------------------


def scope_of(request: UUID | None, month: str | None) -> "Scope":
    from storage.evidence import Scope

    if request is not None and month is not None:
        raise Failure("--request or --month, not both", code=Exit.USAGE)
    if month is None:
        return Scope(request)
    try:
        begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise Failure(f"--month {month}: a month is like 2026-11", code=Exit.USAGE) from None
    return Scope(None, begin, (begin + timedelta(days=32)).replace(day=1))


def _trusted(keys: list[str] | None) -> tuple[PublicKey, ...]:
    if not keys:
        return tuple(public_keys(_settings()))
    try:
        return tuple(notes.public_key(key) for key in keys)
    except KeyInvalid as error:
        raise Failure(f"--key: {error}", code=Exit.USAGE) from None


def _texts(keys: list[str] | None) -> list[str]:
    return [str(key) for key in _trusted(keys)]


def _settings() -> Settings:
    from cli.examine import places

    return places(None).settings
