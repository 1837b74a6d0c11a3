"""What the product writes comes back from files of the cold tier just as it was written: no column says
anything else than the bodies do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from recipes.model import EntityRule
from storage import months
from storage.cold_rows import ColdRows
from storage.parquet import Writer
from storage.pool import Pool
from tests.integration.house import House, Workflow, leave
from tests.integration.sealed import seal
from tests.integration.test_changes import decided, offered, resubmit
from tests.integration.test_imports import row, taken

EVER = datetime(9999, 1, 1, tzinfo=UTC)
LAST = (UUID(int=2**128 - 1), 2**31 - 1)


async def _files(pool: Pool, folder: Path) -> list[Path]:
    """All rows, as a month that moves has them."""
    await seal(pool)
    writer = Writer(folder, file_rows=20)
    async for portion in months.rows(pool, datetime(2000, 1, 1, tzinfo=UTC), EVER):
        writer.write(portion)
    writer.close()
    return [path for path, _ in writer.files]


async def _about_an_entity(house: House) -> None:
    await house.publish(leave(2, entity=EntityRule()))
    body: dict[str, Any] = {"workflow": "leave", "inputs": {"days": 2}}
    body |= {"version": 2, "entity": {"type": "trip", "id": "Oslo"}}
    assert (await house.post("/v1/requests", "alice", json=body)).status_code == 201
    flow = Workflow(house.pool, house.delivery.starts[-1])
    await flow.begin()
    await house.post(
        f"/v1/requests/{flow.state.request_id}/comments", "alice", json={"text": "please"}
    )
    assert (await house.decide("bob", flow.task)).status_code == 200
    await flow.befall(house.delivery.signals[-1][1])


async def _changed(house: House) -> None:
    async with offered(house) as carried:
        await decided(house, carried, "bob", "request_changes", comment="which one?")
        await resubmit(house, carried, item="press", amount=90)


async def test_what_the_product_writes(house: House, pool: Pool, tmp_path: Path) -> None:
    await _about_an_entity(house)
    await _changed(house)
    await taken(house, [row()])
    flow = await house.begun()
    await flow.tick(datetime.now(UTC) + timedelta(hours=2))
    files = await _files(pool, tmp_path)
    rows = ColdRows([files]).take(LAST, 10_000)
    assert len(rows) == await pool.fetchval("SELECT count(*) FROM audit")
    assert [(each.body, each.said) for each in rows if each.said is not None] == []
    kinds = await pool.fetch("SELECT DISTINCT event_type FROM audit")
    assert {"request.resubmitted", "history.imported", "comment.added"} <= {
        kind["event_type"] for kind in kinds
    }
