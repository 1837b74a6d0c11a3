"""`countersign api|worker|relay|migrate`: the parts alone, as compose and `countersign dev` run them."""

import asyncio
import gc
import socket
from collections.abc import Callable, Coroutine

from typing_extensions import override

import settings
from cli.output import Exit, Failure, say
from settings import Settings


def api() -> None:
    """Run the HTTP API until SIGTERM or Ctrl-C."""
    import uvicorn

    from api.app import create_app
    from cli import logs

    class Server(uvicorn.Server):
        """It waits for answers under way when it ends; for open pages (`/live`) it would wait for ever."""

        @override
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.live.close()
            await super().shutdown(sockets)

    loaded = settings.load()
    logs.set_up(loaded, "api")
    _check_region_key(loaded)
    app = create_app(loaded)
    server = Server(
        uvicorn.Config(
            app,
            host=loaded.api_host,
            port=loaded.api_port,
            loop="uvloop",
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=loaded.trusted_proxies,
            timeout_graceful_shutdown=10,
        )
    )
    _run(lambda _: server.serve(), loaded)
    if not server.started:
        raise Failure(f"the API could not start on {loaded.api_host}:{loaded.api_port}")


def worker() -> None:
    """Run a worker: it carries requests through, until SIGTERM or Ctrl-C."""
    import worker.jobs
    import worker.main
    from cli import logs

    loaded = settings.load()
    logs.set_up(loaded, "worker")
    _check_region_key(loaded)
    try:
        _run(worker.main.run, loaded)
    except worker.jobs.WorkerRefuses as error:
        raise Failure(str(error)) from None


def relay() -> None:
    """Run a relay: it tells Temporal what the API could not, and seals the audit, until SIGTERM or
    Ctrl-C."""
    import relay.main
    from cli import logs
    from contract.notes import KeyInvalid
    from relay.kafka import KafkaInvalid
    from relay.mail import MailInvalid
    from relay.witnesses import WitnessInvalid

    loaded = settings.load()
    logs.set_up(loaded, "relay")
    _check_region_key(loaded)
    try:
        _run(relay.main.run, loaded)
    except KeyInvalid as error:
        fix = "set COUNTERSIGN_SEAL_KEY_FILE to a file that countersign audit key new made"
        raise Failure(f"the key that seals: {error}", code=Exit.USAGE, fix=fix) from None
    except WitnessInvalid as error:
        fix = "set COUNTERSIGN_SEAL_WITNESSES"
        raise Failure(f"a witness: {error}", code=Exit.USAGE, fix=fix) from None
    except KafkaInvalid as error:
        raise Failure(f"Kafka: {error}", code=Exit.USAGE, fix=error.fix) from None
    except MailInvalid as error:
        raise Failure(f"mail: {error}", code=Exit.USAGE, fix=error.fix) from None


def migrate() -> None:
    """Bring the database up to date (COUNTERSIGN_MIGRATE_DATABASE_URL)."""
    from storage.errors import UNAVAILABLE
    from storage.migrate import MigrationRefused
    from storage.migrate import migrate as run

    try:
        applied = asyncio.run(run(settings.load().migrations_url))
    except MigrationRefused as error:
        raise Failure(str(error)) from None
    except UNAVAILABLE as error:
        raise Failure(
            f"Postgres cannot be reached: {error}",
            code=Exit.UNAVAILABLE,
            fix="check COUNTERSIGN_MIGRATE_DATABASE_URL (or COUNTERSIGN_DATABASE_URL)",
        ) from None
    for name in applied:
        say(f"applied {name}")
    say("the database is up to date")


def _check_region_key(loaded: Settings) -> None:
    from storage.regions import RegionKeyInvalid, read_keys

    try:
        read_keys(loaded.region_key)
    except RegionKeyInvalid as error:
        fix = "set COUNTERSIGN_REGION_KEY_FILE to a file that countersign keys new made"
        raise Failure(f"the region key: {error}", code=Exit.USAGE, fix=fix) from None


def _run(part: Callable[[Settings], Coroutine[None, None, None]], loaded: Settings) -> None:
    """Run a part's coroutine on uvloop. Ctrl-C is an orderly end, which the part sees to itself."""
    import uvloop

    # What start-up made is here to stay: a full collection that looks at all of it stops us 20 ms.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(part(loaded))
    except KeyboardInterrupt:
        return
