"""The shapes of evidence, as the OpenAPI page shows them. Hashes are hex."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from api.shapes import Strict, example
from contract.verifying import Kind
from recipes.model import Json

_ROOT = "f2d26ad2e1792f5c345e463d9a6c41e1bc56fd260d9d3cf9b106c5bd595f25fc"
_REQUEST_ID = "7d4a0f0c-9a53-4f5e-8a53-0c1d7f1e2b34"
_CHECKPOINT: dict[str, Json] = {
    "number": 311,
    "size": 1207,
    "root": _ROOT,
    "sealed_at": "2026-11-27T19:00:00.000000Z",
    "note": "countersign.example.org/audit\n1207\n8tJq0uF5L1w...\ntime 2026-11-27T19:00:00.000000Z\n\n"
    "\N{EM DASH} countersign.example.org/audit x08go/ZJkuBS9UG...\n",
}


class SignedCheckpoint(Strict):
    """The size and the root of the audit tree at a moment; `note` is all of it, as it was signed."""

    model_config = example(**_CHECKPOINT)
    number: int
    size: int
    root: str
    sealed_at: datetime
    note: str


class CheckpointPage(Strict):
    items: list[SignedCheckpoint]
    next_cursor: str | None


class Consistency(Strict):
    """That the tree of the checkpoint goes on from that of `size`: the hashes of RFC 6962, 2.1.2."""

    size: int
    hashes: list[str]


class AuditProof(Strict):
    """That an audit row is in the tree of the checkpoint: its leaf's number and hash, and the hashes
    beside its way up (RFC 6962, 2.1.1)."""

    model_config = example(
        request_id=_REQUEST_ID,
        seq=3,
        leaf=1190,
        leaf_hash=_ROOT,
        inclusion=[_ROOT],
        consistency={"size": 1100, "hashes": [_ROOT]},
        checkpoint=_CHECKPOINT,
    )
    request_id: UUID
    seq: int
    leaf: int
    leaf_hash: str
    inclusion: list[str]
    consistency: Consistency | None
    checkpoint: SignedCheckpoint


class AuditFinding(Strict):
    """Something that is wrong. `since`: when it was sealed as it should be."""

    kind: Kind
    what: str
    request_id: UUID | None
    seq: int | None
    leaf: int | None
    since: datetime | None


class AuditVerified(Strict):
    """What came of reading a request's rows again and calculating them again. `signed` is false where
    this API has no public key: then signatures, and so the tree, were not looked at."""

    model_config = example(
        request_id=_REQUEST_ID,
        rows=7,
        size=1207,
        sealed_at="2026-11-27T19:00:00.000000Z",
        signed=True,
        verdict="holds",
        findings=[],
    )
    request_id: UUID
    rows: int
    size: int
    sealed_at: datetime | None
    signed: bool
    verdict: Literal["holds", "findings"]
    findings: list[AuditFinding]
