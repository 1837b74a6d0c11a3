"""Notifications: from the feed to people's messages, and from there out by mail and Slack.

The consumer `notifications` of the feed looks up whom each event concerns and keeps, in the transaction that
moves its cursor, what they are to be told and from when on. Senders (`relay.sending`), one for each way, take
what is due. None of it is in the way of a request: with all ways closed, messages gather.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC
from socket import gethostname
from typing import TypeAlias
from uuid import uuid4

import structlog
from prometheus_client import Counter, Gauge

from contract import events
from contract.preferences import CHANNELS, Channel
from relay.composing import Composer
from relay.mail import Mail
from relay.outliving import mistaken, outlived
from relay.sending import Sender
from relay.slack import SlackWay
from settings import Settings
from slack_client import Slack
from storage import audience, commands, feed, messages, telling, zones
from storage.audience import Listener
from storage.errors import is_of_content
from storage.messages import Note
from storage.pool import Pool

_log = structlog.get_logger()

CONSUMER = "notifications"
LEASE_SECONDS = 30.0
PAUSE_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 3600.0
EVENTS = 200
"""Of the feed, at once."""
REMEMBER_DAYS = 30
REMEMBER_DEAD_DAYS = 90

_CHANGES = (
    events.REQUEST_FINALIZED,
    events.REQUEST_REWOUND,
    events.REQUEST_RESUBMITTED,
    events.REQUEST_ERASED,
    events.DECISION_RECORDED,
    events.TASK_REBOUND,
    events.TASK_CLAIMED,
    events.TASK_RELEASED,
    "task.expired",
    "task.superseded",
    "task.cancelled",
    "task.reassigned",
    events.QUESTION_ANSWERED,
    events.INCIDENT_RESOLVED,
)
"""What makes untrue what a message in Slack shows."""
_TYPES = tuple(dict.fromkeys([*audience.KINDS, *_CHANGES]))

unreachable = Counter(
    "countersign_messages_unreachable_total",
    "Things that somebody was not told, for want of an address there.",
    ["channel"],
)
due = Gauge("countersign_messages_due", "Messages that are due and not sent.", ["channel"])
oldest = Gauge(
    "countersign_messages_oldest_seconds", "For how long the oldest of them is.", ["channel"]
)
dead = Gauge("countersign_messages_dead", "Messages that were given up.")


async def listen(pool: Pool, owner: str, on: frozenset[Channel]) -> bool:
    """Take some events of the feed: keep whom to tell what, by the ways that are on. True if there may be more
    at once. LeaseLost."""
    await feed.begin(pool, CONSUMER)
    position = await feed.lease(pool, CONSUMER, owner, LEASE_SECONDS)
    if position is None:
        return False
    fed: list[feed.Fed] = []
    try:
        fed, onward = await feed.among(pool, position, EVENTS, types=_TYPES)
    except feed.Forgotten as error:
        _log.error(
            "what happened meanwhile is told to nobody: it is forgotten", oldest=error.oldest
        )
        onward = error.oldest
    if onward == position:
        return False
    listeners = await _concerned(pool, [it for it in fed if it.event_type in audience.KINDS])
    async with pool.acquire() as connection, connection.transaction():
        await messages.gather(connection, notes(listeners, on))
        changed = [it.request_id for it in fed if it.event_type in _CHANGES]
        if changed:
            await messages.outdate(connection, changed, max(it.recorded_at for it in fed))
        await feed.advance(connection, CONSUMER, owner, onward)
    return True


async def _concerned(pool: Pool, events: Sequence[feed.Fed]) -> list[Listener]:
    """Whom events concern. One of which that cannot be found out is left out, and said to be a mistake of ours. Where
    it can be of none they wait for a while: it may be soon."""
    if not events:
        return []
    try:
        return await audience.concerned(pool, events)
    except Exception as error:
        if not is_of_content(error):
            raise
    found: list[Listener] = []
    mistakes: list[tuple[feed.Fed, Exception]] = []
    for each in events:
        try:
            found += await audience.concerned(pool, [each])
        except Exception as error:
            if not is_of_content(error):
                raise
            mistakes.append((each, error))
    if len(mistakes) == len(events) and any(telling.fresh(each) for each in events):
        raise mistakes[0][1]
    for each, error in mistakes:
        mistaken("an event for messages", error, event_id=str(each.event_id))
    return found


def notes(listeners: Iterable[Listener], on: frozenset[Channel]) -> list[Note]:
    """What each is to be told by which way, and from when on. Whoever has no address there is counted."""
    found: list[Note] = []
    for it in listeners:
        mine = it.preferences
        zone = zones.zone(it.zone) or UTC
        reached: dict[Channel, bool] = {"mail": it.mail, "slack": it.slack or it.mail}
        for channel in mine.channels[it.kind]:
            if channel not in on:
                continue
            if not reached[channel]:
                unreachable.labels(channel).inc()
                continue
            from_then = mine.due(it.kind, it.at, zone)
            digest = it.kind in mine.digest
            found.append(
                Note(
                    it.person,
                    channel,
                    digest,
                    from_then,
                    it.kind,
                    it.about,
                    it.request_id,
                    it.position,
                    it.at,
                )
            )
    return found


# --- in a relay ---

Chore: TypeAlias = tuple[Callable[[], Awaitable[bool]], float]
"""What is done again and again, and how long it rests when there is nothing to do, in seconds."""


def senders(pool: Pool, settings: Settings) -> list[Sender]:
    """One for each way that is on. MailInvalid."""
    composer = Composer(settings.pages_url)
    found: list[Sender] = []
    if settings.smtp_url is not None:
        assert settings.mail_from is not None
        url = settings.smtp_url.get_secret_value()
        mail = Mail(url, settings.mail_from, composer, ca_file=settings.smtp_ca_file)
        found.append(Sender(pool, mail))
    if settings.slack_token is not None:
        slack = Slack(settings.slack_token.get_secret_value(), settings.slack_url)
        buttons = settings.slack_signing_secret is not None
        found.append(Sender(pool, SlackWay(slack, pool, composer, buttons=buttons)))
    return found


def chores(pool: Pool, settings: Settings) -> list[Chore]:
    """All that this relay does for messages."""
    owner = f"{gethostname()}:{uuid4().hex[:8]}"
    sending = senders(pool, settings)
    on = frozenset(it.way.channel for it in sending)
    for channel, setting in (("mail", "SMTP_URL"), ("slack", "SLACK_TOKEN")):
        if channel not in on:
            _log.info(
                "off, nobody is told that way", channel=channel, wanted=f"COUNTERSIGN_{setting}"
            )

    async def send(sender: Sender) -> bool:
        return await sender.send(await commands.now(pool))

    async def refresh(sender: Sender) -> bool:
        return await sender.refresh(await commands.now(pool))

    found: list[Chore] = [(lambda: listen(pool, owner, on), PAUSE_SECONDS)]
    for sender in sending:
        found.append((lambda sender=sender: send(sender), PAUSE_SECONDS))
        if sender.way.update is not None:
            found.append((lambda sender=sender: refresh(sender), PAUSE_SECONDS))
    found.append((lambda: _measure(pool), 5.0))
    found.append((lambda: _forget(pool), HOUSEKEEPING_SECONDS))
    return [(outlived("messages", work), rest) for work, rest in found]


async def _measure(pool: Pool) -> bool:
    found = await messages.waiting(pool)
    for channel in CHANNELS:
        count, seconds = found.get(channel, (0, 0.0))
        due.labels(channel).set(count)
        oldest.labels(channel).set(seconds)
    dead.set(await messages.given_up(pool))
    return False


async def _forget(pool: Pool) -> bool:
    await messages.forget(pool, REMEMBER_DAYS, REMEMBER_DEAD_DAYS)
    return False
