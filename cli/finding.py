"""What `countersign doctor` found about one part."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one thing; `fix` is what to do unless it is ok."""

    part: str
    verdict: Verdict
    seen: str
    fix: str | None = None
