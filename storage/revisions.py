"""Revisions: what a request said at each of its submissions. Written by `requests` and `commits`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from recipes.model import Json
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Revision:
    """A submission: the first has number 1."""

    number: int
    inputs: dict[str, Json]
    digest: str
    title: str
    comment: str | None
    submitted_at: datetime
    submitted_by: str


OF_REQUEST = """
SELECT number, inputs, digest, title, comment, submitted_at, submitted_by
  FROM revisions WHERE request_id = $1 ORDER BY number
"""


async def of_request(source: Source, request_id: UUID) -> list[Revision]:
    """All of a request's, the first one first."""
    return [Revision(**dict(row)) for row in await source.fetch(OF_REQUEST, request_id)]


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
