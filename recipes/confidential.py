"""What of a request is confidential: the recipe's `confidential`, read and judged.

What is confidential is kept sealed: whoever else may see the request sees it without that. So no text
that a recipe puts together may carry it out. Refused are titles and messages that mention it (a title not
where everything is confidential: then it is kept sealed itself), and what else everybody sees, whom a
step asks and until when it waits, where these would be its very value. A condition may ask about it, and
choose between others by it.

Whoever may fire an action of a state machine reads what is confidential, too. The database judges that for many
requests at once (migration 0030), so that their actions name people in the few ways that it knows.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from typing import Literal

from recipes.check_expressions import expressions_of, located
from recipes.draft import Draft, Template, formulas, templates, values
from recipes.fields import Fields
from recipes.mentions import Mention, mentions, tokens
from recipes.model import Confidential, NotifyStep
from recipes.parse_machine import who
from recipes.source import Book, Entries, below

TOKEN_ROLES = frozenset({"admin", "auditor"})
"""Roles that come with a token: no directory has to know them."""

_KEYS = ("visible_to", "fields")
_ROLE = re.compile(r"(?:role:\s*)?(?P<name>[A-Za-z0-9][A-Za-z0-9._@+-]{0,127})", re.ASCII)
_JUDGED = frozenset({"{{employee.manager}}", "user:{{request.requester}}"})
"""The `who` with an expression that the database can judge (migration 0030), without spaces."""
_OF_JOBS = frozenset({"output", "error"})
"""What `steps.<id>` has of a task's work, which is sealed wherever a recipe has anything confidential."""


# --- reading --------------------------------------------------------------------------------------


def read_confidential(fields: Fields) -> Confidential | None:
    """`confidential: {visible_to: [roles], fields: [inputs]}`; each list may be one text."""
    node = fields.node("confidential")
    if node is None:
        return None
    if not isinstance(node, Entries):
        fix = "write `confidential: {visible_to: [hr], fields: [salary]}`"
        fields.error("confidential", "must say `visible_to`, and which `fields` if not all", fix)
        return None
    inner = Fields(node, below(fields.path, "confidential"), fields.book)
    inner.known(_KEYS, "`confidential`")
    inner.required("visible_to", "add `visible_to: [hr]`, roles beside those whom a request asks")
    roles = tuple(_roles(inner))
    named = None if inner.node("fields") is None else inner.texts("fields")
    _once("visible_to", roles, inner)
    _once("fields", named or (), inner)
    return Confidential(roles, named)


def _roles(fields: Fields) -> Iterator[str]:
    """The names of the roles, without `role:`; what is none keeps its place."""
    for index, text in enumerate(fields.texts("visible_to")):
        spelled = _ROLE.fullmatch(text.strip())
        if spelled is None:
            fix = "write role:name or a name: what people see must not depend on one request"
            if text.strip().startswith("user:"):
                fix = "write a role that they have: people come and go, and requests stay"
            message = f"`{text}` names no role"
            place = _place(below(fields.path, "visible_to"), index, fields.book)
            fields.book.error(place, message, fix)
        yield text if spelled is None else spelled["name"]


def _once(key: str, names: Sequence[str], fields: Fields) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            place = _place(below(fields.path, key), index, fields.book)
            fields.book.error(place, f"`{name}` stands there twice", "write it once")


def _place(path: str, index: int, book: Book) -> str:
    """Of an item; a list of one may be written without brackets."""
    listed = below(path, index)
    return listed if book.has(listed) else path


