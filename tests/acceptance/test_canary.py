"""What is confidential is written nowhere: not in any file, table, log, metric or history, in no spelling.

A canary goes wherever people and work can put something: inputs, comments, questions, answers, reasons, files,
what jobs are given, give, log and fail with. Then everything that the product wrote is searched. The same
is done with a request that keeps nothing confidential, to see that the search finds what is there; and to
see it gone from every table once that request is erased.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from cli import postgres
from tests.acceptance.product import People, Person, Product, started, until
from tests.acceptance.searching import Search

RECIPE = """
workflow: {workflow}
version: 1
title: "Case {{{{ text }}}}, {{{{ amount }}}}"
owner: role:workflow-admins
{confidential}
inputs:
  type: object
  required: [text, amount]
  additionalProperties: false
  properties: {{text: {{type: string}}, amount: {{type: number}}}}
steps:
  - id: work
    run: echo_at_last
    with: {{text: "{{{{ text }}}}", amount: "{{{{ amount }}}}"}}
    retry: {{attempts: 3, first: 1s, most: 1s}}
  - id: broken
    run: break_down
    with: {{text: "{{{{ text }}}}", amount: "{{{{ amount }}}}"}}
    retry: 1
    on_failure: continue
  - id: refused
    run: refuse_once
    with: {{text: "{{{{ steps.work.output.text }}}}"}}
    retry: 1
  - id: manager
    when: steps.work.output.amount > 5
    approver: "{{{{ employee.manager }}}}"
on_approved:
  - id: after
    run: echo_at_last
    with: {{text: "{{{{ steps.refused.output }}}}"}}
    retry: {{attempts: 3, first: 1s, most: 1s}}
