"""Every stored history replays with the workflow code of today.

A history is what some past version of the engine did; requests that began under it are still
running somewhere. A change that cannot replay one of them needs `workflow.patched()`.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from contract.names import ENGINE_VERSION
from worker.workflow import ApprovalWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def _replayer() -> Replayer:
    return Replayer(
        workflows=[ApprovalWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_it_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    await _replayer().replay_workflow(history)


def test_this_engine_has_histories() -> None:
    assert any(path.name.startswith(f"engine{ENGINE_VERSION}_") for path in HISTORIES)


async def test_replay_notices_another_course_of_events() -> None:
    """The gate can fail: a history whose commit had another name is refused."""
    text = HISTORIES[0].read_text().replace('"CountersignState"', '"CountersignOther"', 1)
    timer = next(path for path in HISTORIES if "timerStartedEventAttributes" in path.read_text())
    text = timer.read_text().replace('"startToFireTimeout": "', '"startToFireTimeout": "1')
    assert text != timer.read_text()
    text = timer.read_text().replace("EVENT_TYPE_TIMER_STARTED", "EVENT_TYPE_MARKER_RECORDED", 1)
    with pytest.raises(Exception) as caught:
        await _replayer().replay_workflow(WorkflowHistory.from_json("changed", text))
    assert isinstance(caught.value, NondeterminismError | RuntimeError)
