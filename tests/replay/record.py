"""Record histories of this engine version: `python -m tests.replay.record`.

Run it when the workflow's behaviour changes, with the ENGINE_VERSION it then has. It writes only
files that are not there: a stored history is never edited.
"""

import asyncio
import re
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
from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskEmployee,
    AskManager,
    Assignment,
    Hop,
    Limit,
    Refusal,
)
from recipes.happenings import Actor, Commanded
from recipes.model import Json
from recipes.state import Job
from tests.workflow.clerk import Clerk, Stubborn
from tests.workflow.ledger import Ledger, answer
from tests.workflow.running import (
    ABOUT,
    AT_SUBMIT,
    BUSINESS,
    BUSINESS_REVIEW,
    BUSINESS_WAIT,
    CHANGES,
    LEAVE,
    ORDER,
    REVIEW,
    SECRET_ORDER,
    TWO_OF_THREE,
    TWO_PEOPLE,
    WEIGHED,
    Running,
    running,
)

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


async def decided_together(run: Running) -> None:
    told = await run.decide_all("ann", "ben", "cy")
    await run.handle.signal("tell", told.items[0])


async def each_would_settle_it(run: Running) -> None:
    now = await run.env.get_current_time()
    made = [run.ledger.decide(run.task(who), who, "approve", now) for who in ("ann", "ben", "cy")]
    for decision in made:
        await run.handle.signal("tell", decision)


async def decided_before_the_timer(run: Running) -> None:
    run.ledger.decide(run.task("cy"), "cy", "approve", await run.env.get_current_time())
    await run.env.sleep(timedelta(hours=2))
    await run.decide("ann")


async def cancelled_behind_a_decision(run: Running) -> None:
    await run.decide("ann")
    await run.decide("ben", "reject")
    now = await run.env.get_current_time()
    await run.handle.signal("tell", Commanded(str(uuid4()), "cancel", Actor("alice"), now))


async def moved_by_a_recheck(run: Running) -> None:
    await run.recheck()
    run.ledger.answer = _moved
    await run.recheck()
    await run.written(2)
    await run.decide("carol")


async def rechecked_in_vain(run: Running) -> None:
    run.ledger.answer = _nobody
    await run.recheck()
    await run.written(2)
    run.ledger.answer = _moved
    await run.recheck()
    await run.command("retry")
    await run.written(3)
    await run.decide("carol")
    await run.recheck()


async def reassigned(run: Running) -> None:
    await run.reassign("manager_approval", "alice")
    await run.reassign("manager_approval", "dave")
    await run.written(3)
    await run.recheck()
    await run.decide("dave")


async def added_approvers(run: Running) -> None:
    await run.add("board/1", "dan", "before")
    await run.add("board/1", "ann", "beside")
    await run.written(2)
    await run.add("board/+1", "eve", "beside")
    await run.add("board/+1", "fay", "after")
    await run.written(5)
    await run.decide("dan")
    await run.written(6)
    await run.decide("ann")
    await run.env.sleep(timedelta(hours=2))
    await run.decide("ben")
    await run.decide("eve")
    await run.written(10)
    await run.decide("fay")


async def weighed(run: Running) -> None:
    await run.decide("ann")
    await run.decide("ben")
    await run.written(3)
    await run.decide("cy")


async def a_directory_that_is_back(run: Running) -> None:
    await run.env.sleep(timedelta(hours=1))
    run.ledger.answer = answer
    await run.recheck()
    await run.written(2)
    await run.decide("bob")


async def two_people(run: Running) -> None:
    await run.decide("ann")
    await run.written(2)
    await run.reassign("release", "ann")
    await run.env.sleep(timedelta(hours=2))
    await run.decide("above")


async def fixed_at_submission(run: Running) -> None:
    run.ledger.answer = _moved
    await run.recheck()
    await run.written(2)
    await run.decide("bob")
    await run.written(3)
    await run.recheck()
    [pool] = run.ledger.open_tasks(run.id)
    now = await run.env.get_current_time()
    made = run.ledger.decide(pool.task.id, "hr", "approve", now)
    await run.handle.signal("tell", made)


async def business_days(run: Running) -> None:
    await run.env.sleep(timedelta(days=8))
    await run.recheck()
    await run.env.sleep(timedelta(days=2))
    await run.decide("zoe")


async def business_wait(run: Running) -> None:
    await run.env.sleep(timedelta(days=6))
    await run.written(2)
    await run.decide("bob")


async def business_timers(run: Running) -> None:
    await run.fire("submit")
    await run.written(2)
    await run.env.sleep(timedelta(days=6))
    await run.written(3)
    await run.fire("submit")
    await run.fire("publish")


async def changes_and_resubmission(run: Running) -> None:
    """Changes twice: an approval is kept the second time. Two leave together, one of them furthest."""
    await run.resubmit(6)
    await run.decide("ann")
    await run.written(3)
    await run.request_changes("cy")
    await run.written(4)
    await run.resubmit(6)
    await run.resubmit(7)
    await run.written(6)
    await run.decide("ann")
    await run.written(7)
    await run.decide("ben", "fine")
    await run.written(8)
    await run.request_changes("cy")
    await run.written(9)
    await run.resubmit(8)
    await run.written(10)
    await run.decide("cy", "reject")
    await run.written(11)
    await run.decide("ann")
    await run.written(12)
    now = await run.env.get_current_time()
    sibling = run.ledger.decide(run.task("ben"), "ben", "approve", now)
    await run.request_changes("cy", "board")
    await run.handle.signal("tell", sibling)
    await run.written(13)
    await run.decide("ben")
    await run.request_changes("cy")
    await run.written(15)
    await run.env.sleep(timedelta(days=15))


