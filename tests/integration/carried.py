"""A request's workflow that takes up whatever it is told, in its order, as the real one does."""

import asyncio
from uuid import UUID

from contract.messages import Message
from recipes import progress
from recipes.happenings import Together
from tests.integration.house import House, Workflow


class Carried:
    """`flow` goes on by itself from here on. What is first in storage counts first."""

    def __init__(self, house: House, flow: Workflow) -> None:
        self.flow = flow
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        house.delivery.on_signal = self._told
        self.loop = asyncio.create_task(self._run())

    def _told(self, request_id: UUID, message: Message) -> None:
        if str(request_id) == self.flow.state.request_id:
            self.inbox.put_nowait(message)

    async def settled(self) -> None:
        """Until it has taken up all that it was told."""
        await asyncio.wait_for(self.inbox.join(), 30)

    async def ended(self) -> None:
        await self.settled()
        self.loop.cancel()

    async def _run(self) -> None:
        while True:
            message = await self.inbox.get()
            await self._take(message)
            self.inbox.task_done()

    async def _take(self, message: Message) -> None:
        result = await self.flow.befall(message)
        while result.lost:
            own = progress.decisions_of(message)
            made = tuple(sorted((*result.lost, *own), key=lambda decision: decision.at))
            result = await self.flow.befall(made[0] if len(made) == 1 else Together(made))
            if not result.lost and not own:
                result = await self.flow.befall(message)
