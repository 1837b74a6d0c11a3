"""Recipes: published once, never changed; switched off and on beside."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg

from contract.events import RECIPE_DISABLED, RECIPE_ENABLED, RECIPE_PUBLISHED
from recipes import model
from recipes.happenings import Actor
from recipes.model import Json, Recipe
from storage import audit
from storage.pool import Source

PARSED = "SELECT recipe FROM recipes WHERE workflow = $1 AND version = $2"


async def parsed(source: Source, workflow: str, version: int) -> Recipe:
    """The parsed recipe of a version that is there."""
    return model.load(await source.fetchval(PARSED, workflow, version))


def chain(workflow: str) -> UUID:
    """Under which id the audit trail keeps what happened to a workflow's recipes."""
    return uuid5(NAMESPACE_OID, f"countersign:recipe:{workflow}")


@dataclass(frozen=True, slots=True)
class Publication:
    """A version to be published: its source as written, and what was parsed from it."""

    recipe: Recipe
    source: str
    sha256: str
    actor: Actor
    at: datetime


PUBLISH = """
WITH made AS (
    INSERT INTO recipes (workflow, version, sha256, source, recipe, published_at, published_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING workflow
)
SELECT audit_append($8, $6, $9, $1, $2, $10, $11, $12, $13) FROM made
"""


async def publish(source: Source, item: Publication) -> Literal["published", "same", "other"]:
    """Publish a version. `same`: these bytes are there already; `other`: other bytes are."""
    recipe = item.recipe
    payload: dict[str, Json] = {"version": recipe.version, "sha256": item.sha256}
    event = audit.event(RECIPE_PUBLISHED, item.at, payload, {}, item.actor)
    actor, payload_text, snapshot, _ = audit.single(event, None)
    row = await source.fetchrow(
        PUBLISH,
        recipe.workflow,
        recipe.version,
        item.sha256,
        item.source,
        model.dump(recipe),
        item.at,
        item.actor.user,
        event.event_id,
        chain(recipe.workflow),
        RECIPE_PUBLISHED,
        actor,
        payload_text,
        snapshot,
    )
    if row is not None:
        return "published"
    there = await source.fetchval(
        "SELECT sha256 FROM recipes WHERE workflow = $1 AND version = $2",
        recipe.workflow,
        recipe.version,
    )
    return "same" if there == item.sha256 else "other"


def may_start(person: str, starters: str) -> str:
    """SQL: whether a person is one of the references in a JSON array; anybody is where there are none."""
    return f"""coalesce((SELECT bool_or(CASE
              WHEN s.who LIKE 'user:%' THEN s.who = 'user:' || {person}
              WHEN s.who LIKE 'role:%' OR EXISTS (SELECT 1 FROM roles r WHERE r.name = s.who)
              THEN EXISTS (SELECT 1 FROM role_members m WHERE m.person = {person} AND m.valid @> now()
                              AND m.role = CASE WHEN s.who LIKE 'role:%' THEN substr(s.who, 6) ELSE s.who END)
              ELSE s.who = {person} END)
          FROM jsonb_array_elements_text({starters}) s(who)), true)"""


_COLUMNS = """
p.workflow, p.version, p.sha256, p.recipe, p.published_at, p.published_by,
s.disabled_at, s.disabled_by, s.reason AS disabled_reason,
ARRAY(SELECT o.version FROM recipe_switches o WHERE o.workflow = p.workflow
       ORDER BY o.version DESC) AS disabled_versions"""

# Per workflow the version that a submission would take, and all versions there are.
LIST = f"""
SELECT {_COLUMNS}, w.versions
  FROM (SELECT workflow, array_agg(version ORDER BY version DESC) AS versions
          FROM recipes WHERE workflow > $1 GROUP BY workflow ORDER BY workflow LIMIT $2) w,
       LATERAL (SELECT p.version FROM recipes p LEFT JOIN recipe_switches s USING (workflow, version)
                 WHERE p.workflow = w.workflow
                 ORDER BY (s.disabled_at IS NULL) DESC, p.version DESC LIMIT 1) current
  JOIN recipes p ON true
  LEFT JOIN recipe_switches s ON s.workflow = p.workflow AND s.version = p.version
 WHERE p.workflow = w.workflow AND p.version = current.version
 ORDER BY p.workflow
"""


async def current(source: Source, after: str, limit: int) -> list[asyncpg.Record]:
    """Workflows by name, each with its current version and all `versions`, the highest first."""
    return await source.fetch(LIST, after, limit)


