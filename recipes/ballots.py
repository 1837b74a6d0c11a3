"""Reads whom to ask and what happens while they don't answer: an approval step's, or a branch's keys."""

import re
from dataclasses import dataclass

from recipes.fields import Fields
from recipes.model import (
    Authority,
    Ballot,
    Duration,
    Level,
    Quorum,
    Reminder,
    TimeoutAction,
)
from recipes.parse_outcomes import read_choices
from recipes.source import Entries, Items, Node, Scalar, below

BRANCH_KEYS = (
    "approver",
    "candidates",
    "authority",
    "not_same_as",
    "timeout",
    "on_timeout",
    "remind",
    "require_comment",
    "require_reason",
    "reasons",
    "outcomes",
    "show",
)
APPROVAL_KEYS = ("approver", "candidates", "approvers", "quorum", *BRANCH_KEYS[2:])

_ACTIONS: dict[str, TimeoutAction] = {
    "escalate": "escalate",
    "approve": "approve",
    "reject": "reject",
    "expire": "expire",
}
LEVEL_LIMIT = 20
CURRENCY_INPUT = "currency"
"""The input that `authority` takes the currency from unless it says which."""
_LEVELS_FIX = "write escalate, approve, reject, expire, reassign:<somebody>, or a list of these"
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3})%", re.ASCII)
_QUORUM_FIX = "write any, all, a number, or a percentage such as 60%"


@dataclass(frozen=True, slots=True)
class _Effect:
    """What one level of `on_timeout` does, and when if it says so."""

    action: TimeoutAction
    to: str | None
    after: Duration | None


def read_ballot(fields: Fields, ballot_id: str) -> Ballot:
    """The ballot that the entries describe, as far as they can be understood."""
    choices = read_choices(fields)
    return Ballot(
        id=ballot_id,
        name=fields.text("name"),
        approver=fields.text("approver"),
        candidates=fields.texts("candidates"),
        approvers=fields.text("approvers"),
        levels=_levels(fields),
        remind=_reminders(fields),
        require_comment=choices.require_comment,
        authority=_authority(fields),
        not_same_as=tuple(dict.fromkeys(fields.texts("not_same_as"))),
        outcomes=choices.outcomes,
        require_reason=choices.require_reason,
        reasons=choices.reasons,
        show=tuple(dict.fromkeys(fields.texts("show"))),
    )


def _authority(fields: Fields) -> Authority | None:
    """`authority: amount`, or its amount and its currency; a currency written out is a literal."""
    node = fields.node("authority")
    if not isinstance(node, Entries):
        amount = fields.formula("authority")
        return None if amount is None else Authority(amount, CURRENCY_INPUT)
    inner = Fields(node, below(fields.path, "authority"), fields.book)
    inner.known(("amount", "currency"), "authority")
    inner.required("amount", "add `amount: amount`, an expression that gives a number")
    amount, currency = inner.formula("amount"), inner.text("currency")
    if amount is None:
        return None
    if currency is not None and _CURRENCY.fullmatch(currency.strip()):
        currency = f"'{currency.strip()}'"
    return Authority(amount, currency or CURRENCY_INPUT)


def read_quorum(fields: Fields) -> Quorum | None:
    node = fields.node("quorum")
    if node is None:
        return None
    value = node.value if isinstance(node, Scalar) else None
    if value == "any":
        return Quorum("any")
    if value == "all":
        return Quorum("all")
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return Quorum("count", value)
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if percent and 0 < int(percent.group(1)) <= 100:
        return Quorum("percent", int(percent.group(1)))
    digits = isinstance(value, str) and value.isdigit()
    fix = f"write {value} without quotes" if digits else _QUORUM_FIX
    fields.error("quorum", "is no quorum", fix)
    return None


def _levels(fields: Fields) -> tuple[Level, ...]:
    timeout = fields.duration("timeout")
    node = fields.node("on_timeout")
    if fields.node("timeout") is None:
        if node is not None:
            fields.error("on_timeout", "never happens: there is no `timeout`", "add `timeout: 48h`")
    elif node is None:
        fields.error(
            "timeout", "has no effect: `on_timeout` is missing", "add `on_timeout: escalate`"
        )
    if node is None:
        return () if timeout is None else (Level(timeout, "reassign", None),)
    path = below(fields.path, "on_timeout")
    nodes = node.items if isinstance(node, Items) else (node,)
    if not nodes or len(nodes) > LEVEL_LIMIT:
        message = f"must list 1 to {LEVEL_LIMIT} levels"
        fields.error("on_timeout", message, _LEVELS_FIX)
        nodes = ()
    levels: list[Level] = []
    for index, item in enumerate(nodes):
        place = below(path, index) if isinstance(node, Items) else path
        effect = _effect(fields, item, place, first=index == 0)
        # What can't be read keeps its place: times are judged all the same.
        effect = effect or _Effect("reassign", None, None)
        if timeout is not None:
            levels.append(Level(effect.after or timeout, effect.action, effect.to))
    return tuple(levels)


def _effect(fields: Fields, node: Node, path: str, *, first: bool) -> _Effect | None:
    if not isinstance(node, Entries):
        text = fields.text_of(node, path)
        return None if text is None else _action(fields, text, path, None)
    level = Fields(node, path, fields.book)
    level.known(("after", "action"), "a level of on_timeout")
    after = level.duration("after")
    if first and level.node("after") is not None:
        level.error("after", "the first level comes after `timeout`", "leave `after` out here")
    if level.required("action", "add `action: escalate`") is None:
        return None
    text = level.text("action")
    return None if text is None else _action(fields, text, below(path, "action"), after)


def _action(fields: Fields, text: str, path: str, after: Duration | None) -> _Effect | None:
    verb, _, to = (part.strip() for part in text.partition(":"))
    if verb == "reassign":
        if to:
            return _Effect("reassign", to, after)
        fields.book.error(path, "does not say to whom", "write reassign:role:hr or reassign:bob")
        return None
    action = fields.chosen(text, _ACTIONS, path, "reassign:<somebody>")
    return None if action is None else _Effect(action, None, after)


def _reminders(fields: Fields) -> tuple[Reminder, ...]:
    reminders: list[Reminder] = []
    for index, text in enumerate(fields.texts("remind")):
        path = below(fields.path, "remind")
        listed = isinstance(fields.node("remind"), Items)
        before = text.rstrip().endswith(" before")
        duration = text.rstrip().removesuffix(" before")
        found = fields.duration_of(duration, below(path, index) if listed else path)
        if found is not None:
            reminders.append(Reminder(found, before))
    return tuple(reminders)
