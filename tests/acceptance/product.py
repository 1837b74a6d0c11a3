"""The whole product as `countersign dev` runs it, and people who use it over HTTP."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import psutil

from cli import token
from settings import Settings

READY_SECONDS = 240  # some seconds, but for a machine that has a lot to do
FINISH_SECONDS = 240


_UNCOUNTED = {"COUNTERSIGN_RATE_LIMIT": "0", "COUNTERSIGN_REFUSED_RATE_LIMIT": "0"}
"""Tests look far more often than people do."""


@contextmanager
def started(
    folder: Path, ports: Sequence[int], environment: Mapping[str, str] | None = None
) -> Iterator["Product"]:
    """A product that runs, and is stopped in the end unless the test did."""
    made = Product(folder, ports, environment=dict(environment or {}))
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            assert made.stop() == 0


@dataclass
class Product:
    """One `countersign dev` on a data folder and ports (API, Temporal, its UI) of its own, with these settings
    in its environment."""

    folder: Path
    ports: Sequence[int]
    process: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=dict)
    tokens: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)

    @property
    def api_port(self) -> int:
        return self.ports[0]

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.folder / "data")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def start(self) -> None:
        """Start it and wait until it says that everything is ready."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "cli.main", "dev", "--data-dir", str(self.folder / "data")]
        for flag, port in zip(
            ("--api-port", "--temporal-port", "--ui-port"), self.ports[:3], strict=True
        ):
            command += [flag, str(port)]
        command += ["--ready-file", str(ready)]
        with (self.folder / "dev.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_UNCOUNTED, **self.environment},
            )
        until = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not ready:\n{(self.folder / 'dev.log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(READY_SECONDS)

    def pid(self, part: str) -> int:
        """The process of a part: api, worker, relay, temporal or postgres."""
        recorded = json.loads((self.folder / "data" / "processes.json").read_text())
        return int(recorded[part]["pid"])

    def kill(self, part: str) -> None:
        """kill -9 a part."""
        os.kill(self.pid(part), signal.SIGKILL)

    def frozen(self, part: str) -> "Frozen":
        """The part does nothing inside `with`: SIGSTOP, then SIGCONT."""
        return Frozen(psutil.Process(self.pid(part)))

    def logged(self, part: str, /, **about: str) -> list[dict[str, Any]]:
        """The lines of a part's log that say this."""
        lines = (self.folder / "data" / "logs" / f"{part}.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in found if about.items() <= line.items()]

    def bearer(self, person: str, *roles: str) -> str:
        key = person, roles
        if key not in self.tokens:
            self.tokens[key] = token.mint(self.settings, person, list(roles))
        return self.tokens[key]

    def client(self, person: str, *roles: str) -> "Person":
        http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.bearer(person, *roles)}"},
            timeout=httpx.Timeout(20, connect=2),
            trust_env=False,
        )
        return Person(person, http)

    def cli(self, *arguments: str, person: str = "alice") -> "subprocess.CompletedProcess[str]":
        """A `countersign` command as somebody types it."""
        environment = {**os.environ, "COUNTERSIGN_URL": self.url, "COUNTERSIGN_AS": person}
        environment["COUNTERSIGN_DATA_DIR"] = str(self.folder / "data")
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=240, check=False
        )


class Frozen:
    def __init__(self, process: psutil.Process) -> None:
        self.process = process

    def __enter__(self) -> None:
        self.process.suspend()

    def __exit__(self, *_: object) -> None:
        self.process.resume()


def _comes_back(response: httpx.Response) -> bool:
    """Whether an answer says to try again: something is down, or a call with this key is still under way
    (of a part that was killed, until Postgres notices)."""
    in_flight = response.status_code == httpx.codes.CONFLICT and "in_flight" in response.text
    return in_flight or response.status_code == httpx.codes.SERVICE_UNAVAILABLE


@dataclass
class Person:
    """Somebody with a client that keeps trying while a part is down, as a good client does."""

    name: str
    http: httpx.AsyncClient

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        key: str | None = None,
        traceparent: str | None = None,
    ) -> httpx.Response:
        """The first answer that doesn't say to come back, and isn't a refused connection. Repeats are safe:
        see `key`."""
        until = time.monotonic() + FINISH_SECONDS
        headers = {"Idempotency-Key": key} if key else {}
        if traceparent is not None:
            headers["traceparent"] = traceparent
        while True:
            try:
                response = await self.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                response = None
            if response is not None and not _comes_back(response):
                return response
            assert time.monotonic() < until, f"{method} {path}: no answer"
            await asyncio.sleep(0.1)

    async def submit(self, workflow: str, inputs: dict[str, Any]) -> str:
        body = {"workflow": workflow, "inputs": inputs}
        response = await self.call("POST", "/v1/requests", body, str(uuid4()))
        assert response.status_code in (200, 201), response.text
        return str(response.json()["id"])

    async def decide(
        self,
        task: str,
        decision: str = "approve",
        comment: str = "ok",
        traceparent: str | None = None,
    ) -> int:
        path, body = f"/v1/tasks/{task}/decisions", {"decision": decision, "comment": comment}
        response = await self.call("POST", path, body, str(uuid4()), traceparent)
        return response.status_code

    async def task_of(self, request: str) -> str:
        """The open task of this request in my inbox, as soon as it is there."""
        found = await until(lambda: self._task(request), f"{self.name} has a task of {request}")
        return str(found)

    async def _task(self, request: str) -> str | None:
        """Looked for in the request, so that a long inbox does not matter."""
        shown = (await self.call("GET", f"/v1/requests/{request}")).json()
        for task in shown.get("tasks", ()):
            if task["state"] == "open" and await self._mine(task):
                return str(task["id"])
        return None

    async def _mine(self, task: dict[str, Any]) -> bool:
        return task["assignee"] == self.name or bool(task["candidates"])

    async def request(self, request: str) -> dict[str, Any]:
        response = await self.call("GET", f"/v1/requests/{request}")
        assert response.status_code == httpx.codes.OK, response.text
        return dict(response.json())

    async def final(self, request: str) -> str:
        """The state in which the request ended, as soon as it has."""

        async def look() -> str | None:
            shown = await self.request(request)
            return str(shown["state"]) if shown["finalized_at"] else None

        return str(await until(look, f"request {request} ends"))


class People(Protocol):
    """Gives the person of that name, with the roles of their token."""

    def __call__(self, name: str, *roles: str) -> Person: ...


async def until(look: Callable[[], Any], what: str) -> Any:
    """What `look` finds as soon as it finds something."""
    deadline = time.monotonic() + FINISH_SECONDS
    while True:
        found = await look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.05)


def chain_holds(bodies: list[tuple[bytes, bytes, bytes]]) -> bool:
    """Whether (prev_hash, body, hash) rows, in order, are a chain from 32 zero bytes."""
    previous = bytes(32)
    for prev_hash, body, own in bodies:
        if prev_hash != previous or hashlib.sha256(b"\0" + prev_hash + body).digest() != own:
            return False
        previous = own
    return bool(bodies)
