"""W3C trace context: the trace that a call belongs to, taken from its `traceparent` or begun here."""

import re
import secrets
from dataclasses import dataclass

TRACEPARENT = b"traceparent"
_SPELLING = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_NONE = frozenset({"0" * 32, "0" * 16})


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace, and our span in it: what we do for one call. `parent` is the caller's span, if it said one."""

    trace_id: str
    span_id: str
    parent: str | None
    sampled: bool

    @property
    def traceparent(self) -> str:
        """What whoever we call is told."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def callers(self) -> str | None:
        """What the caller said, if it said what counts."""
        flags = "01" if self.sampled else "00"
        return None if self.parent is None else f"00-{self.trace_id}-{self.parent}-{flags}"


def begun(traceparent: bytes | None) -> Trace:
    """Our span of the trace that a header says; of one of its own if there is none, or none that counts."""
    said = None if traceparent is None else _SPELLING.fullmatch(traceparent)
    span = secrets.token_hex(8)
    # Version 00 has nothing behind its flags; later ones may.
    if said is None or (traceparent is not None and traceparent[:2] == b"00" and said["more"]):
        return Trace(secrets.token_hex(16), span, None, sampled=False)
    trace_id, parent = said["trace"].decode(), said["span"].decode()
    if trace_id in _NONE or parent in _NONE:
        return Trace(secrets.token_hex(16), span, None, sampled=False)
    return Trace(trace_id, span, parent, sampled=bool(int(said["flags"], 16) & 1))
