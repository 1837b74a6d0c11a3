"""Slack's windows (modals): what a decision needs besides a button, and what came of one."""

from collections.abc import Mapping
from typing import Any

from api.errors import Problem
from contract.buttons import Pressed
from contract.lines import cut, one_line
from recipes.effects import Offer
from recipes.model import REQUESTER, Json

_FIELDS = ("comment", "reason", "to")
Window = dict[str, Any]


def asking(pressed: Pressed, offer: Offer) -> Window | None:
    """The window for a decision that needs a comment, a reason, or a place to lead back to; None if it needs
    nothing, or there is no such outcome."""
    outcome = next((it for it in offer.outcomes if it.id == pressed.decision), None)
    if outcome is None:
        return None
    blocks: list[Json] = []
    if outcome.counts_as == "rewind" and outcome.to is None:
        names = {it: "the requester" if it == REQUESTER else it for it in offer.rewind_to}
        blocks.append(_choice("to", "Back to", names, first=REQUESTER))
    if outcome.id in offer.require_reason:
        names = {it: it for it in offer.reasons}
        blocks.append(_choice("reason", "Reason", names) if names else _line("reason", "Reason"))
    if outcome.id in offer.require_comment:
        blocks.append(_line("comment", "Comment", multiline=True))
    if not blocks:
        return None
    return {
        "type": "modal",
        "callback_id": "decide",
        "private_metadata": pressed.text(),
        "title": _plain(outcome.name, 24),
        "submit": _plain(outcome.name, 24),
        "close": _plain("Not now"),
        "blocks": blocks,
    }


def told(text: str) -> Window:
    """A window that says something."""
    return {
        "type": "modal",
        "title": _plain("Not decided"),
        "close": _plain("Close"),
        "blocks": [{"type": "section", "text": _plain(text, 2900)}],
    }


def said(values: Mapping[str, Any]) -> dict[str, str | None]:
    """What was filled in. KeyError, TypeError if it is no window of ours."""
    found: dict[str, str | None] = {}
    for name in _FIELDS:
        if name in values:
            value = values[name][name]
            chosen = value.get("selected_option")
            found[name] = value.get("value") if chosen is None else chosen["value"]
    return found


def field_of(problem: Problem) -> str | None:
    """The field that a problem is about."""
    for error in problem.errors:
        name = str(error.get("pointer", "")).removeprefix("/")
        if name in _FIELDS:
            return name
    return None


def _line(name: str, label: str, *, multiline: bool = False) -> dict[str, Json]:
    element: dict[str, Json] = {
        "type": "plain_text_input",
        "action_id": name,
        "multiline": multiline,
        "max_length": 3000,
    }
    return {"type": "input", "block_id": name, "label": _plain(label), "element": element}


def _choice(
    name: str, label: str, names: Mapping[str, str], first: str | None = None
) -> dict[str, Json]:
    options: dict[str, dict[str, Json]] = {
        value: {"text": _plain(text), "value": value} for value, text in names.items()
    }
    element: dict[str, Json] = {
        "type": "static_select",
        "action_id": name,
        "options": list(options.values()),
    }
    if first in options:
        element["initial_option"] = options[first]
    return {"type": "input", "block_id": name, "label": _plain(label), "element": element}


def _plain(text: str, most: int = 75) -> dict[str, Json]:
    return {"type": "plain_text", "text": cut(one_line(text), most)}
