"""Every stored history replays with the workflow code of today.

A history is what some past version of the engine did; requests that began under it are still
running somewhere. A change that cannot replay one of them needs `workflow.patched()`.
"""

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Interceptor, Replayer, UnsandboxedWorkflowRunner

from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, WORKFLOW_TYPE
from temporal_traces import Traces
from worker.workflow import ApprovalWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_it_replays(path: Path) -> None:
    await _replayer(ApprovalWorkflow).replay_workflow(_read(path))


async def test_all_replay_where_traces_are_carried_and_spans_are_wanted() -> None:
    """As workers do: none of the histories has the headers."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    replayer = _replayer(ApprovalWorkflow, Traces(), TracingInterceptor(tracer))
    for path in HISTORIES:
        await replayer.replay_workflow(_read(path))


def test_this_engine_has_histories() -> None:
    assert any(path.name.startswith(f"engine{ENGINE_VERSION}_") for path in HISTORIES)


@workflow.defn(name=WORKFLOW_TYPE)
class Hesitant:
    """A change of behaviour that nobody guarded: it waits before it begins."""

    @workflow.run
    async def run(self, start: StartInput) -> Outcome:
        await workflow.sleep(1)
        return Outcome(start.state.state, start.state.seq)


async def test_an_unguarded_change_is_noticed() -> None:
    with pytest.raises(workflow.NondeterminismError):
        await _replayer(Hesitant).replay_workflow(_read(HISTORIES[0]))


def _replayer(implementation: type, *interceptors: Interceptor) -> Replayer:
    return Replayer(
        workflows=[implementation],
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
        interceptors=interceptors,
    )


def _read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())
