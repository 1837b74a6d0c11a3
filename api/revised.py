"""What has changed: between the revisions of a request, and since what somebody saw."""

from collections.abc import Sequence
from typing import Any

from recipes import inputs
from recipes.model import Json
from storage import requests, revisions
from storage.pool import Source
from storage.revisions import Revision


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
    """A request's revisions, the first one first, each with what it changed."""
    return [
        {
            "number": it.number,
            "title": it.title,
            "digest": it.digest,
            "comment": it.comment,
            "submitted_at": it.submitted_at,
            "submitted_by": it.submitted_by,
            "changed": changed(found[number - 1].inputs, it.inputs) if number else [],
        }
        for number, it in enumerate(found)
    ]


async def since(source: Source, task: Any, digest: str) -> dict[str, Json]:
    """What is different since the request had `digest`, if it ever had: `changed`; and `recipe`, the
    versions `from` and `to`, where the digest is of another one. What is open is of its last revision."""
    found = await revisions.of_request(source, task["request_id"])
    for version in await revisions.versions(source, task["request_id"]):
        for seen in reversed(found):
            of_then = await requests.digest(source, task["request_id"], version.sha256, seen.inputs)
            if of_then == digest:
                return _told(seen, found[-1], version.version, task["version"])
    return {}


def _told(seen: Revision, last: Revision, before: int, now: int) -> dict[str, Json]:
    told: dict[str, Json] = {"changed": changed(seen.inputs, last.inputs)}
    return told if before == now else told | {"recipe": {"from": before, "to": now}}
