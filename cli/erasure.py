"""`countersign request erase`, and what was erased: `countersign audit erased`."""

import sys
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson, Ids, Yes
from cli.output import Exit, Failure, say, table, when, write_ids, write_json
from cli.requests import RequestId, request_id
from cli.showing import show_request


@calling
def erase(
    request: RequestId,
    reason: Annotated[
        str, typer.Option(metavar="WHY", help="Why; it stays on record in the clear: name nobody.")
    ],
    yes: Yes = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Erase a request that is over, as an administrator: nobody can read any more what was written in it.

    There is no way back. Once more is safe: after a restore from a backup, for one.
    """
    api = caller.connect()
    path = f"/v1/requests/{request_id(api, request)}"
    _ask(api.get(path), yes=yes)
    erased = api.post(f"{path}/erase", {"reason": reason})
    if as_json:
        write_json(erased)
    else:
        show_request(api, erased)


def _ask(found: dict[str, Any], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nothing was erased: there is nobody to ask", code=Exit.USAGE, fix="add --yes"
        )
    which = f"{found['id']}, {found['title']}, by {found['requester']}"
    if not typer.confirm(f"erase {which}? Nobody can undo it.", err=True):
        raise Failure("nothing was erased")


@calling
def erased(
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1_000_000,
    ids: Ids = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List what was erased, the newest first, as an auditor or administrator.

    Keep the list beside your backups: what a restore brings back is to be erased again.
    """
    api = caller.connect()
    rows = api.items("/v1/audit", limit, type="request.erased")
    found = [
        {
            "id": row["request_id"],
            "workflow": row["workflow"],
            "erased_at": row["occurred_at"],
            "by": row["actor"]["user"],
            "reason": row["payload"]["reason"],
        }
        for row in rows
    ]
    if as_json:
        write_json(found)
    elif ids:
        write_ids(found)
    elif not found:
        say("nothing was erased")
    else:
        columns = ("request", "workflow", "erased", "by", "reason")
        table(
            columns,
            (
                (it["id"], it["workflow"], when(it["erased_at"]), it["by"], it["reason"])
                for it in found
            ),
            wraps=("reason",),
        )
