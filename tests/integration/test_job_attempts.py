"""One attempt of a job: its log, what becomes of what it gives and raises, functions of one's own, and that
a worker without the functions that are needed refuses to start."""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import registry
from activities.jobs import LINES_LIMIT, Jobs
from activities.registry import Call, Function, Later, Refused, RegistryInvalid
from contract.messages import JobInput, JobResult
from recipes.model import Json
from storage.pool import create_pool
from storage.vault import Vault
from tests.integration.house import House, make_settings
from tests.integration.test_jobs import order
from tests.stack import REGION
from worker.jobs import WorkerRefuses, functions, say_and_compare, systems


class Attempt:
    """The one job of a request of alice's, whose step `validate` runs `validate_order`."""

    def __init__(self, house: House, asked: JobInput) -> None:
        self.house = house
        self.asked = asked
        self.environment = ActivityEnvironment()

    async def of(self, function: Function, pool: Any = None) -> JobResult:
        functions: Mapping[str, Function] = {"validate_order": function}
        return await self.environment.run(Jobs(pool or self.house.pool, functions).run, self.asked)

    async def log(self) -> list[tuple[str, str | None]]:
        rows = await self.house.pool.fetch("SELECT what, detail FROM job_log ORDER BY n")
        return [(row["what"], row["detail"]) for row in rows]


@pytest.fixture
async def attempt(house: House) -> Attempt:
    await house.publish(order())
    flow = await house.begun("alice", "order", {})
    assert flow.state.job is not None
    return Attempt(house, JobInput(flow.state.request_id, "order", 1, flow.state.job))


async def test_it_is_told_everything_and_its_log_is_kept(attempt: Attempt) -> None:
    async def function(call: Call) -> Json:
        call.log("half\nof it")
        return [call.inputs["order"], call.idempotency_key, call.step, call.attempt, call.again]

    request = attempt.asked.request_id
    done = await attempt.of(function)
    assert done == JobResult([request, f"{request}:validate", "validate", 1, False], 1)
    assert await attempt.log() == [("started", None), ("said", "half of it"), ("succeeded", None)]
    row = await attempt.house.pool.fetchrow("SELECT attempts, state FROM jobs")
    assert row is not None
    assert (row["attempts"], row["state"]) == (1, "running")


@pytest.mark.parametrize(
    ("error", "says", "again", "after"),
    [
        (Refused("card declined"), "card declined", False, None),
        (Later("not today", 90), "not today", True, 90),
        (KeyError("amount"), "KeyError: 'amount'", True, None),
        (RuntimeError("a\x00\ud800b"), "RuntimeError: a?b", True, None),
    ],
)
async def test_what_it_raises(
    attempt: Attempt, error: Exception, says: str, again: bool, after: float | None
) -> None:
    async def function(_: Call) -> Json:
        raise error

    with pytest.raises(ApplicationError) as caught:
        await attempt.of(function)
    failure = caught.value
    delay = failure.next_retry_delay
    assert (failure.message, failure.non_retryable) == (says, not again)
    assert (None if delay is None else delay.total_seconds()) == after
    assert failure.details == (1,)
    assert await attempt.log() == [("started", None), ("failed", says)]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("x" * 70_000, "its output is larger than 64 KiB"),
        ({"at": object()}, "its output is no JSON: /at is a object, which is not JSON"),
        ({1: 2}, "its output is no JSON: it has a name that is not text"),
        ("\x00", "its output is no JSON: it holds the character NUL, which no database takes"),
        (float("nan"), "its output is no JSON: it is not a finite number"),
    ],
)
async def test_what_could_not_be_kept_is_refused(attempt: Attempt, output: Any, says: str) -> None:
    async def function(_: Call) -> Json:
        return output

    with pytest.raises(ApplicationError, match="output") as caught:
        await attempt.of(function)
    assert (caught.value.message, caught.value.non_retryable) == (says, True)


async def test_a_talkative_one_is_cut_short(attempt: Attempt) -> None:
    async def function(call: Call) -> Json:
        for number in range(1_000):
            call.log(f"line {number} {'x' * 1_000}")
        return None

    await attempt.of(function)
    lines = [detail or "" for what, detail in await attempt.log() if what == "said"]
    assert len(lines) == LINES_LIMIT
    assert max(map(len, lines)) <= 500


async def test_a_function_that_this_worker_lacks_is_tried_again(attempt: Attempt) -> None:
    with pytest.raises(ApplicationError, match="this worker has no function validate_order") as it:
        await attempt.environment.run(Jobs(attempt.house.pool, {}).run, attempt.asked)
    assert not it.value.non_retryable


