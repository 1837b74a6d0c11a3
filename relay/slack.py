"""Slack: messages as Block Kit, to each person directly, brought up to date when what they show has changed.

Buttons carry a task and its digest (`contract.buttons`); what they do is the API's (`api.slack`). Nothing of
a request of which anything is confidential is decided from here: who decides is to look at it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from contract import words
from contract.buttons import PREFIX, Pressed
from contract.lines import cut, one_line
from contract.preferences import Channel
from recipes.model import Json, Outcome
from relay.composing import Composer, Entry
from relay.ways import Away, Parcel, Place, Refused, Send
from slack_client import Slack, SlackAway, SlackRefused
from storage import slack_people
from storage.briefs import Brief
from storage.pool import Pool

MOST_SHOWN = 10
"""Things that one message shows: Slack takes 50 blocks."""
MOST_BUTTONS = 6
"""Outcomes that one thing has buttons for; the rest are on its page. (Slack takes 25.)"""
LONGEST_LABEL = 75
_STYLES = {"approve": "primary", "reject": "danger"}
Blocks = list[dict[str, Json]]


class SlackWay:
    """The way by Slack. Without `buttons` messages only link to the pages."""

    channel: Channel = "slack"

    def __init__(self, slack: Slack, pool: Pool, composer: Composer, *, buttons: bool) -> None:
        self._slack = slack
        self._pool = pool
        self._composer = composer
        self._buttons = buttons

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Send]:
        yield self.send

    async def send(self, parcel: Parcel) -> Place | None:
        """Where Slack has it now, if it says so. Away, Refused."""
        try:
            user = parcel.to.slack_user or await self._find(parcel)
            answer = await self._slack.call("chat.postMessage", channel=user, **self._said(parcel))
        except SlackAway as error:
            raise Away(str(error), error.after, heard=error.heard) from None
        except SlackRefused as error:
            raise Refused(str(error)) from None
        channel, ts = answer.get("channel"), answer.get("ts")
        return (channel, ts) if isinstance(channel, str) and isinstance(ts, str) else None

    async def update(self, parcel: Parcel) -> None:
        """Show what is so now. Away; Refused also if Slack has the message no more."""
        assert parcel.message.place is not None
        channel, ts = parcel.message.place
        try:
            await self._slack.call("chat.update", channel=channel, ts=ts, **self._said(parcel))
        except SlackAway as error:
            raise Away(str(error), error.after, heard=error.heard) from None
        except SlackRefused as error:
            raise Refused(str(error)) from None

    async def _find(self, parcel: Parcel) -> str:
        """Who somebody is, by the directory's address; remembered."""
        if parcel.to.email is None:
            raise Refused("nobody has said who they are in Slack, and the directory has no address")
        found = await self._slack.look_up("users.lookupByEmail", email=parcel.to.email)
        user = str(found["user"]["id"])
        if not await slack_people.found(self._pool, parcel.message.person, user):
            raise Refused(f"Slack's {user} is somebody else already")
        return user

    def _said(self, parcel: Parcel) -> dict[str, Any]:
        """Text (for notifications and screen readers), blocks, and which message it is."""
        entries = [self._composer.entry(brief, parcel.to.zone) for brief in parcel.briefs]
        blocks: Blocks = []
        for brief, entry in list(zip(parcel.briefs, entries, strict=True))[:MOST_SHOWN]:
            blocks += [{"type": "divider"}] if blocks else []
            blocks += self._blocks(brief, entry)
        if len(entries) > MOST_SHOWN:
            left = len(entries) - MOST_SHOWN
            blocks.append(_context([f"and {left} more: <{self._composer.url}/|your inbox>"]))
        first = f"{entries[0].label}: {entries[0].title}"
        more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
        which = {"event_type": "countersign", "event_payload": {"id": str(parcel.message.id)}}
        return {
            "text": escaped(first) + more,
            "blocks": blocks,
            "metadata": which,
            "unfurl_links": False,
        }

    def _blocks(self, brief: Brief, entry: Entry) -> Blocks:
        lines = [f"*{escaped(entry.label)}*", f"<{entry.url}|{escaped(entry.title)}>"]
        lines += [escaped(entry.says)] if entry.says else []
        lines += [f">{escaped(entry.text)}"] if entry.text else []
        section: dict[str, Json] = {"type": "section", "text": _mrkdwn("\n".join(lines))}
        if entry.facts:
            section["fields"] = [
                _mrkdwn(f"*{escaped(name)}*\n{escaped(value)}") for name, value in entry.facts
            ]
        notes = [words.sentence(one_line(brief.verdict))] if brief.verdict else _notes(entry)
        blocks: Blocks = [section, *([_context([escaped(it) for it in notes])] if notes else [])]
        if self._buttons and brief.offer and not (brief.private or brief.verdict):
            blocks.append(_actions(brief, brief.offer.outcomes, entry.url))
        return blocks


def _notes(entry: Entry) -> list[str]:
    return [*([entry.more] if entry.more else []), *([f"Due {entry.due}"] if entry.due else [])]


def _actions(brief: Brief, outcomes: Sequence[Outcome], url: str) -> dict[str, Json]:
    buttons: list[Json] = []
    for outcome in outcomes[:MOST_BUTTONS]:
        pressed = Pressed(brief.about, outcome.id, brief.digest or "")
        button: dict[str, Json] = {
            "type": "button",
            "action_id": f"{PREFIX}{outcome.id}",
            "text": _label(outcome.name),
            "value": pressed.text(),
        }
        if outcome.id in _STYLES:
            button["style"] = _STYLES[outcome.id]
        buttons.append(button)
    if len(outcomes) > MOST_BUTTONS:
        # A link as one of the buttons: as a block of its own it could be one more than a message may have.
        text = f"{len(outcomes) - MOST_BUTTONS} more on the page"
        buttons.append({"type": "button", "action_id": "page", "text": _label(text), "url": url})
    return {"type": "actions", "block_id": f"task:{brief.about}", "elements": buttons}


def _label(text: str) -> dict[str, Json]:
    return {"type": "plain_text", "text": cut(one_line(text), LONGEST_LABEL)}


def _mrkdwn(text: str) -> dict[str, Json]:
    return {"type": "mrkdwn", "text": text[:2000]}


def _context(texts: Sequence[str]) -> dict[str, Json]:
    return {"type": "context", "elements": [_mrkdwn(text) for text in texts]}


def escaped(text: str) -> str:
    """As text for Slack: nothing in it is a link, a mention or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
