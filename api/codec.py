"""The codec endpoint of the Temporal Web UI: it opens payloads of histories for those who may read them.

Temporal's protocol for such endpoints: `POST <endpoint>/decode` takes and answers `Payloads` as protobuf's
JSON. There is no `/encode`: it would be for people who start or signal workflows from the Web UI, and
requests are told of things by the API alone.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Query
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response
from temporalio.api.common.v1 import Payload, Payloads

from api import codec_sign_in, errors
from api.auth import Caller
from api.codec_shapes import CodecPayloads
from api.errors import Problem
from api.http import Route, takes
from api.services import Services, admitted, services, verified
from contract.boxes import CannotOpen, Keys
from recipes.happenings import Actor
from storage import revealing
from storage.pool import Connection, vault_of
from temporal_codec import is_sealed, key_of, opened

router = APIRouter(prefix="/codec", tags=["codec"], route_class=Route)

THROUGH = "temporal_codec"
Refs = Annotated[
    bool | None,
    Query(
        alias="preserveStorageRefs", description="What the Web UI says; it changes nothing here."
    ),
]


@router.post(
    "/decode",
    response_model=CodecPayloads,
    summary="Open payloads of Temporal's histories",
    openapi_extra=takes(CodecPayloads),
)
async def decode(request: Request, *, refs: Refs = None) -> Response:  # noqa: ARG001 - accepted, see there
    """For the Temporal Web UI, which administrators and auditors look at: by their bearer token, or a session
    of `/codec/sign-in`. Browsers may call from the Web UI's origin alone (`COUNTERSIGN_TEMPORAL_UI_URL`). What
    is confidential is opened for those whom its recipe names. What is not sealed, or cannot be opened, is
    given back as it came. What was opened is on record in its request's audit trail."""
    house = services(request)
    origin = request.headers.get("origin")
    if origin is not None and origin != web_ui(house):
        raise errors.forbidden(
            f"pages of {origin} may not ask: only the Temporal Web UI of this house"
        )
    try:
        caller = await _caller(request)
        asked = _read(await request.body())
        async with house.pool.acquire() as connection, connection.transaction():
            answered = await _open(connection, caller, asked)
        body = json_format.MessageToJson(Payloads(payloads=answered), indent=None)
        response = Response(body, media_type="application/json")
    except Problem as problem:
        response = problem.response()
    response.headers.update(_for_browsers(origin))
    return response


@router.options("/decode", include_in_schema=False)
async def may_decode(request: Request, *, refs: Refs = None) -> Response:  # noqa: ARG001 - accepted, see there
    """What a browser asks before it calls from another origin."""
    origin = request.headers.get("origin")
    if origin is None or origin != web_ui(services(request)):
        raise errors.forbidden("only the Temporal Web UI of this house may ask")
    allowed = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed | _for_browsers(origin))


def web_ui(house: Services) -> str | None:
    """The origin of the Temporal Web UI; None if it is not known."""
    if house.settings.temporal_ui_url is None:
        return None
    url = urlsplit(house.settings.temporal_ui_url)
    return f"{url.scheme}://{url.netloc}"


def _for_browsers(origin: str | None) -> dict[str, str]:
    always = {"Vary": "Origin", "Cache-Control": "no-store"}
    if origin is None:
        return always
    return always | {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
    }


async def _caller(request: Request) -> Caller:
    """Who asks. A session counts where the browser says that it is the Web UI that uses it."""
    session = await codec_sign_in.session_of(request)
    if "authorization" in request.headers or session is None or "origin" not in request.headers:
        caller = admitted(request, await verified(request, request.headers.get("authorization")))
    else:
        caller = session.caller
    codec_sign_in.require_reader(caller)
    return caller


def _read(raw: bytes) -> Sequence[Payload]:
    try:
        found = json_format.Parse(raw, Payloads(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise errors.invalid(f"the body is not Payloads as JSON: {error}") from None
    return list(found.payloads)


async def _open(
    connection: Connection, caller: Caller, payloads: Sequence[Payload]
) -> list[Payload]:
    """The payloads, opened as far as the caller may; what was is on record."""
    requests = {about for each in payloads if (about := _request(each)) is not None}
    keys = await vault_of(connection).reading(connection, caller.reader, requests)
    answered = [_opened(each, keys) for each in payloads]
    revealed = Counter(
        about
        for before, after in zip(payloads, answered, strict=True)
        if before is not after and (about := _request(before)) is not None
    )
    actor = Actor(caller.id, "admin" if caller.admin else "auditor")
    await revealing.record(connection, actor, THROUGH, revealed)
    return answered


def _request(payload: Payload) -> UUID | None:
    """Whose it is; None if it is not sealed, or does not say."""
    if not is_sealed(payload):
        return None
    try:
        return key_of(payload)[0]
    except CannotOpen:
        return None


def _opened(payload: Payload, keys: dict[UUID, Keys]) -> Payload:
    about = _request(payload)
    if about is None or about not in keys:
        return payload
    try:
        return opened(payload, keys[about])
    except CannotOpen:
        return payload
