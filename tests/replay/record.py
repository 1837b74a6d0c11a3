"""Record histories of this engine version: `python -m tests.replay.record`.

Run it when the workflow's behaviour changes, with the ENGINE_VERSION it then has. It writes only
files that are not there: a stored history is never edited.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from cli.processes import tool
from contract.names import ENGINE_VERSION
from recipes import parse
from recipes.state import Actor, Answer, Ask, AskApprover, AskManager, Commanded, Refusal
from tests.workflow.ledger import Ledger, answer
from tests.workflow.running import LEAVE, TWO_OF_THREE, Running, running

FOLDER = Path(__file__).parent / "histories"


async def approved(run: Running) -> None:
    await run.decide("bob")


async def escalated_then_rejected(run: Running) -> None:
    await run.env.sleep(timedelta(hours=97))
    await run.decide("zoe", "reject")


async def deadline(run: Running) -> None:
    await run.env.sleep(timedelta(days=31))


async def cancelled(run: Running) -> None:
    await run.command("cancel")


async def incident_retried(run: Running) -> None:
    await run.env.sleep(timedelta(hours=49))
    run.ledger.answer = answer
    await run.command("retry")
    await run.written(4)
    await run.decide("grace")


async def nobody_then_retried(run: Running) -> None:
    run.ledger.answer = answer
    await run.command("retry")
    await run.written(2)
    await run.decide("bob")


async def two_of_three(run: Running) -> None:
    await run.decide("ann")
    await run.decide("ben")


async def decided_before_the_timer(run: Running) -> None:
    run.ledger.decide(run.task("cy"), "cy", "approve", await run.env.get_current_time())
    await run.env.sleep(timedelta(hours=2))
    await run.decide("ann")


async def cancelled_behind_a_decision(run: Running) -> None:
    await run.decide("ann")
    await run.decide("ben", "reject")
    now = await run.env.get_current_time()
    await run.handle.signal("tell", Commanded(str(uuid4()), "cancel", Actor("alice"), now))


def _no_manager(ask: Ask) -> Answer:
    if isinstance(ask, AskManager):
        return Answer(refusal=Refusal("NoApproverFound", f"{ask.user} has no manager to ask"))
    return answer(ask)


def _nobody(ask: Ask) -> Answer:
    if isinstance(ask, AskApprover):
        return Answer(refusal=Refusal("NoApproverFound", f"{ask.reference} has left"))
    return answer(ask)


Scenario = tuple[str, str, Callable[[Ask], Answer], Callable[[Running], Awaitable[None]]]
SCENARIOS: tuple[Scenario, ...] = (
    ("approved", LEAVE, answer, approved),
    ("escalated_then_rejected", LEAVE, answer, escalated_then_rejected),
    ("deadline", LEAVE, answer, deadline),
    ("cancelled", LEAVE, answer, cancelled),
    ("incident_retried", LEAVE, _no_manager, incident_retried),
    ("nobody_then_retried", LEAVE, _nobody, nobody_then_retried),
    ("two_of_three", TWO_OF_THREE, answer, two_of_three),
    ("decided_before_the_timer", TWO_OF_THREE, answer, decided_before_the_timer),
    ("cancelled_behind_a_decision", TWO_OF_THREE, answer, cancelled_behind_a_decision),
)


async def main() -> None:
    for name, text, answers, play in SCENARIOS:
        path = FOLDER / f"engine{ENGINE_VERSION}_{name}.json"
        if path.exists():
            continue
        environment = await WorkflowEnvironment.start_time_skipping(
            data_converter=pydantic_data_converter,
            test_server_existing_path=str(tool("temporal-test-server")),
        )
        async with environment:
            ledger = Ledger(parse.parse(text).recipe, answers)
            async with running(environment, text, ledger) as run:
                await run.begun()
                await play(run)
                outcome = await run.handle.result()
                path.write_text((await run.handle.fetch_history()).to_json())
        sys.stdout.write(f"{path.name} {outcome}\n")


if __name__ == "__main__":
    asyncio.run(main())
