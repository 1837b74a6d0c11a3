"""The inbox as a page, and what open pages hear.

A database with 200,000 open tasks, of which 20 people have 120 each. They look at `/` 50 times a second, whatever each
page takes (open loop: a late page counts from when it was due to be asked for). One of them looks at it on a slow phone
(Chromium, held back), for the first time. Then 1,000 people have their inbox open, and others comment on requests of
theirs: how long after the answer (the commit is before it) each hears of it.
"""

import asyncio
import gzip
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from uuid import UUID

import asyncpg
import httpx
from playwright.async_api import Browser, async_playwright
from prometheus_client.parser import text_string_to_metric_families

from bench import inbox, report, stack
from bench.client import Client
from bench.inbox import Size
from bench.measure import Spread, memory
from bench.stack import HOST, Stack
from storage.migrate import migrate

SIZE = Size("large", 200_000, 400_000)
PEOPLE = 20
EACH = 120
SHOWN = 50
PER_SECOND = 50
SECONDS = 20.0
ROUNDS = 3
LISTENERS = 1_000
COMMENTS = 200
COMMENTS_PER_SECOND = 20
VISITS = 5
PHONE = {"latency": 150, "downloadThroughput": 1_600_000 / 8, "uploadThroughput": 750_000 / 8}
"""Milliseconds and bytes a second: what browsers' tools call slow 4G."""
SLOWER = 4
"""A phone's processor, as such tools have it."""
_SECONDS = "countersign_http_request_seconds"


async def run() -> None:
    """Load, measure and write the section of RESULTS.md."""
    async with stack.servers() as machine:
        await machine.create_database(SIZE.database)
        await migrate(machine.superuser_url(SIZE.database))
        began = time.monotonic()
        await inbox.load(machine, SIZE)
        await _give(machine)
        print(f"loaded in {time.monotonic() - began:.0f} s")
        await machine.api(SIZE.database)
        base = f"http://{HOST}:{machine.ports[SIZE.database]}"
        visitors = [await _signed_in(base, f"p{number}") for number in range(1, PEOPLE + 1)]
        pages = await _pages(machine, base, visitors)
        print(pages)
        paints = await _paints(base, visitors[0])
        print(paints)
        heard = await _live(machine, base)
        print(heard)
    report.write("web", _section(pages, paints, heard))


async def _give(machine: Stack) -> None:
    """Each of the people has 120 of the tasks that were others'."""
    connection = await asyncpg.connect(machine.superuser_url(SIZE.database))
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            """
            WITH taken AS (
                SELECT id, 1 + (row_number() OVER (ORDER BY id) - 1) % $1 AS person FROM tasks
                 WHERE state = 'open' AND substr(assignee, 2)::int > 10000 ORDER BY id LIMIT $1 * $2)
            UPDATE tasks t SET assignee = 'p' || taken.person FROM taken WHERE t.id = taken.id
            """,
            PEOPLE,
            EACH - inbox.EACH,
        )
        await connection.execute("VACUUM ANALYZE tasks")
    finally:
        await connection.close()


async def _signed_in(base: str, person: str) -> str:
    """The cookies of somebody's browser who has signed in."""
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
        form = {"person": person, "next": "/"}
        answered = await client.post("/sign-in", data=form, headers={"origin": base})
        assert answered.status_code == 303, answered.text
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


# ------------------------------------------------------------------------------------ pages ----


@dataclass(frozen=True, slots=True)
class Round:
    """How long pages took, and the share of them that took the API itself less than 50 ms."""

    spread: Spread
    within: float


@dataclass(frozen=True, slots=True)
class Pages:
    """The `first` round finds an API that has just started: its connections have planned nothing yet. `bare`: `/healthz`
    asked for in the same way; `weight`: bytes of a page as it travels."""

    first: Round
    rounds: list[Round]
    bare: Spread
    weight: int


async def _pages(machine: Stack, base: str, visitors: Sequence[str]) -> Pages:
    weight = await _page(machine, visitors[0])
    first, *rounds = [await _round(machine, base, visitors, it) for it in range(ROUNDS + 1)]
    bare = Spread.of(await _look(machine, visitors, ROUNDS, SECONDS, "/healthz"))
    return Pages(first, rounds, bare, weight)


async def _round(machine: Stack, base: str, visitors: Sequence[str], seed: int) -> Round:
    before = await _in_time(base)
    spread = Spread.of(await _look(machine, visitors, seed, SECONDS))
    within, count = (now - then for then, now in zip(before, await _in_time(base), strict=True))
    return Round(spread, within / count)


