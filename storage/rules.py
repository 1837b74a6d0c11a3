"""A rule that decides by itself, as whoever looks for its decisions names it."""

from dataclasses import dataclass
from datetime import datetime

from recipes.model import Json


@dataclass(frozen=True, slots=True)
class Rule:
    """An `action` step of a version, and which of its decisions: since then, before then, of requests
    whose inputs fulfil the condition `where` (see `contract.conditions`)."""

    workflow: str
    version: int
    step: str
    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None

    def selection(self) -> dict[str, Json]:
        return {"since": self.since, "until": self.until, "where": self.where}
