"""What the API answers about the past: imports of it, what a rule decided, recalls. See `schemas`."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.org_shapes import FileWarning
from api.shapes import Strict, example
from recipes.model import Json
from recipes.state import RequestState

_IMPORT: dict[str, Json] = {
    "id": "0d7b0f7e-9f0f-4d8e-8f52-6f3a7a4a5c11",
    "source": "hr-portal",
    "sha256": "4e7c1c0a0f2fd1a9e3d1a3a9f7c0b1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718",
    "imported_by": "oscar",
    "imported_at": "2026-11-27T20:00:00Z",
    "requests": 5000,
    "decisions": 6120,
    "already": 0,
    "warnings": [{"message": "not in the directory: zoe"}],
    "dry_run": False,
    "again": False,
}


class HistoryImport(Strict):
    """What was imported of a file, or with `dry_run` would be. `already` were there by another file;
    `again`: this file was imported before, and nothing is different now. The first 100 `warnings`."""

    model_config = example(**_IMPORT)
    id: UUID | None
    source: str
    sha256: str
    imported_by: str
    imported_at: datetime | None
    requests: int
    decisions: int
    already: int
    warnings: list[FileWarning]
    dry_run: bool
    again: bool


class HistoryImportPage(Strict):
    model_config = example(items=[_IMPORT], next_cursor=None)
    items: list[HistoryImport]
    next_cursor: str | None


_DECIDED: dict[str, Json] = {
    "id": "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
    "title": "A box of pens",
    "requester": "alice",
    "inputs": {"amount": 99, "currency": "EUR"},
    "state": "approved",
    "created_at": "2026-11-26T23:10:00Z",
    "decided_at": "2026-11-26T23:10:01Z",
    "recall_id": None,
    "withheld": [],
}
_RECALL_ID = "5a0f9d8a-8f3e-4a48-9a4c-9e6a4f0d2c77"


class DecidedByRule(Strict):
    """A request that the rule decided; `recall_id` if it was recalled."""

    id: UUID
    title: str
    requester: str
    inputs: dict[str, Any]
    state: RequestState
    created_at: datetime
    decided_at: datetime
    recall_id: UUID | None
    withheld: list[str]


class ImpactGroup(Strict):
    """Those whose input has that `value` (null: none has, or nothing to group by was named): how many,
    and the exact sum of the input that was to be added up (null: no numbers)."""

    value: str | None
    requests: int
    sum: str | None


class Impact(Strict):
    """What a rule decided: how many `requests`, of which `recalled`; `in_flight` on the version, which
    it may yet decide. What it decided in `deleted_months`, whose time was over, is not counted. Up to 100
    `groups`, the largest first."""

    model_config = example(
        workflow="purchase_order",
        version=4,
        step="auto_approve_small",
        rule="amount < 100",
        action="approve",
        requests=1,
        recalled=0,
        first_at="2026-11-26T23:10:01Z",
        last_at="2026-11-26T23:10:01Z",
        in_flight=0,
        deleted_months=[],
        groups=[{"value": "EUR", "requests": 1, "sum": "99"}],
        items=[_DECIDED],
        next_cursor=None,
    )
    workflow: str
    version: int
    step: str
    rule: str | None
    action: str
    requests: int
    recalled: int
    first_at: datetime | None
    last_at: datetime | None
    in_flight: int
    deleted_months: list[str]
    groups: list[ImpactGroup]
    items: list[DecidedByRule]
    next_cursor: str | None


class RecallCounts(Strict):
    waiting: int
    recalled: int
    refused: int


_RECALL: dict[str, Json] = {
    "id": _RECALL_ID,
    "workflow": "purchase_order",
    "version": 4,
    "step": "auto_approve_small",
    "since": "2026-11-26T18:00:00Z",
    "until": None,
    "where": "amount < 100",
    "review_workflow": "purchase_review",
    "review_version": 1,
    "reason": "50,000 micro-purchases of one night",
    "begun_by": "oscar",
    "begun_at": "2026-11-27T08:00:00Z",
    "finished_at": None,
    "counts": {"waiting": 49900, "recalled": 98, "refused": 2},
}


class Recall(Strict):
    """A recall and how far it is. Without `review_workflow` requests are marked and nothing else."""

    model_config = example(**_RECALL)
    id: UUID
    workflow: str
    version: int
    step: str
    since: datetime | None
    until: datetime | None
    where: str | None
    review_workflow: str | None
    review_version: int | None
    reason: str
    begun_by: str
    begun_at: datetime
    finished_at: datetime | None
    counts: RecallCounts


class RecallPage(Strict):
    model_config = example(items=[_RECALL], next_cursor=None)
    items: list[Recall]
    next_cursor: str | None


class RecallVerdict(Strict):
    """What would become of one request: `possible`, `refused` because of `detail`, or `withheld`: not
    tried, because something of it is confidential and not for the caller."""

    request_id: UUID
    title: str
    requester: str
    outcome: Literal["possible", "refused", "withheld"]
    detail: str | None
    withheld: list[str]


class RecallPlan(Strict):
    """Of a dry run: how many `requests` the rule decided, how many of them are `recalled` already, and
    verdicts for the first of the rest, counted."""

    model_config = example(
        workflow="purchase_order",
        version=4,
        step="auto_approve_small",
        requests=1,
        recalled=0,
        in_flight=0,
        deleted_months=[],
        counts={"possible": 1},
        items=[
            {
                "request_id": "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34",
                "title": "A box of pens",
                "requester": "alice",
                "outcome": "possible",
                "detail": None,
                "withheld": [],
            }
        ],
    )
    workflow: str
    version: int
    step: str
    requests: int
    recalled: int
    in_flight: int
    deleted_months: list[str]
    counts: dict[str, int]
    items: list[RecallVerdict]


class RecalledRequest(Strict):
    """What has become of one request: `reopened_as` asks people; `detail` says why it was refused."""

    request_id: UUID
    title: str
    requester: str
    state: Literal["waiting", "recalled", "refused"]
    reopened_as: UUID | None
    detail: str | None
    settled_at: datetime | None
    withheld: list[str]


class RecalledPage(Strict):
    items: list[RecalledRequest]
    next_cursor: str | None
