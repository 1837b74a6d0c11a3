"""What Temporal keeps of requests: payloads that only the keys of their request open.

A payload is compressed where that makes it smaller, and sealed under the request's strictest key. Its
metadata say so, and name the key: `encoding: binary/countersign`, `key: <request id>:<scope>`. A workflow of
a request has the request's id, so the SDK's serialization contexts tell whose a payload is. What is of
no request (chores, schedules), or of one from before there were keys, stays as it is; both are read.

Codecs run on the event loop of their worker or client, outside the workflow's thread and its deadlock
timer. So they may wait for Postgres, but not for long: see PATIENCE.
"""

import asyncio
import zlib
from collections.abc import Sequence
from uuid import UUID

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    DefaultFailureConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from typing_extensions import override

from contract import boxes
from contract.boxes import CannotOpen, Keys, Scope
from storage.errors import UNAVAILABLE
from storage.pool import Source, vault_of

ENCODING = b"binary/countersign"
PATIENCE = 4.0
"""Seconds that a key is waited for while Postgres is away. A workflow task has 10. One that has to give up
seals its failure, too, and waits again for that; within its time it says why, and Temporal repeats it at
once. Of one that overran or failed several times Temporal makes longer and longer pauses, up to 10 minutes."""
_PAUSE = 0.2
_REMEMBERED = 10_000
_FAST = 1
"""Of zlib's levels: a recipe and a state shrink to less than half; the others take longer for little more."""
_PLAIN, _COMPRESSED = b"\x00", b"\x01"


class KeysAway(ConnectionError):
    """The keys of a request could not be read in time: Postgres is away. Trying again later helps."""


def sealed(payload: Payload, keys: Keys) -> Payload:
    """The payload as Temporal is to keep it."""
    plain = payload.SerializeToString()
    small = zlib.compress(plain, _FAST)
    content = _COMPRESSED + small if len(small) < len(plain) else _PLAIN + plain
    scope = keys.strictest
    name = f"{keys.request_id}:{scope}".encode()
    return Payload(
        metadata={"encoding": ENCODING, "key": name}, data=boxes.seal(keys, scope, content)
    )


def opened(payload: Payload, keys: Keys) -> Payload:
    """The payload as it was before it was sealed. CannotOpen if it wasn't with one of these keys, or is
    damaged."""
    request_id, scope = key_of(payload)
    if request_id != keys.request_id:
        raise CannotOpen(f"this payload is of {request_id}, not of {keys.request_id}")
    content = boxes.open_box(keys, scope, payload.data)
    plain = content[1:] if content[:1] == _PLAIN else zlib.decompress(content[1:])
    return Payload.FromString(plain)


def is_sealed(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def key_of(payload: Payload) -> tuple[UUID, Scope]:
    """The request and the scope whose key a sealed payload names. CannotOpen if it names none."""
    request_id, _, scope = payload.metadata.get("key", b"").decode(errors="replace").partition(":")
    try:
        found = UUID(request_id)
    except ValueError:
        found = None
    if found is None or scope not in ("shared", "confidential"):
        raise CannotOpen("this payload does not name the key it was sealed with")
    return found, "shared" if scope == "shared" else "confidential"


class Keyring:
    """The keys of the requests that a process carries out, or tells Temporal of."""

    def __init__(self, source: Source, patience: float = PATIENCE) -> None:
        self._source = source
        self._vault = vault_of(source)
        self._patience = patience
        self._without: dict[UUID, None] = {}

    async def of(self, request_id: UUID) -> Keys | None:
        """None if the request has none. KeysAway if Postgres stays away; RegionKeyMissing."""
        if request_id in self._without:
            return None
        keys = await self._read(request_id)
        if keys is None:  # nor will it ever have any; the vault remembers those that have
            if len(self._without) >= _REMEMBERED:
                self._without.pop(next(iter(self._without)))
            self._without[request_id] = None
        return keys

    async def _read(self, request_id: UUID) -> Keys | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            try:
                async with asyncio.timeout_at(until):
                    return await self._vault.writing(self._source, request_id)
            except UNAVAILABLE as error:
                if loop.time() + _PAUSE > until:
                    what = f"the keys of {request_id} could not be read within {self._patience:g} s"
                    raise KeysAway(f"{what}: Postgres is away") from error
                await asyncio.sleep(_PAUSE)


class Codec(PayloadCodec, WithSerializationContext):
    """Seals the payloads of the request that its context is about; opens those of any."""

    def __init__(self, keyring: Keyring, request_id: UUID | None = None) -> None:
        self._keyring = keyring
        self._request_id = request_id

    @override
    def with_context(self, context: SerializationContext) -> "Codec":
        return Codec(self._keyring, request_of(context))

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        keys = None if self._request_id is None else await self._keyring.of(self._request_id)
        return list(payloads) if keys is None else [sealed(each, keys) for each in payloads]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [await self._open(each) if is_sealed(each) else each for each in payloads]

    async def _open(self, payload: Payload) -> Payload:
        request_id, _ = key_of(payload)
        if self._request_id not in (None, request_id):
            raise CannotOpen(
                f"a payload of {request_id} stands in the history of {self._request_id}"
            )
        keys = await self._keyring.of(request_id)
        if keys is None:
            raise CannotOpen(f"the keys of {request_id} are not there any more: it was erased")
        return opened(payload, keys)


class FailureConverter(DefaultFailureConverter, WithSerializationContext):
    """Failures whose texts are payloads, which the codec seals; those of chores stay readable in the Web UI."""

    def __init__(self, *, encode_common_attributes: bool = True) -> None:
        super().__init__(encode_common_attributes=encode_common_attributes)

    @override
    def with_context(self, context: SerializationContext) -> "FailureConverter":
        return FailureConverter(encode_common_attributes=request_of(context) is not None)


def request_of(context: SerializationContext) -> UUID | None:
    """The request that a context is about. Ids of chores are names."""
    match context:
        case WorkflowSerializationContext() | ActivitySerializationContext():
            try:
                return UUID(context.workflow_id or "")
            except ValueError:
                return None
        case _:
            return None
