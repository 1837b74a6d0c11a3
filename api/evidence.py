"""The audit as evidence: signed checkpoints, proofs, and whether a request's rows hold. For auditors."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api import audit_shapes, errors
from api.auth import Caller
from api.http import Route, answer, page, read_cursor
from api.services import caller_of, services
from api.tasks import Cursor, Limit
from contract import merkle, notes
from contract.canonical import timestamp
from contract.notes import KeyInvalid, PublicKey
from recipes.model import Json
from storage import evidence, proving, sealing
from storage.evidence import Scope
from storage.sealing import Sealed

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=Route)

Value = TypeVar("Value")
Place = Annotated[UUID | None, Query(alias="request", description="Of which request.")]


@router.get(
    "/checkpoints", response_model=audit_shapes.CheckpointPage, summary="Signed checkpoints"
)
async def list_checkpoints(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """How large the tree of all audit rows was, and its root, the newest first. For administrators and
    auditors."""
    _auditor(await caller_of(request))
    before = 2**62 if cursor is None else read_cursor(cursor, "number")[0]
    if not 0 <= before < 2**63:
        raise errors.invalid_parameter("cursor", "is not one that this list gave")
    found = await sealing.checkpoints(services(request).pool, limit + 1, before)
    return page([_checkpoint(each) for each in found], limit, lambda item: [item["number"]])


@router.get("/proof", response_model=audit_shapes.AuditProof, summary="Prove that a row is sealed")
async def prove(
    request: Request,
    place: Place = None,
    seq: Annotated[int | None, Query(ge=1, lt=2**31, description="Which row of its chain.")] = None,
    since: Annotated[
        int | None,
        Query(ge=1, lt=2**62, description="The size of an older checkpoint: prove it goes on."),
    ] = None,
) -> Response:
    """That a row is in the tree of the newest checkpoint; with `since` also that this tree goes on from
    that of an older checkpoint, such as a witness has. 404 while it is not sealed."""
    _auditor(await caller_of(request))
    request_id, seq = _said("request", place), _said("seq", seq)
    async with (
        services(request).pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        last = (await sealing.tree(connection)).last
        found = await proving.leaf_of(connection, request_id, seq)
        if last is None or found is None:
            raise errors.Problem(404, "not_sealed", "there is no such row, or it is not sealed yet")
        leaf, leaf_hash = found
        inclusion = await proving.proof(connection, leaf, last.size)
        consistency: Json = None
        if since is not None:
            if since > last.size:
                what = f"the tree has {last.size} rows: fewer than there were, if this was signed"
                raise errors.invalid_parameter("since", what)
            hashes = await sealing.parts(connection, merkle.consistency(since, last.size))
            consistency = {"size": since, "hashes": [each.hex() for each in hashes]}
    return answer(
        {
            "request_id": request_id,
            "seq": seq,
            "leaf": leaf,
            "leaf_hash": leaf_hash.hex(),
            "inclusion": [each.hex() for each in inclusion],
            "consistency": consistency,
            "checkpoint": _checkpoint(last),
        }
    )


@router.get(
    "/verify",
    response_model=audit_shapes.AuditVerified,
    summary="Verify a request's rows",
    responses={404: {"description": "Nothing is known of such a request."}},
)
async def verify_request(request: Request, place: Place = None) -> Response:
    """Read again and calculated again: rows, their chain, and that the tree that was signed has them.
    More than one request, and what witnesses keep, is for `countersign audit verify`. For
    administrators and auditors."""
    _auditor(await caller_of(request))
    request_id = _said("request", place)
    house = services(request)
    keys = await asyncio.to_thread(_keys, house.settings.seal_public_key)
    async with (
        house.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        verified = await evidence.verify(connection, Scope(request_id), keys, trail=house.trail)
    findings = [each for each in verified.findings if keys or each.kind != "checkpoint"]
    if not verified.rows and not findings:
        raise errors.not_found("request")
    return answer(
        {
            "request_id": request_id,
            "rows": verified.rows,
            "size": verified.size,
            "sealed_at": verified.sealed_at and timestamp(verified.sealed_at),
            "signed": bool(keys),
            "verdict": "findings" if findings else "holds",
            "findings": [asdict(each) for each in findings],
        }
    )


def _said(name: str, value: Value | None) -> Value:
    """A parameter that must be there; asked for once it is known who calls."""
    if value is None:
        raise errors.invalid_parameter(name, "must be given")
    return value


def _auditor(caller: Caller) -> None:
    if not caller.sees_all:
        raise errors.forbidden("only administrators and auditors may see the evidence")


def _checkpoint(sealed: Sealed) -> dict[str, Json]:
    return {
        "number": sealed.number,
        "size": sealed.size,
        "root": sealed.root.hex(),
        "sealed_at": sealed.sealed_at,
        "note": sealed.note,
    }


def _keys(path: Path) -> tuple[PublicKey, ...]:
    """The public keys of this machine; none if it has not got them."""
    try:
        return tuple(notes.public_keys_of(path.read_text()))
    except (OSError, UnicodeDecodeError, KeyInvalid):
        return ()
