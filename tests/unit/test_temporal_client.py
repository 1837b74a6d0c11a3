"""The data converter: as Pydantic's on the wire, and without a schema build for every workflow run."""

from datetime import UTC, datetime

from temporalio.contrib.pydantic import pydantic_data_converter

from contract.messages import CommitResult
from recipes.happenings import Actor, Decided
from temporal_client import PayloadConverter, data_converter

RESULT = CommitResult(
    lost=(Decided("t1", "approve", Actor("bob"), datetime(2026, 3, 2, 9, 30, tzinfo=UTC)),)
)


def test_reads_and_writes_what_pydantic_does() -> None:
    ours, theirs = data_converter(None).payload_converter, pydantic_data_converter.payload_converter
    [payload] = theirs.to_payloads([RESULT])
    assert ours.to_payloads([RESULT]) == [payload]
    assert ours.from_payloads([payload], [CommitResult]) == [RESULT]


def test_a_second_converter_shares_the_type_adapters_of_the_first() -> None:
    first, second = PayloadConverter(), PayloadConverter()
    assert first.converters[b"json/plain"] is second.converters[b"json/plain"]
