"""Payloads under the keys of their request: what is sealed, what stays as it is, and what is refused."""

import asyncio
import secrets
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    ActivitySerializationContext,
    SerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError
from typing_extensions import override

import temporal_codec
from contract.boxes import CannotOpen, Keys
from storage.pool import Source
from temporal_client import PayloadConverter
from temporal_codec import Codec, FailureConverter, Keyring, KeysAway
from tests.keeper import Keeper, make_keys

SECRET = "a salary of 84,000"


def payload(text: str = SECRET) -> Payload:
    [made] = PayloadConverter().to_payloads([{"why": text}])
    return made


def workflow(workflow_id: str) -> SerializationContext:
    return WorkflowSerializationContext("default", workflow_id)


def activity(workflow_id: str | None) -> SerializationContext:
    return ActivitySerializationContext("default", "1", "job", None, workflow_id, None, False)


@pytest.mark.parametrize("private", [False, True])
def test_it_is_sealed_under_the_strictest_key_and_opened(private: bool) -> None:
    keys = make_keys(private=private)
    sealed = temporal_codec.sealed(payload(), keys)
    scope = "confidential" if private else "shared"
    assert sealed.metadata == {
        "encoding": b"binary/countersign",
        "key": f"{keys.request_id}:{scope}".encode(),
    }
    assert SECRET.encode() not in sealed.SerializeToString()
    assert temporal_codec.opened(sealed, keys) == payload()


def test_what_gets_smaller_is_compressed() -> None:
    keys = make_keys()
    long, random = payload("again and again " * 1000), payload(secrets.token_hex(8))
    assert temporal_codec.sealed(long, keys).ByteSize() < long.ByteSize() / 10
    for each in (long, random):
        assert temporal_codec.opened(temporal_codec.sealed(each, keys), keys) == each


@pytest.mark.parametrize("key", [b"", b"nonsense:shared", b"%s:secret", b"\xff:shared"])
def test_a_payload_that_names_no_key_is_refused(key: bytes) -> None:
    keys = make_keys()
    sealed = temporal_codec.sealed(payload(), keys)
    sealed.metadata["key"] = key.replace(b"%s", str(keys.request_id).encode())
    with pytest.raises(CannotOpen, match="does not name the key"):
        temporal_codec.opened(sealed, keys)
    del sealed.metadata["key"]
    with pytest.raises(CannotOpen, match="does not name the key"):
        temporal_codec.opened(sealed, keys)
    assert "key" not in sealed.metadata


def test_a_payload_that_was_changed_or_is_of_another_request_is_refused() -> None:
    keys = make_keys()
    sealed = temporal_codec.sealed(payload(), keys)
    with pytest.raises(CannotOpen, match=f"of {keys.request_id}, not of"):
        temporal_codec.opened(sealed, make_keys())
    damaged = Payload(metadata=sealed.metadata, data=sealed.data[:-1] + b"?")
    with pytest.raises(CannotOpen, match="damaged"):
        temporal_codec.opened(damaged, keys)


async def test_payloads_of_a_request_with_keys_and_no_others_are_sealed() -> None:
    keys = make_keys()
    codec = Codec(Keyring(Keeper({keys.request_id: keys}).source))
    for context in (workflow(str(keys.request_id)), activity(str(keys.request_id))):
        [sealed] = await codec.with_context(context).encode([payload()])
        assert temporal_codec.is_sealed(sealed)
        assert await codec.decode([sealed, payload("clear")]) == [payload(), payload("clear")]
    others = (workflow("sweep"), workflow(str(uuid4())), activity(None), activity("sweep"))
    for context in others:
        assert await codec.with_context(context).encode([payload()]) == [payload()]
    assert await codec.encode([payload()]) == [payload()]


async def test_a_payload_in_the_history_of_another_request_is_refused() -> None:
    one, other = make_keys(), make_keys()
    codec = Codec(Keyring(Keeper({keys.request_id: keys for keys in (one, other)}).source))
    sealed = temporal_codec.sealed(payload(), one)
    with pytest.raises(CannotOpen, match=f"of {one.request_id} .* history of {other.request_id}"):
        await codec.with_context(workflow(str(other.request_id))).decode([sealed])


async def test_a_destroyed_key_is_a_clear_error() -> None:
    keys = make_keys()
    codec = Codec(Keyring(Keeper({}).source))
    with pytest.raises(CannotOpen, match=f"keys of {keys.request_id} .* erased"):
        await codec.decode([temporal_codec.sealed(payload(), keys)])


async def test_postgres_away_for_a_moment_is_waited_for() -> None:
    keys = make_keys()
    away: list[Exception] = [ConnectionRefusedError("no"), TimeoutError()]
    keeper = Keeper({keys.request_id: keys}, away)
    assert await Keyring(keeper.source).of(keys.request_id) == keys
    assert keeper.asked == 3


async def test_postgres_away_for_longer_is_a_clear_error_in_time() -> None:
    request_id = uuid4()

    class Silent(Keeper):
        @override
        async def writing(self, _: Source, request_id: UUID) -> Keys | None:
            await asyncio.Event().wait()
            raise AssertionError(request_id)

    refused = Keeper({}, [ConnectionRefusedError("no") for _ in range(100)])
    for keeper in (refused, Silent({})):
        with pytest.raises(KeysAway, match=f"keys of {request_id} .* within 0.3 s: Postgres"):
            await Keyring(keeper.source, 0.3).of(request_id)


async def test_that_a_request_has_no_keys_is_asked_once() -> None:
    keeper, request_id = Keeper({}), uuid4()
    keyring = Keyring(keeper.source)
    assert [await keyring.of(request_id) for _ in range(3)] == [None, None, None]
    assert keeper.asked == 1


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, "Encoded failure"),
        (workflow(str(uuid4())), "Encoded failure"),
        (activity(str(uuid4())), "Encoded failure"),
        (workflow("sweep"), SECRET),
    ],
)
def test_texts_of_failures_of_requests_are_payloads(
    context: SerializationContext | None, message: str
) -> None:
    converter = FailureConverter()
    if context is not None:
        converter = converter.with_context(context)
    failure = Failure()
    error = ApplicationError(SECRET, 3, type="Refused", non_retryable=True)
    converter.to_failure(error, PayloadConverter(), failure)
    assert failure.message == message
    assert (failure.application_failure_info.type, failure.stack_trace) == ("Refused", "")
    back: Any = FailureConverter().from_failure(failure, PayloadConverter())
    assert (back.message, back.details, back.non_retryable) == (SECRET, (3,), True)
