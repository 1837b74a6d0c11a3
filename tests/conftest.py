"""What tests stand on: real Postgres from a template clone, the real Temporal server, and its twin
that skips time. Each is started once a session, when the first test asks for it."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from cli import postgres, processes, temporal
from storage import migrate
from storage.pool import Pool, create_pool
from storage.vault import Vault
from tests.stack import REGION, Database, TemporalServer, free_ports, write_region_key

START_SECONDS = 30
TEMPLATE = "countersign_template"

# A busy machine is not a finding.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(name="free_ports", scope="session")
def free_ports_fixture() -> Callable[[int], list[int]]:
    return free_ports


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test depends on the settings or the data folder of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("COUNTERSIGN_"):
            del os.environ[name]
    folder = tmp_path_factory.mktemp("data")
    write_region_key(folder / "region.key")
    os.environ["COUNTERSIGN_DATA_DIR"] = str(folder)


# --- Postgres ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """A running server with the migrated template; no fsync."""
    folder = tmp_path_factory.mktemp("postgres")
    cluster = postgres.prepare(folder / "data", postgres.THROW_AWAY)
    with (folder / "log").open("wb") as log:
        arguments = processes.popen_arguments(
            log=log, stop_signal=signal.SIGINT, account=cluster.account
        )
        server = subprocess.Popen(cluster.command(), **arguments)
    try:
        asyncio.run(_make_template(cluster, lambda: server.poll() is None))
        yield cluster
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(START_SECONDS)


async def _make_template(cluster: postgres.Cluster, running: Callable[[], bool]) -> None:
    maintenance = cluster.url(postgres.SUPERUSER, "postgres")
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = await asyncpg.connect(maintenance)
            break
        except (OSError, asyncpg.CannotConnectNowError):
            if not running() or time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)
    await connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
    await connection.close()
    await migrate.migrate(cluster.url(postgres.SUPERUSER, TEMPLATE))


@pytest.fixture
async def database(postgres_cluster: postgres.Cluster) -> AsyncIterator[Database]:
    """A database of the test's own, migrated and empty; gone afterwards."""
    name = f"test_{uuid4().hex}"
    maintenance = postgres_cluster.url(postgres.SUPERUSER, "postgres")
    # Nobody writes to the template: copying its files takes a fifth of logging their pages.
    await _execute(
        maintenance, f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY file_copy'
    )
    yield Database(
        url=postgres_cluster.url(migrate.APP, name),
        admin_url=postgres_cluster.url(postgres.SUPERUSER, name),
    )
    await _execute(maintenance, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def empty_database(postgres_cluster: postgres.Cluster) -> AsyncIterator[Database]:
    """Like `database`, before any migration."""
    name = f"test_{uuid4().hex}"
    maintenance = postgres_cluster.url(postgres.SUPERUSER, "postgres")
    await _execute(maintenance, f'CREATE DATABASE "{name}"')
    yield Database(
        url=postgres_cluster.url(migrate.APP, name),
        admin_url=postgres_cluster.url(postgres.SUPERUSER, name),
    )
    await _execute(maintenance, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def database_url(database: Database) -> str:
    """The application's address of the test's own database."""
    return database.url


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """A pool as countersign_app, as every part of the product has one."""
    pool = await create_pool(database.url, Vault([REGION]), max_size=10)
    yield pool
    await pool.close()


@pytest.fixture
async def admin_pool(database: Database) -> AsyncIterator[Pool]:
    """A pool as superuser: for looking where the application may not."""
    pool = await create_pool(database.admin_url, Vault([REGION]), max_size=5)
    yield pool
    await pool.close()


# --- Temporal ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """The development server as `countersign dev` starts it, on ports of its own."""
    folder = tmp_path_factory.mktemp("temporal")
    port, ui_port = free_ports(2)
    command = temporal.command(folder / "temporal.db", port=port, ui_port=ui_port)
    with (folder / "log").open("wb") as log:
        arguments = processes.popen_arguments(log=log, stop_signal=signal.SIGTERM)
        server = subprocess.Popen(command, env=temporal.environment(), **arguments)
    try:
        until = time.monotonic() + START_SECONDS
        while not asyncio.run(temporal.ready(f"http://127.0.0.1:{ui_port}")):
            if server.poll() is not None or time.monotonic() > until:
                pytest.fail(f"Temporal did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield TemporalServer(f"127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}")
    finally:
        server.terminate()
        server.wait(START_SECONDS)


@pytest.fixture
async def temporal_connection(temporal_server: TemporalServer) -> Client:
    return await Client.connect(
        temporal_server.address,
        namespace=temporal_server.namespace,
        data_converter=pydantic_data_converter,
    )


@pytest.fixture
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The test server on which waiting 48 hours takes milliseconds."""
    async with await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(processes.tool("temporal-test-server")),
    ) as environment:
        yield environment
