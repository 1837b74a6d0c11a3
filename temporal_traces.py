"""Traces through Temporal, as headers: what is told of a request carries the trace of the call it came from, and
what a worker does then says in its log of which request, and in which trace.

Headers change nothing in how histories are replayed: those without any go on as they did.
"""

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar, cast

from structlog.contextvars import bind_contextvars
from temporalio import activity, client, worker
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter
from temporalio.workflow import ActivityHandle
from typing_extensions import override

from contract import traces
from contract.names import WORKFLOW_TYPE

HEADER = "countersign-traceparent"
_CONVERTER = PayloadConverter.default
_Input = TypeVar(
    "_Input",
    client.StartWorkflowInput,
    client.SignalWorkflowInput,
    worker.StartActivityInput,
    worker.StartLocalActivityInput,
    worker.ContinueAsNewInput,
)


class Traces(client.Interceptor, worker.Interceptor):
    """For clients of Temporal, and through them for workers."""

    @override
    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        return _Telling(next)

    @override
    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        return _Doing(next)

    @override
    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor] | None:
        return _Carrying


class _Telling(client.OutboundInterceptor):
    """Starts and signals say the trace that they are told in."""

    @override
    async def start_workflow(
        self, input: client.StartWorkflowInput
    ) -> client.WorkflowHandle[Any, Any]:
        return await super().start_workflow(_with(input, traces.CURRENT.get()))

    @override
    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        await super().signal_workflow(_with(input, traces.CURRENT.get()))


class _Doing(worker.ActivityInboundInterceptor):
    """Lines of an activity's task name its request and its trace, also those of the SDK once it has failed: nothing
    is taken back, since the task ends with it."""

    @override
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.workflow_type == WORKFLOW_TYPE:
            bind_contextvars(request_id=info.workflow_id)
        traceparent = _said(input.headers)
        bind_contextvars(**traces.named(traceparent))
        with traces.under(traceparent):
            return await super().execute_activity(input)


class _Carrying(worker.WorkflowInboundInterceptor):
    """A workflow's activities are of the trace that it was told in last."""

    def __init__(self, next: worker.WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.traceparent: str | None = None

    @override
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Handing(outbound, self))

    @override
    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:
        # Signals are handled before the workflow begins to run.
        self.traceparent = self.traceparent or _said(input.headers)
        return await super().execute_workflow(input)

    @override
    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        self.traceparent = _said(input.headers)
        await super().handle_signal(input)


class _Handing(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, carrying: _Carrying) -> None:
        super().__init__(next)
        self._carrying = carrying

    @override
    def start_activity(self, input: worker.StartActivityInput) -> ActivityHandle[Any]:
        return super().start_activity(_with(input, self._carrying.traceparent))

    @override
    def start_local_activity(self, input: worker.StartLocalActivityInput) -> ActivityHandle[Any]:
        return super().start_local_activity(_with(input, self._carrying.traceparent))

    @override
    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:
        super().continue_as_new(_with(input, self._carrying.traceparent))


def _with(input: _Input, traceparent: str | None) -> _Input:
    if traceparent is not None:
        input.headers = {**input.headers, HEADER: _CONVERTER.to_payload(traceparent)}
    return input


def _said(headers: Mapping[str, Payload]) -> str | None:
    payload = headers.get(HEADER)
    return None if payload is None else cast("str", _CONVERTER.from_payload(payload, str))
