"""What `countersign dev` runs: the whole product on this machine, with one data folder.

Postgres and Temporal are started unless settings name others; then migrations, worker, relay, API,
and, the first time, the sample organisation and recipes. What dies is started again. Ctrl-C stops
all in reverse order; starting again on the same folder resumes every request.
"""

import asyncio
import os
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx

import settings
from cli import audit_keys, keys, postgres, temporal, token
from cli.client import Api
from cli.datadir import DataDir, write_json
from cli.output import Exit, Failure, say
from cli.postgres import Cluster
from cli.processes import Identity, environment, our_command, port_holder
from cli.supervisor import Part, Supervisor
from settings import Settings
from storage import migrate
from storage.errors import UNAVAILABLE

HOST = "127.0.0.1"
DATABASE = "countersign"
SAMPLES = Path(__file__).resolve().parent.parent / "workflows_yaml"
SAMPLE_ORG = "sample_org.yaml"
SAMPLES_DONE = "samples.json"
_SINGLE_NODE = "Single-node Temporal on SQLite: for development, up to some 50,000 open requests."


@dataclass(frozen=True, slots=True)
class Plan:
    """What one `countersign dev` is to run. `database_url`, `temporal_address`: those of others."""

    data_dir: DataDir
    api_port: int
    temporal_port: int
    ui_port: int
    samples: bool
    ready_file: Path | None
    database_url: str | None
    migrate_database_url: str | None
    temporal_address: str | None
    temporal_ui_url: str | None

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def temporal(self) -> str:
        return self.temporal_address or f"{HOST}:{self.temporal_port}"

    @property
    def ui_url(self) -> str | None:
        if self.temporal_address is None:
            return f"http://{HOST}:{self.ui_port}"
        return self.temporal_ui_url


def _cold_tier(data_dir: DataDir) -> str:
    """A folder of the data folder."""
    folder = (data_dir.path / "audit").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