async def test_the_work_counts_though_its_log_cannot_be_written(attempt: Attempt) -> None:
    pool = await create_pool(attempt.house.settings.database_url, Vault([REGION]))
    await pool.close()

    async def function(_: Call) -> Json:
        return "done"

    assert (await attempt.of(function, pool)).output == "done"


async def test_one_that_is_stopped(attempt: Attempt) -> None:
    begun = asyncio.Event()

    async def function(_: Call) -> Json:
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(attempt.of(function))
    await begun.wait()
    attempt.environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await attempt.log() == [("started", None), ("cancelled", None)]


async def test_a_thread_is_waited_for(attempt: Attempt) -> None:
    """Nothing stops it: what it did is known, and told."""
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def function(call: Call) -> Json:
        call.log("from a thread")
        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.2)
        return "done"

    running = asyncio.create_task(attempt.of(registry._awaited(function)))
    await begun.wait()
    attempt.environment.cancel()
    assert (await running).output == "done"
    assert [what for what, _ in await attempt.log()] == ["started", "said", "succeeded"]


# --- functions -----------------------------------------------------------------------------------

MODULE = """
from activities.registry import job

@job("{name}")
def {function}(call):
    return call.inputs
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules are imported; nothing of it stays."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_functions", {})
    monkeypatch.setattr(registry, "_origins", {})
    return tmp_path


def written(shelf: Path, module: str, name: str, function: str = "run") -> None:
    (shelf / f"{module}.py").write_text(MODULE.format(name=name, function=function))
    sys.modules.pop(module, None)


def test_modules_of_ones_own(shelf: Path) -> None:
    written(shelf, "first_jobs", "charge_card")
    written(shelf, "other_jobs", "book")
    assert sorted(registry.load(" first_jobs, other_jobs ,")) == ["book", "charge_card"]
    assert sorted(registry.load("first_jobs")) == ["book", "charge_card"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("charge_card", "two functions are called charge_card: first_jobs.run and wrong_jobs.run"),
        ("http", "two functions are called http: every worker's own and wrong_jobs.run"),
        ("Charge", "wrong_jobs.run: 'Charge' must be small letters"),
    ],
)
def test_names_that_cannot_be(shelf: Path, name: str, says: str) -> None:
    written(shelf, "first_jobs", "charge_card")
    written(shelf, "wrong_jobs", name)
    with pytest.raises(RegistryInvalid) as caught:
        registry.load("first_jobs,wrong_jobs")
    assert str(caught.value).startswith(says)


def test_modules_that_cannot_be_imported(shelf: Path) -> None:
    with pytest.raises(RegistryInvalid, match="no_such cannot be imported: ModuleNotFoundError"):
        registry.load("no_such")
    (shelf / "broken_jobs.py").write_text("1 / 0")
    with pytest.raises(RegistryInvalid, match="broken_jobs cannot be imported: ZeroDivisionError"):
        registry.load("broken_jobs")


def test_settings_that_a_worker_refuses(shelf: Path) -> None:
    settings = make_settings(shelf, "postgresql://nowhere")
    assert list(functions(settings)) == ["http"]
    with pytest.raises(WorkerRefuses, match="COUNTERSIGN_JOBS: no_such cannot be imported"):
        functions(settings.model_copy(update={"jobs": "no_such"}))
    (shelf / "connections.yaml").write_text("books: {url: nowhere}\n")
    with pytest.raises(WorkerRefuses, match=r"books\.url: is no http or https address"):
        systems(settings.model_copy(update={"connections": shelf / "connections.yaml"}))


async def test_a_worker_refuses_to_start_without_what_recipes_need(house: House) -> None:
    async def function(_: Call) -> Json: ...

    await house.publish(order())
    with pytest.raises(WorkerRefuses) as caught:
        await say_and_compare(house.pool, {"http": function, "book_sale": function})
    assert str(caught.value) == (
        "this worker has no function charge_card (order version 1), validate_order (order version"
        " 1): name the module that has it in COUNTERSIGN_JOBS, or disable the version"
    )
    assert await house.pool.fetchval("SELECT count(*) FROM job_functions") == 0
    names = ("http", "book_sale", "charge_card", "validate_order")
    await say_and_compare(house.pool, dict.fromkeys(names, function))
    known = await house.pool.fetch("SELECT name FROM job_functions ORDER BY name")
    assert [row["name"] for row in known] == sorted(names)
