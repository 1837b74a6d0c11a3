"""What mails and Slack say, of briefs that are given: how others' words stand in it, and what has no room."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from typing_extensions import override

from api.slack_windows import asking
from contract.buttons import Pressed
from contract.preferences import Preferences
from recipes.effects import Offer
from recipes.model import Outcome
from relay.composing import Composer
from relay.slack import LONGEST_LABEL, MOST_BUTTONS, SlackWay
from relay.ways import Parcel
from slack_client import Slack
from storage.briefs import Brief
from storage.messages import Message
from storage.pool import Pool
from storage.preferences import Reached

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
TASK = UUID(int=7)
PAGES = "https://approvals.example.org"
TURNED = "\u202e"
"""Shows what follows it from right to left."""


class Kept(Slack):
    """Keeps what Slack would be told."""

    def __init__(self) -> None:
        super().__init__("xoxb-none", "http://127.0.0.1:1/")
        self.said: list[dict[str, Any]] = []

    @override
    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        self.said.append({"method": method} | arguments)
        return {}


def parcel(*briefs: Brief, name: str = "Bob Tanaka") -> Parcel:
    message = Message(TASK, "bob", "mail", False, 1, NOON, NOON, ())
    return Parcel(message, Reached(name, Preferences(), "bob@example.org", "U0BOB", "UTC"), briefs)


def brief(**said: Any) -> Brief:
    return replace(Brief("task", TASK, TASK, "Leave"), **said)


def offering(count: int, name: str = "Way") -> Offer:
    return Offer(tuple(Outcome(f"o{it}", f"{name} {it}", "approve") for it in range(count)))


async def in_slack(*briefs: Brief) -> list[dict[str, Any]]:
    slack = Kept()
    way = SlackWay(slack, cast(Pool, None), Composer(PAGES), buttons=True)
    await way.send(parcel(*briefs))
    [said] = slack.said
    blocks: list[dict[str, Any]] = said["blocks"]
    return blocks


async def test_nothing_that_turns_text_round_is_in_a_message() -> None:
    from contract import facts

    name = f"Eve {TURNED}evE"
    turned = facts.facts({"properties": {"x": {"title": f"Sum{TURNED}"}}}, {"x": [f"a{TURNED}"]})
    assert [it.label for it in turned.rest] == ["Sum"]
    told = tuple((it.label, it.text) for it in turned.rest)
    it = brief(title=f"{TURNED}Leave", who=name, offer=offering(2, f"W{TURNED}ay"), facts=told)
    letter = Composer(PAGES).letter(parcel(it, name=name))
    gone = brief(verdict=f"{name} decided")
    window = (
        asking(Pressed(TASK, "o1", ""), Offer(it.offer.outcomes, require_comment=("o1",)))
        if it.offer
        else None
    )
    everything = [
        letter.subject,
        letter.text,
        letter.html,
        await in_slack(it),
        await in_slack(gone),
        window,
    ]
    assert window is not None
    assert TURNED not in "".join(map(str, everything)).replace("\\u202e", TURNED)
    assert "Eve evE asks." in letter.text


async def test_outcomes_that_have_no_button_are_counted_with_a_link_to_the_page() -> None:
    [*_, actions] = await in_slack(brief(offer=offering(MOST_BUTTONS + 2)))
    *buttons, link = actions["elements"]
    assert [it["text"]["text"] for it in buttons] == [f"Way {it}" for it in range(MOST_BUTTONS)]
    assert link["text"]["text"] == "2 more on the page"
    assert link["url"] == f"{PAGES}/tasks/{TASK}"
    [*_, all_of_them] = await in_slack(brief(offer=offering(MOST_BUTTONS)))
    assert len(all_of_them["elements"]) == MOST_BUTTONS


async def test_a_full_message_is_one_that_slack_takes() -> None:
    """50 blocks, 25 buttons each, labels of 75 characters."""
    full = brief(
        offer=offering(40, "W" * 90), facts=(("A", "b"),), more_facts=1, due_at=NOON, text="x" * 500
    )
    blocks = await in_slack(*[full] * 12)
    assert len(blocks) <= 50
    actions = [it for it in blocks if it["type"] == "actions"]
    assert all(len(it["elements"]) <= 25 for it in actions)
    [label] = {button["text"]["text"] for button in actions[0]["elements"][:-1]}
    assert label == "W" * (LONGEST_LABEL - 1) + "…"


async def test_what_has_become_of_a_task_is_a_sentence_and_counts_have_their_plural() -> None:
    [_, note] = await in_slack(brief(verdict="it is not needed any more"))
    assert note["elements"][0]["text"] == "It is not needed any more."
    for count, said in ((1, "1 more detail on the page"), (2, "2 more details on the page")):
        it = brief(facts=(("A", "b"),), more_facts=count)
        letter = Composer(PAGES).letter(parcel(it))
        assert f"  {said}\n" in letter.text
        assert f">{said}</td>" in letter.html
        assert said in str(await in_slack(it))
