"""How an assignment was found, in words for people: one text for each rule, and all of them here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from recipes.asks import Hop
from recipes.model import Json
from storage import explanations
from storage.pool import Source

TEXTS = {
    "person": "{user} is asked for",
    "round_robin": "it is the turn of {user} in role {role} (turn {turn})",
    "kept": "{user} keeps it, whose turn in role {role} it was before",
    "fixed": "{user} was settled on when the request was submitted",
    "candidates": "{whoever} may decide it",
    "manager": "{user} is the nearest manager who can be asked",
    "employee_manager": "{user} is next in the requester's line of managers",
    "delegation": "{user} decides on behalf of {delegator}, who delegated {scope} to {user} {dates}",
    "has_left": "{user} has left: up the line",
    "not_the_requester": "{user} is the requester, who decides nothing of their own: up the line",
    "decided_before": "{user} decided an earlier step, and this one needs somebody else: up the line",
    "below_limit": "{user} may not approve that much alone: up the line",
    "reassigned": "{user} gave it to somebody by hand{why}",
    "added": "{user} added this approver by hand{why}",
}
"""The rules of `storage.resolution` and `recipes.progress`; {user} is called by name."""

_BEHIND = "{delegator} delegated {scope} to {user} {dates}, but "
"""Before the reason why a delegate is not asked."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the texts tell: people's names by id, delegations by id, and why somebody reassigned."""

    names: Mapping[str, str]
    delegations: Mapping[str, Any]
    reason: str | None = None

    def chain(self, hops: Iterable[Hop]) -> list[dict[str, Json]]:
        """The hops as JSON, each with its text."""
        return [{**asdict(hop), "text": self.text(hop)} for hop in hops]

    def text(self, hop: Hop) -> str:
        found = {
            "user": self.called(hop.user),
            "role": hop.role,
            "turn": hop.turn,
            "whoever": f"anybody of role {hop.role}" if hop.role else self.called(hop.user),
            "why": f": {self.reason}" if self.reason else "",
        }
        text = TEXTS.get(hop.rule, hop.rule)
        link = self.delegations.get(hop.delegation or "")
        if link is not None:
            found |= {
                "delegator": self.called(link["delegator"]),
                "scope": _scope(link["scope"]),
                "dates": _dates(link["begins"], link["ends"]),
            }
            text = text if hop.rule == "delegation" else _BEHIND + text
        elif hop.rule == "delegation":
            text = "who has delegated to {user}"
        return text.format_map(found)

    def called(self, person: str | None) -> str:
        return self.names.get(person or "", person or "somebody")


async def words(
    source: Source, chains: Iterable[Iterable[Hop]], reason: str | None = None
) -> Words:
    """All that the texts of these chains need."""
    hops = [hop for chain in chains for hop in chain]
    links = await explanations.delegations(
        source, {hop.delegation for hop in hops if hop.delegation}
    )
    people = {hop.user for hop in hops if hop.user} | {link["delegator"] for link in links.values()}
    return Words(await explanations.names(source, people), links, reason)


def _scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return {"workflow": f"workflow {name}", "role": f"role {name}"}.get(kind, "everything")


def _dates(begins: datetime | None, ends: datetime | None) -> str:
    """`from ... to ...`; called off before it began, it has no dates. Its reason is between those two
    people and administrators: others see these texts."""
    if begins is None:
        return "and called that off"
    return f"from {_minute(begins)} " + (f"to {_minute(ends)}" if ends else "until it is ended")


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