# Of those, the ones that take new requests and that $3, who is here, may submit; of what events alone start, none.
STARTABLE = f"""
SELECT {_COLUMNS}, w.versions
  FROM (SELECT workflow, array_agg(version ORDER BY version DESC) AS versions
          FROM recipes WHERE workflow > $1 AND ($4::text IS NULL OR workflow = $4) GROUP BY workflow) w
  JOIN people e ON e.id = $3 AND e.employed @> now(),
       LATERAL (SELECT p.version FROM recipes p LEFT JOIN recipe_switches s USING (workflow, version)
                 WHERE p.workflow = w.workflow AND s.disabled_at IS NULL
                 ORDER BY p.version DESC LIMIT 1) current
  JOIN recipes p ON true
  LEFT JOIN recipe_switches s ON s.workflow = p.workflow AND s.version = p.version,
       LATERAL (SELECT p.recipe #> '{{start,who}}' AS who, p.recipe #> '{{start,events}}' AS events) starts
 WHERE p.workflow = w.workflow AND p.version = current.version
   AND (coalesce(starts.who, '[]') <> '[]' OR coalesce(starts.events, '[]') = '[]')
   AND {may_start("e.id", "starts.who")}
 ORDER BY p.workflow LIMIT $2
"""


async def startable(
    source: Source, person: str, after: str, limit: int, workflow: str | None = None
) -> list[asyncpg.Record]:
    """As `current`: the workflows (or the one named) that somebody may submit, at the version it would be."""
    return await source.fetch(STARTABLE, after, limit, person, workflow)


SHOW = f"""
SELECT {_COLUMNS}, p.source,
       (SELECT array_agg(o.version ORDER BY o.version DESC) FROM recipes o
         WHERE o.workflow = $1) AS versions
  FROM recipes p LEFT JOIN recipe_switches s USING (workflow, version)
 WHERE p.workflow = $1 AND ($2::int IS NULL OR p.version = $2)
 ORDER BY (s.disabled_at IS NULL) DESC, p.version DESC LIMIT 1
"""


async def show(source: Source, workflow: str, version: int | None) -> asyncpg.Record | None:
    """One version with its source; without `version` the one that a submission would take."""
    return await source.fetchrow(SHOW, workflow, version)


DISABLE = """
WITH switched AS (
    INSERT INTO recipe_switches (workflow, version, disabled_at, disabled_by, reason)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING workflow
)
SELECT audit_append($6, $3, $7, $1, $2, $8, $9, $10, $11) FROM switched
"""

ENABLE = """
WITH switched AS (
    DELETE FROM recipe_switches WHERE workflow = $1 AND version = $2 RETURNING workflow
)
SELECT audit_append($4, $3, $5, $1, $2, $6, $7, $8, $9) FROM switched
"""


async def disable(
    source: Source, workflow: str, version: int, *, reason: str, actor: Actor, at: datetime
) -> None:
    """Refuse new requests of a version; nothing changes if they are refused already."""
    event = audit.event(RECIPE_DISABLED, at, {"version": version, "reason": reason}, {}, actor)
    actor_text, payload, snapshot, _ = audit.single(event, None)
    await source.execute(
        DISABLE,
        workflow,
        version,
        at,
        actor.user,
        reason,
        event.event_id,
        chain(workflow),
        RECIPE_DISABLED,
        actor_text,
        payload,
        snapshot,
    )


async def enable(
    source: Source, workflow: str, version: int, *, actor: Actor, at: datetime
) -> None:
    """Take new requests of a version again; nothing changes if they are taken already."""
    event = audit.event(RECIPE_ENABLED, at, {"version": version}, {}, actor)
    actor_text, payload, snapshot, _ = audit.single(event, None)
    await source.execute(
        ENABLE,
        workflow,
        version,
        at,
        event.event_id,
        chain(workflow),
        RECIPE_ENABLED,
        actor_text,
        payload,
        snapshot,
    )


LAST_VERSIONS = "SELECT version FROM recipes WHERE workflow = $1 ORDER BY version DESC LIMIT 50"
NAMES = """
SELECT 'role:' || name AS name FROM roles
UNION ALL SELECT 'user:' || id FROM people WHERE id = ANY($1)
"""
_WORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


async def principals(source: Source, text: bytes) -> frozenset[str]:
    """All roles, and the people whose ids the recipe `text` holds: publication warns of references
    to nobody, and of bare names that may mean two."""
    words = sorted({word.decode() for word in _WORD.findall(text)})
    return frozenset(row["name"] for row in await source.fetch(NAMES, words))


async def versions(source: Source, workflow: str) -> list[int]:
    """The versions that are published of a workflow, disabled ones too; the last 50, in order."""
    rows = await source.fetch(LAST_VERSIONS, workflow)
    return sorted(row["version"] for row in rows)