async def _look(
    machine: Stack, visitors: Sequence[str], seed: int, seconds: float, path: str = "/"
) -> list[float]:
    """Seconds each page took, from the moment it was to be asked for."""
    turns = random.Random(seed).choices(visitors, k=int(PER_SECOND * seconds))
    client = Client(HOST, machine.ports[SIZE.database], "")
    began, running = time.perf_counter(), list[asyncio.Task[float]]()
    for turn, visitor in enumerate(turns):
        due = began + turn / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.append(asyncio.create_task(_once(client, visitor, due, path)))
    took = await asyncio.gather(*running)
    await client.close()
    return took


async def _once(client: Client, visitor: str, due: float, path: str) -> float:
    await client.page(path, visitor)
    return time.perf_counter() - due


async def _page(machine: Stack, visitor: str) -> int:
    """Bytes of the page as they travel, without its files."""
    sent = await Client(HOST, machine.ports[SIZE.database], "").page("/", visitor)
    assert gzip.decompress(sent).count(b'href="/tasks/') >= SHOWN
    return len(sent)


async def _in_time(base: str) -> tuple[float, float]:
    """How many of the pages the API itself has answered within 50 ms so far, and how many in all."""
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
        said = (await client.get("/metrics")).text
    within = count = 0.0
    for family in text_string_to_metric_families(said):
        for sample in family.samples:
            if sample.labels.get("route") == "/" and sample.labels.get("method") == "GET":
                if sample.name == f"{_SECONDS}_count":
                    count = sample.value
                elif sample.name == f"{_SECONDS}_bucket" and sample.labels["le"] == "0.05":
                    within = sample.value
    return within, count


# ------------------------------------------------------------------------------------ phone ----


@dataclass(frozen=True, slots=True)
class Paint:
    """Milliseconds from going there to the first content, and to the largest; kilobytes that travelled."""

    first: float
    largest: float
    kilobytes: float


_PAINTED = """
() => new Promise(done => new PerformanceObserver(list => {
    const sum = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .reduce((bytes, entry) => bytes + entry.transferSize, 0);
    const [first] = performance.getEntriesByName("first-contentful-paint");
    done([first.startTime, list.getEntries().at(-1).startTime, sum / 1000]);
}).observe({type: "largest-contentful-paint", buffered: true}))
"""


async def _paints(base: str, visitor: str) -> list[Paint]:
    """Nothing is kept from one visit to the next: each time a browser that was never there."""
    found = shutil.which(os.environ.get("CHROMIUM") or "chromium")
    assert found is not None, "there is no Chromium: sh scripts/chromium.sh"
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        paints = [await _paint(browser, base, visitor) for _ in range(VISITS)]
        await browser.close()
    return paints


async def _paint(browser: Browser, base: str, visitor: str) -> Paint:
    context = await browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=3, is_mobile=True
    )
    for cookie in visitor.split("; "):
        name, _, value = cookie.partition("=")
        await context.add_cookies([{"name": name, "value": value, "url": base}])
    page = await context.new_page()
    tools = await context.new_cdp_session(page)
    await tools.send("Network.enable")
    await tools.send("Network.emulateNetworkConditions", {"offline": False, **PHONE})
    await tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    await page.goto(base, wait_until="load")
    first, largest, kilobytes = await page.evaluate(_PAINTED)
    await context.close()
    return Paint(first, largest, kilobytes)


# ------------------------------------------------------------------------------- live pages ----


@dataclass(frozen=True, slots=True)
class Heard:
    """Delays in milliseconds; memory of the API in MiB, before and with all pages open."""

    delays: Spread
    missing: int
    before: float
    after: float


