"""The connection to Temporal: one data converter for everyone who reads or writes histories."""

from collections.abc import Sequence

from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from storage.pool import Source
from temporal_codec import Codec, FailureConverter, Keyring
from temporal_traces import Traces

_JSON = PydanticJSONPlainPayloadConverter()


class PayloadConverter(CompositePayloadConverter):
    """Pydantic's JSON, with type adapters made once a process.

    The SDK makes a payload converter for every workflow run. Pydantic's own keeps its type adapters
    to itself, and so builds those of our messages anew for every request: 7 ms of processor each.
    """

    def __init__(self) -> None:
        super().__init__(
            *(
                _JSON if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


def data_converter(source: "Source | None") -> DataConverter:
    """Seals what is of requests with their keys, which come from `source`. Without one nothing is sealed
    and nothing opened."""
    return DataConverter(
        payload_converter_class=PayloadConverter,
        payload_codec=None if source is None else Codec(Keyring(source)),
        failure_converter_class=FailureConverter,
    )


async def connect(
    address: str,
    namespace: str,
    source: "Source | None",
    *,
    lazy: bool = False,
    runtime: Runtime | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """A client. With `lazy` it connects at the first call, so that its owner starts without Temporal.

    None for `source` is for those who look at histories from outside: nobody tells Temporal anything of a
    request without its keys.
    """
    return await Client.connect(
        address,
        namespace=namespace,
        data_converter=data_converter(source),
        lazy=lazy,
        runtime=runtime,
        interceptors=[Traces(), *interceptors],
    )


def metered(bind: str) -> Runtime:
    """A runtime that serves the SDK's own Prometheus metrics at `bind`, host:port; named as ours are, in seconds."""
    config = PrometheusConfig(
        bind_address=bind, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    return Runtime(telemetry=TelemetryConfig(metrics=config))
