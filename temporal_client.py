"""The connection to Temporal: one data converter for everyone who reads or writes histories."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


async def connect(
    address: str, namespace: str, *, lazy: bool = False, metrics_bind: str | None = None
) -> Client:
    """A client. With `lazy` it connects at the first call, so that its owner starts without Temporal.

    `metrics_bind` (host:port) serves the SDK's own Prometheus metrics there.
    """
    runtime = None
    if metrics_bind is not None:
        metrics = PrometheusConfig(bind_address=metrics_bind)
        runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))
    return await Client.connect(
        address,
        namespace=namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
        runtime=runtime,
    )
