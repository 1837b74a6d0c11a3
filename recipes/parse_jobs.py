"""Reads automatic steps, of a course and of callbacks: `task`, `wait` and `notify`."""

from collections.abc import Mapping

from recipes.draft import Placed
from recipes.fields import Fields
from recipes.inputs import schema_problems
from recipes.model import (
    JOB_TIMEOUT,
    Callback,
    JobStep,
    Json,
    NotifyStep,
    OnFailure,
    Retry,
    WaitStep,
)
from recipes.source import Entries, Items, Scalar, below, plain

TASK_KEYS = ("run", "with", "retry", "timeout", "on_failure", "output")
WAIT_KEYS = ("for", "until")
NOTIFY_KEYS = ("to", "message")
CALLBACK_KEYS = ("on_approved", "on_rejected", "on_cancelled", "on_expired")
ATTEMPTS_LIMIT = 1_000
CALLBACK_LIMIT = 50
_COMMON = ("id", "name", "when", "type")
_RETRY = Retry()
_ON_FAILURE: Mapping[str, OnFailure] = {
    "incident": "incident",
    "reject": "reject",
    "continue": "continue",
}


def read_job(fields: Fields, step_id: str, name: str | None, when: str | None) -> JobStep:
    """A step of `type: task`, as far as it can be understood."""
    return JobStep(
        id=step_id,
        run=fields.identifier("run") or "",
        inputs=_inputs(fields),
        retry=_retry(fields),
        timeout=fields.seconds("timeout") or JOB_TIMEOUT,
        on_failure=fields.choice("on_failure", _ON_FAILURE) or "incident",
        output=_output(fields),
        name=name,
        when=when,
    )


def read_wait(fields: Fields, step_id: str, name: str | None, when: str | None) -> WaitStep:
    keys = [key for key in WAIT_KEYS if fields.node(key) is not None]
    if not keys:
        fields.error("", "waits for nothing", "add `for: 2d`, or `until: inputs.from`")
    elif len(keys) > 1:
        fields.error("until", "comes beside `for`", "keep one of them")
    seconds, until = fields.duration("for"), fields.text("until")
    return WaitStep(step_id, seconds, until, name, when)


def read_notify(fields: Fields, step_id: str, name: str | None, when: str | None) -> NotifyStep:
    fields.required("to", 'add `to: "user:{{ request.requester }}"`, or a role')
    fields.required("message", "say what they are told")
    return NotifyStep(step_id, fields.texts("to"), fields.text("message") or "", name, when)


def read_callbacks(fields: Fields) -> dict[str, tuple[Placed, ...]]:
    """What is done after the end, by the key."""
    return {key: tuple(_callbacks(fields, key)) for key in CALLBACK_KEYS}


def _callbacks(fields: Fields, key: str) -> list[Placed]:
    node = fields.node(key)
    if node is None:
        return []
    if not isinstance(node, Items) or not node.items:
        fix = "begin each with `- id: its_name` and `run` or `message`"
        fields.error(key, "must be a list of tasks and notifications", fix)
        return []
    if len(node.items) > CALLBACK_LIMIT:
        message = f"lists {len(node.items)}; {CALLBACK_LIMIT} are the most"
        fields.error(key, message, "do more in one task")
    found: list[Placed] = []
    for index, item in enumerate(node.items):
        path = below(below(fields.path, key), index)
        if isinstance(item, Entries):
            step = _callback(Fields(item, path, fields.book))
            found += [Placed(path, step, ())] if step is not None else []
        else:
            fields.book.error(path, "must be a task or a notification", "write `run: ...`")
    return found


def _callback(fields: Fields) -> Callback | None:
    looks = "notify" if fields.node("message") is not None else "task"
    kind = fields.choice("type", {"task": "task", "notify": "notify"}) or looks
    step_id, name = fields.identifier("id") or "", fields.text("name")
    when = fields.expression("when")
    if kind == "notify":
        fields.known((*_COMMON, *NOTIFY_KEYS), "a notification")
        return read_notify(fields, step_id, name, when)
    fields.known((*_COMMON, *TASK_KEYS), "a task after the end")
    step = read_job(fields, step_id, name, when)
    if step.on_failure == "reject":
        message = "has no effect: the request has ended by then"
        fields.error("on_failure", message, "write `incident` or `continue`")
    return step


# --- the keys of a task ---------------------------------------------------------------------------


def _inputs(fields: Fields) -> dict[str, Json]:
    node = fields.node("with")
    if node is None:
        return {}
    if not isinstance(node, Entries):
        fields.error("with", "must name the function's inputs", "write `name: value`")
        return {}
    inputs: dict[str, Json] = plain(node)
    return inputs


def _retry(fields: Fields) -> Retry:
    """`retry: 3`, or how often, when first and how late at most."""
    node = fields.node("retry")
    if node is None:
        return Retry()
    if not isinstance(node, Entries):
        return Retry(attempts=_attempts(fields, "retry"))
    inner = Fields(node, below(fields.path, "retry"), fields.book)
    inner.known(("attempts", "first", "most"), "retry")
    attempts = _RETRY.attempts if inner.node("attempts") is None else _attempts(inner, "attempts")
    first, most = inner.seconds("first"), inner.seconds("most")
    first = first or min(_RETRY.first, most or _RETRY.first)
    if most is not None and most < first:
        inner.error("most", "is shorter than `first`", "make it longer, or leave it out")
    return Retry(attempts, first, most or max(_RETRY.most, first))


def _attempts(fields: Fields, key: str) -> int:
    node = fields.node(key)
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= ATTEMPTS_LIMIT:
        return value
    fix = f"write a number from 1 (it is not tried again) to {ATTEMPTS_LIMIT:,}"
    fields.error(key, "is no number of attempts", fix)
    return _RETRY.attempts


def _output(fields: Fields) -> dict[str, Json] | None:
    node = fields.node("output")
    if node is None:
        return None
    if not isinstance(node, Entries):
        fields.error("output", "must be a JSON Schema", "write `type: object` and `properties`")
        return None
    schema: dict[str, Json] = plain(node)
    for path, message in schema_problems(schema):
        place = below(fields.path, "output")
        for part in path:
            place = below(place, part)
        fields.book.error(place, message, "correct the JSON Schema")
    return schema
