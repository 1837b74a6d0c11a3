"""Why somebody is asked: the rule of a step in words, from its recipe as the API shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract import words
from contract.lines import one_line
from recipes.model import Json


def step_name(recipe: Mapping[str, Any], step: str | None, branch: str | None = None) -> str:
    """What a step is called, with its branch, in one line: it stands in sentences."""
    found = _step(recipe, step)
    name = str(found.get("name") or step or "")
    ballot = _ballot(found, branch) if branch is not None and branch != step else {}
    return one_line(f"{name}, {ballot['name'] or branch}" if ballot else name)


def outcome_name(recipe: Mapping[str, Any], step: str | None, outcome: str) -> str:
    """What an outcome is called in a step: as the recipe does, or by its id."""
    own = [
        each
        for ballot in _step(recipe, step).get("ballots") or ()
        for each in ballot.get("outcomes") or ()
    ]
    named = (one_line(str(each["name"])) for each in own if each["id"] == outcome)
    return next(named, words.label(outcome))


def rule(recipe: Mapping[str, Any], step: str, branch: str | None) -> list[str]:
    """Whom the step's branch asks and on what conditions, a line each; nothing of a step that is not there."""
    found = _step(recipe, step)
    ballot = _ballot(found, branch or step)
    lines = [f"only when {found['when']}"] if found.get("when") else []
    if not ballot:
        return lines
    lines.append(_asks(ballot))
    authority = ballot.get("authority")
    if authority:
        paid_in = str(authority["currency"]).strip("'")
        lines.append(f"whose approval limit covers {authority['amount']} {paid_in}")
    if ballot.get("not_same_as"):
        lines.append(f"not who decided {', '.join(ballot['not_same_as'])}")
    return lines


def _asks(ballot: Mapping[str, Any]) -> str:
    if ballot.get("candidates"):
        return f"any one of {', '.join(map(_bare, ballot['candidates']))} decides"
    if ballot.get("approvers"):
        return f"each of {_bare(ballot['approvers'])} is asked"
    return f"{_bare(ballot.get('approver') or '')} decides"


def _step(recipe: Mapping[str, Any], step: str | None) -> Mapping[str, Any]:
    steps: Sequence[Mapping[str, Any]] = recipe.get("steps") or ()
    return next((each for each in steps if each["id"] == step), {})


def _ballot(step: Mapping[str, Any], branch: str | None) -> Mapping[str, Any]:
    ballots: Sequence[Mapping[str, Any]] = step.get("ballots") or ()
    return next((each for each in ballots if each["id"] == branch), {})


def _bare(reference: Json) -> str:
    """Without the braces of a template that is nothing but an expression."""
    text = str(reference).strip()
    whole = text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1
    return text[2:-2].strip() if whole else text
