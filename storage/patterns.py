"""LIKE patterns."""


def containing(text: str) -> str:
    """What has `text` in it, just as it stands."""
    literal = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{literal}%"
