"""The two one-row activities of the bare workflow, and how its driver sees what they wrote."""

from collections.abc import Collection
from uuid import UUID

from temporalio import activity

from storage.pool import Pool, create_pool

OPEN = "bare_open"
CLOSE = "bare_close"

SCHEMA = """
CREATE TABLE opened (request_id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE closed (request_id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""


class Rows:
    """The rows, over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str) -> "Rows":
        return cls(await create_pool(url, max_size=10))

    @activity.defn(name=OPEN)
    async def open_task(self, request_id: str) -> None:
        await self._insert("opened", request_id)

    @activity.defn(name=CLOSE)
    async def close_task(self, request_id: str) -> None:
        await self._insert("closed", request_id)

    async def _insert(self, table: str, request_id: str) -> None:
        await self._pool.execute(
            f"INSERT INTO {table} (request_id) VALUES ($1) ON CONFLICT DO NOTHING",
            UUID(request_id),
        )

    async def written(self, table: str, among: Collection[str]) -> set[str]:
        """Which of these requests have their row in `table`."""
        rows = await self._pool.fetch(
            f"SELECT request_id FROM {table} WHERE request_id = ANY($1::uuid[])",
            [UUID(request_id) for request_id in among],
        )
        return {str(row["request_id"]) for row in rows}

    async def close(self) -> None:
        await self._pool.close()
