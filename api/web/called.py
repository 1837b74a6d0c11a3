"""What people are called, asked of the API once a minute."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from api.web.desk import Desk
from api.web.names import Names
from contract.lines import one_line

_ASKED_AT_ONCE = 200
_KEPT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Told:
    """Names that were asked for lately: pages ask for the same ones again and again. Whoever has none is called by
    the id."""

    until: float
    names: dict[str, str] = field(default_factory=dict)


async def called(desk: Desk, people: Iterable[str]) -> Names:
    """What people are called, by their ids, also those who have left: in one line, which may stand in any sentence. A
    change shows within a minute."""
    state = desk.app.state
    told: Told | None = getattr(state, "told_names", None)
    if told is None or time.monotonic() > told.until:
        told = state.told_names = Told(time.monotonic() + _KEPT_SECONDS)
    wanted = sorted(set(people) - told.names.keys())
    found: dict[str, str] = {}
    for first in range(0, len(wanted), _ASKED_AT_ONCE):
        ids = ",".join(wanted[first : first + _ASKED_AT_ONCE])
        part = await desk.get("/v1/org/names", ids=ids)
        found |= {each["id"]: one_line(each["name"]) for each in part["items"]}
    told.names.update({each: found.get(each, each) for each in wanted})
    return Names(told.names)
