"""Which `traceparent` counts, and what is passed on."""

import pytest

from api import tracing
from contract import traces

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_trace_goes_on(header: str, sampled: bool) -> None:
    trace = tracing.begun(header.encode())
    assert (trace.trace_id, trace.parent, trace.sampled) == (TRACE, SPAN, sampled)
    assert trace.span_id != SPAN
    assert trace.traceparent == f"00-{TRACE}-{trace.span_id}-{'01' if sampled else '00'}"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
    ],
)
def test_a_trace_begins(header: str | None) -> None:
    trace = tracing.begun(None if header is None else header.encode())
    assert (trace.trace_id != TRACE, trace.parent, trace.sampled) == (True, None, False)
    assert (len(trace.trace_id), len(trace.span_id)) == (32, 16)


def test_lines_name_the_trace_that_work_is_of() -> None:
    assert traces.named(f"00-{TRACE}-{SPAN}-01") == {"trace_id": TRACE}
    assert traces.named(None) == traces.named("cc-what-comes-later") == {}
    with traces.under(f"00-{TRACE}-{SPAN}-01"):
        assert traces.named(traces.CURRENT.get()) == {"trace_id": TRACE}
    assert traces.CURRENT.get() is None
