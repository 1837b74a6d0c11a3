"""Parsed recipes, kept in the process: a published version never changes.

Whether it is disabled, and which version is the newest, is asked of Postgres every time.
"""

from recipes.model import Recipe
from storage import recipes
from storage.pool import Source

_MOST = 500


class Catalogue:
    """At most `_MOST` recipes by sha256; the one not used for longest goes first."""

    def __init__(self) -> None:
        self._known: dict[str, Recipe] = {}

    async def recipe(self, source: Source, workflow: str, version: int, sha256: str) -> Recipe:
        """The recipe of a published version, whose sha256 was just read from Postgres."""
        found = self._known.pop(sha256, None)
        if found is None:
            found = await recipes.parsed(source, workflow, version)
            if len(self._known) >= _MOST:
                self._known.pop(next(iter(self._known)))
        self._known[sha256] = found
        return found
