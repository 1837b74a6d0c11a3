"""What an exception leaves in the log: where and what, and nobody's secrets."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import asyncpg
import pytest
import structlog
from asyncpg.exceptions._base import DataError
from pydantic import TypeAdapter

from cli import logs
from settings import Settings

SECRET = "SECRET-77777"
Format: TypeAlias = Literal["json", "console"]


@pytest.fixture(params=["json", "console"])
def log_format(request: pytest.FixtureRequest) -> Iterator[Format]:
    """Logging set up in a format; as it was, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up(Settings(log_format=request.param), "api")
    yield request.param
    root.handlers[:], root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def _in_a_local(secret: str) -> None:
    inputs = {"salary": secret}
    raise RuntimeError(f"{len(inputs)} inputs")


def _of_postgres(secret: str) -> None:
    error = asyncpg.CheckViolationError(f"new row violates {secret}")
    error.detail = f"Failing row contains ({secret})"
    error.constraint_name = "the_check"
    raise error


def _of_asyncpg(secret: str) -> None:
    raise asyncpg.DataError(f"invalid input for query argument $6: {secret!r} (no number)")


def _of_asyncpg_too(secret: str) -> None:
    raise DataError(f"invalid input for query argument $6: {secret!r} (no number)")


def _of_pydantic(secret: str) -> None:
    TypeAdapter(dict[str, int]).validate_python({"salary": secret})


def _as_a_cause(secret: str) -> None:
    try:
        _of_postgres(secret)
    except asyncpg.PostgresError as error:
        raise LookupError("not there") from error


@pytest.mark.parametrize(
    ("fail", "says"),
    [
        (_in_a_local, "RuntimeError: 1 inputs"),
        (_of_postgres, "CheckViolationError: SQLSTATE 23514 the_check"),
        (_of_asyncpg, "DataError: invalid input for query argument $6"),
        (_of_asyncpg_too, "DataError: invalid input for query argument $6"),
        (_of_pydantic, "ValidationError: ('salary',): int_parsing"),
        (_as_a_cause, "LookupError: not there"),
    ],
)
@pytest.mark.parametrize("foreign", [False, True])
def test_no_value_is_told(
    log_format: Format,
    capsys: pytest.CaptureFixture[str],
    fail: Callable[[str], None],
    says: str,
    foreign: bool,
) -> None:
    log = logging.getLogger("foreign") if foreign else structlog.get_logger("own")
    # On the stream of now, which capsys puts in place of stdout.
    logs.set_up(Settings(log_format=log_format), "api")
    try:
        fail(SECRET)
    except Exception as error:
        log.error("unexpected error", exc_info=error)
    told = capsys.readouterr().out
    assert SECRET not in told
    if log_format == "json":
        line = json.loads(told)
        assert line["event"] == "unexpected error"
        told = line["exception"]
    assert says in told
    assert f"in {fail.__name__}" in told
    if fail is _as_a_cause:
        assert "which came of:" in told
        assert "in _of_postgres" in told


def test_it_stays_short_and_quick_however_deep(
    log_format: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    def deep(left: int) -> None:
        if left == 0:
            raise ValueError("x" * 1_000_000)
        try:
            deep(left - 1)
        except ValueError as error:
            raise ValueError(str(left)) from error

    logs.set_up(Settings(log_format=log_format), "api")
    begun = time.perf_counter()
    try:
        deep(200)
    except ValueError as error:
        structlog.get_logger("own").error("unexpected error", exc_info=error)
    assert time.perf_counter() - begun < 1
    assert len(capsys.readouterr().out) < 50_000
