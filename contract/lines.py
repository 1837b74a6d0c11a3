"""Text of others, where a line has room for one."""


def one_line(text: str) -> str:
    """Without line breaks and what else does not show, cannot be kept, or turns round what does show: a server's
    answer, as what people write, may be anything."""
    return " ".join("".join(it if it.isprintable() else " " for it in text).split())
