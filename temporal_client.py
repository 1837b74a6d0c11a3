"""The connection to Temporal: one data converter for everyone who reads or writes histories."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


async def connect(
    address: str, namespace: str, *, lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """A client. With `lazy` it connects at the first call, so that its owner starts without Temporal."""
    return await Client.connect(
        address,
        namespace=namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
        runtime=runtime,
    )


def metered(bind: str) -> Runtime:
    """A runtime that serves the SDK's own Prometheus metrics at `bind`, host:port."""
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=bind)))
