"""Data keys: wrapped again without anybody noticing, and lost with their region key alone."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contract import content
from recipes.model import Confidential
from storage import regions, vault
from storage.pool import NoVault, Pool, create_pool, vault_of
from storage.vault import RegionKeyMissing, Vault, keep_all
from tests.integration.house import House
from tests.stack import REGION, Database


async def payload_of(pool: Pool, request_id: str) -> Any:
    keys = await vault_of(pool).writing(pool, UUID(request_id))
    row = await pool.fetchval(
        "SELECT payload FROM audit WHERE request_id = $1 AND seq = 1", UUID(request_id)
    )
    return content.opened(row, keys).payload


async def test_wrapped_again(house: House, database: Database) -> None:
    request_id = str((await house.submit())["id"])
    secret = uuid4()
    made = [vault_of(house.pool).make(secret, Confidential(("hr",), None))[1]]
    await keep_all(house.pool, made)
    newer = regions.new("newer")
    assert await vault.rewrap(house.pool, Vault([newer, REGION])) == 3
    assert await vault.rewrap(house.pool, Vault([newer])) == 0
    pool = await create_pool(database.url, Vault([newer]))
    assert (await payload_of(pool, request_id))["inputs"] == {"days": 5}
    [keys] = (await vault_of(pool).writing_many(pool, [secret])).values()
    assert keys.whole
    await pool.close()
    pool = await create_pool(database.url, Vault([REGION]))
    with pytest.raises(RegionKeyMissing, match="newer"):
        await payload_of(pool, request_id)
    await pool.close()


async def test_without_any(house: House, database: Database) -> None:
    request_id = str((await house.submit())["id"])
    pool = await create_pool(database.url)
    with pytest.raises(NoVault):
        await payload_of(pool, request_id)
    await pool.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE data_keys SET region = 'x'",
        "DELETE FROM data_keys",
        "TRUNCATE data_keys",
        "INSERT INTO audit_words VALUES (gen_random_uuid(), 1, 'x')",
        "ALTER TABLE data_keys DISABLE ROW LEVEL SECURITY",
    ],
)
async def test_the_application_may_not(house: House, statement: str) -> None:
    await house.submit()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await house.pool.execute(statement)


async def test_nothing_that_people_wrote_is_in_the_audit(house: House, admin_pool: Pool) -> None:
    flow = await house.begun(inputs={"days": 5, "why": "zanzibar"})
    assert (await house.decide("bob", flow.task, comment="serengeti")).status_code == 200
    for table in ("audit", "commits", "outbox"):
        rows = await admin_pool.fetch(f"SELECT t::text AS row FROM {table} t")
        assert rows
        for row in rows:
            assert "zanzibar" not in row["row"]
            assert "serengeti" not in row["row"]
    bodies = [bytes(row["body"]) for row in await admin_pool.fetch("SELECT body FROM audit")]
    assert not any(b"zanzibar" in body or b"serengeti" in body for body in bodies)