# --- judging --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    """A text that others see: where it stands, why it says nothing confidential, and what to do. `given`:
    only a value that it gives is seen, and not what a condition asks about."""

    template: Template
    why: str
    fix: str
    given: bool = False
    severity: Literal["error", "warning"] = "error"


def check_confidential(
    draft: Draft, inputs: Collection[str], principals: frozenset[str] | None, book: Book
) -> None:
    """Write what is wrong into the book. `inputs` are the names of the recipe's; `principals` the roles
    and people there are, `role:x` and `user:y`, None if unknown."""
    rule = draft.recipe.confidential
    if rule is None:
        return
    if principals is not None:
        _known_roles(rule.visible_to, principals, book)
    _declared(rule.fields or (), inputs, book)
    _judged(draft, book)
    for shown in _shown(draft, rule):
        for part in expressions_of(shown.template):
            for mention in mentions(part.text):
                name = _carried(mention, part.text, shown, rule, inputs)
                if name is None:
                    continue
                place, lead = located(shown.template, book)
                offset = lead + part.offset + mention.offsets[0]
                message = f"{shown.why}: `{name}` is confidential"
                book.within(place.path, offset, message, shown.fix, shown.severity)


def _carried(
    mention: Mention, source: str, shown: _Shown, rule: Confidential, inputs: Collection[str]
) -> str | None:
    """What confidential thing a mention carries out where its text is shown; None if it does not."""
    name = _input(mention, rule, inputs)
    if shown.given:
        return None if _chooses(source, mention) else name
    return name or _said(mention, rule)


def _known_roles(roles: Sequence[str], principals: frozenset[str], book: Book) -> None:
    known = {name.partition(":")[2] for name in principals if name.startswith("role:")}
    for index, role in enumerate(roles):
        if role not in known | TOKEN_ROLES:
            close = get_close_matches(role, sorted(known), n=1, cutoff=0.75)
            fix = (
                f"did you mean `{close[0]}`?" if close else f"import `{role}` first, or correct it"
            )
            path = _place("confidential.visible_to", index, book)
            book.warning(path, f"`{role}` is no role of the directory", fix)


def _declared(names: Sequence[str], inputs: Collection[str], book: Book) -> None:
    for index, name in enumerate(names):
        if name not in inputs:
            close = get_close_matches(name, inputs, n=1)
            known = f"inputs are {', '.join(inputs)}" if inputs else "declare it under `inputs`"
            fix = f"did you mean `{close[0]}`?" if close else known
            path = _place("confidential.fields", index, book)
            book.error(path, f"there is no input `{name}`", fix)


def _judged(draft: Draft, book: Book) -> None:
    """Refuse a `who` of which the database cannot tell whom it names."""
    for placed in draft.machine.actions if draft.machine is not None else ():
        for template in who(*placed):
            if any(expressions_of(template)) and "".join(template.text.split()) not in _JUDGED:
                place, lead = located(template, book)
                message = (
                    "who may read what is confidential must be told without the request's inputs"
                )
                fix = "write a role, a person, `{{ employee.manager }}` or `user:{{ request.requester }}`"
                book.within(place.path, lead, message, fix)


# --- what others see ------------------------------------------------------------------------------


def _shown(draft: Draft, rule: Confidential) -> Iterator[_Shown]:
    whole = rule.fields is None
    if draft.recipe.title is not None and not whole:
        title = Template("title", draft.recipe.title, "text")
        fix = "leave it out here, or out of `confidential`"
        yield _Shown(title, "a title is shown in lists and mails", fix)
    for placed in draft.every_step:
        for value in values(placed) if isinstance(placed.step, NotifyStep) else ():
            fix = "leave it out: whoever may see it finds it with the request"
            yield _Shown(value, "a message goes to people who may not see all of the request", fix)
    yield from _values_shown(draft, "warning" if whole else "error")


def _values_shown(draft: Draft, severity: Literal["error", "warning"]) -> Iterator[_Shown]:
    """Who is asked or told, who may fire, until when it waits. Where everything is confidential an author
    may have meant all but this: they are warned."""
    machine = draft.machine
    named = [template for placed in draft.every_step for template in templates(placed)]
    named += chain.from_iterable(who(*it) for it in machine.actions) if machine else ()
    why = "everybody who may see the request sees who is asked"
    fix = "choose by a condition, `a == 'x' ? 'role:y' : 'role:z'`, or list `fields` without it"
    for template in named:
        yield _Shown(template, why, fix, given=True, severity=severity)
    why = "everybody who may see the request sees until when it waits"
    for formula in chain.from_iterable(map(formulas, draft.steps)):
        if formula.want == "moment":
            fix = "wait `for` a time, or list `fields` without it"
            yield _Shown(formula, why, fix, given=True, severity=severity)


def _input(mention: Mention, rule: Confidential, inputs: Collection[str]) -> str | None:
    """The confidential input that is mentioned, as it is spelled; or `inputs`, which is all of them."""
    secret = inputs if rule.fields is None else rule.fields
    if mention.root != "inputs":
        return mention.root if mention.root in secret else None
    hit = rule.fields is None or not mention.path or mention.path[0] in secret
    return ".".join((mention.root, *mention.path[:1])) if hit else None


def _said(mention: Mention, rule: Confidential) -> str | None:
    """What of an earlier step is mentioned that is sealed; a step as a whole may hold it."""
    if mention.root != "steps":
        return None
    sealed = _OF_JOBS if rule.fields is not None else _OF_JOBS | {"comment"}
    whole = len(mention.path) < 2
    hit = whole or mention.path[1] in sealed
    return ".".join((mention.root, *mention.path[:2])) if hit else None


def _chooses(source: str, mention: Mention) -> bool:
    """Whether it stands in the condition of a `? :`, and so is not itself what the expression gives."""
    depth, past = 0, False
    for token in tokens(source, mention.offsets[-1]):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            past = past and depth > 0
            depth = max(depth - 1, 0)
        elif depth == 0 and token.text in (",", ":"):
            past = True
        elif depth == 0 and token.text == "?" and not past:
            return True
    return False
