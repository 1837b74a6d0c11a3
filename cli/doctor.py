"""`countersign doctor`: looks at every part and says how to put right what is wrong."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from cli.caller import Url
from cli.options import AsJson
from cli.output import Exit, Failure, table, write_json

if TYPE_CHECKING:
    from cli.finding import Finding


def doctor(url: Url = None, as_json: AsJson = False) -> None:
    """Check every part and say how to fix what is wrong. Exit code 1 if something is."""
    from cli.examine import examine, places

    findings = asyncio.run(examine(places(url)))
    if as_json:
        write_json([asdict(finding) for finding in findings])
    else:
        table(("", "part", "seen"), (_row(finding) for finding in findings), wraps=("seen",))
    problems = sum(finding.verdict == "problem" for finding in findings)
    if problems:
        raise Failure(f"{problems} problem{'s' if problems > 1 else ''}", code=Exit.FAILED)


_MARKS = {
    "ok": Text("ok", style="green"),
    "warning": Text("note", style="yellow"),
    "problem": Text("PROBLEM", style="bold red"),
}


def _row(finding: "Finding") -> tuple[object, ...]:
    seen = f"{finding.seen}\nfix: {finding.fix}" if finding.fix else finding.seen
    return _MARKS[finding.verdict], finding.part, seen
