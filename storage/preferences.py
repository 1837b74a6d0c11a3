"""What people said about being told: their own rows, one each."""

from dataclasses import dataclass
from typing import Any

from contract.preferences import Preferences
from storage import audience
from storage.pool import Source


@dataclass(frozen=True, slots=True)
class Reached:
    """One person's preferences, and where they are reached: `email` as the directory has it, `slack_user`
    if it is known; `zone` is the name of the time zone that counts for them."""

    name: str
    preferences: Preferences
    email: str | None
    slack_user: str | None
    zone: str


OF_PERSON = f"""
SELECT p.name, p.email, s.slack_user, coalesce(f.time_zone, p.time_zone) AS zone, {audience.PREFERENCES}
  FROM people p LEFT JOIN preferences f ON f.person = p.id LEFT JOIN slack_people s ON s.person = p.id
 WHERE p.id = $1 AND p.employed @> statement_timestamp()
"""


async def of_person(source: Source, person: str) -> Reached | None:
    """None for somebody who is not in the directory now."""
    row = await source.fetchrow(OF_PERSON, person)
    if row is None:
        return None
    mine = audience.preferences_of(row)
    return Reached(row["name"], mine, row["email"], row["slack_user"], row["zone"])


SAY = """
INSERT INTO preferences (person, channels, digest, digest_at, quiet_from, quiet_to, time_zone, gather_minutes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (person) DO UPDATE
   SET channels = excluded.channels, digest = excluded.digest, digest_at = excluded.digest_at,
       quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, time_zone = excluded.time_zone,
       gather_minutes = excluded.gather_minutes, updated_at = now()
"""


async def say(source: Source, person: str, said: Preferences) -> None:
    """From now on this is what they want."""
    channels: dict[str, Any] = {kind: list(ways) for kind, ways in said.channels.items()}
    quiet = said.quiet
    await source.execute(
        SAY,
        person,
        channels,
        sorted(said.digest),
        said.digest_at,
        None if quiet is None else quiet.begins,
        None if quiet is None else quiet.ends,
        said.time_zone,
        int(said.gather.total_seconds() // 60),
    )
