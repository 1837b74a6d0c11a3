"""`countersign dev`: the whole product on this machine, with one data folder."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

import settings
from cli.output import Failure


def dev(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept. Default: .countersign")
    ] = None,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Of the API.")] = 8080,
    temporal_port: Annotated[int, typer.Option(min=1, max=65535, help="Of Temporal.")] = 7233,
    ui_port: Annotated[int, typer.Option(min=1, max=65535, help="Of the Temporal Web UI.")] = 8233,
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Sample organisation and recipes, once.")
    ] = True,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written (JSON, addresses) when everything is ready.")
    ] = None,
) -> None:
    """Start everything on this machine; Ctrl-C stops it; starting again resumes every request.

    With COUNTERSIGN_DATABASE_URL and COUNTERSIGN_TEMPORAL_ADDRESS set it uses those instead.
    """
    from cli.datadir import DataDir
    from cli.stack import Plan, Stack

    loaded = settings.load()
    if loaded.production:
        raise Failure(
            "countersign dev is for development, and COUNTERSIGN_ENVIRONMENT is production",
            fix="in production run countersign migrate, api, worker and relay (docker-compose.yml)",
        )
    given = loaded.model_fields_set
    plan = Plan(
        data_dir=DataDir(data_dir or loaded.data_dir),
        api_port=api_port,
        temporal_port=temporal_port,
        ui_port=ui_port,
        samples=samples,
        ready_file=ready_file.absolute() if ready_file else None,
        database_url=loaded.database_url if "database_url" in given else None,
        migrate_database_url=loaded.migrate_database_url,
        temporal_address=loaded.temporal_address if "temporal_address" in given else None,
        temporal_ui_url=loaded.temporal_ui_url,
    )
    if plan.ready_file:
        plan.ready_file.unlink(missing_ok=True)
    os.umask(0o077)  # people's requests are in the data folder, in the clear
    plan.data_dir.open()
    asyncio.run(Stack(plan).run())
