"""Who does jobs in tests of the workflow: plain functions by name."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.exceptions import ApplicationError
from typing_extensions import override

from contract.messages import JobInput, JobResult
from contract.names import ACTIVITY_JOB
from recipes.model import Json
from recipes.state import Job


def _own_name(job: Job) -> Json:
    return job.run


@dataclass
class Clerk:
    """`does` gives the output, or raises; what it does not name gives its own name. `asked` has each
    attempt: the job, and which attempt it is. `holds` keeps a function until it is set."""

    does: Mapping[str, Callable[[Job], Json]] = field(default_factory=dict)
    asked: list[tuple[Job, int]] = field(default_factory=list)
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    beats: bool = True

    @activity.defn(name=ACTIVITY_JOB)
    async def run(self, asked: JobInput) -> JobResult:
        job, attempt = asked.job, activity.info().attempt
        self.asked.append((job, attempt))
        if job.run in self.holds:
            await self._held(self.holds[job.run])
        try:
            output = self.does.get(job.run, _own_name)(job)
        except RuntimeError as error:
            raise ApplicationError(str(error), attempt) from error
        return JobResult(output, attempt)

    async def _held(self, until: asyncio.Event) -> None:
        while not until.is_set():
            activity.heartbeat()
            await asyncio.sleep(0.05)

    def runs(self) -> list[str]:
        return [job.run for job, _ in self.asked]

    async def busy(self, attempts: int) -> None:
        """Wait until so many attempts have begun."""
        while len(self.asked) < attempts:  # noqa: ASYNC110 - the clerk runs in a worker of its own
            await asyncio.sleep(0.02)


class Stubborn(Clerk):
    """Does its work whether or not it is to stop, as a thread does."""

    @override
    async def _held(self, until: asyncio.Event) -> None:
        while not until.is_set():
            try:
                await super()._held(until)
            except asyncio.CancelledError:
                until.set()
