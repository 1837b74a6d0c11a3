"""Work that says all it was given, wherever it can: what COUNTERSIGN_JOBS names in test_canary.py."""

from activities.registry import Call, Refused, job
from recipes.model import Json


@job("echo_at_last")
async def echo_at_last(call: Call) -> Json:
    """Fails once, and gives back what it was given."""
    call.log(f"was given {call.inputs}")
    if call.attempt == 1:
        raise ConnectionError(f"could not do it yet: {call.inputs}")
    return dict(call.inputs)


@job("break_down")
def break_down(call: Call) -> Json:
    raise ValueError(f"cannot do it at all: {call.inputs}")


@job("refuse_once")
async def refuse_once(call: Call) -> Json:
    """Is an incident first, and done when it is retried."""
    if not call.again:
        raise Refused(f"will not do it: {call.inputs}")
    return call.inputs["text"]
