"""Carry out one transition: ask the directory, write everything in one transaction.

Runs as a local activity, so it may run again at any time: it is idempotent by (request_id, seq).
"""

from temporalio import activity

from activities import org
from contract.messages import CommitInput, CommitResult, Committed
from contract.names import ACTIVITY_COMMIT
from recipes import progress
from recipes.model import Recipe
from recipes.state import Answer
from storage import recipes as published
from storage.commits import Earlier, Lost, commit
from storage.pool import Pool


class Activities:
    """The activities of one worker process, over its pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._recipes: dict[tuple[str, int], Recipe] = {}

    @activity.defn(name=ACTIVITY_COMMIT)
    async def commit(self, asked: CommitInput) -> CommitResult:
        """See `CommitResult`. Raises while Postgres cannot be reached; Temporal tries again."""
        recipe = await self._recipe(asked)
        transition = progress.apply(recipe, asked.state, asked.happening, asked.now)
        rounds: list[tuple[Answer, ...]] = []
        async with self._pool.acquire() as connection:
            while transition.state.asks:
                answers = await org.answer(
                    connection, transition.state.asks, asked.state.requester, asked.now
                )
                rounds.append(answers)
                transition = progress.then(recipe, transition, answers, asked.now)
            committed = Committed(asked.happening, asked.now, tuple(rounds))
            outcome = await commit(connection, recipe, committed, transition)
        match outcome:
            case Earlier(stands):
                return CommitResult(earlier=stands)
            case Lost(decisions):
                return CommitResult(lost=decisions)
            case _:
                return CommitResult(answers=committed.answers)

    async def _recipe(self, asked: CommitInput) -> Recipe:
        """The pinned recipe; published ones never change, so each is read once per process."""
        key = asked.workflow, asked.version
        if key not in self._recipes:
            self._recipes[key] = await published.parsed(self._pool, *key)
        return self._recipes[key]
