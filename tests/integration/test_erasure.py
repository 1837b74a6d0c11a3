"""Erasure: nothing of what was written is left, the evidence holds, and nobody writes about it again."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from api import schemas
from cli import examine_erasure
from contract.conditions import condition
from recipes.happenings import Actor, Commanded
from recipes.model import ActionStep, Confidential, JobStep, NotifyStep, Recipe
from storage import comments, erasure, evidence, jobs, outbox, questions, requests
from storage.asking import Asked
from storage.cold import Cold
from storage.errors import ABOUT_ERASED, Erased
from storage.evidence import Scope
from storage.history import state_at
from storage.jobs import Line
from storage.moving import Mover
from storage.pool import Pool, Source, create_pool
from storage.replay import replay
from storage.store import Folder
from storage.trail import HOT_ALONE, Trail
from storage.vault import Vault
from tests.integration import ancient
from tests.integration.erasing import where
from tests.integration.house import House, Workflow, leave
from tests.integration.sealed import KEY, seal
from tests.integration.test_attachments import attach
from tests.integration.test_imports import row as past_row
from tests.integration.test_imports import taken
from tests.integration.test_jobs import ends, order
from tests.integration.test_questions import ask, reply
from tests.stack import AUDITOR, REGION, Database

WHY = "Case 2026-118."
SAID = {
    name: f"{name}canary" for name in ("input", "comment", "remark", "question", "answer", "file")
}
PDF = f"%PDF-1.7\n%{SAID['file']}".encode()


async def _erase(house: House, request: str, *, who: str = "root", role: str = "admin") -> Any:
    return await house.post(f"/v1/requests/{request}/erase", who, role, json={"reason": WHY})


async def _told(house: House) -> None:
    """The relay has told all that there was."""
    await house.pool.execute("DELETE FROM outbox")


async def _full(house: House, confidential: Confidential | None = None) -> Workflow:
    """A request in which something is written wherever there is a place for it, decided."""
    await house.publish(leave(2, title="{{ days }} days, {{ why }}", confidential=confidential))
    body = {"workflow": "leave", "inputs": {"days": 5, "why": SAID["input"]}}
    made = await house.post("/v1/requests", "alice", json=body, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201, made.text
    flow = Workflow(house.pool, house.delivery.starts[-1])
    await flow.begin()
    request = flow.state.request_id
    path = f"/v1/requests/{request}"
    said = await house.post(f"{path}/comments", "alice", json={"text": SAID["remark"]})
    assert said.status_code == 201, said.text
    asked = (await ask(house, "bob", flow.task, "erin", SAID["question"])).json()
    assert (await reply(house, "erin", asked["id"], SAID["answer"])).status_code == 200
    file = await attach(house, request, name=f"{SAID['file']}.pdf", content=PDF)
    assert file.status_code == 201, file.text
    decided = await house.decide("bob", flow.task, comment=SAID["comment"], reason="remarkcanary")
    assert decided.status_code == 200, decided.text
    await flow.befall(house.delivery.signals[-1][1])
    assert flow.state.final
    await _told(house)
    return flow


async def _over(house: House) -> str:
    """A request that was cancelled."""
    flow = await house.begun()
    request = flow.state.request_id
    await house.post(f"/v1/requests/{request}/cancel", "alice", json={"comment": "no"})
    message = house.delivery.signals[-1][1]
    assert isinstance(message, Commanded)
    await flow.befall(message)
    await _told(house)
    return request


async def test_nothing_is_left_of_what_was_written(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    flow = await _full(house)
    request = flow.state.request_id
    assert set(await where(admin_pool, *SAID.values())) == set(SAID.values())
    erased = await _erase(house, request)
    assert erased.status_code == 200, erased.text
    shown = schemas.Request.model_validate(erased.json())
    assert shown.erased is not None
    assert (shown.erased.by, shown.erased.reason, shown.title) == ("root", WHY, "Erased request")
    assert (shown.state, shown.inputs, shown.tasks[0].assignee) == ("approved", {}, "bob")
    assert [(it.decision, it.user, it.comment) for it in shown.decisions] == [
        ("approve", "bob", None)
    ]
    assert await where(admin_pool, *SAID.values()) == {}
    assert await where(admin_pool, PDF.hex()) == {}
    again = await _erase(house, request)
    assert (again.status_code, again.json()) == (200, erased.json())
    listed = (await house.get("/v1/requests", "root", "admin")).json()["items"]
    assert [item["erased"] for item in listed] == [erased.json()["erased"]]


async def test_nor_of_what_was_confidential(house: House, admin_pool: Pool) -> None:
    flow = await _full(house, Confidential(("hr",), None))
    request = flow.state.request_id
    path = f"/v1/requests/{request}"
    before = (await house.get(path, "alice")).json()
    assert (before["inputs"]["why"], before["withheld"]) == (SAID["input"], [])
    assert await where(admin_pool, *SAID.values()) == {}
    assert (await _erase(house, request)).status_code == 200
    after = schemas.Request.model_validate((await house.get(path, "alice")).json())
    assert (after.title, after.inputs, after.comments) == ("Erased request", {}, [])
    for table in ("data_keys", "blobs", "commits"):
        assert await admin_pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    kept = "SELECT count(*) FROM {} WHERE sealed IS NOT NULL"
    for table in ("requests", "revisions", "audit_subjects"):
        assert await admin_pool.fetchval(kept.format(table)) == 0


async def test_the_evidence_holds_and_says_who_erased_it(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    flow = await _full(house)
    request = UUID(flow.state.request_id)
    await seal(pool)
    before = (
        await house.get("/v1/audit", "tess", "auditor", params={"words": SAID["remark"]})
    ).json()
    assert {row["request_id"] for row in before["items"]} == {str(request)}
    assert (await _erase(house, str(request))).status_code == 200
    await seal(pool)
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for scope in (Scope(), Scope(request), Scope(None, month, month + timedelta(days=32))):
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            verified = await evidence.verify(connection, scope, (KEY.public,))
        assert (verified.findings, verified.rows > 5) == ((), True)
    path = f"/v1/requests/{request}/events"
    events = (await house.get(path, "tess", "auditor")).json()["items"]
    assert (events[-1]["type"], events[-1]["actor"]["user"]) == ("request.erased", "root")
    assert (events[-1]["payload"], events[-1]["withheld"]) == ({"reason": WHY}, [])
    created = events[0]
    assert {"inputs", "title"} <= set(created["withheld"])
    assert not {"inputs", "title"} & set(created["payload"])
    for asked in ({"words": SAID["remark"]}, {"words": SAID["input"]}, {"where": "days == 5"}):
        assert (await house.get("/v1/audit", "tess", "auditor", params=asked)).json()["items"] == []
    gone = (
        await house.get("/v1/audit", "tess", "auditor", params={"type": "request.erased"})
    ).json()
    assert [row["request_id"] for row in gone["items"]] == [str(request)]


async def test_what_is_asked_of_it_says_that_it_is_erased(house: House, pool: Pool) -> None:
    flow = await _full(house)
    request = UUID(flow.state.request_id)
    assert (await _erase(house, str(request))).status_code == 200
    async with pool.acquire() as connection:
        for ask_again in (
            lambda: replay(connection, request),
            lambda: state_at(connection, request, datetime.now(UTC)),
        ):
            with pytest.raises(Erased, match="was erased at"):
                await ask_again()
    about = {"request": str(request), "step": "manager"}
    explained = await house.get("/v1/org/explain", "root", "admin", params=about)
    assert explained.status_code == 409, explained.text
    assert explained.json()["type"] == "urn:countersign:problem:erased"
    body = {"recipe": "workflow: leave\nversion: 9\nsteps: [{id: a, action: approve}]\n"}
    tried = await house.post("/v1/recipes/backtest", "root", "admin", json=body)
    assert tried.status_code == 422, tried.text
    assert "there are no requests of workflow leave" in tried.text


async def test_nothing_is_added_to_it(house: House) -> None:
    request = await _over(house)
    assert (await _erase(house, request)).status_code == 200
    path = f"/v1/requests/{request}"
    for refused in (
        await house.post(f"{path}/comments", "alice", json={"text": "again"}),
        await attach(house, request),
        await house.post(f"{path}/watchers", "alice", json={"person": "dave"}),
    ):
        assert refused.status_code == 409, refused.text
        assert refused.json()["type"] == "urn:countersign:problem:erased"
    assert (await house.get(path, "alice")).json()["comments"] == []


async def test_by_administrators_alone_and_never_ones_own(house: House) -> None:
    request = await _over(house)
    for who, role, status in (
        ("alice", "user", 403),
        ("alice", "admin", 403),
        ("bob", "user", 403),
        ("tess", "auditor", 403),
        ("dave", "user", 404),
    ):
        refused = await _erase(house, request, who=who, role=role)
        assert refused.status_code == status, (who, role, refused.text)
    assert (await _erase(house, str(uuid4()))).status_code == 404
    blank = await house.post(f"/v1/requests/{request}/erase", "root", "admin", json={"reason": " "})
    assert blank.status_code == 422


async def _refused(house: House, request: str, kind: str) -> str:
    before = await house.pool.fetchval("SELECT count(*) FROM data_keys")
    refused = await _erase(house, request)
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"] == f"urn:countersign:problem:{kind}"
    assert await house.pool.fetchval("SELECT count(*) FROM data_keys") == before
    return str(refused.json()["detail"])


async def test_not_before_it_is_over(house: House) -> None:
    flow = await house.begun()
    await _told(house)
    assert "cancel it first" in await _refused(house, flow.state.request_id, "not_final")


async def test_not_while_something_of_it_is_to_be_told(house: House) -> None:
    request = await _over(house)
    house.delivery.running.add(UUID(request))
    await _refused(house, request, "unsettled")
    house.delivery.running.clear()
    await house.pool.execute(
        "INSERT INTO outbox (request_id, kind, due_at) VALUES ($1, 'start', now())", UUID(request)
    )
    assert "doctor" in await _refused(house, request, "unsettled")
    await _told(house)
    assert (await _erase(house, request)).status_code == 200


async def test_not_while_its_work_is_under_way(house: House, admin_pool: Pool) -> None:
    told = NotifyStep("mail", ("user:alice",), "charged {{ steps.charge.output }}")
    work = JobStep("charge", "charge_card", {"of": "{{ card }}"})
    inputs: dict[str, Any] = {"type": "object", "properties": {"card": {"type": "string"}}}
    await house.publish(order(steps=(work, told), inputs=inputs))
    flow = await house.begun("alice", "order", {"card": SAID["input"]})
    await _told(house)
    await ends(flow, SAID["answer"])
    request = flow.state.request_id
    job = await house.pool.fetchval("SELECT id FROM jobs WHERE step = 'book'")
    await jobs.log(
        house.pool, UUID(request), job, [Line(1, datetime.now(UTC), "said", SAID["comment"])]
    )
    assert flow.state.state == "approved"
    await _refused(house, request, "unfinished")
    await ends(flow, failure=SAID["question"])
    await _refused(house, request, "unfinished")
    await flow.befall(Commanded(str(uuid4()), "retry", Actor("frank"), datetime.now(UTC)))
    await ends(flow)
    assert (await _erase(house, request)).status_code == 200
    assert await where(admin_pool, *SAID.values()) == {}
    # An attempt that nobody waits for any more.
    with pytest.raises(asyncpg.PostgresError) as late:
        await jobs.log(house.pool, UUID(request), job, [Line(1, datetime.now(UTC), "said", "late")])
    assert late.value.sqlstate == ABOUT_ERASED
    assert (await house.get("/v1/notifications", "alice")).json()["items"] == []


@pytest.mark.parametrize("of", ["request_id", "workflow", "month"])
async def test_not_while_a_legal_hold_is_on_it(house: House, of: str) -> None:
    request = await _over(house)
    this_month = f"{datetime.now(UTC):%Y-%m}"
    about = {"request_id": request, "workflow": "leave", "month": this_month}[of]
    body = {of: about, "reason": "a law suit"}
    hold = (await house.post("/v1/audit/holds", "tess", "auditor", json=body)).json()
    assert "audit hold list" in await _refused(house, request, "held")
    path = f"/v1/audit/holds/{hold['id']}/end"
    assert (await house.post(path, "tess", "auditor", json={"reason": "over"})).status_code == 200
    assert (await _erase(house, request)).status_code == 200


async def test_not_while_a_recall_is_to_take_it_up_and_none_takes_it_up_after(house: House) -> None:
    rule = ActionStep("small", "approve", when="days < 3")
    await house.publish(leave(3, steps=(rule, *leave().steps)))
    requests = [(await house.begun(inputs={"days": 1})).state.request_id for _ in range(2)]
    await _told(house)
    assert (await _erase(house, requests[0])).status_code == 200
    body = {"workflow": "leave", "version": 3, "step": "small", "mark": True, "reason": "a mistake"}
    plan = await house.post("/v1/recalls?dry_run=true", "root", "admin", json=body)
    assert [item["request_id"] for item in plan.json()["items"]] == [requests[1]]
    recall = (await house.post("/v1/recalls", "root", "admin", json=body)).json()
    assert "continue the recall" in await _refused(house, requests[1], "being_recalled")
    path = f"/v1/recalls/{recall['id']}/continue"
    done = (await house.post(path, "root", "admin")).json()
    assert (done["counts"]["recalled"], done["finished_at"] is None) == (1, False)
    assert (await _erase(house, requests[1])).status_code == 200


async def test_what_never_had_keys_cannot_be_erased(house: House, admin_pool: Pool) -> None:
    request = await _over(house)
    await admin_pool.execute("DELETE FROM data_keys")
    assert "in the clear" in await _refused(house, request, "never_encrypted")


async def test_who_began_to_write_before_it_was_erased_leaves_nothing(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    """Another process adds a comment, and has not committed it when the request is erased."""
    request = UUID(await _over(house))
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        row = await requests.load(connection, request, "alice")
        assert row is not None
        await comments.add(connection, row, Actor("alice"), SAID["remark"])
        erasing = asyncio.create_task(_erase(house, str(request)))
        await _until_somebody_waits(admin_pool)
        await transaction.commit()
    assert (await erasing).status_code == 200
    assert await where(admin_pool, SAID["remark"]) == {}


async def test_who_answers_a_question_meanwhile_is_not_in_the_way(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    flow = await house.begun()
    request = flow.state.request_id
    asked = (await ask(house, "bob", flow.task, "erin", "Who?")).json()["id"]
    await house.post(f"/v1/requests/{request}/cancel", "alice", json={})
    message = house.delivery.signals[-1][1]
    assert isinstance(message, Commanded)
    await flow.befall(message)
    await _told(house)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM questions WHERE id = $1 FOR UPDATE", UUID(asked))
        erasing = asyncio.create_task(_erase(house, request))
        await _until_somebody_waits(admin_pool)
        row = await questions.load(connection, UUID(asked))
        assert row is not None
        about = questions.About(row["task_id"], row["step"], UUID(request), "leave", 1, {})
        assert await questions.answer(connection, about, UUID(asked), Actor("erin"), SAID["answer"])
        await transaction.commit()
    assert (await erasing).status_code == 200
    assert await where(admin_pool, SAID["answer"]) == {}


async def _until_somebody_waits(admin_pool: Pool) -> None:
    async with asyncio.timeout(20):
        while not await admin_pool.fetchval(  # noqa: ASYNC110 - another process's locks tell nobody
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database())"
        ):
            await asyncio.sleep(0.02)


async def test_keys_that_another_process_remembers_are_of_no_use(
    house: House, pool: Pool, database: Database
) -> None:
    flow = await _full(house)
    request = UUID(flow.state.request_id)
    other = await create_pool(database.url, Vault([REGION]), max_size=2)
    vault = Vault([REGION])
    try:
        remembered = await vault.writing(other, request)
        assert remembered is not None
        [before, *_] = await HOT_ALONE.events_of(other, AUDITOR, request)
        assert before.payload["inputs"] == {"days": 5, "why": SAID["input"]}
        assert (await _erase(house, str(request))).status_code == 200
        [after, *_] = await HOT_ALONE.events_of(other, AUDITOR, request)
        assert "inputs" in after.withheld
        async with other.acquire() as connection, connection.transaction():
            row = await requests.load(connection, request, "alice")
            assert row is not None
            with pytest.raises(asyncpg.PostgresError) as late:
                await comments.add(connection, row, Actor("alice"), "late")
            assert late.value.sqlstate == ABOUT_ERASED
        with pytest.raises(Erased):
            await outbox.start_input(other, request)
    finally:
        await other.close()


async def test_a_file_that_another_request_has_stays(house: House, admin_pool: Pool) -> None:
    first, second = await _over(house), await _over(house)
    for request in (first, second):
        assert (await attach(house, request, content=PDF)).status_code == 201
    assert (await _erase(house, first)).status_code == 200
    assert await admin_pool.fetchval("SELECT count(*) FROM blobs") == 1
    [file] = (await house.get(f"/v1/requests/{second}", "alice")).json()["attachments"]
    path = f"/v1/requests/{second}/attachments/{file['id']}"
    assert (await house.get(path, "alice")).content == PDF
    assert (await _erase(house, second)).status_code == 200
    assert await admin_pool.fetchval("SELECT count(*) FROM blobs") == 0


async def test_what_a_backup_brings_back_is_found_and_erased_again(
    house: House, pool: Pool, admin_pool: Pool
) -> None:
    request = UUID(await _over(house))
    kept = await admin_pool.fetch("SELECT * FROM data_keys WHERE request_id = $1", request)
    assert (await _erase(house, str(request))).status_code == 200
    assert (await examine_erasure.erased(pool)).verdict == "ok"
    await admin_pool.copy_records_to_table("data_keys", records=[tuple(row) for row in kept])
    found = await examine_erasure.erased(pool)
    assert (found.verdict, str(request) in (found.fix or "")) == ("problem", True)
    assert (await _erase(house, str(request))).status_code == 200
    assert await erasure.undone(pool) == []
    events = (await house.get(f"/v1/requests/{request}/events", "tess", "auditor")).json()["items"]
    assert [it["type"] for it in events[-2:]] == ["request.erased", "request.erased"]


async def test_an_imported_request_is_not_imported_again(house: House, admin_pool: Pool) -> None:
    mine = past_row(inputs={"days": 5, "why": SAID["input"]}, reason=SAID["comment"])
    await taken(house, [mine])
    request = (await house.get("/v1/requests", "root", "admin")).json()["items"][0]["id"]
    assert (await _erase(house, request)).status_code == 200
    assert await where(admin_pool, SAID["input"], SAID["comment"]) == {}
    other = past_row(2)
    response = await house.post(
        "/v1/imports",
        "root",
        "admin",
        json=[mine, other],
        params={"source": "hr-portal"},
    )
    assert response.status_code == 422, response.text
    assert "was imported before" in response.text


async def test_the_database_keeps_watch(house: House, pool: Pool, admin_pool: Pool) -> None:
    request = UUID(await _over(house))
    mark = "UPDATE requests SET erased_at = now(), erased_by = 'x', erased_reason = 'x'"
    with pytest.raises(asyncpg.RestrictViolationError, match="still there"):
        await pool.execute(mark)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("DELETE FROM data_keys")
    with pytest.raises(asyncpg.RestrictViolationError, match="stays as it is"):
        await admin_pool.execute("UPDATE revisions SET title = 'another'")
    assert (await _erase(house, str(request))).status_code == 200
    with pytest.raises(asyncpg.RestrictViolationError, match="stays so"):
        await pool.execute(
            "UPDATE requests SET erased_at = NULL, erased_by = NULL, erased_reason = NULL"
        )
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE requests SET title = 'Five days for Alice'")


async def test_in_the_cold_tier_too(
    house: House, pool: Pool, admin_pool: Pool, tmp_path: Path
) -> None:
    await house.publish(Recipe("orders", 1, leave().steps, inputs={"type": "object"}))
    month = datetime(2024, 1, 1, tzinfo=UTC).date()
    await ancient.partition(admin_pool, month)
    ordered = await ancient.order(admin_pool, month.replace(day=3), 70000, SAID["input"])
    await _row_of(admin_pool, ordered.id)
    await seal(pool)
    store = Folder(tmp_path)
    await Mover(pool, store, (KEY,), file_rows=8).move(month)
    trail = Trail(store, Cold())
    asked = Asked(condition=condition("amount == 70000"))
    assert len(await trail.ask(pool, AUDITOR, asked, 10)) == 3
    assert (await _erase(house, str(ordered.id))).status_code == 200
    assert await trail.ask(pool, AUDITOR, asked, 10) == []
    rows = await trail.events_of(pool, AUDITOR, ordered.id)
    assert [row.event_type for row in rows][-1] == "request.erased"
    assert "inputs" in rows[0].withheld
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        verified = await evidence.verify(connection, Scope(), (KEY.public,), (), trail)
    assert verified.findings == ()
    assert await where(admin_pool, "fine by me") == {}


async def _row_of(source: Source, request: UUID) -> None:
    await source.execute(
        "INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, state, created_at,"
        " finalized_at, seq) VALUES ($1, 'orders', 1, 'alice', $2, '{}', 'x', 'approved', now(), now(), 1)",
        request,
        SAID["input"],
    )
