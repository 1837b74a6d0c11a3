"""How long bodies may be, by path."""

import re

from starlette.types import Message, Receive

from api import errors
from contract.files import LARGEST_FILE

LARGEST_BODY = 1024 * 1024
_LARGER = {
    "/v1/org/import": 64 * 1024 * 1024,
    "/v1/imports": 64 * 1024 * 1024,
    "/codec/decode": 8 * 1024 * 1024,
}
"""By path: files of a whole company's people or past, for administrators alone; and what Temporal keeps,
where a single payload may have 2 MiB."""
_FILE = re.compile(r"/v1/requests/[^/]+/attachments")
_FORM = re.compile(r"/requests/[^/]+/files")
"""A page's form that brings a file, and little else."""


def largest(path: str) -> int:
    """How many bytes a body may have there."""
    if _FORM.fullmatch(path):
        return LARGEST_FILE + 64 * 1024
    return LARGEST_FILE if _FILE.fullmatch(path) else _LARGER.get(path, LARGEST_BODY)


def limited(receive: Receive, most: int) -> Receive:
    """`receive`, counting: a body that never said its length is refused when it gets too long."""
    received = 0

    async def receiving() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > most:
                raise too_large(most)
        return message

    return receiving


def too_large(most: int) -> errors.Problem:
    return errors.Problem(413, "too_large", f"a body has at most {most} bytes")
