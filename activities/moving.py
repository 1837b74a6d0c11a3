"""Months of the audit: to the cold tier when they are long over, and away when their time is over."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import beating
from contract.names import ACTIVITY_MOVE_MONTHS
from contract.notes import KeyInvalid
from storage import months
from storage.months import MonthRefused
from storage.moving import Mover, NotYet
from storage.pool import Pool
from storage.seal_keys import read_keys
from storage.store import Store, StoreFailed

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Moving:
    """The moves of one worker process: of months over since `hot_days`, deleted after `years`. `key_file`
    has the keys that sign manifests."""

    pool: Pool
    store: Store
    key_file: Path
    hot_days: int
    years: int

    @activity.defn(name=ACTIVITY_MOVE_MONTHS)
    async def move_months(self) -> None:
        """Every month that is due, as far as it goes. One that fails does not keep the others."""
        try:
            keys = await asyncio.to_thread(read_keys, self.key_file)
        except KeyInvalid as error:
            raise ApplicationError(
                f"no month moves: {error}; workers need the key that seals"
                " (COUNTERSIGN_SEAL_KEY_FILE)",
                non_retryable=True,
            ) from None
        async with beating():
            failed = await self._move(Mover(self.pool, self.store, tuple(keys)))
        if failed:
            raise ApplicationError("; ".join(failed), non_retryable=True)

    async def _move(self, mover: Mover) -> list[str]:
        """Why months failed."""
        failed: list[str] = []
        for month in await months.due(self.pool, self.hot_days):
            try:
                moved = await mover.move(month)
            except NotYet as error:
                _log.info("a month does not move yet", month=str(month), why=str(error))
            except (StoreFailed, MonthRefused) as error:
                _log.error("a month did not move", month=str(month), why=str(error))
                failed.append(f"{month:%Y-%m}: {error}")
            else:
                _log.info("a month moved", month=moved.name, rows=moved.rows, state=moved.state)
        for month in await months.aged(self.pool, self.years):
            try:
                if await mover.expire(month, self.years):
                    _log.info("a month was deleted: its time was over", month=str(month))
            except StoreFailed as error:
                failed.append(f"{month:%Y-%m}: {error}")
        return failed
