def doctor() -> None:
    """Check every part."""
