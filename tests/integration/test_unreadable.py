"""A key that cannot be unwrapped, or a box that is damaged, keeps nobody from anything else; and what fails says
nothing that people wrote."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client

import temporal_client
from contract import content
from relay import main as relay
from storage import regions, vault
from storage.pool import Pool, create_pool, vault_of
from storage.vault import RegionKeyMissing, Vault, open_vault
from tests.integration.house import House
from tests.integration.test_vault import payload_of
from tests.stack import REGION, Database, TemporalServer


@pytest.fixture
async def client(house: House, temporal_server: TemporalServer) -> Client:
    return await temporal_client.connect(
        temporal_server.address, temporal_server.namespace, house.pool
    )


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Pool]:
    """Of a process that remembers no key."""
    pool = await create_pool(database.url, Vault([REGION]))
    yield pool
    await pool.close()


async def _cancelled(house: House) -> str:
    request_id = str((await house.submit())["id"])
    await house.post(f"/v1/requests/{request_id}/cancel", "alice")
    return request_id


async def test_a_lost_key_stops_no_other_message(
    house: House, other: Pool, admin_pool: Pool, client: Client
) -> None:
    lost, kept = await _cancelled(house), await _cancelled(house)
    await admin_pool.execute(
        "UPDATE data_keys SET region = 'lost' WHERE request_id = $1", UUID(lost)
    )
    await admin_pool.execute("UPDATE outbox SET due_at = now()")
    for _ in range(2):  # starts, then signals
        await relay.relay_once(client, other)
        await admin_pool.execute("UPDATE outbox SET due_at = now()")
    rows = await admin_pool.fetch("SELECT request_id, last_error FROM outbox ORDER BY id")
    assert {str(row["request_id"]) for row in rows} == {lost}
    assert "region key lost" in rows[0]["last_error"]
    assert kept not in {str(row["request_id"]) for row in rows}


async def test_what_fails_is_told_without_what_people_wrote(
    house: House, admin_pool: Pool, client: Client
) -> None:
    request_id = UUID(str((await house.submit())["id"]))
    keys = await vault_of(house.pool).writing(house.pool, request_id)
    newer = content.boxed({"kind": "of another version", "comment": "quillfeather"}, keys)
    await admin_pool.execute("DELETE FROM outbox")
    await admin_pool.execute(
        "INSERT INTO outbox (request_id, kind, message, due_at) VALUES ($1, 'signal', $2, now())",
        request_id,
        newer,
    )
    await relay.relay_once(client, house.pool)
    said = await admin_pool.fetchval("SELECT last_error FROM outbox")
    assert said
    assert "quillfeather" not in said


async def test_a_lost_key_withholds_one_request_alone(house: House, admin_pool: Pool) -> None:
    lost, kept = await _cancelled(house), await _cancelled(house)
    await admin_pool.execute(
        "UPDATE data_keys SET region = 'lost' WHERE request_id = $1", UUID(lost)
    )
    mine = vault_of(house.app.state.services.pool)
    for request_id in (lost, kept):
        mine.forget(UUID(request_id))
    assert (await house.get("/v1/requests", "alice")).status_code == 200
    [event, *_] = (await house.get(f"/v1/requests/{lost}/events", "alice")).json()["items"]
    assert sorted(event["withheld"]) == ["inputs", "title"]
    [event, *_] = (await house.get(f"/v1/requests/{kept}/events", "alice")).json()["items"]
    assert event["withheld"] == []
    said = await house.post(f"/v1/requests/{lost}/comments", "alice", json={"text": "hello"})
    assert (said.status_code, said.json()["type"]) == (503, "urn:countersign:problem:unavailable")
    assert await admin_pool.fetchval("SELECT count(*) FROM comments") == 0


async def test_a_damaged_row_withholds_itself_alone(house: House, admin_pool: Pool) -> None:
    request_id = await _cancelled(house)
    for row in await admin_pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit'::regclass"
    ):
        await admin_pool.execute(f"ALTER TABLE {row['name']} DISABLE TRIGGER ALL")
    await admin_pool.execute(
        "UPDATE audit SET payload = jsonb_set(payload, '{sealed,0,box}', '\"AAAA\"') WHERE seq = 1"
    )
    items = (await house.get(f"/v1/requests/{request_id}/events", "alice")).json()["items"]
    assert [bool(item["withheld"]) for item in items] == [True, False]


async def test_parts_that_run_find_a_newer_region_key(
    house: House, database: Database, tmp_path: Path
) -> None:
    request_id = str((await house.submit())["id"])
    path = tmp_path / "regions"
    path.touch(0o600)
    path.write_text(regions.written([REGION]))
    pool = await create_pool(database.url, open_vault(path))
    newer = regions.new("newer")
    assert await vault.rewrap(house.pool, Vault([newer, REGION])) == 1
    with pytest.raises(RegionKeyMissing, match="newer"):
        await payload_of(pool, request_id)
    path.write_text("nonsense")
    with pytest.raises(RegionKeyMissing, match="newer"):
        await payload_of(pool, request_id)
    path.write_text(regions.written([newer, REGION]))
    assert (await payload_of(pool, request_id))["inputs"] == {"days": 5}
    assert vault_of(pool).make(uuid4(), None)[1].region == "newer"
    await pool.close()
