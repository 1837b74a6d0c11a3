"""`countersign audit ...`: the evidence, and whether it holds."""

import asyncio
from typing import Annotated

import typer

from cli.output import AsJson, table, write_json
from contract.canonical import timestamp

app = typer.Typer(no_args_is_help=True, help="The audit trail as evidence.")


@app.command()
def checkpoints(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the signed checkpoints of the audit tree, the newest first."""
    from cli.evidence import connected
    from storage import sealing
    from storage.sealing import Sealed

    async def read() -> list[Sealed]:
        async with connected() as connection:
            return await sealing.checkpoints(connection, limit)

    found = asyncio.run(read())
    if as_json:
        write_json(
            [
                {
                    "number": each.number,
                    "size": each.size,
                    "root": each.root.hex(),
                    "sealed_at": timestamp(each.sealed_at),
                    "note": each.note,
                }
                for each in found
            ]
        )
        return
    rows = ((e.number, e.size, timestamp(e.sealed_at), e.root.hex()) for e in found)
    table(("#", "rows", "sealed (UTC)", "root"), rows)