async def _live(machine: Stack, base: str) -> Heard:
    """1,000 people listen; each comment is on a request of one of them, by its requester."""
    machine.relay({"COUNTERSIGN_DATABASE_URL": machine.app_url(SIZE.database)})
    requests = await _requests(machine)
    api = machine.parts[f"api_{SIZE.database}"].pid
    before = memory(api).share
    arrived: dict[str, float] = {}
    listening = [
        asyncio.create_task(_listen(machine, await _signed_in(base, person), request, arrived))
        for person, (request, _) in requests.items()
    ]
    await asyncio.sleep(5)
    after = memory(api).share
    said: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
        began = time.perf_counter()
        for turn, (request, requester) in enumerate(list(requests.values())[:COMMENTS]):
            due = began + turn / COMMENTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answered = await client.post(
                f"/v1/requests/{request}/comments",
                json={"text": "Is this still needed?"},
                headers={"authorization": f"Bearer {machine.token(requester)}"},
            )
            assert answered.status_code == 201, answered.text
            said[str(request)] = time.perf_counter()
        await asyncio.sleep(5)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    delays = [max(0.0, arrived[name] - at) for name, at in said.items() if name in arrived]
    return Heard(Spread.of(delays), len(said) - len(delays), before, after)


async def _requests(machine: Stack) -> dict[str, tuple[UUID, str]]:
    """An open request that each of the listeners is asked about, and its requester."""
    connection = await asyncpg.connect(machine.superuser_url(SIZE.database))
    try:
        rows = await connection.fetch(
            """
            SELECT DISTINCT ON (t.assignee) t.assignee, r.id, r.requester
              FROM tasks t JOIN requests r ON r.id = t.request_id
             WHERE t.state = 'open' AND t.assignee = ANY($1) ORDER BY t.assignee, t.id
            """,
            [f"p{number}" for number in range(100, 100 + LISTENERS)],
        )
    finally:
        await connection.close()
    return {row["assignee"]: (row["id"], row["requester"]) for row in rows}


async def _listen(machine: Stack, visitor: str, request: UUID, arrived: dict[str, float]) -> None:
    """An open page: when it first hears of the request."""
    port = machine.ports[SIZE.database]
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        head = f"GET /live HTTP/1.1\r\nHost: {HOST}:{port}\r\nCookie: {visitor}\r\n"
        writer.write(f"{head}Accept: text/event-stream\r\n\r\n".encode())
        wanted = str(request).encode()
        while line := await reader.readline():
            if wanted in line:
                arrived.setdefault(str(request), time.perf_counter())
    finally:
        writer.close()


# ------------------------------------------------------------------------------- the section ----


def _section(pages: Pages, paints: list[Paint], heard: Heard) -> str:
    first, bare, rounds = pages.first, pages.bare, [each.spread for each in pages.rounds]
    p99 = ", ".join(f"{each.p99:.1f}" for each in rounds)
    within = ", ".join(f"{each.within:.1%}" for each in pages.rounds)
    each = (heard.after - heard.before) * 1024 / LISTENERS
    lines = [
        (
            f"`/` of people with {EACH} open tasks among {SIZE.open:,}, {PER_SECOND}/s for {SECONDS:.0f} s, {ROUNDS} rounds;"
            " milliseconds:"
        ),
        "",
        "| p50 | p95 | p99 (target 50) |",
        "|---|---|---|",
        (
            f"| {median(it.p50 for it in rounds):.1f} | {median(it.p95 for it in rounds):.1f} "
            f"| **{median(it.p99 for it in rounds):.1f}** |"
        ),
        "",
        (
            f"p99 by round: {p99}. By the API's own figures it took less than 50 ms for **{within}** of them. In the {SECONDS:.0f} s"
            f" after its start, before: p99 {first.spread.p99:.1f}, {first.within:.1%}. `/healthz`, asked for so in"
            f" the same run: p50 {bare.p50:.1f}, p99 {bare.p99:.1f}: what machine and client take. The page travels in {pages.weight / 1000:.1f} kB, without the files that browsers keep."
        ),
        "",
        (
            f"On a slow phone ({PHONE['latency']} ms, 1.6 Mbit/s, processor {SLOWER} times slower), never there before, {VISITS}"
            f" visits: first paint {median(it.first for it in paints):,.0f} ms, largest"
            f" {median(it.largest for it in paints):,.0f} ms (medians); {median(it.kilobytes for it in paints):.0f} kB travel"
            " in all, styles and scripts with them."
        ),
        "",
        (
            f"{LISTENERS:,} people with their inbox open, {COMMENTS} comments at {COMMENTS_PER_SECOND}/s: heard"
            f" {heard.delays.p50:.0f} ms (p50), **{heard.delays.p99:.0f}** ms (p99) after the comment's answer;"
            f" {heard.missing} not heard. The API has {heard.before:.0f} MiB before, {heard.after:.0f} MiB with all of"
            f" them: {each:.0f} KiB each."
        ),
    ]
    return "\n".join(lines)
