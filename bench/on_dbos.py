"""Baseline (b): the same approval written on DBOS, behind the same HTTP boundary, with the same rows.

Two layouts, by `BENCH_DBOS_LAYOUT`: `one` process that serves HTTP and runs the workflows, which is
how DBOS is meant to be used; and `api` beside `worker`, which is how ours runs: the API enqueues
through DBOS's client, the worker looks at its queue every 20 ms.

It is written for this one recipe (leave_request: the manager, two days to answer) with nothing that
could be left out: no recipes, no expressions, no authorisation beyond the assignee, no outbox.
`python -m bench.on_dbos` is its process.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

import uvicorn
import uvloop
from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel

import settings
from api import auth
from api.auth import Caller
from bench import on_dbos_rows as rows
from contract.canonical import digest
from storage import tasks
from storage.pool import Pool, create_pool

DATABASE = "BENCH_DATABASE_URL"
SYSTEM_DATABASE = "BENCH_DBOS_DATABASE_URL"
LAYOUT = "BENCH_DBOS_LAYOUT"
TIMEOUT = 48 * 3600
QUEUE = "approvals"
QUEUE_LOOK = 0.02

_pools: list[Pool] = []
_clients: list[DBOSClient] = []


async def pool() -> Pool:
    """This process's, made by its first use on the loop that uses it."""
    if not _pools:
        made = await create_pool(os.environ[DATABASE], min_size=4, max_size=10)
        _pools.append(made)
    return _pools[0]


def launch() -> None:
    config = DBOSConfig(
        name="bench",
        system_database_url=os.environ[SYSTEM_DATABASE],
        application_version="1",
        executor_id=f"bench-{os.getpid()}",
        log_level="WARNING",
    )
    DBOS(config=config)
    DBOS.launch()


# ------------------------------------------------------------------------------ the workflow ----


@DBOS.step()
async def open_task(request_id: str, requester: str, bound: str) -> str:
    """Find the manager, open the task: its id."""
    task_id = uuid5(UUID(request_id), "task")
    await rows.open_task(
        await pool(),
        request_id=UUID(request_id),
        task_id=task_id,
        requester=requester,
        bound=bound,
        seconds=TIMEOUT,
    )
    return str(task_id)


@DBOS.step()
async def finish(request_id: str, state: str) -> None:
    await rows.finish(await pool(), UUID(request_id), state)


@DBOS.workflow()
async def approval(request_id: str, requester: str, bound: str) -> str:
    await open_task(request_id, requester, bound)
    decision = await DBOS.recv_async("decision", timeout_seconds=TIMEOUT)
    state = {"approve": "approved", "reject": "rejected"}.get(decision, "expired")
    await finish(request_id, state)
    return state


# ---------------------------------------------------------------------------------- the API ----


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.tokens = auth.tokens(settings.load())
    await pool()
    if os.environ[LAYOUT] == "one":
        launch()
    else:
        url = os.environ[SYSTEM_DATABASE]
        _clients.append(await asyncio.to_thread(DBOSClient, system_database_url=url))
    yield
    DBOS.destroy()


async def caller(request: Request) -> Caller:
    tokens: auth.Tokens = request.app.state.tokens
    return await tokens.caller(request.headers.get("authorization"))


Calling = Annotated[Caller, Depends(caller)]
app = FastAPI(lifespan=lifespan)


class Submission(BaseModel):
    workflow: str
    inputs: dict[str, Any]


class Decision(BaseModel):
    decision: str
    comment: str | None = None


@app.post("/v1/requests", status_code=201)
async def submit(
    body: Submission, who: Calling, idempotency_key: Annotated[str, Header()]
) -> dict[str, Any]:
    request_id, now = uuid4(), datetime.now(UTC)
    bound = digest("0" * 64, body.inputs, b"")
    await rows.submit(
        await pool(),
        request_id=request_id,
        at=now,
        requester=who.id,
        inputs=body.inputs,
        bound=bound,
        key=idempotency_key,
    )
    if _clients:
        await _clients[0].enqueue_async(
            {"workflow_name": "approval", "queue_name": QUEUE, "workflow_id": str(request_id)},
            str(request_id),
            who.id,
            bound,
        )
    else:
        with SetWorkflowID(str(request_id)):
            await DBOS.start_workflow_async(approval, str(request_id), who.id, bound)
    return {"id": str(request_id), "state": "created", "created_at": now, "requester": who.id}


@app.post("/v1/tasks/{task_id}/decisions")
async def decide(task_id: UUID, body: Decision, who: Calling) -> dict[str, Any]:
    task = await tasks.load(await pool(), task_id, who.id)
    if task is None or task["assignee"] != who.id or not task["employed"]:
        raise HTTPException(404)
    won = await rows.decide(await pool(), task, who.id, body.decision, body.comment)
    if not won:
        raise HTTPException(409)
    if _clients:
        await _clients[0].send_async(str(task["request_id"]), body.decision, "decision")
    else:
        await DBOS.send_async(str(task["request_id"]), body.decision, "decision")
    return {"id": str(task_id), "state": "decided", "decision": body.decision}


@app.get("/v1/tasks")
async def inbox(who: Calling, limit: int = 50) -> dict[str, Any]:
    found = await tasks.inbox(
        await pool(), who.id, limit, (datetime.min.replace(tzinfo=UTC), UUID(int=0))
    )
    return {"items": [dict(row) for row in found], "next_cursor": None}


@app.get("/v1/requests")
async def listing(who: Calling, state: str, limit: int = 50) -> dict[str, Any]:
    return {"items": await rows.newest(await pool(), who.id, state, limit), "next_cursor": None}


@app.get("/v1/requests/{request_id}")
async def show(request_id: UUID, who: Calling) -> dict[str, Any]:
    found = await rows.show(await pool(), request_id, who.id)
    if found is None:
        raise HTTPException(404)
    return found


@app.get("/readyz")
async def ready() -> dict[str, Any]:
    return {"ready": True}


async def work() -> None:
    """The worker of the second layout, until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    launch()
    await DBOS.register_queue_async(QUEUE, polling_interval_sec=QUEUE_LOOK)
    await stopping.wait()
    DBOS.destroy()


def main() -> None:
    if os.environ[LAYOUT] == "worker":
        uvloop.run(work())
        return
    configured = settings.load()
    uvicorn.run(
        app,
        host=configured.api_host,
        port=configured.api_port,
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )


if __name__ == "__main__":
    main()
