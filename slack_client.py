"""Slack's Web API, as much of it as we use: every call says whether it is worth trying again.

The token is a bot's, with the scopes chat:write, im:write, users:read and users:read.email.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from http.client import HTTPException
from socket import gaierror
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

URL = "https://slack.com/api/"
_THREADS = 4
_OF_ONE = frozenset(
    [
        "account_inactive_user",
        "cannot_dm_bot",
        "cant_update_message",
        "channel_not_found",
        "edit_window_closed",
        "expired_trigger_id",
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_trigger_id",
        "is_archived",
        "message_not_found",
        "messages_tab_disabled",
        "msg_too_long",
        "no_text",
        "not_in_channel",
        "user_disabled",
        "user_not_found",
        "user_not_visible",
        "users_not_found",
    ]
)
"""Errors that are about one message or person. All others are about us, or about Slack."""


class SlackAway(Exception):
    """Slack takes nothing from us now, whoever it is for. `after` says for how long, where it said so; `heard` whether
    anybody there may have heard what was said."""

    def __init__(self, why: str, after: timedelta | None = None, *, heard: bool = True) -> None:
        super().__init__(why)
        self.after = after
        self.heard = heard


class SlackRefused(Exception):
    """Slack will not do this, now or later; the text is its word for why."""


class Slack:
    """One workspace, by a bot's token."""

    def __init__(self, token: str, url: str = URL, patience: int = 10) -> None:
        log = logging.getLogger("countersign.slack")
        log.setLevel(logging.WARNING)  # it would log what is sent
        # Without retries of its own: a message that may have been taken is for its sender to judge.
        self._patience = patience
        # Of its own: an answer that does not end keeps a thread for as long as it likes, from nobody else.
        self._threads = ThreadPoolExecutor(_THREADS, "slack")
        self._client = WebClient(
            token, base_url=url, timeout=patience, logger=log, retry_handlers=[]
        )

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """What Slack answers to something said. SlackAway, SlackRefused."""
        return await self._in_time(method, json=arguments)

    async def look_up(self, method: str, **arguments: str) -> Mapping[str, Any]:
        """What Slack answers to a question: those it does not take as JSON. SlackAway, SlackRefused."""
        return await self._in_time(method, params=arguments)

    async def _in_time(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """The client's own patience is for each piece of an answer; this is for all of it."""
        try:
            async with asyncio.timeout(self._patience):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(
                    self._threads, partial(self._call, method, **arguments)
                )
        except TimeoutError:
            raise SlackAway(f"Slack did not answer within {self._patience} s") from None

    def _call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            answer = self._client.api_call(method, **arguments)
        except SlackApiError as error:
            raise _judged(error.response) from None
        # The client raises AttributeError of an answer that is JSON but no object.
        except (SlackClientError, HTTPException, OSError, ValueError, AttributeError) as error:
            why = f"Slack cannot be reached: {error or type(error).__name__}"
            raise SlackAway(why, heard=not _nobody_there(error)) from None
        data = answer.data
        if not isinstance(data, dict):
            raise SlackAway("Slack's answer is not JSON")
        return data


def _nobody_there(error: Exception) -> bool:
    """Whether there was no connection at all."""
    return isinstance(getattr(error, "reason", error), ConnectionRefusedError | gaierror)


def _judged(response: Any) -> Exception:
    """What an answer that is no yes means."""
    if response.status_code == 429:
        seconds = str(response.headers.get("Retry-After", response.headers.get("retry-after", "")))
        after = timedelta(seconds=int(seconds)) if seconds.isdecimal() else None
        return SlackAway("Slack wants us to wait", after)
    data = response.data if isinstance(response.data, dict) else {}
    error = str(data.get("error") or f"status {response.status_code}")
    if error in _OF_ONE:
        return SlackRefused(error)
    return SlackAway(f"Slack refuses us: {error}")
