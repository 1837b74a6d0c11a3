"""What starts a request and what it is about: the recipe's `start` and `entity`, read and judged."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from recipes.fields import Fields
from recipes.model import EntityRule, Recipe, Start
from recipes.references import SPELLING
from recipes.source import Book, Entries, below
from recipes.state import Entity

EVENT_NAME = r"[A-Za-z][A-Za-z0-9_.:/-]{0,99}"
ENTITY_TYPE = r"[A-Za-z][A-Za-z0-9_.-]{0,62}"
LONGEST_ENTITY_ID = 200

_EVENT = re.compile(EVENT_NAME, re.ASCII)
_WHO = re.compile(SPELLING, re.ASCII)
_COLON = re.compile(r":\s+")
_RULES: Mapping[str, EntityRule] = {"optional": EntityRule(), "required": EntityRule(required=True)}
_ENTITY_KEYS = ("required", "one_open")
_START_KEYS = ("who", "events")


# --- reading --------------------------------------------------------------------------------------


def read_entity(fields: Fields) -> EntityRule | None:
    """`entity: required`, `optional`, or a mapping of `required` and `one_open`."""
    node = fields.node("entity")
    if not isinstance(node, Entries):
        return fields.choice("entity", _RULES)
    inner = Fields(node, below(fields.path, "entity"), fields.book)
    inner.known(_ENTITY_KEYS, "`entity`")
    if not inner.entries:
        inner.error("", "says nothing", "write `entity: required`, or `{one_open: true}`")
    return EntityRule(
        required=inner.truth("required") is True, one_open=inner.truth("one_open") is True
    )


def read_start(fields: Fields) -> Start | None:
    """`start: {who: [references], events: [names]}`; each list may be one text."""
    node = fields.node("start")
    if node is None:
        return None
    if not isinstance(node, Entries):
        fix = "write `start: {who: [role:sales], events: [booking.cancelled]}`"
        fields.error("start", "must say `who` or `events`", fix)
        return None
    inner = Fields(node, below(fields.path, "start"), fields.book)
    inner.known(_START_KEYS, "`start`")
    if not inner.entries:
        inner.error("", "says nothing", "add `who: [role:sales]`, or leave the key out")
    who = tuple(_COLON.sub(":", text.strip()) for text in inner.texts("who"))
    return Start(who, tuple(text.strip() for text in inner.texts("events")))


# --- judging --------------------------------------------------------------------------------------


def check_start(recipe: Recipe, principals: frozenset[str] | None, book: Book) -> None:
    """`principals` are the roles and people there are, `role:x` and `user:y`; None if unknown."""
    if recipe.start is None:
        return
    _who(recipe.start.who, principals, book)
    seen: set[str] = set()
    for index, name in enumerate(recipe.start.events):
        place = _place("start.events", index, book)
        if not _EVENT.fullmatch(name):
            message = f"`{name}` is no name of an event"
            fix = "write letters, digits and _ . : / - as in booking.cancellation_requested"
            book.error(place, message, fix)
        elif name in seen:
            book.error(place, f"`{name}` stands there twice", "write it once")
        seen.add(name)
    if recipe.start.events and recipe.entity is None and not book.has("entity"):
        message = "needs `entity`: an event is about one, and its requests are about the same"
        book.error("start.events", message, "add `entity: required` to the recipe")


def _who(who: tuple[str, ...], principals: frozenset[str] | None, book: Book) -> None:
    for index, name in enumerate(who):
        place = _place("start.who", index, book)
        if not _WHO.fullmatch(name):
            fix = "write role:name, user:name or a name: who submits is known by no expression"
            book.error(place, f"`{name}` names nobody", fix)
        elif principals is not None:
            meant = {name} if ":" in name else {f"role:{name}", f"user:{name}"}
            if not meant & principals:
                close = get_close_matches(
                    name, sorted(_spelled(name, principals)), n=1, cutoff=0.75
                )
                fix = f"did you mean `{close[0]}`?" if close else "import it first, or correct it"
                book.warning(place, f"`{name}` is nobody in the directory", fix)


def _spelled(name: str, principals: frozenset[str]) -> Iterator[str]:
    for principal in principals:
        yield principal if ":" in name else principal.partition(":")[2]


def _place(path: str, index: int, book: Book) -> str:
    listed = below(path, index)
    return listed if book.has(listed) else path


# --- submissions ----------------------------------------------------------------------------------


def entity_problem(recipe: Recipe, entity: Entity | None) -> str | None:
    """What is wrong with a submission's entity, or with its having none."""
    if recipe.entity is None and entity is not None:
        return f"{recipe.workflow} version {recipe.version} takes no entity: leave it out"
    if recipe.entity is not None and recipe.entity.required and entity is None:
        return f"{recipe.workflow} version {recipe.version} needs an entity: {{type, id}} of what it is about"
    return None
