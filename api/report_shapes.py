"""The shapes of reports: see `schemas`. Lengths are in seconds."""

from datetime import datetime

from api.shapes import Strict, example
from recipes.state import RequestState


class Cycle(Strict):
    """How many requests of a workflow ended so, and how long they took from submission to end: half of
    them `p50` at most, nine of ten `p90`."""

    workflow: str
    state: RequestState
    requests: int
    p50: float
    p90: float


class Week(Strict):
    """Requests that ended in a week, which begins on Monday, UTC. Without any there are no lengths."""

    week: datetime
    requests: int
    p50: float | None
    p90: float | None


class StepTimes(Strict):
    """How long a step was waited for until it was decided; how often a time ran out within the period,
    and how often of these it was escalated; and its tasks that are open and overdue now."""

    workflow: str
    step: str
    decided: int
    p50: float | None
    p90: float | None
    expired: int
    escalated: int
    open: int
    overdue: int


class ApproverTimes(Strict):
    """Somebody's decisions, how long they were waited for, times they let run out, those of them
    that were escalated, and what is overdue with them now."""

    person: str
    decided: int
    p50: float | None
    p90: float | None
    expired: int
    escalated: int
    overdue: int


class Report(Strict):
    """`approvers` are the hundred with most overdue tasks, then most decisions."""

    model_config = example(
        since="2026-08-31T00:00:00Z",
        until="2026-11-28T00:00:00Z",
        workflow="purchase_order",
        cycles=[
            {
                "workflow": "purchase_order",
                "state": "approved",
                "requests": 412,
                "p50": 9800.0,
                "p90": 90200.5,
            }
        ],
        weeks=[{"week": "2026-08-31T00:00:00Z", "requests": 31, "p50": 9100.0, "p90": 88000.0}],
        steps=[
            {
                "workflow": "purchase_order",
                "step": "manager",
                "decided": 380,
                "p50": 4100.0,
                "p90": 40000.0,
                "expired": 7,
                "escalated": 5,
                "open": 12,
                "overdue": 2,
            }
        ],
        approvers=[
            {
                "person": "bob",
                "decided": 95,
                "p50": 2600.0,
                "p90": 31000.0,
                "expired": 1,
                "escalated": 1,
                "overdue": 2,
            }
        ],
    )
    since: datetime
    until: datetime
    workflow: str | None
    cycles: list[Cycle]
    weeks: list[Week]
    steps: list[StepTimes]
    approvers: list[ApproverTimes]