async def reviewed(run: Running) -> None:
    await run.fire("submit")
    await run.written(2)
    await run.env.sleep(timedelta(days=4))
    await run.written(3)
    await run.fire("publish")
    await run.fire("submit")
    await run.fire("publish")


async def moved_to_another_version(run: Running) -> None:
    text = LEAVE.replace("version: 1", "version: 2")
    await run.migrate(text.replace("{{ employee.manager }}", "user:carol"))
    await run.written(2)
    await run.migrate(text.replace("manager_approval", "another"))
    await run.written(3)
    await run.decide("carol")


async def task_sequence(run: Running) -> None:
    """Two attempts fail, and people have it tried again."""
    await run.env.sleep(timedelta(days=3))
    await run.written(4)
    await run.command("retry")


async def callbacks(run: Running) -> None:
    """Cancelled while the card is charged, which is done all the same, and undone."""
    await run.env.sleep(timedelta(days=2))
    await run.written(3)
    await run.command("cancel")


def _declines_twice() -> Clerk:
    left = ["no", "card declined"]

    def charge(_: Job) -> Json:
        if left:
            raise RuntimeError(left.pop(0))
        return "c-1"

    return Clerk({"charge_card": charge, "book_sale": lambda _: "booked"})


def _charges_all_the_same() -> Clerk:
    return Stubborn(holds={"charge_card": asyncio.Event()})


def _moved(ask: Ask) -> Answer:
    """As `answer`, but by now carol is the manager of alice."""
    match ask:
        case AskEmployee():
            return Answer(employee={"id": "alice", "manager": {"id": "carol"}})
        case _:
            return answer(ask)


def _with_limits(ask: Ask) -> Answer:
    """ben's own limit is too low, and so is that of his manager."""
    match ask:
        case AskApprover(_, "user:ben") | AskManager():
            assert ask.without == ("ann",)
            assert ask.limit == Limit("5000", "EUR")
            above = "above" if isinstance(ask, AskManager) else "erin"
            return Answer(assignment=Assignment(above, chain=(Hop("below_limit", "ben"),)))
        case _:
            return answer(ask)


def _unavailable(_: Ask) -> Answer:
    return Answer(refusal=Refusal("DirectoryUnavailable", "the mirror is too old"))


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
    ("decided_together", TWO_OF_THREE, answer, decided_together),
    ("each_would_settle_it", TWO_OF_THREE, answer, each_would_settle_it),
    ("decided_before_the_timer", TWO_OF_THREE, answer, decided_before_the_timer),
    ("cancelled_behind_a_decision", TWO_OF_THREE, answer, cancelled_behind_a_decision),
    ("moved_by_a_recheck", LEAVE, answer, moved_by_a_recheck),
    ("rechecked_in_vain", LEAVE, answer, rechecked_in_vain),
    ("reassigned", LEAVE, answer, reassigned),
    ("a_directory_that_is_back", LEAVE, _unavailable, a_directory_that_is_back),
    ("two_people", TWO_PEOPLE, _with_limits, two_people),
    ("fixed_at_submission", AT_SUBMIT, answer, fixed_at_submission),
    ("reviewed", REVIEW, answer, reviewed),
    ("about_an_entity", ABOUT, answer, approved),
    ("task_sequence", ORDER, answer, task_sequence),
    ("callbacks", ORDER.replace("timeout: 5s", "timeout: 1h"), answer, callbacks),
    ("confidential_failure", SECRET_ORDER, answer, task_sequence),
    ("moved_to_another_version", LEAVE, answer, moved_to_another_version),
    ("added_approvers", TWO_OF_THREE, answer, added_approvers),
    ("weighed", WEIGHED, answer, weighed),
    ("business_days", BUSINESS, answer, business_days),
    ("business_wait", BUSINESS_WAIT, answer, business_wait),
    ("business_timers", BUSINESS_REVIEW, answer, business_timers),
    ("changes_and_resubmission", CHANGES, answer, changes_and_resubmission),
)


CLERKS: dict[str, Callable[[], Clerk]] = {
    "task_sequence": _declines_twice,
    "callbacks": _charges_all_the_same,
    "confidential_failure": _declines_twice,
}
"""Who does the jobs of a scenario that has any."""


def _portable(history: str) -> str:
    """Without stack traces, which have paths of this machine, and which no replay reads."""
    return re.sub(r'"stackTrace": ".*"', '"stackTrace": ""', history)


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
            clerk = CLERKS[name]() if name in CLERKS else None
            async with running(environment, text, ledger, clerk) as run:
                await run.begun()
                await play(run)
                outcome = await run.handle.result()
                path.write_text(_portable((await run.handle.fetch_history()).to_json()))
        sys.stdout.write(f"{path.name} {outcome}\n")


if __name__ == "__main__":
    asyncio.run(main())
