"""With mail, chat, webhooks and Kafka all away, approvals flow; when they are back, everything is delivered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.preferences import KINDS
from tests.acceptance.product import People, Person, Product, started, until
from tests.integration.brokers import Cluster, brokers, records
from tests.integration.post_office import SENDER, PostOffice, post_office, texts
from tests.integration.receiver import Receiver, receiving
from tests.integration.slack_server import TOKEN, SlackServer, slack_server

TOPIC = "approvals"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Brokers that do not answer."""
    with brokers() as found:
        found.halt()
        yield found


@pytest.fixture(scope="module")
def product(
    tmp_path_factory: pytest.TempPathFactory,
    free_ports: Callable[[int], list[int]],
    cluster: Cluster,
) -> Iterator[Product]:
    """Told of a mail server and a Slack that nobody is at, and of those brokers."""
    ports = free_ports(6)
    environment = {
        "COUNTERSIGN_SMTP_URL": f"smtp://127.0.0.1:{ports[3]}",
        "COUNTERSIGN_MAIL_FROM": SENDER,
        "COUNTERSIGN_SLACK_URL": f"http://127.0.0.1:{ports[4]}/api/",
        "COUNTERSIGN_SLACK_TOKEN": TOKEN,
        "COUNTERSIGN_KAFKA_BROKERS": cluster.brokers,
        "COUNTERSIGN_WEBHOOK_ALLOW": "127.0.0.0/8",
        "COUNTERSIGN_RELAY_METRICS_PORT": str(ports[5]),
    }
    with started(tmp_path_factory.mktemp("away"), ports, environment) as made:
        yield made


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    """An endpoint that hangs up."""
    async with receiving(lambda _: "close") as found:
        yield found


async def figures(product: Product) -> dict[tuple[str, str], float]:
    """What the relay tells, by name and label."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"http://127.0.0.1:{product.ports[5]}/metrics")).text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def _told_at_once(person: Person) -> None:
    """By mail and by Slack."""
    body = {"channels": {kind: ["mail", "slack"] for kind in KINDS}, "gather_minutes": 0}
    response = await person.call("PUT", "/v1/me/preferences", body)
    assert response.status_code == 200, response.text


async def _approved(alice: Person, bob: Person) -> str:
    request = await alice.submit("leave_request", {"days": 5})
    assert await bob.decide(await bob.task_of(request)) == 200
    assert await alice.final(request) == "approved"
    return request


def _seqs(events: Iterable[dict[str, Any]], request: str) -> list[int]:
    """In the order in which they came first."""
    mine = (it for it in events if it["partitionkey"] == request)
    return list(dict.fromkeys(it["data"]["seq"] for it in mine))


async def test_approvals_flow_and_all_of_it_is_delivered_when_they_are_back(
    product: Product, people: People, cluster: Cluster, there: Receiver
) -> None:
    alice, bob, admin = people("alice"), people("bob"), people("oscar", "admin")
    for person in (alice, bob):
        await _told_at_once(person)
    made = await admin.call("POST", "/v1/webhooks", {"url": there.url})
    assert made.status_code == 201, made.text

    async def listens() -> bool | None:
        found = await figures(product)
        return True if ("countersign_feed_consumer_lag_events", "kafka") in found else None

    await until(listens, "the relay has a place in the feed for Kafka")
    first = await _approved(alice, bob)

    async def in_vain() -> bool | None:
        found = await figures(product)
        closed = all(
            found.get(("countersign_messages_way_closed", way)) == 1 for way in ("mail", "slack")
        )
        behind = found["countersign_feed_consumer_lag_events", "kafka"] > 0
        return True if closed and behind and there.seen else None

    await until(in_vain, "all four were tried in vain")
    requests = [
        first,
        await _approved(alice, bob),
        await alice.submit("leave_request", {"days": 4}),
    ]
    task = await bob.task_of(requests[2])
    assert there.taken == []
    tried = {message.id for message in there.seen}

    async with AsyncExitStack() as stack:
        office = await stack.enter_async_context(post_office(product.ports[3]))
        slack = await stack.enter_async_context(slack_server(product.ports[4]))
        slack.users = {f"{name}@example.org": f"U{name.upper()}" for name in ("alice", "bob")}
        there.answer = lambda _: "200"
        cluster.go_on()
        await _all_delivered(product, people, requests, there)
        await _people_were_told(product, office, slack, requests, task)

    feed = (await people("tess", "auditor").call("GET", "/v1/feed?limit=200")).json()["items"]
    wanted = {it["id"]: it for it in feed if it["partitionkey"] in requests}
    taken = [message.event for message in there.taken]
    acknowledged = (await figures(product))["countersign_kafka_events_total", ""]
    read = await asyncio.to_thread(records, cluster.brokers, TOPIC, int(acknowledged))
    for got in (taken, [value for _, value, _ in read]):
        ours = [it for it in got if it["partitionkey"] in requests]
        assert {it["id"]: it for it in ours} == wanted
        for request in requests:
            order = _seqs(got, request)
            assert order == sorted(order) == _seqs(wanted.values(), request)
    assert all(message.id == message.event["id"] for message in there.seen)
    assert tried <= {message.id for message in there.taken}


async def _all_delivered(
    product: Product, people: People, requests: list[str], there: Receiver
) -> None:
    """To the endpoint and to Kafka."""
    page = (await people("tess", "auditor").call("GET", "/v1/feed?limit=200")).json()["items"]
    wanted = {it["id"] for it in page if it["partitionkey"] in requests}
    assert len(wanted) > len(requests) * 3

    async def delivered() -> bool | None:
        found = await figures(product)
        kafka = found["countersign_feed_consumer_lag_events", "kafka"]
        return True if kafka == 0 and wanted <= {it.id for it in there.taken} else None

    await until(delivered, "the endpoint and Kafka have all events")


async def _people_were_told(
    product: Product, office: PostOffice, slack: SlackServer, requests: list[str], task: str
) -> None:
    """Alice how both ended; Bob of what still waits, and of nothing that he has decided meanwhile."""
    pages = product.url
    ended = {f"{pages}/requests/{request}" for request in requests[:2]}

    def told(person: str) -> tuple[str, str]:
        mails = "".join(
            texts(mail)
            for mail in office.taken
            if mail["To"].addresses[0].addr_spec == f"{person}@example.org"
        )
        posts = "".join(
            str(said)
            for said in slack.of("chat.postMessage")
            if said["channel"] == f"U{person.upper()}"
        )
        return mails, posts

    async def were_told() -> bool | None:
        alice = all(url in said for url in ended for said in told("alice"))
        bob = all(f"{pages}/tasks/{task}" in said for said in told("bob"))
        return True if alice and bob else None

    await until(were_told, "alice and bob are told by mail and by Slack")
    for said in told("bob"):
        assert said.count(f"{pages}/tasks/") == said.count(f"{pages}/tasks/{task}")
    found = await figures(product)
    for way in ("mail", "slack"):
        assert found["countersign_messages_way_closed", way] == 0