class Stack:
    """One run: bring up, wait to be told to stop, take down."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.began = time.monotonic()
        self.supervisor = Supervisor(plan.data_dir, self.say)
        self.stopping = asyncio.Event()

    def say(self, message: str) -> None:
        say(f"{time.monotonic() - self.began:6.1f} s  {message}")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stopping.set)
        starting = asyncio.create_task(self.bring_up())
        told = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if not told.done():
                await starting  # raises what went wrong
                await told
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.take_down()

    async def bring_up(self) -> None:
        plan = self.plan
        self.say(f"data folder {plan.data_dir.path}")
        for name in plan.data_dir.stop_left_over():
            self.say(f"stopped {name}, left over from a run that was killed")
        self.check_ports()
        database, _ = await asyncio.gather(self.start_postgres(), self.start_temporal())
        await self.migrate(database.migrations)
        loaded = self.child_settings(database)
        token.ensure_issuer(loaded)
        audit_keys.ensure(loaded)
        keys.ensure(loaded)
        await self.start_parts(loaded)
        if plan.samples:
            await self.publish_samples(loaded)
        self.announce(database)

    async def take_down(self) -> None:
        plan = self.plan
        plan.data_dir.withdraw()
        if plan.ready_file:
            plan.ready_file.unlink(missing_ok=True)
        if self.supervisor.running:
            self.say("stopping")
            await self.supervisor.stop()
            self.say("stopped; everything is kept, the next start goes on from here")

    # --- bringing up ---

    def check_ports(self) -> None:
        wanted = {"--api-port": (self.plan.api_port, "API")}
        if self.plan.temporal_address is None:
            wanted["--temporal-port"] = (self.plan.temporal_port, "Temporal")
            wanted["--ui-port"] = (self.plan.ui_port, "Temporal Web UI")
        for flag, (port, what) in wanted.items():
            holder = port_holder(HOST, port)
            if holder is not None:
                raise Failure(
                    f"port {port} (of the {what}) is taken by {holder}",
                    fix=f"stop that, or choose another port: {flag} {port + 1000}",
                )

    async def start_postgres(self) -> "Database":
        plan = self.plan
        if plan.database_url is not None:
            return Database(plan.database_url, plan.migrate_database_url or plan.database_url)
        try:
            cluster = await asyncio.to_thread(postgres.prepare, plan.data_dir.path / "postgres")
        except postgres.PostgresFailed as error:
            raise Failure("Postgres cannot be set up", details=str(error).splitlines()) from None
        maintenance = cluster.url(postgres.SUPERUSER, "postgres")
        part = Part(
            "postgres",
            cluster.command(),
            environment({}),
            ready=lambda: _connects(maintenance),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            account=cluster.account,
            patience=30,
        )
        seconds = await self.supervisor.start(part, within=60)
        await migrate.create_database(maintenance, DATABASE)
        self.say(f"Postgres is ready ({seconds:.1f} s)")
        return _embedded(cluster)

    async def start_temporal(self) -> None:
        plan = self.plan
        if plan.temporal_address is not None:
            return
        database = plan.data_dir.path / "temporal.db"
        ui_url = f"http://{HOST}:{plan.ui_port}"
        part = Part(
            "temporal",
            temporal.command(
                database,
                port=plan.temporal_port,
                ui_port=plan.ui_port,
                codec=f"{plan.api_url}/codec",
            ),
            temporal.environment(),
            ready=lambda: temporal.ready(ui_url),
        )
        seconds = await self.supervisor.start(part, within=60)
        self.say(f"Temporal is ready ({seconds:.1f} s)")

    async def migrate(self, url: str) -> None:
        try:
            applied = await migrate.migrate(url)
        except migrate.MigrationRefused as error:
            raise Failure(str(error)) from None
        except UNAVAILABLE as error:
            raise Failure(f"Postgres cannot be reached: {error}") from None
        self.say(f"migrated: {', '.join(applied)}" if applied else "the database is up to date")

    def child_settings(self, database: "Database") -> Settings:
        """The settings that worker, relay and API are given."""
        plan, given = self.plan, settings.load()
        return given.model_copy(
            update={
                "environment": "development",
                "data_dir": plan.data_dir.path,
                "database_url": database.url,
                "temporal_address": plan.temporal,
                "temporal_ui_url": plan.ui_url,
                "api_host": HOST,
                "api_port": plan.api_port,
                "audit_store": given.audit_store or _cold_tier(plan.data_dir),
            }
        )

    async def start_parts(self, loaded: Settings) -> None:
        variables = {**_inherited(), **_variables(loaded)}
        ui_url = self.plan.ui_url if self.plan.temporal_address is None else None

        def part(name: str, ready: Any) -> Part:
            return Part(name, our_command(name), environment(variables), ready)

        parts = (
            part("worker", lambda: temporal.polled(ui_url) if ui_url else _at_once()),
            part("relay", _at_once),
            part("api", lambda: _answers(f"{self.plan.api_url}/readyz")),
        )
        starts = [self.supervisor.start(each, within=60) for each in parts]
        seconds = await asyncio.gather(*starts)
        for each, took in zip(parts, seconds, strict=True):
            self.say(f"{each.name} is ready ({took:.1f} s)" if took > 0.2 else f"{each.name} runs")

    async def publish_samples(self, loaded: Settings) -> None:
        """The sample organisation, calendar and recipes, once: afterwards they are whatever people make them."""
        done = self.plan.data_dir.path / SAMPLES_DONE
        if done.exists():
            return
        api = Api(self.plan.api_url, token.mint(loaded, "countersign-dev", ["admin"]))
        recipes = sorted(
            path
            for path in SAMPLES.glob("*.yaml")
            if path.name != SAMPLE_ORG and not path.name.endswith((".cases.yaml", ".calendar.yaml"))
        )

        def publish() -> None:
            org = SAMPLES / SAMPLE_ORG
            api.post_file("/v1/org/import", org.read_bytes(), "application/yaml", org.name, {})
            for path in sorted(SAMPLES.glob("*.calendar.yaml")):
                api.post_yaml("/v1/calendars", path.read_bytes(), path.name)
            for path in recipes:
                try:
                    api.post_yaml("/v1/recipes", path.read_bytes(), path.name)
                except Failure as failure:
                    if failure.code != Exit.CONFLICT:
                        raise
                    self.say(f"{path.name} is left out: {failure.message}")

        await asyncio.to_thread(publish)
        names = [path.name for path in recipes]
        write_json(done, {"recipes": names})
        self.say(f"sample organisation, calendar and {len(names)} recipes are there")

    def announce(self, database: "Database") -> None:
        plan = self.plan
        identity = Identity.of(os.getpid())
        assert identity is not None
        facts = {
            "pid": identity.pid,
            "started": identity.started,
            "api_url": plan.api_url,
            "database_url": database.url,
            "temporal_address": plan.temporal,
            "temporal_ui_url": plan.ui_url,
            "data_dir": str(plan.data_dir.path),
            "audit_store": self.child_settings(database).audit_store,
        }
        plan.data_dir.announce(facts)
        if plan.ready_file:
            write_json(plan.ready_file, facts)
        self.say("ready")
        say(_welcome(plan))


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is, for the application and for migrations."""

    url: str
    migrations: str


