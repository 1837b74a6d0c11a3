"""Mail to people, over real SMTP: who gets what, once, and what becomes of it when the mail server is none."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from contract.preferences import Preferences
from recipes.happenings import Commanded
from recipes.model import ApprovalStep, Ballot, NotifyStep, Recipe
from relay.composing import Composer
from relay.mail import Mail, MailInvalid
from relay.ways import Parcel
from storage import preferences
from storage.pool import Pool
from tests.integration.certificates import certificate, serving
from tests.integration.house import House, Workflow
from tests.integration.post_office import (
    PAGES,
    SENDER,
    SOON,
    STAFF,
    PostOffice,
    Relay,
    mailing,
    post_office,
    texts,
)
from tests.stack import free_ports

EXPENSE = Path(__file__).parents[2] / "workflows_yaml" / "expense.v1.yaml"


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as found:
        yield found


@pytest.fixture
async def relay(house: House, office: PostOffice) -> Relay:
    await house.import_org(STAFF)
    relay = mailing(house, office)
    await relay.listen()
    return relay


async def rows(relay: Relay) -> list[tuple[str, str]]:
    found = await relay.pool.fetch("SELECT person, state FROM messages ORDER BY person, made_at")
    return [(row["person"], row["state"]) for row in found]


async def test_who_is_to_decide_gets_a_mail_with_what_there_is_to_know(
    house: House, relay: Relay, office: PostOffice
) -> None:
    flow = await house.begun("alice", inputs={"days": 5, "why": "<b>Lisbon</b>"})
    await relay.listen()
    await relay.send(timedelta(minutes=9))
    assert office.taken == []
    await relay.send()
    [mail] = office.taken
    assert mail["To"].addresses[0].addr_spec == "bob@example.org"
    assert mail["From"] == SENDER
    assert mail["Subject"] == "Needs your decision: 5 days for Alice Moreau"
    assert mail["List-Unsubscribe"] == f"<{PAGES}/preferences>"
    [message] = await relay.pool.fetch("SELECT id FROM messages")
    assert mail["Message-ID"] == f"<{message['id']}@example.org>"
    plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    for text in (plain.get_content(), html.get_content()):
        for said in ("Alice Moreau asks.", "Days", f"{PAGES}/tasks/{flow.task}", "Due "):
            assert said in text
    assert "Why: <b>Lisbon</b>" in plain.get_content()
    assert "&lt;b&gt;Lisbon&lt;/b&gt;" in html.get_content()
    await relay.deliver()
    assert len(office.taken) == 1


async def test_eight_changes_in_ten_minutes_are_one_message(
    house: House, relay: Relay, office: PostOffice
) -> None:
    flows = [await house.begun() for _ in range(8)]
    await relay.deliver()
    [mail] = office.taken
    assert mail["Subject"].endswith("(and 7 more)")
    said = texts(mail)
    assert all(f"{PAGES}/tasks/{flow.task}" in said for flow in flows)
    await house.begun()
    await relay.deliver()
    assert len(office.taken) == 2


async def test_a_pool_is_told_as_a_whole_and_what_somebody_decided_to_nobody_else(
    house: House, relay: Relay, office: PostOffice
) -> None:
    """Nor the requester, who is of the pool: they do not decide their own request."""
    flow = await house.begun("dave", "shared", {})
    await relay.listen()
    assert await rows(relay) == [("bob", "gathering"), ("erin", "gathering")]
    assert (await house.decide("bob", flow.task)).status_code == 200
    await relay.send()
    assert office.taken == []
    assert await rows(relay) == [("bob", "moot"), ("erin", "moot")]


async def test_who_stands_in_for_a_member_is_told_instead_of_them(
    house: House, relay: Relay, office: PostOffice
) -> None:
    made = await house.post("/v1/org/delegations", "erin", json={"delegate": "frank"})
    assert made.status_code == 201, made.text
    await house.begun("alice", "shared", {})
    await relay.deliver()
    assert office.to == ["bob@example.org", "dave@example.org", "frank@example.org"]
    [mail] = [it for it in office.taken if "frank" in str(it["To"])]
    assert "You decide on behalf of Erin Novak." in texts(mail)


async def test_the_requester_and_watchers_hear_of_the_end_but_not_of_what_they_did(
    house: House, relay: Relay, office: PostOffice
) -> None:
    flow = await house.begun()
    request = flow.state.request_id
    added = await house.post(f"/v1/requests/{request}/watchers", "alice", json={"person": "erin"})
    assert added.status_code == 200, added.text
    await house.post(f"/v1/requests/{request}/cancel", "alice")
    [(_, told)] = house.delivery.signals
    assert isinstance(told, Commanded)
    await flow.befall(told)
    await relay.deliver()
    ended = [it for it in office.taken if it["Subject"].startswith("Cancelled")]
    assert [it["To"].addresses[0].username for it in ended] == ["erin"]
    assert f"{PAGES}/requests/{request}" in texts(ended[0])


async def test_questions_answers_changes_incidents_and_notices_reach_whom_they_are_for(
    house: House, relay: Relay, office: PostOffice
) -> None:
    flow = await house.begun()
    asked = await house.post(
        f"/v1/tasks/{flow.task}/questions", "bob", json={"to": "erin", "text": "Is that so?"}
    )
    await relay.listen()
    question = asked.json()["id"]
    await relay.send()
    await house.post(f"/v1/questions/{question}/answer", "erin", json={"text": "It is."})
    back = await house.decide("bob", flow.task, "request_changes", comment="Make it three")
    assert back.status_code == 200, back.text
    await flow.befall(house.delivery.signals[-1][1])
    await house.publish(_telling())
    await house.begun("carol", "telling", {})
    await house.publish(_stuck())
    await house.begun("alice", "stuck", {})
    await relay.deliver()
    said = {(it["To"].addresses[0].username, str(it["Subject"])): texts(it) for it in office.taken}
    title = "5 days for Alice Moreau"
    assert "Erin Novak answered:" in said.pop(("bob", f"Your question was answered: {title}"))
    assert "Is that so?" in said.pop(("erin", f"A question for you: {title}"))
    assert "Make it three" in said.pop(("alice", f"Sent back to you: {title}"))
    assert "It cannot go on by itself." in said.pop(("frank", "Needs help: Stuck"))
    assert "the books are closed" in said.pop(("dave", "For your information: Telling"))
    assert [who for who, _ in said] == ["bob", "carol"]  # the task from before; that hers has ended


def _telling() -> Recipe:
    return Recipe("telling", 1, (NotifyStep("tell", ("user:dave",), "the books are closed"),))


def _stuck() -> Recipe:
    step = ApprovalStep("first", (Ballot("first", approver="role:empty"),))
    return Recipe("stuck", 1, (step,), owner="house")


async def test_without_an_address_nobody_is_told_and_that_is_counted(
    house: House, relay: Relay, office: PostOffice
) -> None:
    await house.import_org(tuple(replace(it, email=None) for it in STAFF))
    before = _unreachable()
    await house.begun()
    await relay.deliver()
    assert _unreachable() == before + 1
    assert await rows(relay) == []
    bad = replace(STAFF[1], email="bob@example.org\nBcc: eve@example.org")
    await house.import_org((STAFF[0], bad, *STAFF[2:]))
    await house.begun()
    await relay.deliver()
    assert await rows(relay) == [("bob", "dead")]
    assert office.taken == []


def _unreachable() -> float:
    from relay.notifying import unreachable

    value: float = unreachable.labels("mail")._value.get()
    return value


async def test_who_has_left_meanwhile_gets_nothing(
    house: House, relay: Relay, office: PostOffice
) -> None:
    await house.begun("dave", "shared", {})
    await relay.listen()
    left: Any = [{"id": "erin", "name": "Erin Novak", "left": True}]
    gone = await house.post("/v1/org/import", "oscar", "admin", json={"people": left})
    assert gone.status_code == 200, gone.text
    await relay.send()
    assert office.to == ["bob@example.org"]


# --- the mail server is none ---


async def test_with_the_mail_server_down_messages_gather_and_all_come_when_it_is_back(
    house: House, relay: Relay, office: PostOffice
) -> None:
    nowhere = Relay(
        house.pool,
        Mail(f"smtp://127.0.0.1:{free_ports(1)[0]}", SENDER, Composer(PAGES)),
        frozenset(["mail"]),
    )
    flows = [await house.begun()]
    await relay.listen()
    await nowhere.send()
    assert await rows(relay) == [("bob", "sending")]
    flows += [await house.begun() for _ in range(3)]
    await relay.listen()
    await nowhere.send(timedelta(hours=1))
    assert await rows(relay) == [("bob", "sending"), ("bob", "gathering")]
    await relay.send(timedelta(hours=2))
    assert len(office.taken) == 2
    said = "".join(map(texts, office.taken))
    assert all(str(flow.task) in said for flow in flows)
    assert {state for _, state in await rows(relay)} == {"sent"}


async def test_a_server_that_says_nothing_closes_the_way_until_it_answers(
    house: House, office: PostOffice
) -> None:
    await house.import_org(STAFF)
    relay = mailing(house, office, patience=0.2)
    await relay.listen()
    await house.begun()
    await house.begun("alice", "shared", {})
    await relay.listen()
    office.hangs = True
    at = await relay.send()
    assert office.connections == 1
    assert await relay.sender.send(at) is False
    assert office.connections == 1
    office.hangs = False
    await relay.send(timedelta(hours=1))
    assert office.to == ["bob@example.org", "dave@example.org", "erin@example.org"]


async def test_not_now_waits_and_never_is_given_up_and_the_others_go_out(
    house: House, relay: Relay, office: PostOffice
) -> None:
    office.answers = ["451 try later", b"550 no such mailbox: ung\xfcltig"]  # any bytes, not UTF-8
    await house.begun("alice", "shared", {})
    await relay.deliver()
    found = {state: who for who, state in await rows(relay)}
    assert set(found) == {"sending", "dead", "sent"}
    assert office.to == [f"{found['sent']}@example.org"]
    await relay.send(timedelta(minutes=20))
    assert office.to == sorted(f"{found[it]}@example.org" for it in ("sent", "sending"))
    listed = await house.get("/v1/messages", "oscar", "admin")
    [item] = listed.json()["items"]
    assert (item["person"], item["last_error"]) == (found["dead"], "550 no such mailbox: ung ltig")
    again = await house.post(f"/v1/messages/{item['id']}/resend", "oscar", "admin")
    assert again.status_code == 200, again.text
    await relay.send(timedelta(minutes=20))
    assert len(office.taken) == 3
    assert (await house.get("/v1/messages", "oscar", "admin")).json()["items"] == []


async def test_what_never_gets_through_is_given_up_after_days(
    house: House, relay: Relay, office: PostOffice
) -> None:
    """Days of which the server was there: while it is away nothing is tried."""
    office.answers = ["421 closing", *["451 try later"] * 3]
    await house.begun()
    await relay.deliver()
    await relay.send(timedelta(days=5))
    await relay.send(timedelta(days=7))
    assert await rows(relay) == [("bob", "sending")]
    await relay.send(timedelta(days=9))
    assert await rows(relay) == [("bob", "dead")]
    assert office.taken == []
    assert office.answers == []


async def test_what_we_cannot_say_waits_and_stops_nobody_else(
    house: House, relay: Relay, office: PostOffice
) -> None:
    """A mistake of ours: here a title that nothing can be made of."""
    await house.begun()
    await house.begun("alice", "shared", {})
    await relay.listen()
    composed = relay.way.composed  # type: ignore[attr-defined]

    def fails(parcel: Parcel) -> EmailMessage:
        if parcel.message.person == "bob":
            raise KeyError("a mistake")
        found: EmailMessage = composed(parcel)
        return found

    relay.way.composed = fails  # type: ignore[attr-defined]
    await relay.send()
    assert office.to == ["dave@example.org", "erin@example.org"]
    assert ("bob", "sending") in await rows(relay)


async def test_what_cannot_be_read_of_one_waits_and_stops_nobody_else(
    house: House, admin_pool: Pool, relay: Relay, office: PostOffice
) -> None:
    """An error of Postgres's each time that one person's is read."""
    await house.begun()
    await house.begun("alice", "shared", {})
    await relay.listen()
    for person in ("bob", "dave"):
        await preferences.say(house.pool, person, Preferences())
    await admin_pool.execute("ALTER TABLE preferences ENABLE ROW LEVEL SECURITY")
    await admin_pool.execute(
        "CREATE POLICY fails ON preferences USING (1 / CASE person WHEN 'bob' THEN 0 ELSE 1 END = 1)"
    )
    await relay.send()
    assert office.to == ["dave@example.org", "erin@example.org"]
    assert ("bob", "sending") in await rows(relay)
    why = await relay.pool.fetchval("SELECT last_error FROM messages WHERE person = 'bob'")
    assert why == "DivisionByZeroError: SQLSTATE 22012"
    await admin_pool.execute("DROP POLICY fails ON preferences")
    await admin_pool.execute("ALTER TABLE preferences DISABLE ROW LEVEL SECURITY")
    await relay.send(timedelta(minutes=20))
    assert "bob@example.org" in office.to


async def test_a_mail_in_doubt_comes_again_under_the_same_id(
    house: House, relay: Relay, office: PostOffice
) -> None:
    """It was taken, but nobody said so; or said so to a relay that died before it could write that down."""
    office.drops = True
    await house.begun()
    await relay.deliver()
    office.drops = False
    await relay.send(timedelta(minutes=20))
    await relay.pool.execute("UPDATE messages SET state = 'sending', ended_at = NULL")
    await relay.send(timedelta(hours=1))
    assert len(office.taken) == 3
    assert len({it["Message-ID"] for it in office.taken}) == 1
    assert await rows(relay) == [("bob", "sent")]


async def test_several_relays_at_once_send_each_message_once(
    house: House, relay: Relay, office: PostOffice
) -> None:
    for _ in range(4):
        await house.begun("alice", "shared", {})
    await house.begun()
    relays = [replace_owner(relay, f"relay {number}") for number in range(4)]
    await asyncio.gather(*(it.listen() for it in relays))
    await relay.listen()
    await asyncio.gather(*(it.send() for it in relays))
    assert office.to == ["bob@example.org", "dave@example.org", "erin@example.org"]
    [items] = await relay.pool.fetch("SELECT count(*) FROM message_items")
    assert items[0] == 4 * 3 + 1


def replace_owner(relay: Relay, owner: str) -> Relay:
    return Relay(relay.pool, relay.way, relay.on, owner)


async def test_a_relay_that_dies_while_it_sends_delays_its_messages(
    house: House, relay: Relay, office: PostOffice
) -> None:
    from relay.sending import LEASE
    from storage import messages

    await house.begun()
    await relay.listen()
    at = await relay.now() + SOON
    [taken] = await messages.take(relay.pool, "mail", at, 10, LEASE)
    assert await messages.take(relay.pool, "mail", at, 10, LEASE) == []
    await relay.send()
    assert office.taken == []
    await relay.send(SOON + LEASE + timedelta(minutes=1))
    assert str(taken.id) in office.taken[0]["Message-ID"]


# --- links ---


async def test_what_scans_links_changes_nothing(
    house: House, relay: Relay, office: PostOffice
) -> None:
    import re

    flow: Workflow = await house.begun()
    await relay.deliver()
    links = sorted(set(re.findall(rf"{PAGES}(/[^\s\"<>]*)", texts(office.taken[0]))))
    assert f"/tasks/{flow.task}" in links
    for link in links:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            await house.call(method, link)
    state = await relay.pool.fetchval("SELECT state FROM tasks WHERE id = $1", UUID(flow.task))
    assert state == "open"
    assert await relay.pool.fetchval("SELECT count(*) FROM preferences") == 0


async def test_it_goes_encrypted_to_a_server_that_is_trusted_and_knows_us(
    house: House, tmp_path: Path
) -> None:
    await house.import_org(STAFF)
    pem = certificate(tmp_path, "localhost")
    login = (b"relay", b"a:b@c/d")
    async with post_office(tls=serving(pem), login=login) as office:
        port = office.url.rpartition(":")[2]

        def relay(password: str, ca_file: Path | None = pem) -> Relay:
            url = f"smtp://relay:{quote(password, safe='')}@localhost:{port}"
            way = Mail(url, SENDER, Composer(PAGES), ca_file=ca_file)
            return Relay(house.pool, way, frozenset(["mail"]))

        good = relay("a:b@c/d")
        await good.listen()
        await house.begun()
        await good.listen()
        refused = ((relay("a:b@c/d", None), "certificate"), (relay("guessed"), "535"))
        for hours, (bad, why) in enumerate(refused, 1):
            await bad.send(timedelta(hours=hours))
            assert office.taken == []
            said = await house.pool.fetchval("SELECT last_error FROM messages")
            assert why in said
            assert "a:b" not in said
        await good.send(timedelta(hours=3))
    [mail] = office.taken
    assert office.to == ["bob@example.org"]
    assert [part.get_content_type() for part in mail.walk()][1:] == ["text/plain", "text/html"]


def test_certificates_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    for text in (None, "none"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(MailInvalid, match=r"ca\.pem holds no certificates"):
            Mail("smtps://m.example.org", SENDER, Composer(PAGES), ca_file=path)


async def test_inputs_are_told_in_the_order_in_which_their_recipe_has_them(
    house: House, relay: Relay, office: PostOffice
) -> None:
    made = await house.post("/v1/recipes", "root", "admin", content=EXPENSE.read_bytes())
    assert made.status_code == 201, made.text
    inputs = {"note": "a taxi", "receipt": True, "spent_on": "2026-04-01"}
    await house.begun("alice", "expense", {**inputs, "category": "travel", "amount": 80})
    await relay.deliver()
    [mail] = office.taken
    text = texts(mail)
    places = [text.index(name) for name in ("Amount in EUR", "Spent on: ", "Note: ")]
    assert places == sorted(places)
