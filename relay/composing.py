"""Messages put into words: as mail, in HTML and in plain text. Slack's are in `relay.slack`.

What people wrote is text everywhere: escaped in HTML, one line each in plain text.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contract import words
from contract.lines import cut, one_line
from contract.preferences import Kind
from relay.ways import Parcel
from storage import zones
from storage.briefs import Brief

_LABELS: dict[Kind, str] = {
    "task": "Needs your decision",
    "reminder": "Still needs your decision",
    "question": "A question for you",
    "answer": "Your question was answered",
    "rewound": "Sent back to you",
    "outcome": "Has ended",
    "incident": "Needs help",
    "notice": "For your information",
}
_SAYS: dict[Kind, str] = {
    "task": "{who} asks.",
    "reminder": "{who} asks.",
    "question": "{who} asks:",
    "answer": "{who} answered:",
    "rewound": "Change it and submit it again, or cancel it.",
    "outcome": "Submitted by {who}.",
    "incident": "It cannot go on by itself.",
    "notice": "",
}
LONGEST_SUBJECT = 120
LONGEST_TITLE = 200
LONGEST_LIST = 40
"""Things that one message lists; it counts the rest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of a message, in words."""

    label: str
    title: str
    url: str
    says: str
    text: str | None
    facts: tuple[tuple[str, str], ...]
    more: str
    due: str | None


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str
    html: str


class Composer:
    """Puts messages into words; `url` is where people reach the pages."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        folder = FileSystemLoader(Path(__file__).parent / "templates")
        options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
        self._html = Environment(loader=folder, autoescape=True, **options).get_template(
            "mail.html"
        )
        # Plain text: there is nothing to escape, and nothing that shows it as HTML.
        plain = Environment(loader=folder, autoescape=False, **options)  # noqa: S701
        self._text = plain.get_template("mail.txt")

    @property
    def preferences_url(self) -> str:
        return f"{self.url}/preferences"

    def letter(self, parcel: Parcel) -> Letter:
        entries = [self.entry(brief, parcel.to.zone) for brief in parcel.briefs]
        first = entries[0]
        more = len(entries) - 1
        subject = f"{first.label}: {first.title}"
        if more:
            ending = f" (and {more} more)"
            subject = cut(subject, LONGEST_SUBJECT - len(ending)) + ending
        shown = {
            "subject": cut(subject, LONGEST_SUBJECT),
            "name": one_line(parcel.to.name),
            "entries": entries[:LONGEST_LIST],
            "left_out": max(0, len(entries) - LONGEST_LIST),
            "digest": parcel.message.digest,
            "url": self.url,
            "preferences_url": self.preferences_url,
        }
        return Letter(
            shown["subject"], self._text.render(**shown).strip() + "\n", self._html.render(**shown)
        )

    def entry(self, brief: Brief, zone: str) -> Entry:
        """`zone` is the name of the time zone that times are told in."""
        label = _LABELS[brief.kind]
        if brief.outcome is not None:
            label = brief.outcome.capitalize()
        says = _SAYS[brief.kind].format(who=brief.who) if brief.who else ""
        if "{who}" not in _SAYS[brief.kind]:
            says = _SAYS[brief.kind]
        if brief.on_behalf_of is not None:
            says = f"{says} You decide on behalf of {brief.on_behalf_of}.".strip()
        return Entry(
            label,
            cut(one_line(brief.title), LONGEST_TITLE),
            self.link(brief),
            one_line(says),
            brief.text,
            brief.facts,
            _more(brief.more_facts),
            None if brief.due_at is None else told_time(brief.due_at, zone),
        )

    def link(self, brief: Brief) -> str:
        """The page of what it is about. It only shows: nothing is decided by opening it."""
        if brief.kind in ("task", "reminder"):
            return f"{self.url}/tasks/{brief.about}"
        return f"{self.url}/requests/{brief.request_id}"


def _more(count: int) -> str:
    """That the page says more than there is room for here; nothing where it does not."""
    return f"{count} more {'detail' if count == 1 else 'details'} on the page" if count else ""


def told_time(moment: datetime, zone: str) -> str:
    """As in: Thu 2 Jul 2026, 14:00 (Europe/Madrid)."""
    known = zones.zone(zone) or UTC
    return f"{moment.astimezone(known):%a} {words.stamp(moment, known)}"
