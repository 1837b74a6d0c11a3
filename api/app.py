"""The application: its parts, made by the lifespan, and its pages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from api import (
    actions,
    adding,
    asking,
    attachments,
    backtest,
    calendars,
    claims,
    codec,
    codec_sign_in,
    comments,
    decisions,
    delayed,
    delegations,
    docs,
    erasure,
    errors,
    events,
    evidence,
    explain,
    feed,
    health,
    holds,
    impact,
    imports,
    incidents,
    keys,
    me,
    messages,
    migrating,
    mirror,
    notifications,
    org,
    preferences,
    questions,
    reassign,
    recalls,
    recipes,
    reports,
    request_diagram,
    request_events,
    requests,
    resubmission,
    signing_out,
    simulation,
    slack,
    tasks,
    versions,
    watchers,
    webhooks,
)
from api.auth import tokens
from api.catalogue import Catalogue
from api.cors import Cors
from api.counts import Counts
from api.limits import Limits
from api.live import Live
from api.metrics import Metrics
from api.middleware import Around
from api.openapi import Documented
from api.services import Delivery, Services
from api.sessions import Ended
from api.strangers import Strangers
from api.web import site
from api.web.compress import Compressed
from relay import delivery
from settings import Settings
from storage import audit
from storage.bell import Bell
from storage.errors import FAILED
from storage.pool import Pool, create_pool
from storage.trail import trail
from storage.vault import open_vault
from telemetry import interceptors, telemetry
from temporal_client import connect

DESCRIPTION = """
Durable approvals. People submit requests; published recipes say who must decide; every step leaves
evidence.

Send `Authorization: Bearer <token>`; `countersign token USER` prints one for development. Services send
an API key, which opens what its scopes say. Errors are
`application/problem+json` (RFC 9457). Lists answer `{items, next_cursor}`; give `next_cursor` back as
`cursor` for the next page. Times are RFC 3339 in UTC.
"""

_PREPARE_SECONDS = 3
_log = structlog.get_logger(__name__)

MakeDelivery = Callable[[Settings, Pool], Awaitable[Delivery]]


async def _delivery(settings: Settings, pool: Pool) -> Delivery:
    """Temporal may be away: the client connects at its first call."""
    client = await connect(
        settings.temporal_address,
        settings.temporal_namespace,
        pool,
        lazy=True,
        interceptors=interceptors(settings.otel_endpoint, "api"),
    )
    return delivery.Delivery(client, pool)


async def _prepare_months(pool: Pool) -> None:
    """The audit's partitions do not wait for a relay. Whatever stands against it can wait for one."""
    try:
        async with asyncio.timeout(_PREPARE_SECONDS):
            await audit.prepare_months(pool)
    except FAILED as error:
        _log.warning("the audit's months were not prepared", error=type(error).__name__)


def create_app(settings: Settings, make_delivery: MakeDelivery = _delivery) -> FastAPI:
    """The API of these settings. It starts without Postgres and Temporal, and waits for them; not
    without region keys."""
    figures = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        vault = open_vault(settings.region_key)
        pool = await create_pool(
            settings.database_url, vault, min_size=0, max_size=settings.database_pool_size
        )
        await _prepare_months(pool)
        told = await make_delivery(settings, pool)
        bell = Bell(settings.database_url)
        ringing = asyncio.create_task(bell.run())
        house = app.state.services = Services(
            settings,
            pool,
            told,
            tokens(settings),
            Catalogue(),
            figures,
            Counts(pool),
            trail(settings.audit_store, settings.audit_cache),
            Limits(settings),
            bell,
            Ended(pool),
            Strangers(settings),
        )
        sending = asyncio.create_task(delayed.send_all(house))
        app.state.live = Live(settings.database_url, pool)
        listening = asyncio.create_task(app.state.live.run())
        try:
            yield
        finally:
            listening.cancel()
            ringing.cancel()
            sending.cancel()
            await asyncio.wait([sending, listening])
            await told.close()
            await pool.close()

    app = Documented(
        title="Countersign",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        docs_url=None,
        openapi_url="/openapi.json",
    )
    if settings.shared_with:
        app.add_middleware(Cors, origins=settings.shared_with)
    app.add_middleware(Compressed)
    app.add_middleware(Around, metrics=figures, spans=telemetry(settings.otel_endpoint, "api"))
    errors.install(app)
    docs.install(app)
    for part in (
        tasks,  # routes are tried in turn: first what pages and programs ask for most
        me,
        delayed,
        requests,
        request_diagram,
        request_events,
        actions,
        events,
        reassign,
        adding,
        resubmission,
        claims,
        comments,
        attachments,
        watchers,
        questions,
        notifications,
        preferences,
        messages,
        slack,
        decisions,
        incidents,
        recipes,
        simulation,
        backtest,
        versions,
        migrating,
        calendars,
        org,
        mirror,
        delegations,
        explain,
        evidence,
        asking,
        feed,
        webhooks,
        imports,
        holds,
        impact,
        recalls,
        keys,
        signing_out,
        codec,
        codec_sign_in,
        erasure,
        reports,
        health,
    ):
        # As they were made: include_router() would make each again, which takes longer than all
        # else of a start.
        app.router.routes.extend(part.router.routes)
    site.install(app)
    return app
