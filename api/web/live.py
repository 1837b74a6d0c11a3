"""`GET /live`: what happens, to an open page, as Server-Sent Events. No content: ids, types and who."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from api.live import Live, Mailbox
from api.services import services
from api.web.visitors import PageRoute, visitor
from storage.errors import FAILED

router = APIRouter(include_in_schema=False, route_class=PageRoute)

BEAT_SECONDS = 15.0
"""After so long without news something is sent all the same, so that nobody on the way hangs up."""
_SLOW_SECONDS = 10.0
"""Whoever takes longer to take something is not waited for."""
Ended: TypeAlias = Callable[[], Awaitable[bool]]
"""Whether a session was ended before its time."""
_ENDED = b"event: ended\ndata: {}\n\n"


@router.get("/live")
async def tell_live(request: Request) -> Response:
    """What happens from now on, or since the position that the browser saw last; until the session ends."""
    house, session = services(request), visitor(request).session
    last = request.headers.get("last-event-id", "")
    seen = int(last) if last.isdecimal() and len(last) < 19 else None
    live: Live = request.app.state.live
    mailbox, before = await live.enter(session.caller, seen)

    async def ended() -> bool:
        return await house.ended.has(session)

    return _Stream(live, mailbox, before, session.until, ended)


class _Stream(Response):
    """Letters as they come."""

    def __init__(
        self, live: Live, mailbox: Mailbox, before: list[bytes], until: float, ended: Ended
    ) -> None:
        super().__init__(
            status_code=200,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )
        # Nobody knows how long it gets.
        self.raw_headers = [it for it in self.raw_headers if it[0] != b"content-length"]
        self._live, self._mailbox, self._before = live, mailbox, before
        self._until, self._ended = until, ended

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_until_gone(receive, self._mailbox))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await _say(send, b"".join(self._before))
            await self._letters(send)
            async with asyncio.timeout(_SLOW_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, *FAILED):
            pass  # too slow, or nobody knows whether it may: the server hangs up, and the browser comes again
        finally:
            self._live.leave(self._mailbox)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _letters(self, send: Send) -> None:
        """Until the session, or the page, is over."""
        while (left := self._until - time.time()) > 0 and not await self._ended():
            said: bytes | None = b": beat\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, BEAT_SECONDS)):
                    said = await self._mailbox.letters.get()
            if said is None:
                return
            await _say(send, said)
        await _say(send, _ENDED)


async def _say(send: Send, said: bytes) -> None:
    """TimeoutError if it is not taken."""
    async with asyncio.timeout(_SLOW_SECONDS):
        await send({"type": "http.response.body", "body": said, "more_body": True})


async def _until_gone(receive: Receive, mailbox: Mailbox) -> None:
    """Close the mailbox when the browser hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    mailbox.close()
