"""What happened to a request, in words: who did what, when.

Pure: from its events as the API shows them. What only the machinery needs to know is left out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.web import rules
from api.web.names import Names
from contract import words
from contract.lines import one_line
from recipes.model import REQUESTER, Json

ENGINE = "system:engine"


@dataclass(frozen=True, slots=True)
class Line:
    """`said` beside what it says of; `quoted` is what somebody wrote; `kind` marks how it went; `of_step`: it says what came of
    a step."""

    at: str
    said: str
    quoted: str | None = None
    kind: str = ""
    of_step: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What the words need to know: the recipe of the request, what people are called."""

    recipe: Mapping[str, Any]
    names: Names

    def who(self, principal: Json) -> str:
        return self.names.of(principal)

    def step(self, payload: Mapping[str, Any]) -> str:
        return rules.step_name(self.recipe, payload.get("step"), payload.get("branch"))

    def outcome(self, payload: Mapping[str, Any]) -> str:
        """What the outcome is called that was chosen."""
        return rules.outcome_name(self.recipe, payload.get("step"), str(payload["decision"]))

    def back_to(self, to: Json) -> str:
        return "the requester" if to == REQUESTER else rules.step_name(self.recipe, str(to))


def people_in(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """The ids of all whom the words name."""
    found: set[str] = set()
    for event in events:
        actor, payload = event["actor"], event["payload"]
        named = [actor["user"], actor["on_behalf_of"], *actor["via"]]
        named += [
            payload.get(name) for name in ("assignee", "person", "to", "user", "on_behalf_of")
        ]
        named += [*(payload.get("people") or ()), *(payload.get("candidates") or ())]
        ids = (each.removeprefix("user:") for each in named if isinstance(each, str))
        found |= {each for each in ids if ":" not in each}
    return found


def lines(events: Iterable[Mapping[str, Any]], told: Told) -> list[Line]:
    """A line for each event that says something to people, the oldest first."""
    found: list[Line] = []
    for event in events:
        say = _WORDS.get(event["type"])
        said = say(told, event["payload"], _actor(told, event["actor"])) if say else None
        if said is not None:
            text, quoted, kind = said
            of_step = event["type"] in ("step.completed", "step.skipped", "action.fired")
            found.append(Line(event["occurred_at"], text, quoted, kind, of_step))
    return found


def _actor(told: Told, actor: Mapping[str, Any]) -> str:
    name = told.who(actor["user"])
    if actor["on_behalf_of"]:
        name += f", on behalf of {told.who(actor['on_behalf_of'])}"
    if actor["via"]:
        name += f", via {', '.join(map(told.who, actor['via']))}"
    return name


_Said = tuple[str, str | None, str] | None
_Payload = Mapping[str, Any]


def _made(_: Told, payload: _Payload, who: str) -> _Said:
    event = payload.get("event")
    return (f"Started by the event {event['name']}" if event else f"{who} sent it"), None, ""


def _resubmitted(_: Told, payload: _Payload, who: str) -> _Said:
    return f"{who} sent it again, changed", payload.get("comment"), ""


def _asked(told: Told, payload: _Payload, _: str) -> _Said:
    whom = payload.get("assignee")
    asked = told.who(whom) if whom else ", ".join(map(told.who, payload.get("candidates") or ()))
    text = f"{told.step(payload)}: {asked or 'somebody'} was asked"
    if payload.get("on_behalf_of"):
        text += f", on behalf of {told.who(payload['on_behalf_of'])}"
    return text, None, ""


def _decided(told: Told, payload: _Payload, who: str) -> _Said:
    text = f"{told.step(payload)}: {who} chose {told.outcome(payload)}"
    if payload.get("to"):
        text += f", back to {told.back_to(payload['to'])}"
    wrote = [str(each) for each in (payload.get("reason"), payload.get("comment")) if each]
    return text, "\n".join(wrote) or None, str(payload.get("counts_as") or "")


def _closed(how: str) -> Callable[[Told, _Payload, str], _Said]:
    def say(told: Told, payload: _Payload, _: str) -> _Said:
        return f"{told.step(payload)}: {how}", None, ""

    return say


def _completed(told: Told, payload: _Payload, _: str) -> _Said:
    outcome = str(payload.get("outcome"))
    return f"{told.step(payload)} is {_OUTCOMES.get(outcome, outcome)}", None, outcome


_OUTCOMES = {"approve": "approved", "reject": "rejected"}


def _rewound(told: Told, payload: _Payload, who: str) -> _Said:
    by = "" if who == "Countersign" else f" by {who}"
    return f"Sent back to {told.back_to(payload.get('to'))}{by}", payload.get("comment"), "rewind"


def _finalized(_: Told, payload: _Payload, __: str) -> _Said:
    state = str(payload["state"])
    return f"The request is {state}", payload.get("reason"), state


def _waiting(told: Told, payload: _Payload, _: str) -> _Said:
    return f"{told.step(payload)}: waits until {words.stamp(payload['until'])}", None, ""


def _incident(_: Told, payload: _Payload, __: str) -> _Said:
    return f"People are needed ({payload.get('kind')})", payload.get("detail"), "incident"


def _job(how: str, kind: str) -> Callable[[Told, _Payload, str], _Said]:
    def say(told: Told, payload: _Payload, _: str) -> _Said:
        return f"{told.step(payload)}: {payload.get('run')} {how}", payload.get("failure"), kind

    return say


def _fired(told: Told, payload: _Payload, who: str) -> _Said:
    names = {each["id"]: each.get("name") for each in _machine(told.recipe, "actions")}
    states = {each["id"]: each.get("name") for each in _machine(told.recipe, "states")}
    action = names.get(payload["action"]) or words.label(payload["action"])
    state = states.get(payload["to"]) or words.label(payload["to"])
    return f"{who}: {action}. Now: {state}", payload.get("comment"), ""


def _machine(recipe: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    return list((recipe.get("machine") or {}).get(part) or ())


def _added(told: Told, payload: _Payload, who: str) -> _Said:
    text = f"{who} added {told.who(payload.get('person'))} to {told.step(payload)} ({payload.get('where')})"
    return text, payload.get("comment"), ""


def _questioned(told: Told, payload: _Payload, who: str) -> _Said:
    return f"{who} asked {told.who(payload.get('to'))}", None, ""


def _by(text: str, quoted: str | None = None) -> Callable[[Told, _Payload, str], _Said]:
    """`{who}` and the members of the payload fill the text."""

    def say(told: Told, payload: _Payload, who: str) -> _Said:
        person = told.who(payload.get("person") or payload.get("user") or "")
        name = one_line(payload.get("name") or "a file")
        said = text.format(who=who, person=person, step=told.step(payload), name=name)
        return said, payload.get(quoted) if quoted else None, ""

    return say


def _notified(told: Told, payload: _Payload, _: str) -> _Said:
    return (
        f"Told {', '.join(map(told.who, payload.get('people') or ()))}",
        payload.get("message"),
        "",
    )


def _commanded(_: Told, payload: _Payload, __: str) -> _Said:
    """What came too late; what was applied left events of its own."""
    if payload.get("applied"):
        return None
    return f"{words.label(str(payload.get('command')))} came too late", payload.get("detail"), ""


_WORDS: Mapping[str, Callable[[Told, _Payload, str], _Said]] = {
    "request.created": _made,
    "request.resubmitted": _resubmitted,
    "request.rewound": _rewound,
    "request.finalized": _finalized,
    "request.migrated": _by("{who} moved it to another version of its recipe", "comment"),
    "request.erased": _by("{who} erased what was written in it", "reason"),
    "request.recalled": _by("{who} recalled it", "reason"),
    "task.assigned": _asked,
    "task.reminded": _closed("reminded"),
    "task.claimed": _by("{step}: {who} claimed it"),
    "task.released": _by("{step}: {who} released it"),
    "task.expired": _closed("nobody decided in time"),
    "task.reassigned": _closed("it went to somebody else"),
    "approver.added": _added,
    "decision.recorded": _decided,
    "approval.kept": _by("{step}: the approval of {person} still counts"),
    "step.skipped": _closed("skipped, its condition does not hold"),
    "step.completed": _completed,
    "step.waiting": _waiting,
    "incident.raised": _incident,
    "incident.resolved": _by("People are needed no more"),
    "job.started": _job("runs", ""),
    "job.succeeded": _job("is done", "succeeded"),
    "job.failed": _job("failed", "failed"),
    "job.cancelled": _job("was stopped", ""),
    "notification.sent": _notified,
    "action.fired": _fired,
    "question.asked": _questioned,
    "question.answered": _by("{who} answered"),
    "attachment.added": _by("{who} added the file {name}"),
    "watcher.added": _by("{person} watches it"),
    "watcher.removed": _by("{person} watches it no more"),
    "comment.added": _by("{who} commented"),
    "command.settled": _commanded,
}
