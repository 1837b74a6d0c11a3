"""The SDK gives the figures of workers that dashboard and alerts name."""

import re
from pathlib import Path
from uuid import uuid4

import httpx
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import temporal_client
from tests.stack import TemporalServer, free_ports

ROOT = Path(__file__).resolve().parents[2]


@workflow.defn
class Short:
    @workflow.run
    async def run(self) -> None:
        pass


async def test_what_is_asked_of_workers_is_there(temporal_server: TemporalServer) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    client = await Client.connect(temporal_server.address, runtime=temporal_client.metered(address))
    queue = f"figures-{uuid4()}"
    async with Worker(
        client, task_queue=queue, workflows=[Short], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await client.execute_workflow(Short.run, id=queue, task_queue=queue)
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://{address}/metrics")).text
    given = set(re.findall(r"^(temporal_[a-z_]+)", text, re.MULTILINE))
    for file in ("deploy/alerts.yaml", "deploy/grafana/countersign.json", "docs/operations.md"):
        asked = set(re.findall(r"\b(temporal_[a-z_]+)", (ROOT / file).read_text()))
        assert asked, file
        assert asked <= given | {name.removesuffix("_bucket") for name in given}, file
