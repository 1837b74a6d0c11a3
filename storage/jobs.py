"""Jobs: what became of automatic work, what each attempt did, and which functions workers have.

Jobs begin and end with the transitions of their requests (`commits`); here is what goes on between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from contract import content
from contract.boxes import Keys
from storage import sight
from storage.pool import Source, vault_of
from storage.sight import Row

What = Literal["started", "said", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job's log."""

    attempt: int
    at: datetime
    what: What
    detail: str | None = None


# An attempt is counted as soon as something of it is known.
LOG = """
WITH written AS (
    INSERT INTO job_log (job_id, attempt, at, what, detail)
    SELECT $1, l.attempt, l.at, l.what, l.detail
      FROM unnest($2::int[], $3::timestamptz[], $4::text[], $5::text[]) WITH ORDINALITY
           AS l(attempt, at, what, detail, n) ORDER BY l.n
    RETURNING what
)
UPDATE jobs SET attempts = attempts + (SELECT count(*) FROM written WHERE what = 'started') WHERE id = $1
"""


async def log(source: Source, request_id: UUID, job_id: UUID, lines: Sequence[Line]) -> None:
    """Append lines to the log of a job of a request."""
    keys = await vault_of(source).writing(source, request_id)
    await source.execute(
        LOG,
        job_id,
        [line.attempt for line in lines],
        [line.at for line in lines],
        [line.what for line in lines],
        [content.kept_said(line.detail, keys) for line in lines],
    )


OF_REQUEST = """
SELECT j.id, j.step, j.run, j.inputs, j.idempotency_key, j.state, j.output, j.error, j.attempts,
       j.started_at, j.ended_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('attempt', l.attempt, 'at', l.at, 'what', l.what,
                                                     'detail', l.detail) ORDER BY l.n)
                   FROM (SELECT * FROM job_log WHERE job_id = j.id ORDER BY n DESC LIMIT $2) l), '[]') AS log
  FROM jobs j WHERE j.request_id = $1 ORDER BY j.started_at, j.id
"""


async def of_request(source: Source, request_id: UUID, lines: int) -> list[asyncpg.Record]:
    """A request's jobs in their order, each with the last `lines` of its log."""
    return await source.fetch(OF_REQUEST, request_id, lines)


def seen(row: Row, keys: Keys | None) -> dict[str, Any]:
    """A row of `of_request` as a holder of these keys sees it, with `withheld`."""
    found = sight.seen(row, keys, sight.JOB)
    details = [content.shown_said(line["detail"], keys) for line in found["log"]]
    hidden = [
        f"/log/{number}/detail"
        for number, (line, detail) in enumerate(zip(found["log"], details, strict=True))
        if detail is None and line["detail"] is not None
    ]
    lines = [line | {"detail": told} for line, told in zip(found["log"], details, strict=True)]
    return found | {"log": lines, "withheld": [*found["withheld"], *hidden]}


OUTPUTS = """
SELECT step, output FROM jobs WHERE request_id = $1 AND state = 'succeeded' ORDER BY started_at, id
"""


async def outputs(source: Source, request_id: UUID) -> dict[str, object]:
    """What the steps of a request gave, by step, for whoever may know all of it; of one that ran twice the
    last."""
    rows = await source.fetch(OUTPUTS, request_id)
    sealed = any(content.is_boxed(row["output"]) for row in rows)
    keys = await vault_of(source).writing(source, request_id) if sealed else None
    return {row["step"]: content.unboxed(row["output"], keys) for row in rows}


# --- functions -----------------------------------------------------------------------------------

SAY = """
WITH gone AS (DELETE FROM job_functions WHERE name <> ALL($1::text[]))
INSERT INTO job_functions (name, said_at) SELECT unnest($1::text[]), now() ON CONFLICT DO NOTHING
"""


async def say(source: Source, names: Sequence[str]) -> None:
    """The functions that a worker which starts has. All have the same: the last to start decides."""
    await source.execute(SAY, sorted(names))


async def said(source: Source) -> frozenset[str] | None:
    """The functions that workers have; None as long as none has ever said."""
    rows = await source.fetch("SELECT name FROM job_functions")
    return frozenset(row["name"] for row in rows) or None


@dataclass(frozen=True, slots=True)
class Needed:
    """A function that a version of a recipe runs, for requests in flight or to come."""

    workflow: str
    version: int
    function: str


# `on_*` are absent from recipes older than callbacks: a lax path gives nothing for them. A request that
# is final may have work to do, or to be done again.
NEEDED = """
SELECT p.workflow, p.version, f.name
  FROM recipes p
 CROSS JOIN LATERAL (
       SELECT DISTINCT step->>'run' AS name
         FROM jsonb_path_query(p.recipe,
              '$.keyvalue() ? (@.key like_regex "^(steps|on_[a-z]+)$").value[*]') AS step
        WHERE step->>'type' = 'task') f
 WHERE f.name <> ALL($1::text[])
   AND (NOT EXISTS (SELECT FROM recipe_switches s
                     WHERE s.workflow = p.workflow AND s.version = p.version)
        OR EXISTS (SELECT FROM requests r WHERE r.workflow = p.workflow AND r.version = p.version
                      AND (r.finalized_at IS NULL OR r.incidents <> '[]' OR EXISTS (
                           SELECT FROM jobs j WHERE j.request_id = r.id AND j.state = 'running'))))
 ORDER BY p.workflow, p.version, f.name
"""


async def missing(source: Source, names: Sequence[str]) -> list[Needed]:
    """Functions that are none of `names`, and that requests in flight run, or requests may come to run."""
    rows = await source.fetch(NEEDED, sorted(names))
    return [Needed(row["workflow"], row["version"], row["name"]) for row in rows]
