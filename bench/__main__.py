"""`python -m bench [names]`: run benchmarks and write their sections of RESULTS.md."""

import sys
from collections.abc import Awaitable, Callable

import uvloop

from bench import audit, connector, decide, feed, inbox, lifecycle, memory, org, tiers, web, wide

BENCHMARKS: dict[str, Callable[[], Awaitable[None]]] = {
    "lifecycle": lifecycle.run,
    "decide": decide.run,
    "inbox": inbox.run,
    "memory": memory.run,
    "org": org.run,
    "audit": audit.run,
    "tiers": tiers.run,
    "wide": wide.run,
    "connector": connector.run,
    "feed": feed.run,
    "web": web.run,
}


async def run(names: list[str]) -> None:
    for name in names:
        await BENCHMARKS[name]()


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    uvloop.run(run(names))


if __name__ == "__main__":
    main()
