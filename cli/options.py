"""Options that many commands have. Those that say who calls are in caller.py, those of inputs in inputs.py."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for scripts.")]

Ids = Annotated[bool, typer.Option("--ids", help="The ids alone, one a line.")]

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
