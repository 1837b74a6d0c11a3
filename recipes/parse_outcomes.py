"""Reads what can be decided, an approval step's or a branch's: outcomes of its own, and what they need."""

from dataclasses import dataclass

from recipes.fields import Fields
from recipes.model import REQUESTER, CountsAs, Outcome
from recipes.outcomes import BUILT_IN
from recipes.source import Entries, Items, below

OUTCOME_LIMIT = 20
_KEYS = ("id", "name", "as", "to", "require_comment", "require_reason")
_COUNTS_AS: dict[str, CountsAs] = {"approve": "approve", "reject": "reject", "rewind": "rewind"}
_REWIND_FIX = "write reject, rewind (to the requester), or rewind:<step>"


@dataclass(frozen=True, slots=True)
class Choices:
    """Of a ballot: its own outcomes, which decisions need a comment or a reason, and which reasons
    there are."""

    outcomes: tuple[Outcome, ...]
    require_comment: tuple[str, ...]
    require_reason: tuple[str, ...]
    reasons: tuple[str, ...]


def read_choices(fields: Fields) -> Choices:
    found = _outcomes(fields)
    outcomes = tuple(outcome for outcome, _ in found)
    ids = [outcome.id for outcome in (*BUILT_IN, *outcomes)]
    needing = {
        key: _named(fields, key, ids) + tuple(it.id for it, inner in found if inner.truth(key))
        for key in ("require_comment", "require_reason")
    }
    return Choices(
        outcomes=outcomes,
        require_comment=tuple(dict.fromkeys(needing["require_comment"])),
        require_reason=tuple(dict.fromkeys(needing["require_reason"])),
        reasons=tuple(dict.fromkeys(fields.texts("reasons"))),
    )


def read_on_reject(fields: Fields) -> str | None:
    """Where a rejection rewinds to; None: it ends the request."""
    text = fields.text("on_reject")
    if text is None or text == "reject":
        return None
    verb, colon, to = (part.strip() for part in text.partition(":"))
    if verb == "rewind" and (to or not colon):
        return to or REQUESTER
    fields.error("on_reject", f"`{text}` is not possible here", _REWIND_FIX)
    return None


def _named(fields: Fields, key: str, ids: list[str]) -> tuple[str, ...]:
    """The decisions that a list names, of those that there are."""
    choices = {name: name for name in ids}
    path = below(fields.path, key)
    chosen = (fields.chosen(text, choices, path) for text in fields.texts(key))
    return tuple(name for name in chosen if name is not None)


def _outcomes(fields: Fields) -> list[tuple[Outcome, Fields]]:
    node, path = fields.node("outcomes"), below(fields.path, "outcomes")
    if node is None:
        return []
    if not isinstance(node, Items) or not 0 < len(node.items) <= OUTCOME_LIMIT:
        fix = "begin each with `- id: its_name`, and say `as: approve`, `reject` or `rewind`"
        fields.error("outcomes", f"must be a list of 1 to {OUTCOME_LIMIT} outcomes", fix)
        return []
    taken = {outcome.id: "every task has it" for outcome in BUILT_IN}
    found: list[tuple[Outcome, Fields]] = []
    for number, item in enumerate(node.items):
        place = below(path, number)
        if not isinstance(item, Entries):
            fields.book.error(place, "must be an outcome", "write `id: its_name` and `as: approve`")
            continue
        inner = Fields(item, place, fields.book)
        outcome = _outcome(inner)
        if outcome.id in taken:
            message = f"`{outcome.id}` is no id for it: {taken[outcome.id]}"
            inner.error("id", message, "give it an id of its own")
        taken[outcome.id] = "another outcome has it"
        found.append((outcome, inner))
    return found


def _outcome(fields: Fields) -> Outcome:
    fields.known(_KEYS, "an outcome")
    given = fields.identifier("id") or ""
    counts_as = fields.choice("as", _COUNTS_AS, required=True) or "approve"
    to = fields.text("to")
    if to is not None and counts_as != "rewind":
        fields.error("to", "has no effect: it does not rewind", "write `as: rewind`")
        to = None
    if counts_as == "rewind":
        to = to or REQUESTER
    name = fields.text("name") or given.replace("_", " ").capitalize()
    return Outcome(given, name, counts_as, to)