"""


@dataclass(frozen=True, slots=True)
class Canary:
    """A word that stands in every text, and a number."""

    word: str
    number: int

    @property
    def search(self) -> Search:
        return Search((self.word,), (self.number,))


SECRET = Canary("kanarie7q3x", 987654321987)
CONTROL = Canary("kontrolle5w8z", 876543219876)


@pytest.fixture(scope="module")
def product(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Product]:
    ports = free_ports(5)
    environment = {
        "COUNTERSIGN_JOBS": "tests.acceptance.canary_jobs",
        "COUNTERSIGN_WORKER_METRICS_PORT": str(ports[3]),
        "COUNTERSIGN_RELAY_METRICS_PORT": str(ports[4]),
    }
    with started(tmp_path_factory.mktemp("canary"), ports, environment) as made:
        yield made


@pytest.fixture
async def superuser(product: Product) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    cluster = postgres.prepare(product.folder / "data" / "postgres")
    connection = await asyncpg.connect(cluster.url(postgres.SUPERUSER, "countersign"))
    yield connection
    await connection.close()


async def test_what_is_confidential_is_written_nowhere(
    product: Product, people: People, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await _publish(people, "canary_case", "confidential: {visible_to: [hr]}")
    requests = [
        await _played(people, "canary_case", SECRET),
        await _called_off(people, "canary_case", SECRET),
        await _salary(people, SECRET),
    ]
    await _refused(people, "canary_case", SECRET)
    await _asked_for(people, SECRET, requests[0])
    found = await _everywhere(product, people, superuser, SECRET.search, requests)
    assert not found, "\n\n".join(f"{place}: {what}" for place, what in found.items())
    # Whom it concerns sees it.
    shown = (await people("alice").call("GET", f"/v1/requests/{requests[0]}")).text
    assert SECRET.search.in_text(shown)


async def test_what_is_not_confidential_is_found_and_gone_once_it_is_erased(
    product: Product, people: People, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await _publish(people, "control_case", "")
    request = await _played(people, "control_case", CONTROL)
    search = CONTROL.search
    tables = await _tables(superuser, search)
    assert {"requests", "revisions", "comments", "jobs", "audit_subjects", "blobs"} <= set(tables)
    assert not {"audit", "commits", "outbox", "data_keys"} & set(tables)
    assert await _histories(product, search, [request]) == {}
    await superuser.execute("CHECKPOINT")
    for one in (Search((CONTROL.word,), ()), Search((), (CONTROL.number,))):
        assert any(one.in_folder(product.folder / "data" / "postgres"))
    zoe = people("zoe", "admin")
    await until(lambda: _erased(zoe, request), "it is erased")
    assert await _tables(superuser, search) == {}
    assert await _histories(product, search, [request]) == {}
    assert await _answers(people, search, [request]) == {}
    for name in ("alice", "bob"):
        assert (
            search.in_text((await people(name).call("GET", f"/v1/requests/{request}")).text) is None
        )
    replayed = product.cli("audit", "replay", request)
    assert (replayed.returncode, "was erased at" in replayed.stderr) == (1, True)
    verified = product.cli("audit", "verify")
    assert verified.returncode == 0, verified.stderr
    listed = product.cli("audit", "erased", "--ids", "--role", "auditor", person="zoe")
    assert listed.stdout.split() == [request]


# --- what is played --------------------------------------------------------------------------------


async def _publish(people: People, workflow: str, confidential: str) -> None:
    text = RECIPE.format(workflow=workflow, confidential=confidential)
    made = await people("zoe", "admin").http.post(
        "/v1/recipes", content=text, headers={"Content-Type": "application/yaml"}
    )
    assert made.status_code in (200, 201), made.text


async def _played(people: People, workflow: str, canary: Canary) -> str:
    """Everything that may be said of a request is said, until it is approved and all is done after it."""
    alice, zoe, erin = people("alice"), people("zoe", "admin"), people("erin")
    said = f"{canary.word} {canary.number}"
    request = await alice.submit(workflow, {"text": f"first {said}", "amount": canary.number})
    await until(lambda: _incident(alice, request), "its work became an incident")
    await _ok(zoe, f"/v1/requests/{request}/retry", {"comment": f"once more {said}"})
    bob = await _manager(people, alice, request)
    task = await bob.task_of(request)
    await _ok(alice, f"/v1/requests/{request}/comments", {"text": f"comment {said}"})
    question = await _ok(
        bob, f"/v1/tasks/{task}/questions", {"to": "alice", "text": f"question {said}"}
    )
    await _ok(alice, f"/v1/questions/{question['id']}/answer", {"text": f"answer {said}"})
    await _attach(alice, request, canary)
    back = {"decision": "request_changes", "comment": f"change {said}", "reason": canary.word}
    await _ok(bob, f"/v1/tasks/{task}/decisions", back)
    again = {"text": f"second {said}", "amount": canary.number}
    await until(lambda: _rewound(alice, request), "it is sent back")
    await _ok(
        alice, f"/v1/requests/{request}/resubmit", {"inputs": again, "comment": f"better {said}"}
    )
    await until(lambda: _incident(alice, request), "its work became an incident again")
    await _ok(zoe, f"/v1/requests/{request}/retry", {})
    task = await bob.task_of(request)
    await _ok(bob, f"/v1/tasks/{task}/reassign", {"to": "erin", "comment": f"to you {said}"})
    approve = {"decision": "approve", "comment": f"approved {said}", "reason": canary.word}
    task = await erin.task_of(request)
    await _ok(erin, f"/v1/tasks/{task}/decisions", approve)
    assert await alice.final(request) == "approved"
    await until(lambda: _done(alice, request), "all that is done after it is done")
    await _ok(alice, f"/v1/requests/{request}/comments", {"text": f"afterwards {said}"})
    return request


async def _called_off(people: People, workflow: str, canary: Canary) -> str:
    """A request that is cancelled while its work is an incident."""
    alice = people("alice")
    said = f"{canary.word} {canary.number}"
    request = await alice.submit(workflow, {"text": said, "amount": canary.number})
    await until(lambda: _incident(alice, request), "its work became an incident")
    await _ok(alice, f"/v1/requests/{request}/cancel", {"comment": f"no more {said}"})
    assert await alice.final(request) == "cancelled"
    return request


async def _salary(people: People, canary: Canary) -> str:
    """Of this one some inputs are confidential. Its title and its comments are not."""
    bob = people("bob")
    inputs = {
        "person": "Alice Moreau",
        "starts_on": "2027-01-01",
        "before": canary.number,
        "after": canary.number,
        "why": canary.word,
    }
    request = await bob.submit("salary_change", inputs)
    for _ in range(2):
        task = await until(lambda: _open_task(bob, request), "somebody is asked")
        decider = people(task["assignee"] or "grace")
        assert await decider.decide(task["id"]) == 200
        await until(partial(_closed, bob, request, task["id"]), "it is decided")
    assert await bob.final(request) == "approved"
    return request


async def _refused(people: People, workflow: str, canary: Canary) -> None:
    """What cannot be taken: a character that Postgres has not, a text for a number, and what is no JSON."""
    alice = people("alice")
    said = f"{canary.word} {canary.number}"
    for inputs in (
        {"text": f"{said} \0 {said}", "amount": canary.number},
        {"text": said, "amount": said},
        {"text": said, "amount": canary.number, said: said},
    ):
        body = {"workflow": workflow, "inputs": inputs}
        answer = await alice.call("POST", "/v1/requests", body)
        assert answer.status_code == 422, answer.text
    broken = await alice.http.post("/v1/requests", content=f'{{"workflow": "{said}')
    assert broken.status_code in (400, 415, 422), broken.text


async def _asked_for(people: People, canary: Canary, request: str) -> None:
    """By whom it concerns, in the words of the search itself."""
    for query in ({"words": canary.word}, {"where": f"amount == {canary.number}"}):
        answer = await people("alice").http.get("/v1/requests", params=query)
        assert request in {item["id"] for item in answer.json()["items"]}, answer.text
        assert (await people("zoe", "auditor").http.get("/v1/audit", params=query)).is_success


async def _attach(person: Person, request: str, canary: Canary) -> None:
    made = await person.http.post(
        f"/v1/requests/{request}/attachments",
        params={"name": f"file {canary.word}.txt"},
        content=f"{canary.word} {canary.number}".encode(),
        headers={"Content-Type": "text/plain"},
    )
    assert made.status_code == 201, made.text


async def _ok(person: Person, path: str, body: object) -> dict[str, Any]:
    answer = await person.call("POST", path, body)
    assert answer.is_success, f"{path}: {answer.text}"
    return dict(answer.json())


async def _manager(people: People, asker: Person, request: str) -> Person:
    task = await until(lambda: _open_task(asker, request), "somebody is asked")
    return people(task["assignee"])


async def _open_task(asker: Person, request: str) -> dict[str, Any] | None:
    tasks = (await asker.request(request))["tasks"]
    return next((task for task in tasks if task["state"] == "open"), None)


async def _closed(asker: Person, request: str, task_id: str) -> bool | None:
    tasks = (await asker.request(request))["tasks"]
    return any(task["id"] == task_id and task["state"] != "open" for task in tasks) or None


async def _incident(asker: Person, request: str) -> bool | None:
    return bool((await asker.request(request))["incidents"]) or None


async def _rewound(asker: Person, request: str) -> bool | None:
    return (await asker.request(request))["state"] == "rewound" or None


async def _done(asker: Person, request: str) -> bool | None:
    jobs = (await asker.request(request))["jobs"]
    return any(it["step"] == "after" and it["state"] == "succeeded" for it in jobs) or None


async def _erased(admin: Person, request: str) -> bool | None:
    """Once its workflow has ended, too."""
    answer = await admin.call("POST", f"/v1/requests/{request}/erase", {"reason": "A test."})
    if answer.status_code == httpx.codes.OK:
        return True
    assert answer.json()["type"].endswith("unsettled"), answer.text
    return None


# --- where it is looked for ------------------------------------------------------------------------


async def _everywhere(
    product: Product,
    people: People,
    superuser: "asyncpg.Connection[asyncpg.Record]",
    search: Search,
    requests: list[str],
) -> dict[str, str]:
    """Each place where something is found, with what stands around it."""
    found = await _tables(superuser, search)
    found |= await _histories(product, search, requests)
    found |= await _answers(people, search, requests)
    found |= await asyncio.to_thread(_command_line, product, search, requests)
    found |= await _metrics(product, search)
    await superuser.execute("CHECKPOINT")
    files = await asyncio.to_thread(lambda: list(search.in_folder(product.folder)))
    return found | {f"file {path}": hit for path, hit in files}


async def _tables(
    superuser: "asyncpg.Connection[asyncpg.Record]", search: Search
) -> dict[str, str]:
    """Every row of every table, as text."""
    found: dict[str, str] = {}
    tables = await superuser.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        for row in await superuser.fetch(
            f"SELECT to_jsonb(t)::text AS text FROM {table['name']} t"
        ):
            hit = search.in_text(row["text"])
            if hit is not None:
                found[table["name"]] = hit
                break
    return found


async def _histories(product: Product, search: Search, requests: list[str]) -> dict[str, str]:
    """What Temporal gives to whoever asks it, without our codec."""
    client = await Client.connect(f"127.0.0.1:{product.ports[1]}")
    found: dict[str, str] = {}
    count = 0
    for request in requests:
        handle = client.get_workflow_handle(request)
        description = (await handle.describe()).raw_description
        hit = search.in_bytes(description.SerializeToString())
        async for event in handle.fetch_history_events():
            hit = hit or search.in_bytes(event.SerializeToString())
            for data in _payloads(event):
                count += 1
                hit = hit or search.in_payload(data)
        if hit is not None:
            found[f"Temporal, {request}"] = hit
    assert count > 10 * len(requests), "their payloads were looked at"
    return found


def _payloads(message: Any) -> Iterator[bytes]:
    """The data of each payload that a message of protobuf holds, however deep."""
    if message.DESCRIPTOR.full_name == "temporal.api.common.v1.Payload":
        yield message.data
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = [value[key] for key in value]
        else:
            values = value if field.is_repeated else [value]
        for each in values:
            if hasattr(each, "ListFields"):
                yield from _payloads(each)


async def _answers(people: People, search: Search, requests: list[str]) -> dict[str, str]:
    """What somebody is told who may see everything, and is entitled to nothing confidential."""
    zoe = people("zoe", "admin", "auditor")
    paths = ["/v1/requests?limit=200", "/v1/audit?limit=200", "/v1/incidents", "/v1/tasks"]
    paths += ["/v1/notifications?state=all", "/v1/stats"]
    for request in requests:
        paths += [
            f"/v1/requests/{request}{part}" for part in ("", "/events?limit=200", "/comments")
        ]
    found: dict[str, str] = {}
    for path in paths:
        answer = await zoe.call("GET", path)
        assert answer.is_success, answer.text
        hit = search.in_bytes(answer.content)
        if hit is not None:
            found[f"GET {path}"] = hit
    return found


def _command_line(product: Product, search: Search, requests: list[str]) -> dict[str, str]:
    """What an auditor exports, and reads."""
    commands = [
        ("audit", "export", "--output", str(product.folder / "export.jsonl")),
        ("audit", "query", "--limit", "1000", "--json", "--role", "auditor"),
        ("audit", "verify", "--json"),
        ("doctor", "--json"),
    ]
    commands += [("request", "show", request, "--role", "admin") for request in requests]
    commands += [("audit", "replay", request, "--json") for request in requests]
    found: dict[str, str] = {}
    for command in commands:
        ran = product.cli(*command, person="zoe")
        hit = search.in_text(ran.stdout + ran.stderr)
        if hit is not None:
            found["countersign " + " ".join(command)] = hit
    return found


async def _metrics(product: Product, search: Search) -> dict[str, str]:
    """Of API, worker and relay."""
    found: dict[str, str] = {}
    async with httpx.AsyncClient(trust_env=False) as client:
        for port in (product.api_port, *product.ports[3:]):
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
            assert "# HELP" in answer.text, port
            hit = search.in_bytes(answer.content)
            if hit is not None:
                found[f"metrics at {port}"] = hit
    return found
