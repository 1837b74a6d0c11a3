"""The house: the API in process, with a directory and two recipes. And an object store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from moto.server import ThreadedMotoServer

from api.app import create_app
from settings import Settings
from storage.pool import Connection, Pool
from tests.integration.house import House, Recorder, leave, make_settings, shared
from tests.stack import Database


@pytest.fixture
async def bare_house(database: Database, pool: Pool, tmp_path: Path) -> AsyncIterator[House]:
    """The API on an empty database."""
    settings = make_settings(tmp_path, database.url)
    delivery = Recorder()

    async def recorded(_: Settings, __: Pool) -> Recorder:
        return delivery

    app = create_app(settings, recorded)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield House(client, pool, delivery, settings, app)


@pytest.fixture
async def house(bare_house: House) -> House:
    """The API with people, roles, and the recipes `leave` and `shared` (by `role:hr` and bob)."""
    await bare_house.import_org()
    await bare_house.publish(leave())
    await bare_house.publish(shared("role:hr", "user:bob"))
    return bare_house


@pytest.fixture
async def superuser(admin_pool: Pool) -> AsyncIterator[Connection]:
    """For tests that put a past into the directory (`tests.integration.office`)."""
    async with admin_pool.acquire() as connection:
        yield connection


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an object store of our own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, by its URL with a prefix, that the environment gives access to."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", s3),
        ("AWS_ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(name, value)
    name = f"b{uuid4().hex}"
    assert httpx.put(f"{s3}/{name}").status_code == 200
    return f"s3://{name}/audit"
