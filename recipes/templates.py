"""Templates: text with `{{ expression }}` in it, split into its parts."""

from dataclasses import dataclass
from functools import lru_cache

from recipes.mentions import tokens

TEMPLATE_LIMIT = 2_000
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


class TemplateError(Exception):
    """A template that can't be split; `offset` counts characters to what is wrong."""

    def __init__(self, message: str, offset: int, fix: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of plain text, or the source of an expression; `offset` is where it begins."""

    text: str
    offset: int
    expression: bool


@lru_cache(maxsize=4096)
def split(template: str) -> tuple[Part, ...]:
    """The parts of `template`, in order; TemplateError where braces don't match.

    A template that is one expression and spaces has just that one part.
    """
    if len(template) > TEMPLATE_LIMIT:
        raise TemplateError(f"is longer than {TEMPLATE_LIMIT:,} characters", 0, "keep it short")
    parts: list[Part] = []
    position = 0
    while (opening := template.find("{{", position)) >= 0:
        parts += _text(template, position, opening)
        closing = _closing(template, opening + 2)
        source = template[opening + 2 : closing]
        if not source.strip():
            raise TemplateError(
                "`{{ }}` holds no expression", opening, "write one between the braces"
            )
        lead = len(source) - len(source.lstrip())
        parts.append(Part(source.strip(), opening + 2 + lead, True))
        position = closing + 2
    parts += _text(template, position, len(template))
    expressions = [part for part in parts if part.expression]
    if len(expressions) == 1 and all(part.expression or part.text.isspace() for part in parts):
        return (expressions[0],)
    return tuple(parts) or (Part("", 0, False),)


def _text(template: str, start: int, end: int) -> list[Part]:
    stray = template.find("}}", start, end)
    if stray >= 0:
        raise TemplateError(
            "`}}` without `{{` before it", stray, "write `{{` before the expression"
        )
    return [Part(template[start:end], start, False)] if start < end else []


def _closing(template: str, start: int) -> int:
    """Where the `}}` of the expression at `start` is: braces and strings of its own don't count."""
    depth = 0
    for token in tokens(template, start):
        if token.text == "{":
            depth += 1
        elif token.text == "}" and depth:
            depth -= 1
        elif token.text == "}" and template.startswith("}}", token.offset):
            return token.offset
    raise TemplateError("`{{` is not closed by `}}`", start - 2, "write `}}` behind it")


def literal_length(template: str) -> int | None:
    """How many items a template's one list literal has; None if it is something else."""
    opened = template.strip().removeprefix("{{").removesuffix("}}")
    words = [token.text for token in tokens(opened)]
    if words[:1] != ["["]:
        return None
    depth, items, filled = 0, 0, False
    for place, word in enumerate(words):
        if word in _CLOSING and depth == 1:
            return items + filled if place == len(words) - 1 else None
        depth += (word in _OPENING) - (word in _CLOSING)
        if word == "," and depth == 1:
            items, filled = items + filled, False
        else:
            filled = filled or place > 0
    return None
