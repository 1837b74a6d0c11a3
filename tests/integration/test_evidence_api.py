"""Evidence over HTTP: checkpoints, proofs that anybody can follow, and whether a request's rows hold."""

from uuid import UUID

import pytest

from api import audit_shapes
from contract import merkle, notes
from storage.pool import Pool
from tests.integration.house import House
from tests.integration.sealed import KEY, happen, seal


@pytest.fixture
def house_of_key(house: House) -> House:
    house.settings.seal_public_key.write_text(str(KEY.public))
    return house


async def test_checkpoints_page_by_page(house: House, pool: Pool) -> None:
    for _ in range(3):
        await happen(pool)
        await seal(pool)
    numbers: list[int] = []
    path = "/v1/audit/checkpoints?limit=2"
    while True:
        response = await house.get(path, "erin", "auditor")
        assert response.status_code == 200
        found = audit_shapes.CheckpointPage.model_validate_json(response.text)
        numbers += [each.number for each in found.items]
        notes.opened(found.items[0].note, [KEY.public])
        if found.next_cursor is None:
            break
        path = f"/v1/audit/checkpoints?limit=2&cursor={found.next_cursor}"
    assert numbers == list(range(len(numbers), 0, -1))
    assert numbers[0] >= 3


async def test_a_proof_leads_to_what_was_signed(house: House, pool: Pool) -> None:
    request = await house.submit()
    older = await seal(pool)
    await happen(pool, rows=20)
    newest = await seal(pool)
    response = await house.get(
        f"/v1/audit/proof?request={request['id']}&seq=1&since={older.size}", "erin", "auditor"
    )
    assert response.status_code == 200
    found = audit_shapes.AuditProof.model_validate_json(response.text)
    assert notes.opened(found.checkpoint.note, [KEY.public]) == newest
    events = (await house.get(f"/v1/requests/{request['id']}/events", "alice")).json()["items"]
    leaf = merkle.leaf(UUID(request["id"]), 1, bytes.fromhex(events[0]["hash"]))
    assert leaf.hex() == found.leaf_hash
    inclusion = [bytes.fromhex(each) for each in found.inclusion]
    root = merkle.root_of_inclusion(leaf, found.leaf, newest.size, inclusion)
    assert root == newest.root
    assert found.consistency is not None
    hashes = [bytes.fromhex(each) for each in found.consistency.hashes]
    roots = merkle.roots_of_consistency(older.size, newest.size, older.root, hashes)
    assert roots == (older.root, newest.root)


async def test_what_cannot_be_proved_is_said(house: House, pool: Pool) -> None:
    request = await house.submit()
    path = f"/v1/audit/proof?request={request['id']}&seq=1"
    unsealed = await house.get(path, "erin", "auditor")
    assert (unsealed.status_code, unsealed.json()["type"]) == (
        404,
        "urn:countersign:problem:not_sealed",
    )
    await seal(pool)
    assert (await house.get(path, "erin", "auditor")).status_code == 200
    assert (await house.get(f"{path}&since=100000", "erin", "auditor")).status_code == 422
    assert (await house.get(f"{path}&since=0", "erin", "auditor")).status_code == 422
    assert (await house.get(path.replace("seq=1", "seq=9"), "erin", "auditor")).status_code == 404


async def test_a_request_is_verified(house_of_key: House, pool: Pool, admin_pool: Pool) -> None:
    request = await house_of_key.submit()
    await seal(pool)
    path = f"/v1/audit/verify?request={request['id']}"
    response = await house_of_key.get(path, "erin", "auditor")
    found = audit_shapes.AuditVerified.model_validate_json(response.text)
    assert (found.verdict, found.rows, found.signed) == ("holds", 1, True)
    await admin_pool.execute(
        "SET session_replication_role = replica; ALTER TABLE audit_leaves DISABLE TRIGGER ALL;"
        "UPDATE audit_leaves SET hash = sha256('x')"
    )
    found = audit_shapes.AuditVerified.model_validate_json(
        (await house_of_key.get(path, "erin", "admin")).text
    )
    assert found.verdict == "findings"
    assert {each.kind for each in found.findings} == {"rehashed", "tree"}


async def test_without_a_key_that_is_said(house: House, pool: Pool) -> None:
    request = await house.submit()
    await seal(pool)
    response = await house.get(f"/v1/audit/verify?request={request['id']}", "erin", "auditor")
    found = audit_shapes.AuditVerified.model_validate_json(response.text)
    assert (found.verdict, found.signed, found.sealed_at) == ("holds", False, None)
    nobody = "00000000-0000-4000-8000-000000000000"
    missing = await house.get(f"/v1/audit/verify?request={nobody}", "erin", "auditor")
    assert missing.status_code == 404


@pytest.mark.parametrize("path", ["checkpoints", "proof?request={0}&seq=1", "verify?request={0}"])
async def test_it_is_for_auditors(house: House, path: str) -> None:
    request = await house.submit()
    response = await house.get(f"/v1/audit/{path.format(request['id'])}", "alice")
    assert response.status_code == 403
