"""What can be read in what Temporal keeps."""

from collections.abc import Iterator

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from temporal_codec import is_sealed
from temporal_traces import HEADER


def payloads(message: Message, path: str = "") -> Iterator[tuple[str, Payload]]:
    """Every payload within, and where; but for search attributes, which are no secret."""
    if isinstance(message, Payload):
        yield path, message
        return
    for described, value in message.ListFields():
        if described.name == "search_attributes":
            continue
        many = described.message_type is not None and not isinstance(value, Message)
        entries = (
            value.items() if hasattr(value, "items") else enumerate(value if many else [value])
        )
        for key, each in entries:
            if isinstance(each, Message):
                yield from payloads(each, f"{path}.{described.name}[{key}]")


IN_CLEAR = (
    "details[data].payloads[0]",
    "details[patch-data].payloads[0]",
    f".fields[{HEADER}]",
)
"""Of markers: the name of a local activity, the id of a patch; and which trace something was told in."""


def assert_sealed(message: Message, secret: str) -> int:
    """Nothing in it can be read but what is the SDK's own and ids of traces, `secret` least of all: how many payloads are sealed."""
    assert secret.encode() not in message.SerializeToString()
    found = list(payloads(message))
    clear = [path for path, each in found if not is_sealed(each)]
    assert [path for path in clear if not path.endswith(IN_CLEAR)] == []
    return len(found) - len(clear)
