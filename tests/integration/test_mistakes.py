"""Mistakes of ours: told as such, kept out of answers and logs; and recipes that would provoke them."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from api import errors
from api.app import create_app
from cli import logs
from recipes.model import Json
from storage import requests
from storage.errors import BAD_ARGUMENT, UNAVAILABLE
from storage.pool import Pool, Source
from tests.integration.house import House, Recorder, leave
from tests.stack import Database

SECRET = "SECRET-77777"


@pytest.fixture
def log(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The API's log, as JSON on stdout."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up(house.settings.model_copy(update={"log_format": "json"}), "api")
    monkeypatch.setattr(errors, "_log", structlog.get_logger("api.errors"))
    yield
    root.handlers[:], root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT $1::int", "DataError"),
        ("INSERT INTO roles (name) VALUES ($1 || '!')", "SQLSTATE 23514 roles roles_name_check"),
    ],
)
async def test_what_postgres_refuses_is_our_mistake(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    query: str,
    says: str,
) -> None:
    async def submit(source: Source, item: requests.Submission) -> int | None:
        return int(await source.fetchval(query, item.inputs["why"]))

    monkeypatch.setattr(requests, "submit", submit)
    capsys.readouterr()
    body: Json = {"workflow": "leave", "inputs": {"days": 1, "why": SECRET}}
    response = await house.post("/v1/requests", "alice", json=body)
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    told = capsys.readouterr().out
    assert says in told
    assert "in submit" in told
    assert SECRET not in told + response.text


async def test_an_argument_that_asyncpg_refuses_is_not_to_be_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def submit(_: Source, __: requests.Submission) -> int | None:
        raise BAD_ARGUMENT("invalid input")

    assert issubclass(BAD_ARGUMENT, UNAVAILABLE)
    monkeypatch.setattr(requests, "submit", submit)
    body: Json = {"workflow": "leave", "inputs": {"days": 1}}
    assert (await house.post("/v1/requests", "alice", json=body)).status_code == 500


async def test_a_title_that_no_database_takes(house: House) -> None:
    titles = [r'{{ "a\u0000b" }}', r'{{ "\u0000" }}', "{{ why }}"]
    for version, title in enumerate(titles, start=2):
        await house.publish(leave(version, title=title))
        inputs = {"days": 1, "why": "a\n\tb\x1b\x7f c"}
        made = await house.submit(inputs=inputs)
        assert made["version"] == version
        assert made["title"].isprintable()
        assert made["title"]


@pytest.mark.parametrize("text", [r"a\0b", r"a\uD800b", r"a\x00b"])
@pytest.mark.parametrize("key", ["title", "description", "owner"])
async def test_a_recipe_that_no_database_takes(house: House, key: str, text: str) -> None:
    source = f'workflow: w\nversion: 1\n{key}: "{text}"\nsteps: [{{id: m, approver: bob}}]'
    response = await house.post("/v1/recipes", "root", "admin", content=source)
    assert response.status_code == 422, response.text


async def test_the_api_makes_the_months_of_the_audit(
    house: House, database: Database, admin_pool: Pool
) -> None:
    last = await admin_pool.fetchval(
        "SELECT max(inhrelid::regclass::text) FROM pg_inherits"
        " WHERE inhparent = 'audit'::regclass AND inhrelid <> 'audit_rest'::regclass"
    )
    await admin_pool.execute(f"DROP TABLE {last}")

    async def recorded(*_: object) -> Recorder:
        return Recorder()

    app = create_app(house.settings, recorded)
    async with app.router.lifespan_context(app):
        assert await admin_pool.fetchval("SELECT to_regclass($1)", last) is not None
    # Whoever may not call it, or has no database yet, starts all the same.
    await admin_pool.execute("DROP FUNCTION audit_prepare_months")
    async with app.router.lifespan_context(app):
        pass
