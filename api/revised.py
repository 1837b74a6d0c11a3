"""What has changed: between the revisions of a request, and since what somebody saw."""

from collections.abc import Sequence
from typing import Any

from recipes import inputs
from recipes.model import Json
from storage import requests, revisions
from storage.pool import Source, vault_of
from storage.revisions import Revision
from storage.vault import Reader


def changed(old: dict[str, Json], new: dict[str, Json]) -> list[dict[str, Json]]:
    """`{pointer, from, to}` of each difference between two inputs; `from` or `to` is left out where
    nothing was there."""
    return [
        {"pointer": f"/inputs{it.pointer}"}
        | ({"from": it.before[0]} if it.before else {})
        | ({"to": it.after[0]} if it.after else {})
        for it in inputs.changes(old, new)
    ]


def first(row: dict[str, Json]) -> Revision:
    """The first revision of a request, from its row of then."""
    said = row["inputs"], row["digest"], row["title"]
    return Revision(1, *said, None, row["created_at"], row["requester"])


def shown(found: Sequence[Revision]) -> list[dict[str, Json]]:
    """A request's revisions, the first one first, each with what it changed, as far as it can be seen."""
    return [
        {
            "number": it.number,
            "title": it.title,
            "digest": it.digest,
            "comment": it.comment,
            "submitted_at": it.submitted_at,
            "submitted_by": it.submitted_by,
            "changed": changed(found[number - 1].inputs, it.inputs) if number else [],
            "withheld": _withheld(it, number),
        }
        for number, it in enumerate(found)
    ]


def _withheld(it: Revision, number: int) -> list[str]:
    """Of what is shown: not its inputs, but what of them is different."""
    told = [name for name in it.withheld if not name.startswith("/inputs")]
    return told if len(told) == len(it.withheld) or not number else [*told, "/changed"]


async def since(source: Source, reader: Reader, task: Any, digest: str) -> dict[str, Json]:
    """What is different since the request had `digest`, if it ever had: `changed`, as far as the reader
    may see it; and `recipe`, the versions `from` and `to`, where the digest is of another one. What is
    open is of its last revision."""
    found = await revisions.of_request(source, task["request_id"])
    for version in await revisions.versions(source, task["request_id"]):
        for then in reversed(found):
            of_then = await requests.digest(source, task["request_id"], version.sha256, then.inputs)
            if of_then == digest:
                keys = await vault_of(source).reading(source, reader, [task["request_id"]])
                seen = await revisions.seen(
                    source, task["request_id"], keys.get(task["request_id"])
                )
                return _told(seen[then.number - 1], seen[-1], version.version, task["version"])
    return {}


def _told(seen: Revision, last: Revision, before: int, now: int) -> dict[str, Json]:
    told: dict[str, Json] = {"changed": changed(seen.inputs, last.inputs)}
    return told if before == now else told | {"recipe": {"from": before, "to": now}}
