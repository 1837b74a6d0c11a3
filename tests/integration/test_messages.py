"""Messages: what people want to be told and when, and what is in none of them, whatever the way."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from api.message_shapes import DeadMessages, PreferencesShown
from cli.examine_messages import told as told_by_doctor
from contract.preferences import KINDS, Kind, Preferences, Quiet
from recipes.happenings import Commanded
from recipes.model import Json
from recipes.parse import parse
from relay import notifying
from relay.composing import told_time
from relay.outliving import outlived
from storage import feed, messages, preferences
from storage.audience import Listener
from storage.feed import LeaseLost
from storage.org import RoleRow
from storage.pool import Pool
from tests.integration.erasing import where
from tests.integration.house import ROLES, House, leave
from tests.integration.post_office import (
    PAGES,
    SENDER,
    STAFF,
    PostOffice,
    Relay,
    mailing,
    post_office,
    texts,
)
from tests.integration.slack_server import (
    SECRET,
    TOKEN,
    SlackServer,
    buttons,
    slack_server,
    slacking,
)

SALARY = Path(__file__).parents[2] / "workflows_yaml" / "salary_change.v1.yaml"
MADRID = ZoneInfo("Europe/Madrid")


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as found:
        yield found


@pytest.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlackServer]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with slack_server() as server:
        server.users = {f"{it.id}@example.org": f"U0{it.id.upper()}" for it in STAFF}
        yield server


@pytest.fixture
async def relays(house: House, office: PostOffice, slack: SlackServer) -> tuple[Relay, Relay]:
    """By mail and by Slack; the first of them listens for both. Everybody wants to be told by both."""
    await house.import_org(STAFF, ROLES)
    for person in (it.id for it in STAFF):
        await preferences.say(
            house.pool, person, Preferences(dict.fromkeys(KINDS, ("mail", "slack")))
        )
    mail = replace(mailing(house, office), on=frozenset(["mail", "slack"]))
    await mail.listen()
    return mail, slacking(house.pool, slack)


async def deliver(relays: tuple[Relay, Relay]) -> None:
    await relays[0].listen()
    for relay in relays:
        await relay.send()


def everything(office: PostOffice, slack: SlackServer) -> str:
    return "\n".join([*map(texts, office.taken), *(str(call.said) for call in slack.calls)])


# --- what people want ---


async def test_preferences_are_ones_own_and_said_as_a_whole(house: House) -> None:
    shown = await house.get("/v1/me/preferences", "alice")
    found = PreferencesShown.model_validate(shown.json())
    assert (found.channels["task"], found.gather_minutes, found.email) == (
        ["mail"],
        10,
        "alice@example.org",
    )
    assert found.ways == []
    said: dict[str, Json] = {
        "channels": {"notice": [], "outcome": ["mail", "mail"]},
        "digest": ["outcome"],
        "digest_at": "09:15",
        "quiet_hours": {"from": "19:00", "to": "08:00"},
        "time_zone": "Europe/Madrid",
        "gather_minutes": 0,
    }
    put = await house.call("PUT", "/v1/me/preferences", "alice", json=said)
    assert put.status_code == 200, put.text
    again = (await house.get("/v1/me/preferences", "alice")).json()
    assert again == put.json()
    assert again["channels"]["outcome"] == ["mail"]
    assert again["channels"]["notice"] == []
    assert again["channels"]["task"] == ["mail"]
    assert (again["clock"], again["quiet_hours"]) == ("Europe/Madrid", said["quiet_hours"])
    kept = await preferences.of_person(house.pool, "alice")
    assert kept is not None
    assert kept.preferences == Preferences(
        {kind: ("mail",) if kind != "notice" else () for kind in KINDS},
        frozenset(["outcome"]),
        time(9, 15),
        Quiet(time(19), time(8)),
        "Europe/Madrid",
        timedelta(0),
    )
    assert (await house.get("/v1/me/preferences", "bob")).json()["quiet_hours"] is None
    assert (await house.get("/v1/me/preferences", "stranger")).status_code == 403


async def test_preferences_that_cannot_be_say_where(house: House) -> None:
    wrong: list[tuple[dict[str, Json], str]] = [
        ({"channels": {"task": ["pigeon"]}}, "/channels/task/0"),
        ({"channels": {"gossip": ["mail"]}}, "/channels/gossip/[key]"),
        ({"channels": {"task": ["slack"]}}, "/channels/task"),
        ({"time_zone": "Madrid"}, "/time_zone"),
        ({"digest_at": "8 o'clock"}, "/digest_at"),
        ({"quiet_hours": {"from": "08:00", "to": "08:00"}}, "/quiet_hours"),
        ({"quiet_hours": {"from": "08:00"}}, "/quiet_hours/to"),
        ({"gather_minutes": 1441}, "/gather_minutes"),
        ({"who": "bob"}, "/who"),
    ]
    for said, pointer in wrong:
        put = await house.call("PUT", "/v1/me/preferences", "alice", json=said)
        assert put.status_code == 422, put.text
        assert [it["pointer"] for it in put.json()["errors"]] == [pointer]
    assert await house.pool.fetchval("SELECT count(*) FROM preferences") == 0


def _listener(kind: Kind, at: datetime, mine: Preferences, *, mail: bool = True) -> Listener:
    some = UUID(int=1)
    return Listener(1, kind, some, some, at, "bob", mine, "Europe/Madrid", mail, slack=False)


def test_notes_are_of_the_ways_that_somebody_wants_and_that_are_on() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    mine = Preferences(
        {kind: ("mail", "slack") if kind != "notice" else () for kind in KINDS},
        digest=frozenset(["outcome"]),
        quiet=Quiet(time(19), time(8)),
    )
    evening = noon + timedelta(hours=6)
    told = notifying.notes(
        [
            _listener("task", noon, mine),
            _listener("task", evening, mine),
            _listener("outcome", noon, mine),
            _listener("notice", noon, mine),
        ],
        frozenset(["mail"]),
    )
    assert [(it.channel, it.kind, it.digest, it.due_at) for it in told] == [
        ("mail", "task", False, noon + timedelta(minutes=10)),
        ("mail", "task", False, datetime(2026, 7, 2, 6, tzinfo=UTC)),
        ("mail", "outcome", True, datetime(2026, 7, 2, 6, tzinfo=UTC)),
    ]
    both = notifying.notes([_listener("task", noon, mine)], frozenset(["mail", "slack"]))
    assert [it.channel for it in both] == ["mail", "slack"]
    assert notifying.notes([_listener("task", noon, mine, mail=False)], frozenset(["mail"])) == []
    assert notifying.notes([_listener("task", noon, mine)], frozenset()) == []


async def test_the_digest_comes_once_a_day_with_all_that_is_for_it(
    house: House, relays: tuple[Relay, Relay], office: PostOffice
) -> None:
    mail, _ = relays
    at = await mail.now()
    # Four hours from now, wherever that is on the clock.
    daily = (at + timedelta(hours=4)).time().replace(second=0, microsecond=0)
    mine = Preferences(digest=frozenset(["task", "outcome"]), digest_at=daily)
    await preferences.say(house.pool, "bob", mine)
    flows = [await house.begun() for _ in range(2)]
    await mail.listen()
    await mail.send(timedelta(hours=3))
    assert office.taken == []
    await mail.send(timedelta(hours=4))
    [digest] = office.taken
    assert "since your last digest" in texts(digest)
    assert all(flow.task in texts(digest) for flow in flows)


async def test_what_is_due_while_it_is_quiet_waits_for_the_morning(
    house: House, relays: tuple[Relay, Relay], office: PostOffice
) -> None:
    """Also where the quiet hours were chosen, or the way opened again, later than it happened."""
    mail, _ = relays
    await house.begun()
    await mail.listen()
    at = await mail.now() + timedelta(hours=1)
    ends = at + timedelta(hours=2)
    quiet = Quiet(
        (at - timedelta(hours=2)).time().replace(second=0, microsecond=0),
        ends.time().replace(second=0, microsecond=0),
    )
    await preferences.say(house.pool, "bob", Preferences(quiet=quiet))
    await mail.send(timedelta(hours=1))
    assert office.taken == []
    await mail.send(timedelta(hours=3))
    assert office.to == ["bob@example.org"]


async def test_what_somebody_does_not_want_any_more_is_not_sent(
    house: House, relays: tuple[Relay, Relay], office: PostOffice, slack: SlackServer
) -> None:
    await house.begun()
    await relays[0].listen()
    await preferences.say(house.pool, "bob", Preferences(dict.fromkeys(KINDS, ("slack",))))
    await deliver(relays)
    assert office.taken == []
    assert [it["channel"] for it in slack.of("chat.postMessage")] == ["U0BOB"]


async def test_reminders_are_told_with_their_task_once(
    house: House, relays: tuple[Relay, Relay], office: PostOffice
) -> None:
    mail, _ = relays
    flow = await house.begun()
    await mail.deliver()
    # By a change of the row, as `remind` leaves it: the reminder's own event.
    from contract.events import TASK_REMINDED
    from recipes.happenings import ENGINE
    from storage import audit

    for _ in range(2):
        event = audit.event(
            TASK_REMINDED, await mail.now(), {"task_id": flow.task, "step": "manager"}, {}, ENGINE
        )
        await audit.append(house.pool, UUID(flow.state.request_id), "leave", 1, [event])
    await mail.deliver()
    [_, reminder] = office.taken
    assert reminder["Subject"] == "Still needs your decision: 5 days for Alice Moreau"


async def test_inputs_are_told_as_pages_tell_them_by_every_way(
    house: House, relays: tuple[Relay, Relay], office: PostOffice, slack: SlackServer
) -> None:
    mine = Preferences(dict.fromkeys(KINDS, ("mail", "slack")), time_zone="Europe/Madrid")
    await preferences.say(house.pool, "bob", mine)
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {
            "why": {"type": "string"},
            "note": {"type": ["string", "null"]},
            "cost": {"type": "object", "title": "What it costs"},
            "leaves": {"type": "string", "format": "date"},
            "meets": {"type": "string", "format": "date-time"},
            "alone": {"type": "boolean"},
            "stops": {"type": "array"},
            "lines": {"type": "array"},
        },
    }
    inputs: dict[str, Json] = {
        "why": "long " * 50,
        "note": None,
        "cost": {"amount": 1250.5, "currency": "EUR"},
        "leaves": "2026-07-01",
        "meets": "2026-07-02T12:00:00Z",
        "alone": False,
        "stops": ["Bilbao", "Vigo"],
        "lines": [{"what": "train", "price": 2}],
    }
    step: Json = {"id": "manager", "type": "approval", "approver": "{{ employee.manager }}"}
    recipe: Json = {"workflow": "journey", "version": 1, "inputs": schema, "steps": [step]}
    made = await house.post("/v1/recipes", "root", "admin", content=json.dumps(recipe))
    assert made.status_code == 201, made.text
    await house.begun("alice", "journey", inputs)
    await deliver(relays)
    told = [
        ("Why", ("long " * 20)[:99] + "…"),
        ("What it costs", "1,250.50 EUR"),
        ("Leaves", "Wed 1 Jul 2026"),
        ("Meets", "2 Jul 2026, 14:00 (Europe/Madrid)"),
        ("Alone", "no"),
        ("Stops", "Bilbao, Vigo"),
    ]
    [mail] = office.taken
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    lines = [it[2:] for it in text.get_content().splitlines() if it.startswith("  ")]
    assert lines == [*(f"{name}: {value}" for name, value in told), "1 more detail on the page"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html.get_content())
    assert cells == [*(each for pair in told for each in pair), "1 more detail on the page"]
    [message] = slack.of("chat.postMessage")
    [section, notes, *_] = message["blocks"]
    shown = [it["text"] for it in section["fields"]]
    assert shown == [f"*{name}*\n{value}" for name, value in told]
    assert notes["elements"][0]["text"] == "1 more detail on the page"


# --- what is in none of them ---


async def test_confidential_requests_are_named_by_their_workflow_alone(
    house: House,
    relays: tuple[Relay, Relay],
    office: PostOffice,
    slack: SlackServer,
    admin_pool: Pool,
) -> None:
    await house.publish(parse(SALARY.read_text()).recipe)
    inputs: dict[str, Json] = {
        "person": "Zelda Quillfeather",
        "starts_on": "2026-04-01",
        "before": 50000,
        "after": 54321.25,
        "why": "quillfeather: another offer",
    }
    flow = await house.begun("bob", "salary_change", inputs)
    asked = await house.post(
        f"/v1/tasks/{flow.task}/questions",
        "dave",
        json={"to": "erin", "text": "54321 quillfeather?"},
    )
    assert asked.status_code == 201, asked.text
    await deliver(relays)
    told = {it["To"].addresses[0].username: str(it["Subject"]) for it in office.taken}
    assert told["dave"] == "Needs your decision: Salary change"
    assert {"dave", "erin"} == set(told)
    said = everything(office, slack).lower()
    assert f"{PAGES}/tasks/{flow.task}" in said
    for secret in ("quillfeather", "zelda", "54321", "50000", "bob tanaka", "2026-04-01"):
        assert secret not in said
    assert all(buttons(it) == {} for it in slack.of("chat.postMessage"))
    back = await house.decide("dave", flow.task, "request_changes", comment="quillfeather again")
    assert back.status_code == 200, back.text
    await flow.befall(house.delivery.signals[-1][1])
    await deliver(relays)
    await relays[1].refresh()
    assert "Sent back to you: Salary change" in [str(it["Subject"]) for it in office.taken]
    assert "quillfeather" not in everything(office, slack).lower()
    kept = await where(admin_pool, "54321")
    assert not {"messages", "message_items"} & {name for names in kept.values() for name in names}


async def test_what_is_erased_is_not_told_and_slack_shows_it_no_more(
    house: House, relays: tuple[Relay, Relay], office: PostOffice, slack: SlackServer
) -> None:
    await house.publish(leave(2, title="{{ days }} days in {{ why }}"))
    flow = await house.begun("alice", inputs={"days": 5, "why": "Quillfeather"})
    request = flow.state.request_id
    await deliver(relays)
    assert "Quillfeather" in everything(office, slack)
    await house.post(f"/v1/requests/{request}/cancel", "alice")
    [(_, command)] = house.delivery.signals
    assert isinstance(command, Commanded)
    added = await house.post(f"/v1/requests/{request}/watchers", "alice", json={"person": "erin"})
    assert added.status_code == 200, added.text
    await flow.befall(command)
    await relays[0].listen()
    await house.pool.execute("DELETE FROM outbox")
    erased = await house.post(
        f"/v1/requests/{request}/erase", "oscar", "admin", json={"reason": "Case 1."}
    )
    assert erased.status_code == 200, erased.text
    office.taken.clear()
    slack.calls.clear()
    await deliver(relays)
    await relays[1].refresh()
    assert office.taken == []
    [update] = slack.of("chat.update")
    assert "Erased request" in str(update["blocks"])
    assert "Quillfeather" not in everything(office, slack)
    assert len(slack.calls) == 1


async def test_who_watches_but_may_not_see_it_any_more_hears_only_that_it_ended(
    house: House, relays: tuple[Relay, Relay], office: PostOffice
) -> None:
    mail, _ = relays
    flow = await house.begun("alice", "shared", {})
    request = flow.state.request_id
    watched = await house.post(f"/v1/requests/{request}/watchers", "erin")
    assert watched.status_code == 200, watched.text
    await house.import_org(STAFF, (RoleRow("hr", ("dave",)),))
    decided = await house.decide("bob", flow.task)
    assert decided.status_code == 200, decided.text
    await flow.befall(house.delivery.signals[-1][1])
    await mail.deliver()
    subjects = {it["To"].addresses[0].username: str(it["Subject"]) for it in office.taken}
    assert subjects == {"alice": "Approved: Shared", "erin": "Has ended: Shared"}


async def test_messages_are_for_administrators_and_forgotten(
    house: House, relays: tuple[Relay, Relay], office: PostOffice
) -> None:
    mail, _ = relays
    office.answers = ["550 no"]
    await house.begun()
    await mail.deliver()
    for method, path in (("GET", "messages"), ("POST", "messages/resend"), ("GET", "slack/people")):
        assert (await house.call(method, f"/v1/{path}", "bob")).status_code == 403
    found = DeadMessages.model_validate((await house.get("/v1/messages", "oscar", "admin")).json())
    assert [(it.person, it.kinds) for it in found.items] == [("bob", ["task"])]
    assert (
        await house.post(f"/v1/messages/{UUID(int=7)}/resend", "oscar", "admin")
    ).status_code == 404
    assert await messages.given_up(house.pool) == 1
    again = await house.post("/v1/messages/resend", "oscar", "admin")
    assert again.json() == {"resent": 1}
    assert (await messages.waiting(house.pool))["mail"][0] == 1
    await mail.send(timedelta(minutes=1))
    assert len(office.taken) == 1
    await messages.forget(house.pool, 30, 90)
    assert await house.pool.fetchval("SELECT count(*) FROM messages WHERE channel = 'mail'") == 1
    await house.pool.execute(
        "UPDATE messages SET ended_at = now() - interval '31 days' WHERE ended_at IS NOT NULL"
    )
    await messages.forget(house.pool, 30, 90)
    assert await house.pool.fetchval("SELECT count(*) FROM messages WHERE channel = 'mail'") == 0


async def test_a_relay_does_all_of_it_by_its_settings(
    house: House, relays: tuple[Relay, Relay], office: PostOffice, slack: SlackServer
) -> None:
    now = Preferences(dict.fromkeys(KINDS, ("mail", "slack")), gather=timedelta(0))
    await preferences.say(house.pool, "bob", now)
    settings = house.settings.model_copy(
        update={
            "smtp_url": SecretStr(office.url),
            "mail_from": SENDER,
            "slack_token": SecretStr(TOKEN),
            "slack_signing_secret": SecretStr(SECRET),
            "slack_url": slack.url,
            "public_url": PAGES,
        }
    )
    # The one that listened before is gone.
    await house.pool.execute("UPDATE feed_consumers SET lease_owner = NULL, leased_until = NULL")
    chores = notifying.chores(house.pool, settings)
    flow = await house.begun()
    await feed.sequence(house.pool)
    for work, _ in chores:
        await work()
    assert office.to == ["bob@example.org"]
    [told] = slack.of("chat.postMessage")
    assert "Approve" in buttons(told)
    assert f"{PAGES}/tasks/{flow.task}" in texts(office.taken[0])
    await house.decide("bob", flow.task)
    await feed.sequence(house.pool)
    for _ in range(2):  # listening comes before bringing up to date, whatever their order
        for work, _ in chores:
            await work()
    [changed] = slack.of("chat.update")
    assert "Bob Tanaka decided: Approve" in str(changed["blocks"])
    seen = {it.part: (it.verdict, it.seen) for it in await told_by_doctor(house.pool, settings)}
    assert seen["mail"][0] == seen["slack"][0] == "ok"
    off = await told_by_doctor(house.pool, house.settings)
    assert ["is not set" in it.seen for it in off] == [True, True]
    await house.pool.execute("""UPDATE messages SET state = 'dead' WHERE channel = 'mail'""")
    [_, _, dead] = await told_by_doctor(house.pool, settings)
    assert (dead.verdict, dead.seen) == ("warning", "1 were given up")


async def test_a_mistake_of_ours_does_not_end_the_relay(house: House) -> None:
    async def mistaken() -> bool:
        raise KeyError("a mistake")

    async def refused() -> bool:
        raise LeaseLost("somebody else's")

    assert await outlived("it", mistaken)() is False
    with pytest.raises(LeaseLost):  # for the loop, which knows it
        await outlived("it", refused)()


def test_times_are_told_on_the_persons_clock() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert told_time(moment, "Europe/Madrid") == "Wed 1 Jul 2026, 14:00 (Europe/Madrid)"
    assert told_time(moment, "Nowhere") == "Wed 1 Jul 2026, 12:00 UTC"
