"""What messages say: read when they are sent, as their person may see it then.

Of a request of which anything is confidential that is its workflow's name, and whether it still waits: no
title, no figures, no names. What has become pointless meanwhile has a `verdict`: it is not worth a message,
but whoever was told of it before can be told that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contract import facts
from contract.content import plain_title
from contract.lines import cut, one_line
from contract.preferences import Kind
from recipes.effects import Offer
from storage import questions, sight, tasks
from storage.messages import Item
from storage.pool import Source
from storage.source_order import as_written
from storage.vault import Reader

_OFFER: TypeAdapter[Offer] = TypeAdapter(Offer)
MOST_FACTS = 6
LONGEST = 500
"""Characters of what people wrote, in a message; a fact has a fifth of that."""


@dataclass(frozen=True, slots=True)
class Brief:
    """One thing that somebody is told. `title` is the request's, where they may be told it outside, else what
    its workflow is called; `who` the one that it comes from: the requester, the asker, ... `facts` are inputs
    by their labels, of which there are `more_facts`, `outcome` the request's state. Of a task: `due_at`, and what can be done about it there."""

    kind: Kind
    about: UUID
    request_id: UUID
    title: str
    who: str | None = None
    text: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    more_facts: int = 0
    due_at: datetime | None = None
    on_behalf_of: str | None = None
    outcome: str | None = None
    offer: Offer | None = None
    digest: str | None = None
    private: bool = False
    verdict: str | None = None


REQUESTS = """
SELECT r.id, r.workflow, r.title, r.private, r.requester, r.state, r.reason, r.inputs, r.incidents, r.erased_at,
       p.recipe->'inputs' AS schema, p.source,
       EXISTS (SELECT FROM role_members m JOIN people e ON e.id = m.person
                WHERE m.person = $1 AND m.role = regexp_replace(p.recipe->>'owner', '^role:', '')
                  AND m.valid @> statement_timestamp() AND e.employed @> statement_timestamp()) AS owns
  FROM requests r JOIN recipes p ON p.workflow = r.workflow AND p.version = r.version
 WHERE r.id = ANY($2::uuid[])
"""
PRINCIPALS = """
SELECT 'role:' || m.role AS held FROM role_members m WHERE m.person = $1 AND m.valid @> statement_timestamp()
"""
NOTICES = (
    "SELECT id, message, read_at FROM notifications WHERE person = $1 AND id = ANY($2::uuid[])"
)
NAMES = "SELECT id, name FROM people WHERE id = ANY($1::text[])"


async def briefs(
    source: Source, person: str, items: Sequence[Item], zone: tzinfo = UTC
) -> list[Brief]:
    """Of everything that a message refers to, in that order, moments by the clocks of `zone`. A task is told of
    once, however often the person was reminded of it."""
    once = {(_what(it.kind), it.about): it for it in reversed(items)}
    wanted = list(reversed(once.values()))
    rows = await source.fetch(REQUESTS, person, list({it.request_id for it in wanted}))
    seen = _Seen(person, zone, {row["id"]: row for row in rows})
    await seen.look(source, wanted)
    return [seen.brief(it) for it in wanted]


def _what(kind: Kind) -> str:
    return "task" if kind == "reminder" else kind


