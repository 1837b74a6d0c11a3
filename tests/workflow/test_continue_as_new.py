"""A long-lived request begins fresh histories and loses nothing. On the real server, whose limit is
set low: the test server never suggests it."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from cli import temporal
from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, SIGNAL_TELL
from recipes import parse, progress
from tests.workflow.ledger import Ledger
from worker.workflow import ApprovalWorkflow

PEOPLE = [f"p{number}" for number in range(30)]
EVERYBODY = f"""
workflow: everybody
version: 1
owner: role:board
inputs: {{type: object}}
deadline: 30d
steps:
  - id: all_of_them
    type: parallel
    branches: [{", ".join(f'{{approver: "user:{person}"}}' for person in PEOPLE)}]
"""


@pytest.fixture
def impatient(
    tmp_path: Path, free_ports: Callable[[int], list[int]], request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a server that suggests continuing as new after 40 events, or so many as the
    test's parameter says."""
    events = getattr(request, "param", 40)
    port, ui_port = free_ports(2)
    command = [*temporal.command(tmp_path / "temporal.db", port=port, ui_port=ui_port)]
    command += ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={events}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not asyncio.run(temporal.ready(f"http://127.0.0.1:{ui_port}")):
            assert server.poll() is None
            assert time.monotonic() < until
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


async def test_thirty_decisions_over_several_runs(impatient: str) -> None:
    client = await Client.connect(impatient, data_converter=pydantic_data_converter)
    parsed = parse.parse(EVERYBODY)
    ledger = Ledger(parsed.recipe)
    now = datetime.now(UTC)
    state = progress.initial(
        parsed.recipe,
        request_id=str(uuid4()),
        requester="alice",
        inputs={},
        submitted_at=now,
        digest="d",
    )
    async with Worker(
        client,
        task_queue="long",
        workflows=[ApprovalWorkflow],
        activities=[ledger.commit],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await client.start_workflow(
            ApprovalWorkflow.run,
            StartInput(ENGINE_VERSION, parsed.recipe, parsed.sha256, state),
            id=state.request_id,
            task_queue="long",
        )
        request = state.request_id
        for number, person in enumerate(PEOPLE):
            while len(ledger.commits.get(request, ())) < number + 1:
                await handle.describe()
            task = next(
                opened.task.id
                for opened in ledger.open_tasks(request)
                if opened.task.assignment.user == person
            )
            await handle.signal(SIGNAL_TELL, ledger.decide(task, person, "approve", now))
        assert await handle.result() == Outcome("approved", len(PEOPLE) + 1)
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{request}'")]
    continued = [run for run in runs if run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW]
    assert len(continued) >= 2
    for run in runs:
        past = await client.get_workflow_handle(request, run_id=run.run_id).fetch_history()
        assert len(past.events) < 100
