"""Everything a benchmark runs on, in a folder of its own: started on free ports, stopped at the end.

Postgres and Temporal are the embedded ones as `countersign dev` starts them (fsync on, settings of
DESIGN section 9); worker, relay and API are processes of their own, started by the same commands.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bench.client import Client
from bench.measure import processor_seconds
from cli import postgres, temporal
from cli.postgres import SUPERUSER, Cluster
from cli.processes import environment, our_command, popen_arguments
from storage import regions
from storage.migrate import APP, migrate

HOST = "127.0.0.1"
DATABASE = "countersign"
PATIENCE = 60.0
ROOT = Path(__file__).parent.parent


class NotReady(Exception):
    """A part did not come up; the text has the end of its log."""


class Stack:
    """The parts that run, by name; `postgres` and `temporal` always, the rest as started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = {**postgres.SAFE, "max_connections": "300"}
        self.cluster: Cluster = postgres.prepare(folder / "postgres", options)
        self.temporal_port, self.ui_port = free_port(), free_port()
        self.api_port = free_port()
        self.ports: dict[str, int] = {}
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self._key = _issuer(folder)
        _region_key(folder)

    @property
    def temporal_address(self) -> str:
        return f"{HOST}:{self.temporal_port}"

    def superuser_url(self, database: str = DATABASE) -> str:
        return self.cluster.url(SUPERUSER, database)

    def app_url(self, database: str = DATABASE) -> str:
        return self.cluster.url(APP, database)

    def token(self, person: str, *roles: str) -> str:
        now = int(time.time())
        claims = {"sub": person, "roles": list(roles), "iat": now, "exp": now + 12 * 3600}
        claims |= {"iss": "countersign-dev", "aud": "countersign"}
        return jwt.encode(claims, self._key, algorithm="EdDSA")

    def client(self, person: str, *roles: str, port: int | None = None) -> Client:
        return Client(HOST, port or self.api_port, self.token(person, *roles))

    def processor(self) -> dict[str, float]:
        """Processor seconds so far by part, and of this process as `driver`."""
        used = {name: processor_seconds(part.pid) for name, part in self.parts.items()}
        own = os.times()
        return {**used, "driver": own.user + own.system}

    # --- starting ---

    async def start_servers(self) -> None:
        """Start Postgres and Temporal; make our database."""
        self._spawn("postgres", self.cluster.command(), {}, account=self.cluster.account)
        command = temporal.command(
            self.folder / "temporal.db", port=self.temporal_port, ui_port=self.ui_port
        )
        self._spawn("temporal", command, temporal.environment(), bare=True)
        await self.until("postgres", self._postgres_serves)
        await self.create_database(DATABASE)
        await migrate(self.superuser_url())
        ui = f"http://{HOST}:{self.ui_port}"
        await self.until("temporal", lambda: temporal.ready(ui))

    async def restart_postgres(self) -> None:
        """Stop it and start it again: it has nothing in its memory then."""
        self.end("postgres")
        self._spawn("postgres", self.cluster.command(), {}, account=self.cluster.account)
        await self.until("postgres", self._postgres_serves)

    async def create_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.superuser_url(SUPERUSER))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    async def countersign(self, *, extra: Mapping[str, str] | None = None) -> None:
        """Start worker, relay and API."""
        for name in ("worker", "relay", "api"):
            self._spawn(name, our_command(name), {**self.settings(), **(extra or {})})
        await self.until("api", lambda: answers(self.api_port))

    def relay(self, extra: Mapping[str, str]) -> None:
        """Start a relay alone."""
        self._spawn("relay", our_command("relay"), {**self.settings(), **extra})

    async def api(self, database: str) -> None:
        """Start a further API, before another database, on `ports[database]`."""
        port = self.ports.setdefault(database, free_port())
        extra = {
            **self.settings(),
            "COUNTERSIGN_DATABASE_URL": self.app_url(database),
            "COUNTERSIGN_API_PORT": str(port),
        }
        self._spawn(f"api_{database}", our_command("api"), extra)
        await self.until(f"api_{database}", lambda: answers(port))

    def settings(self) -> dict[str, str]:
        return {
            "COUNTERSIGN_DATABASE_URL": self.app_url(),
            "COUNTERSIGN_TEMPORAL_ADDRESS": self.temporal_address,
            "COUNTERSIGN_API_HOST": HOST,
            "COUNTERSIGN_API_PORT": str(self.api_port),
            "COUNTERSIGN_DATA_DIR": str(self.folder),
            "COUNTERSIGN_LOG_LEVEL": "warning",
            # A bench calls as a few people as fast as it can.
            "COUNTERSIGN_RATE_LIMIT": "0",
        }

    def module(self, name: str, module: str, extra: Mapping[str, str]) -> None:
        """Start one of this package's own processes."""
        self._spawn(name, (sys.executable, "-m", module), {**self.settings(), **extra})

    async def until(self, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a part is ready. NotReady if it ends or takes longer than a minute."""
        give_up = time.monotonic() + PATIENCE
        while not await ready():
            if self.parts[name].poll() is not None or time.monotonic() > give_up:
                log = (self.folder / f"{name}.log").read_text(errors="replace")
                raise NotReady(f"{name} does not come up:\n{log[-3000:]}")
            await asyncio.sleep(0.1)

    def hold(self, *names: str) -> None:
        """Let these parts stand still: what is not being measured must cost those that are nothing."""
        for name in names:
            self.parts[name].send_signal(signal.SIGSTOP)

    def go_on(self, *names: str) -> None:
        for name in names:
            self.parts[name].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop all parts, those started last first."""
        self.go_on(*self.parts)
        for name in reversed(tuple(self.parts)):
            self.end(name)

    def end(self, name: str) -> None:
        """Stop one part."""
        part = self.parts.pop(name)
        part.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        try:
            part.wait(15)
        except subprocess.TimeoutExpired:
            part.kill()
            part.wait()

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        extra: Mapping[str, str],
        *,
        account: postgres.Account | None = None,
        bare: bool = False,
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.parts[name] = subprocess.Popen(
                command,
                cwd=self.folder if name in ("postgres", "temporal") else ROOT,
                env=dict(extra) if bare else environment(extra),
                **popen_arguments(log=log, stop_signal=signal.SIGTERM, account=account),
            )

    async def _postgres_serves(self) -> bool:
        try:
            connection = await asyncpg.connect(self.superuser_url(SUPERUSER), timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True


@asynccontextmanager
async def servers(*, keep: bool = False) -> AsyncIterator[Stack]:
    """Postgres and Temporal in a temporary folder, removed afterwards unless `keep`."""
    stack = Stack(_folder())
    try:
        await stack.start_servers()
        yield stack
    finally:
        stack.stop()
        if not keep:
            shutil.rmtree(stack.folder, ignore_errors=True)


async def answers(port: int) -> bool:
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            return (await client.get(f"http://{HOST}:{port}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


def _folder() -> Path:
    """A new one that Postgres's own account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-"))
    folder.chmod(0o755)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _region_key(folder: Path) -> None:
    path = folder / "region.key"
    path.touch(0o600)
    path.write_text(regions.written([regions.new("bench")]))


def _issuer(folder: Path) -> Ed25519PrivateKey:
    """A development issuer in `folder`, as `countersign token` makes one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "dev_issuer.pem").write_bytes(private)
    (folder / "dev_issuer.pub.pem").write_bytes(public)
    return key
