"""Revisions: what a request said at each of its submissions. Written by `requests` and `commits`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contract.boxes import Keys
from recipes.model import Json
from storage import sight
from storage.pool import Source, vault_of


@dataclass(frozen=True, slots=True)
class Revision:
    """A submission: the first has number 1. `withheld`: pointers to what its reader may not see."""

    number: int
    inputs: dict[str, Json]
    digest: str
    title: str
    comment: str | None
    submitted_at: datetime
    submitted_by: str
    withheld: tuple[str, ...] = ()


OF_REQUEST = """
SELECT number, inputs, digest, title, comment, submitted_at, submitted_by, sealed
  FROM revisions WHERE request_id = $1 ORDER BY number
"""


async def of_request(source: Source, request_id: UUID) -> list[Revision]:
    """All of a request's, the first one first, whole: for whoever carries it out."""
    return await seen(source, request_id, await vault_of(source).writing(source, request_id))


async def seen(source: Source, request_id: UUID, keys: Keys | None) -> list[Revision]:
    """All of a request's, the first one first, as a holder of these keys sees them."""
    rows = [
        sight.seen(row, keys, sight.REVISION) for row in await source.fetch(OF_REQUEST, request_id)
    ]
    return [
        Revision(
            **{name: value for name, value in row.items() if name not in ("sealed", "withheld")},
            withheld=tuple(row["withheld"]),
        )
        for row in rows
    ]


VERSIONS = """
SELECT p.version, p.sha256
  FROM requests r JOIN recipes p ON p.workflow = r.workflow
 WHERE r.id = $1 ORDER BY p.version
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a request's workflow."""

    version: int
    sha256: str


async def versions(source: Source, request_id: UUID) -> list[Version]:
    """Those of the request's workflow, oldest first."""
    return [
        Version(row["version"], row["sha256"]) for row in await source.fetch(VERSIONS, request_id)
    ]
