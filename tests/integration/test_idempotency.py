"""Keys are forgotten in time; what they made stays."""

import pytest

from recipes.model import Json
from storage import idempotency
from storage.pool import Pool
from tests.integration.house import House

INSERT = """
INSERT INTO idempotency_keys (actor, key, fingerprint, request_id, created_at)
SELECT 'alice', 'k-' || n, '', gen_random_uuid(), now() - make_interval(days => n)
  FROM generate_series(1, 20) n
"""


async def test_old_keys_are_forgotten(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await pool.execute(INSERT)
    monkeypatch.setattr(idempotency, "_AT_ONCE", 4)
    assert await idempotency.forget(pool, 7) == 14
    assert await idempotency.forget(pool, 7) == 0
    left = await pool.fetch("SELECT key FROM idempotency_keys ORDER BY created_at DESC")
    assert [row["key"] for row in left] == [f"k-{n}" for n in range(1, 7)]


async def test_a_forgotten_key_makes_a_new_request(house: House) -> None:
    body: dict[str, Json] = {"workflow": "leave", "inputs": {"days": 5}}
    first, second = [await _after_forgetting(house, body) for _ in range(2)]
    assert first != second
    assert await house.pool.fetchval("SELECT count(*) FROM requests") == 2


async def _after_forgetting(house: House, body: dict[str, Json]) -> str:
    await idempotency.forget(house.pool, 0)
    response = await house.post(
        "/v1/requests", "alice", json=body, headers={"Idempotency-Key": "k"}
    )
    assert response.status_code == 201
    made: str = response.json()["id"]
    return made
