"""Carry out one transition: ask the directory, write everything in one transaction.

Runs as a local activity, so it may run again at any time: it is idempotent by (request_id, seq).
"""

from datetime import datetime

import structlog
from temporalio import activity

from contract.messages import CommitInput, CommitResult, Committed
from contract.names import ACTIVITY_COMMIT
from recipes import progress
from recipes.asks import Answer
from recipes.happenings import Commanded, Rechecked
from recipes.model import Recipe
from storage import recipes as published
from storage import resolution
from storage.commits import Earlier, Lost, commit, flag_failing, standing
from storage.errors import UNAVAILABLE
from storage.pool import Pool
from storage.resolution import About

_log = structlog.get_logger()


class Activities:
    """The activities of one worker process, over its pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._recipes: dict[tuple[str, int], Recipe] = {}

    @activity.defn(name=ACTIVITY_COMMIT)
    async def commit(self, asked: CommitInput) -> CommitResult:
        """See `CommitResult`. Raises while it cannot be written; Temporal tries again.

        What another try will not heal is shown as an incident beside the request meanwhile.
        """
        try:
            return await self._commit(asked)
        except UNAVAILABLE:
            raise
        except Exception as error:
            detail = self._why(asked, error)
            await flag_failing(self._pool, asked.state, detail, asked.now)
            raise

    async def _commit(self, asked: CommitInput) -> CommitResult:
        recipe = await self._recipe(asked)
        transition = progress.apply(recipe, asked.state, asked.happening, asked.now)
        if transition.state == asked.state:
            # Nothing follows from it as far as this workflow knows: has it missed something?
            missed = await standing(self._pool, asked.state.request_id, asked.state.seq + 1)
            return CommitResult(earlier=missed)
        about = About(asked.state.requester, asked.workflow, _as_of(asked))
        rounds: list[tuple[Answer, ...]] = []
        async with self._pool.acquire() as connection:
            while transition.state.asks:
                answers = await resolution.answers(connection, transition.state.asks, about)
                rounds.append(answers)
                transition = progress.then(recipe, transition, answers, asked.now)
            committed = Committed(asked.happening, asked.now, tuple(rounds))
            after = progress.recipe_after(recipe, transition)
            outcome = await commit(connection, after, committed, transition)
        match outcome:
            case Earlier(stands):
                return CommitResult(earlier=stands)
            case Lost(decisions):
                return CommitResult(lost=decisions)
            case _:
                after = transition.state
                _log.info(
                    "committed", request_id=after.request_id, seq=after.seq, state=after.state
                )
                return CommitResult(answers=committed.answers)

    def _why(self, asked: CommitInput, error: Exception) -> str:
        """For all who may see the request: where anything of it is confidential, the kind of error alone.
        The database's words may quote a row."""
        recipe = self._recipes.get((asked.workflow, asked.version))
        kind = type(error).__name__
        quotes = recipe is not None and recipe.confidential is not None
        return kind if quotes else f"{kind}: {error}"

    async def _recipe(self, asked: CommitInput) -> Recipe:
        """The pinned recipe; published ones never change, so each is read once per process."""
        key = asked.workflow, asked.version
        if key not in self._recipes:
            self._recipes[key] = await published.parsed(self._pool, *key)
        return self._recipes[key]


def _as_of(asked: CommitInput) -> datetime:
    """The moment the directory is asked about: not before a command that may follow its repair, nor
    before the change that makes it worth asking again.

    These and the directory have their times from Postgres, transitions from Temporal.
    """
    match asked.happening:
        case Commanded(at=at) | Rechecked(at=at):
            return max(at, asked.now)
        case _:
            return asked.now
