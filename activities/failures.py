"""The two ways in which a function says that it did not do its work."""


class Refused(Exception):
    """The work cannot be done, and another try will not change that. The text is told to people."""


class Later(Exception):
    """Not now: try again after `seconds`, or when the recipe says."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds
