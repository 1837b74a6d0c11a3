"""Whether this process lives, whether it can serve, and its figures."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import errors, schemas
from api.http import Route, answer
from api.metrics import CONTENT_TYPE
from api.services import caller_of, services
from storage import stats
from storage.errors import UNAVAILABLE

router = APIRouter(tags=["operation"], route_class=Route)


@router.get("/healthz", response_model=schemas.Health, summary="The process lives")
async def healthz() -> Response:
    return answer({"status": "ok"})


@router.get("/readyz", response_model=schemas.Health, summary="It can serve: Postgres answers")
async def readyz(request: Request) -> Response:
    """Temporal need not answer: submissions and decisions are taken without it."""
    try:
        async with asyncio.timeout(2):
            await stats.ping(services(request).pool)
    except UNAVAILABLE as error:
        raise errors.unavailable("the database cannot be reached now") from error
    return answer({"status": "ok"})


@router.get(
    "/metrics",
    summary="Prometheus figures",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format."}},
)
async def metrics(request: Request) -> Response:
    house = services(request)
    try:
        async with asyncio.timeout(2):
            outbox = await stats.outbox(house.pool)
    except UNAVAILABLE:
        outbox = None
    return Response(house.metrics.text(outbox), headers={"Content-Type": CONTENT_TYPE})


@router.get("/v1/stats", response_model=schemas.Stats, summary="How much there is")
async def show_stats(request: Request) -> Response:
    """Requests by state, open tasks, requests with incidents, and the outbox."""
    await caller_of(request)
    return answer(await services(request).counts.fresh())
