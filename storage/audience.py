"""Whom an event concerns, and what they said about being told: one question for many events.

Who is to decide, or to help, is looked up as it is now: what has changed since the event makes nobody
listen to it any more. Whoever did something themselves is not told of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contract import events
from contract.preferences import CHANNELS, Kind, Preferences, Quiet
from storage import pools
from storage.feed import Fed
from storage.pool import Source

KINDS: dict[str, Kind] = {
    events.TASK_ASSIGNED: "task",
    events.TASK_REMINDED: "reminder",
    events.QUESTION_ASKED: "question",
    events.QUESTION_ANSWERED: "answer",
    events.REQUEST_REWOUND: "rewound",
    events.REQUEST_FINALIZED: "outcome",
    events.INCIDENT_RAISED: "incident",
    events.NOTIFICATION_SENT: "notice",
}
"""The kind of what an event tells people, by its type. No other event tells anybody anything."""

PREFERENCES = """
f.channels, f.digest, f.digest_at, f.quiet_from, f.quiet_to, f.time_zone, f.gather_minutes"""


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody whom an event concerns: `about` is the task, question or notification, else the request.
    `zone` is the name of the time zone they live by; `mail` whether the directory has an address, `slack`
    whether it is known who they are there."""

    position: int
    kind: Kind
    about: UUID
    request_id: UUID
    at: datetime
    person: str
    preferences: Preferences
    zone: str
    mail: bool
    slack: bool


_BARRED = pools.BARRED.format(task="t", request="r")

# Who decides a task that is still open: its assignee; of a shared one each member, or whoever decides for
# those who delegated.
_DECIDING = f"""
SELECT t.assignee AS person WHERE t.assignee IS NOT NULL
UNION
SELECT coalesce(m.path[cardinality(m.path)], m.person)
  FROM (SELECT c.person, stand_ins(c.person, c.role, r.workflow, {_BARRED}, statement_timestamp()) AS path
          FROM (SELECT substr(c, 6) AS person, NULL::text AS role FROM unnest(t.candidates) c
                 WHERE c LIKE 'user:%'
                UNION
                SELECT h.person, h.role FROM unnest(t.candidates) c
                  JOIN role_members h ON h.role = substr(c, 6) AND h.valid @> statement_timestamp()
                 WHERE c LIKE 'role:%') c) m
 WHERE m.path IS NOT NULL OR m.person <> ALL({_BARRED})"""

# $1 to $4: the places of events, each with its position.
AUDIENCE = f"""
WITH told AS MATERIALIZED (
    SELECT f.position, a.event_type AS type, a.request_id, a.occurred_at AS at, a.payload, a.actor->>'user' AS actor
      FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::timestamptz[]) AS f(position, request_id, seq, recorded_at)
      JOIN audit a USING (request_id, seq, recorded_at)
), named AS (
    SELECT e.position, t.id AS about, who.person
      FROM told e JOIN tasks t ON t.id = (e.payload->>'task_id')::uuid AND t.state = 'open'
      JOIN requests r ON r.id = t.request_id CROSS JOIN LATERAL ({_DECIDING}) who
     WHERE e.type IN ('{events.TASK_ASSIGNED}', '{events.TASK_REMINDED}')
    UNION ALL
    SELECT e.position, q.id, CASE e.type WHEN '{events.QUESTION_ASKED}' THEN q.asked ELSE q.asked_by END
      FROM told e JOIN questions q ON q.id = (e.payload->>'question_id')::uuid
     WHERE e.type = '{events.QUESTION_ANSWERED}'
        OR (e.type = '{events.QUESTION_ASKED}' AND q.answered_at IS NULL)
    UNION ALL
    SELECT e.position, r.id, r.requester FROM told e JOIN requests r ON r.id = e.request_id
     WHERE e.type = '{events.REQUEST_FINALIZED}'
        OR (e.type = '{events.REQUEST_REWOUND}' AND r.state = 'rewound')
    UNION
    SELECT e.position, w.request_id, w.person FROM told e JOIN watchers w ON w.request_id = e.request_id
     WHERE e.type = '{events.REQUEST_FINALIZED}'
    UNION ALL
    SELECT e.position, r.id, h.person
      FROM told e JOIN requests r ON r.id = e.request_id AND r.incidents <> '[]'
      JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
      JOIN role_members h ON h.role = regexp_replace(p.recipe->>'owner', '^role:', '')
                         AND h.valid @> statement_timestamp()
     WHERE e.type = '{events.INCIDENT_RAISED}'
    UNION ALL
    SELECT e.position, n.id, n.person
      FROM told e JOIN notifications n ON n.request_id = e.request_id AND n.sent_at = e.at
                                      AND n.step = e.payload->>'step'
     WHERE e.type = '{events.NOTIFICATION_SENT}'
)
SELECT n.position, e.type, n.about, e.request_id, e.at, n.person, coalesce(f.time_zone, p.time_zone) AS zone,
       p.email IS NOT NULL AS mail, s.person IS NOT NULL AS slack, {PREFERENCES}
  FROM named n JOIN told e USING (position)
  JOIN people p ON p.id = n.person AND p.employed @> statement_timestamp()
  LEFT JOIN preferences f ON f.person = n.person LEFT JOIN slack_people s ON s.person = n.person
 WHERE n.person IS DISTINCT FROM e.actor
 ORDER BY n.position, n.person, n.about
"""


async def concerned(source: Source, fed: Sequence[Fed]) -> list[Listener]:
    """Everybody whom one of these events concerns, by the events' order."""
    rows = await source.fetch(
        AUDIENCE,
        [it.position for it in fed],
        [it.request_id for it in fed],
        [it.seq for it in fed],
        [it.recorded_at for it in fed],
    )
    return [
        Listener(
            row["position"],
            KINDS[row["type"]],
            row["about"],
            row["request_id"],
            row["at"],
            row["person"],
            preferences_of(row),
            row["zone"],
            row["mail"],
            row["slack"],
        )
        for row in rows
    ]


def preferences_of(row: Any) -> Preferences:
    """From a row with `PREFERENCES`, which are null for whoever never said anything. Kinds that there were
    not yet when they did are told as they are to everybody."""
    usual = Preferences()
    if row["channels"] is None:
        return usual
    channels = {
        kind: tuple(it for it in CHANNELS if it in row["channels"].get(kind, usual.channels[kind]))
        for kind in usual.channels
    }
    quiet = None if row["quiet_from"] is None else Quiet(row["quiet_from"], row["quiet_to"])
    return Preferences(
        channels,
        frozenset(kind for kind in usual.channels if kind in row["digest"]),
        row["digest_at"],
        quiet,
        row["time_zone"],
        timedelta(minutes=row["gather_minutes"]),
    )