@dataclass(slots=True)
class _Seen:
    """What one person's message is made of: rows as they are now."""

    person: str
    zone: tzinfo
    requests: Mapping[UUID, Any]
    waiting: dict[UUID, Any] = field(default_factory=dict)
    tasks: dict[UUID, Any] = field(default_factory=dict)
    questions: dict[UUID, Any] = field(default_factory=dict)
    notices: dict[UUID, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    involved: set[UUID] = field(default_factory=set)

    async def look(self, source: Source, items: Sequence[Item]) -> None:
        """Read what these items are about, a question for each kind of thing."""
        asked: dict[str, list[UUID]] = {}
        for it in items:
            asked.setdefault(_what(it.kind), []).append(it.about)
        if "task" in asked:
            rows = await tasks.waiting(source, self.person, asked["task"])
            self.waiting = {row["id"]: row for row in rows}
            self.tasks = await tasks.load_all(source, asked["task"], self.person)
        for about in (*asked.get("question", ()), *asked.get("answer", ())):
            row = await questions.load(source, about)
            if row is not None:
                reader = Reader(self.person)
                self.questions[about] = await sight.seen_one(source, reader, row, sight.QUESTION)
        if "notice" in asked:
            rows = await source.fetch(NOTICES, self.person, asked["notice"])
            self.notices = {row["id"]: row for row in rows}
        if "outcome" in asked:
            held = [row["held"] for row in await source.fetch(PRINCIPALS, self.person)]
            principals = [f"user:{self.person}", *held]
            self.involved = await tasks.involved(source, asked["outcome"], self.person, principals)
        self.names = await _names(source, self._people())

    def _people(self) -> Iterable[str]:
        for row in self.requests.values():
            yield row["requester"]
        for row in self.tasks.values():
            yield from filter(None, (row["on_behalf_of"], row["decided_by"]))
            yield from row["standing_path"] or ()
        for row in self.questions.values():
            yield from (row["asked_by"], row["asked"])

    # --- one thing each ---

    def brief(self, item: Item) -> Brief:
        row = self.requests[item.request_id]
        hidden = row["private"] or not self._sees(item.kind, row)
        title = plain_title(row["workflow"]) if hidden else row["title"]
        base: dict[str, Any] = {
            "kind": item.kind,
            "about": item.about,
            "request_id": item.request_id,
            "title": title,
            "private": hidden,
        }
        if row["erased_at"] is not None:
            return Brief(**base | {"title": "Erased request", "verdict": "erased"})
        said = self._said(item, row)
        if hidden:
            kept = ("due_at", "verdict", "outcome")
            said = {name: value for name, value in said.items() if name in kept}
            if said.get("verdict") is not None:
                said["verdict"] = "done"
            if not row["private"]:
                said.pop("outcome", None)
        return Brief(**base | said)

    def _sees(self, kind: Kind, row: Any) -> bool:
        """Whether they may see the request. Whoever watches it by themselves may have lost that."""
        mine = self.person == row["requester"] or row["owns"]
        return kind != "outcome" or mine or row["id"] in self.involved

    def _said(self, item: Item, row: Any) -> dict[str, Any]:
        match item.kind:
            case "task" | "reminder":
                return self._task(item, row)
            case "question" | "answer":
                return self._question(item)
            case "rewound":
                verdict = None if row["state"] == "rewound" else f"it is {row['state']} now"
                return {"text": _short(row["reason"]), "verdict": verdict}
            case "outcome":
                who = None if row["requester"] == self.person else self._name(row["requester"])
                return {"outcome": row["state"], "text": _short(row["reason"]), "who": who}
            case "incident":
                there = row["owns"] and row["incidents"]
                text = row["incidents"][0]["detail"] if there else None
                return {
                    "text": _short(text),
                    "verdict": None if there else "it needs nobody any more",
                }
            case "notice":
                notice = self.notices.get(item.about)
                unread = notice is not None and notice["read_at"] is None
                return {
                    "text": _short(notice["message"]) if notice is not None else None,
                    "verdict": None if unread else "you have read it",
                }

    def _task(self, item: Item, request: Any) -> dict[str, Any]:
        row = self.tasks.get(item.about)
        mine = self.waiting.get(item.about)
        who = self._name(request["requester"])
        if row is None or mine is None or mine["claimed_by"] not in (None, self.person):
            return {"who": who, "verdict": self._verdict(row)}
        path = mine["standing_path"]
        behalf = mine["on_behalf_of"] if path is None else path[0]
        return {
            "who": who,
            **({} if request["private"] else _facts(request, row["show"], self.zone)),
            "due_at": row["due_at"],
            "on_behalf_of": None if behalf is None else self._name(behalf),
            "offer": _OFFER.validate_python({name: row[name] for name in _OFFERED}),
            "digest": row["digest"],
        }

    def _verdict(self, row: Any) -> str:
        if row is None:
            return "it is not there any more"
        if row["decision_id"] is not None:
            return f"{self._name(row['decided_by'])} decided: {_outcome(row)}"
        if row["state"] != "open":
            return _CLOSED.get(row["state"], f"it is {row['state']}")
        if row["claimed_by"] is not None:
            return f"claimed by {self._name(row['claimed_by'])}"
        return "it does not wait for you any more"

    def _question(self, item: Item) -> dict[str, Any]:
        row = self.questions.get(item.about)
        if row is None:
            return {"verdict": "it is not there any more"}
        if item.kind == "answer":
            return {"who": self._name(row["asked"]), "text": _short(row["answer"])}
        verdict = None if row["answered_at"] is None else "you have answered it"
        return {"who": self._name(row["asked_by"]), "text": _short(row["text"]), "verdict": verdict}

    def _name(self, person: str) -> str:
        return self.names.get(person, person)


_OFFERED = ("outcomes", "require_comment", "require_reason", "reasons", "rewind_to", "show")


_CLOSED = {
    "expired": "nobody decided in time",
    "superseded": "it was settled without this decision",
    "cancelled": "it is not needed any more",
    "reassigned": "it went to somebody else",
}


def _outcome(row: Any) -> str:
    """What a decision is called on its task."""
    names = {it["id"]: it["name"] for it in row["outcomes"]}
    return names.get(row["decision"], row["decision"])


def _facts(request: Any, show: Sequence[str], zone: tzinfo) -> dict[str, Any]:
    """What there is to decide about, by label: the inputs that the recipe shows, or all; the first few, and how
    many more there are."""
    schema = request["schema"]
    if schema is not None:
        schema = as_written(schema, request["source"], "inputs")
    found = facts.facts(schema, request["inputs"], show=show, zone=zone)
    told = found.first(MOST_FACTS)
    most = LONGEST // 5
    texts = ((cut(each.label, most), cut(one_line(each.text), most)) for each in told)
    more = len(found.key) + len(found.rest) - len(told)
    return {"facts": tuple((label, text) for label, text in texts if text), "more_facts": more}


def _short(text: str | None) -> str | None:
    """One line of it."""
    return None if text is None else cut(one_line(text), LONGEST)


async def _names(source: Source, people: Iterable[str]) -> dict[str, str]:
    wanted = sorted(set(people))
    rows = await source.fetch(NAMES, wanted) if wanted else []
    return {row["id"]: row["name"] for row in rows}
