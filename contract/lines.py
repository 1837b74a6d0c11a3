"""Text of others, where a line has room for one."""

TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns round how the text after it is shown."""


def cut(text: str, most: int) -> str:
    """At most so many characters of it; where there were more, the last says so."""
    return text if len(text) <= most else text[: most - 1] + "…"


def one_line(text: str) -> str:
    """Without line breaks and what else does not show, cannot be kept, or turns round what does show: a server's
    answer, as what people write, may be anything."""
    return " ".join("".join(it if it.isprintable() else " " for it in text).split())