def _embedded(cluster: Cluster) -> Database:
    return Database(cluster.url(migrate.APP, DATABASE), cluster.url(postgres.SUPERUSER, DATABASE))


async def _connects(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (*UNAVAILABLE, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def _at_once() -> bool:
    return True


def _inherited() -> dict[str, str]:
    """Our own settings from the environment: what dev does not set itself goes on to the parts."""
    return {name: value for name, value in os.environ.items() if name.startswith("COUNTERSIGN_")}


def _variables(loaded: Settings) -> dict[str, str]:
    """Settings that dev decides, as the environment of a part."""
    return {
        "COUNTERSIGN_ENVIRONMENT": loaded.environment,
        "COUNTERSIGN_DATA_DIR": str(loaded.data_dir),
        "COUNTERSIGN_DATABASE_URL": loaded.database_url,
        "COUNTERSIGN_TEMPORAL_ADDRESS": loaded.temporal_address,
        "COUNTERSIGN_TEMPORAL_UI_URL": loaded.temporal_ui_url or "",
        "COUNTERSIGN_API_HOST": loaded.api_host,
        "COUNTERSIGN_API_PORT": str(loaded.api_port),
        "COUNTERSIGN_AUDIT_STORE": loaded.audit_store or "",
    }


def _welcome(plan: Plan) -> str:
    """Where everything is, and commands to paste into another terminal."""
    program = shlex.quote(_program())
    prefix = ""
    if plan.data_dir.path != Path(".countersign").absolute():
        prefix = f"COUNTERSIGN_DATA_DIR={shlex.quote(str(plan.data_dir.path))} "
    run = f"  {prefix}{program}"
    return "\n".join(
        (
            "",
            f"  inbox          {plan.api_url}",
            f"  API            {plan.api_url}/v1   (reference: {plan.api_url}/docs)",
            f"  Temporal UI    {plan.ui_url or '(of the server you named)'}",
            f"  data and logs  {plan.data_dir.path}",
            "",
            "In another terminal:",
            f"{run} request submit leave_request days=5 reason='a week by the sea' --as alice",
            f"{run} inbox --as bob",
            f"{run} doctor",
            "",
            *([] if plan.temporal_address else [_SINGLE_NODE]),
            "Ctrl-C stops everything.",
        )
    )


def _program() -> str:
    """How to call us again from here."""
    program = Path(sys.executable).parent / "countersign"
    try:
        return str(program.relative_to(Path.cwd()))
    except ValueError:
        return str(program)
