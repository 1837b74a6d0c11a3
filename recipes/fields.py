"""The entries of one mapping of a recipe, read by name and type; what doesn't fit goes into the book."""

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import TypeVar

from recipes import calendar
from recipes.calendar import DurationError
from recipes.model import Duration, Json
from recipes.source import Book, Entries, Items, Node, Scalar, below

Choice = TypeVar("Choice")
Timed = TypeVar("Timed", int, Duration)

LIST_LIMIT = 100

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_LETTER = re.compile(r"[a-z0-9_]", re.ASCII)


class Fields:
    """One mapping at `path`. Every reader gives None for an absent entry, and, after telling the
    book, for one it can't take."""

    def __init__(self, entries: Entries, path: str, book: Book) -> None:
        self.entries = entries.entries
        self.line = entries.line
        self.path = path
        self.book = book

    def error(self, key: str, message: str, fix: str) -> None:
        self.book.error(below(self.path, key) if key else self.path, message, fix)

    def node(self, key: str) -> Node | None:
        return self.entries[key][1] if key in self.entries else None

    def known(self, keys: Collection[str], owner: str) -> None:
        """Tell of every key that `owner` does not have."""
        for key, (spelled, _) in self.entries.items():
            if key not in keys:
                close = get_close_matches(key, keys, n=1, cutoff=0.6)
                fix = f"did you mean `{close[0]}`?" if close else f"{owner} has {', '.join(keys)}"
                path = below(self.path, key)
                self.book.error_at(spelled, path, f"unknown key `{key}` in {owner}", fix)

    def required(self, key: str, fix: str) -> Node | None:
        node = self.node(key)
        if node is None:
            self.error("", f"`{key}` is missing", fix)
        return node

    def text(self, key: str) -> str | None:
        """A text that isn't empty."""
        node = self.node(key)
        return None if node is None else self.text_of(node, below(self.path, key))

    def text_of(self, node: Node, path: str) -> str | None:
        if not isinstance(node, Scalar):
            braces = isinstance(node, Entries)
            fix = 'put {{ }} in double quotes: "{{ ... }}"' if braces else "write one text"
            self.book.error(path, "must be text", fix)
        elif not isinstance(node.value, str):
            fix = f'write "{node.text}"' if node.text else "write something, or leave the key out"
            self.book.error(path, f"must be text, not {_named(node.value)}", fix)
        elif not node.value.strip():
            self.book.error(path, "is empty", "write something, or leave the key out")
        else:
            return node.value
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text as a list of one."""
        node, path = self.node(key), below(self.path, key)
        if node is None:
            return ()
        if not isinstance(node, Items):
            text = self.text_of(node, path)
            return () if text is None else (text,)
        if not node.items:
            self.error(key, "is an empty list", "list something, or leave the key out")
        if len(node.items) > LIST_LIMIT:
            self.error(key, f"lists more than {LIST_LIMIT}", "shorten it, or use a role")
            return ()
        return tuple(self._item(item, below(path, n)) for n, item in enumerate(node.items))

    def _item(self, node: Node, path: str) -> str:
        """A text of a list; what can't be taken keeps its place."""
        text = self.text_of(node, path)
        return text or (node.text if isinstance(node, Scalar) else "nobody")

    def expression(self, key: str) -> str | None:
        """The source of a condition; `true` and `false` stand for themselves."""
        node = self.node(key)
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return str(node.value).lower()
        return self.text(key)

    def formula(self, key: str) -> str | None:
        """The source of an expression that gives a value; a number stands for itself."""
        node = self.node(key)
        if isinstance(node, Scalar) and type(node.value) in (int, float):
            return node.text
        return self.text(key)

    def identifier(self, key: str) -> str | None:
        """A required id: small letters, digits and underscores."""
        if self.required(key, f"add `{key}: a_short_name`") is None:
            return None
        text = self.text(key)
        if text is None or _IDENTIFIER.fullmatch(text):
            return text
        odd = next((letter for letter in text if not _LETTER.fullmatch(letter)), None)
        if odd is not None and not odd.isascii():
            message = f"`{text}` holds U+{ord(odd):04X}, which only looks like one of a-z"
            self.error(key, message, "type it again with the letters a-z")
        else:
            plain = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_0123456789")[:63]
            fix = f"write `{plain}`" if plain else "begin with a letter"
            message = f"`{text}` must be small letters, digits and _, from a letter on, at most 63"
            self.error(key, message, fix)
        return None

    def whole_number(self, key: str, within: range) -> int | None:
        if self.required(key, f"add `{key}: 1`") is None:
            return None
        node = self.node(key)
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and value in within:
            return value
        digits = isinstance(value, str) and value.isdigit()
        fix = (
            f"write {key}: {value} without quotes"
            if digits
            else f"write a number from {within[0]} on"
        )
        self.error(key, "must be a whole number", fix)
        return None

    def truth(self, key: str) -> bool | None:
        """`true` or `false`."""
        node = self.node(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.error(key, "must be true or false", f"write `{key}: true`, or leave the key out")
        return None

    def choice(
        self, key: str, choices: Mapping[str, Choice], *, required: bool = False
    ) -> Choice | None:
        if required and self.required(key, f"add `{key}: {next(iter(choices))}`") is None:
            return None
        text = self.text(key)
        return None if text is None else self.chosen(text, choices, below(self.path, key))

    def chosen(
        self, text: str, choices: Mapping[str, Choice], path: str, *more: str
    ) -> Choice | None:
        """What `text` stands for among the choices; `more` is what else is possible there."""
        if text in choices:
            return choices[text]
        close = get_close_matches(text, choices, n=1)
        fix = f"did you mean `{close[0]}`?" if close else f"write {' or '.join((*choices, *more))}"
        self.book.error(path, f"`{text}` is not possible here", fix)
        return None

    def duration(self, key: str) -> Duration | None:
        """Seconds, or business days."""
        return self._timed(key, calendar.duration)

    def seconds(self, key: str) -> int | None:
        """A duration, but no business days."""
        return self._timed(key, calendar.seconds)

    def duration_of(self, text: str, path: str) -> Duration | None:
        return self._read(text, path, calendar.duration)

    def _timed(self, key: str, read: Callable[[str], Timed]) -> Timed | None:
        node, path = self.node(key), below(self.path, key)
        if isinstance(node, Scalar) and isinstance(node.value, int):
            return self._read(node.text, path, read)
        text = None if node is None else self.text_of(node, path)
        return None if text is None else self._read(text, path, read)

    def _read(self, text: str, path: str, read: Callable[[str], Timed]) -> Timed | None:
        try:
            return read(text.strip())
        except DurationError as error:
            self.book.error(path, str(error), error.fix)
            return None


def _named(value: Json) -> str:
    if value is None:
        return "nothing"
    return "a boolean" if isinstance(value, bool) else "a number"
