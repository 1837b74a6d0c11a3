"""Which names an expression mentions, and where: read from its text, without the engine.

The compiler knows names but not what is inside `employee` or `steps`, and it tells nothing of where a
member stands. This reads an expression's words: `employee.manager.name == x` mentions
`employee` with the path `manager`, `name`, and `x` with none. A method's name is no member; what is
inside a string literal is no name; `a["b"]` is `a.b`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""
      (?P<space>   \s+ | //[^\n]* )
    | (?P<string>  (?:[rR][bB]?|[bB][rR])  (?: \"\"\".*?\"\"\" | '''.*?''' | "[^"\n]*" | '[^'\n]*' )
                 | [bB]? (?: \"\"\"(?:\\.|[^\\])*?\"\"\" | '''(?:\\.|[^\\])*?'''
                           | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
    | (?P<number>  0[xX][0-9a-fA-F]+[uU]? | (?:\d+\.?\d*|\.\d+) (?:[eE][+-]?\d+)? [uU]? )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_]* | `[^`\n]*` )
    | (?P<mark>    . )
    """,
    re.VERBOSE | re.DOTALL,
)

_CONSTANTS = frozenset({"true", "false", "null", "in"})


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression; `offset` counts characters from its beginning."""

    kind: str
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A variable and the members read from it; `offsets` has one place for `root` and each member.

    `guarded` says that it stands in `has(...)`: asked for, not relied upon.
    """

    root: str
    path: tuple[str, ...]
    offsets: tuple[int, ...]
    guarded: bool = False


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """The words of `text` from `start` on, spaces and comments left out. Any text has words."""
    for match in _TOKEN.finditer(text, start):
        if match.lastgroup != "space":
            yield Token(match.lastgroup or "mark", match.group(), match.start())


@lru_cache(maxsize=4096)
def mentions(source: str) -> tuple[Mention, ...]:
    """Every variable that `source` mentions, in the order of its text."""
    words = list(tokens(source))
    found: list[Mention] = []
    for index, word in enumerate(words):
        name = word.kind == "name" and word.text not in _CONSTANTS
        if name and not _follows_value(words, index) and _at(words, index + 1) != "(":
            found.append(_mention(words, index))
    return tuple(found)


def guards(source: str) -> bool:
    """Whether `has(...)` occurs."""
    words = list(tokens(source))
    return any(word.text == "has" and _at(words, n + 1) == "(" for n, word in enumerate(words))


def _at(words: list[Token], index: int) -> str:
    return words[index].text if 0 <= index < len(words) else ""


def _follows_value(words: list[Token], index: int) -> bool:
    """Whether the name at `index` is a member: after a dot that is after a value."""
    if _at(words, index - 1) != "." or index < 2:
        return False
    before = words[index - 2]
    if before.text == "in":  # an operator: `'a' in .tags` reads `tags`
        return False
    return before.kind in {"name", "string"} or before.text in {")", "]", "}"}


def _mention(words: list[Token], start: int) -> Mention:
    path: list[str] = []
    offsets = [words[start].offset]
    index = start + 1
    while True:
        step = _member(words, index)
        if step is None:
            break
        name, offset, index = step
        path.append(name)
        offsets.append(offset)
    guarded = _at(words, start - 1) == "(" and _at(words, start - 2) == "has"
    return Mention(words[start].text, tuple(path), tuple(offsets), guarded)


def _member(words: list[Token], index: int) -> tuple[str, int, int] | None:
    """The member at `index`, `.name` or `["name"]`: its name, its place, and where it ends."""
    mark, inner, after = _at(words, index), index + 1, index + 2
    if mark == "." and inner < len(words) and words[inner].kind == "name":
        if _at(words, after) != "(":
            return words[inner].text.strip("`"), words[inner].offset, after
    elif mark == "[" and _at(words, after) == "]" and words[inner].kind == "string":
        literal = words[inner].text
        if literal[0] in "\"'" and "\\" not in literal and literal[:3] not in {'"""', "'''"}:
            return literal[1:-1], words[inner].offset, after + 1
    return None
