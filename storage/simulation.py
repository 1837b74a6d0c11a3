"""Simulations answered by the real directory: as of the moment each question is asked, real or supposed.

Nothing is written and no turn is taken: a role's turns are counted on, for this simulation alone, from
where they stand now.
"""

from recipes import simulate
from recipes.model import Recipe
from recipes.supposed import Simulated, Supposed
from storage import directory, resolution
from storage.pool import Source
from storage.references import About


class _Turns:
    """Gives the turns that a role would give, one after the other."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    async def __call__(self, source: Source, role: str) -> int:
        if role not in self._next:
            self._next[role] = await directory.next_turn(source, role)
        turn = self._next[role]
        self._next[role] += 1
        return turn


async def run(source: Source, recipe: Recipe, supposed: Supposed) -> Simulated:
    """What would become of that request."""
    turns = _Turns()
    playing = simulate.play(recipe, supposed)
    try:
        asked = next(playing)
        while True:
            about = About(supposed.requester, recipe.workflow, asked.at)
            asked = playing.send(await resolution.answers(source, asked.asks, about, turns))
    except StopIteration as end:
        simulated: Simulated = end.value
        return simulated
