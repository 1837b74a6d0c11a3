"""Words and conditions over what is confidential: who may see it finds it, to all others it is not there.

Each request has twins: one of which nothing is confidential, and one that never had what is. Whoever may see
a request's confidential part must get the answers of the first, everybody else those of the second.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contract.conditions import condition
from recipes.model import Confidential, Json, Recipe
from recipes.parse import parse
from storage import judging, searching
from storage.asking import Asked, Told
from storage.cold import Cold
from storage.moving import Mover
from storage.org import PersonRow
from storage.pool import Pool, vault_of
from storage.request_lists import Filter
from storage.store import Folder
from storage.trail import Trail
from storage.vault import Reader
from tests.integration import ancient
from tests.integration.delegating import delegate
from tests.integration.house import PEOPLE, House, leave, shared
from tests.integration.sealed import KEY, seal

AMOUNTS: tuple[Json, ...] = (70000, 60000.5, 50000, 49999.99, "a lot", None)
SUPPLIERS = ("Acme", "Globex", "Acme", "Initech", "Globex", "Acme")
AMOUNT = Confidential(("hr",), ("amount",))
ALL_OF_IT = Confidential(("hr",))
EVERYBODY = ("role:hr", "user:bob")
"""The candidates of each request: frank, an auditor, is none of them."""
FIELD = {"plain": "plain", "entitled": "amounts", "others": "bare"}
WHOLE = {"plain": "plain", "entitled": "whole", "others": "silent"}
QUESTIONS: tuple[dict[str, str], ...] = (
    {"where": "amount > 50000"},
    {"where": "amount >= 50000 && supplier == 'Acme'"},
    {"where": "amount < 50000 || supplier == 'Globex'"},
    {"where": "amount != 50000"},
    {"where": 'amount == "a lot"'},
    {"where": "supplier == 'Acme'"},
    {"where": "supplier != 'Acme'"},
    {"where": "absent == 1"},
    {"words": "acme"},
    {"words": "70000"},
    {"words": "acme 70000"},
    {"words": "globex LOT"},
    {"words": "number 3"},
    {"words": "fine"},
    {"words": "nothing of the kind"},
    {"words": "!!"},
    {"words": "acme", "where": "amount > 50000"},
    {"words": "number 1", "where": "amount > 50000"},
    {"words": "fine", "where": "amount > 50000 && supplier == 'Globex'"},
)


def _recipe(name: str, rule: Confidential | None) -> Recipe:
    return replace(shared(*EVERYBODY, workflow=name), confidential=rule, title="Pay")


@dataclass
class Pay:
    """The twins, `n` of each, and who they are."""

    house: House
    numbers: dict[str, int]

    async def asked(self, who: str, workflow: str, **asked: Any) -> list[tuple[int, str]]:
        """What the audit answers, page by page of three: which request it is, and what happened."""
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {"limit": 3, "workflow": workflow, **asked}
        while True:
            answer = await self.house.get("/v1/audit", who, "auditor", params=more)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["items"]) == 3 or page["next_cursor"] is None
            found += page["items"]
            if page["next_cursor"] is None:
                return [(self.numbers[row["request_id"]], row["type"]) for row in found]
            more["cursor"] = page["next_cursor"]

    async def listed(self, who: str, *roles: str, **asked: Any) -> list[int]:
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {"limit": 2, **asked}
        while True:
            answer = await self.house.get("/v1/requests", who, *roles, params=more)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["items"]
            if page["next_cursor"] is None:
                return [self.numbers[row["id"]] for row in found]
            more["cursor"] = page["next_cursor"]


@pytest.fixture
async def pay(house: House) -> Pay:
    """Six times: nothing confidential (plain), the amount (amounts), no amount at all (bare), everything
    (whole), no inputs, titles and comments at all (silent). Half of them are decided, by erin."""
    numbers: dict[str, int] = {}
    rules = {"plain": None, "amounts": AMOUNT, "bare": None, "whole": ALL_OF_IT, "silent": None}
    for name, rule in rules.items():
        recipe = _recipe(name, rule)
        await house.publish(replace(recipe, title=None) if name == "silent" else recipe)
    for n, (amount, supplier) in enumerate(zip(AMOUNTS, SUPPLIERS, strict=True)):
        inputs: dict[str, Json] = {"amount": amount, "supplier": supplier}
        shorter: dict[str, Json] = {"supplier": supplier}
        nothing: dict[str, Json] = {}
        for name in rules:
            given = shorter if name == "bare" else nothing if name == "silent" else inputs
            flow = await house.begun("alice", name, given)
            numbers[flow.state.request_id] = n
            if n % 2:
                comment = {} if name == "silent" else {"comment": f"fine, number {n}"}
                decided = await house.decide("erin", flow.task, **comment)
                assert decided.status_code == 200, decided.text
    return Pay(house, numbers)


@pytest.mark.parametrize("twins", [FIELD, WHOLE], ids=["a field", "all of it"])
async def test_the_audit_answers_each_by_what_they_may_see(pay: Pay, twins: dict[str, str]) -> None:
    for question in QUESTIONS:
        as_all = await pay.asked("frank", twins["plain"], **question)
        as_others = await pay.asked("frank", twins["others"], **question)
        for who in ("alice", "dave", "erin"):
            assert await pay.asked(who, twins["entitled"], **question) == as_all, (who, question)
        asked_to_decide = [row for row in as_all if row[0] % 2 == 0 or row in as_others]
        assert await pay.asked("bob", twins["entitled"], **question) == asked_to_decide, question
        for who in ("frank", "carol"):
            assert await pay.asked(who, twins["entitled"], **question) == as_others, (who, question)


@pytest.mark.parametrize("twins", [FIELD, WHOLE], ids=["a field", "all of it"])
async def test_so_do_lists_of_requests(pay: Pay, twins: dict[str, str]) -> None:
    for question in QUESTIONS:
        for who, roles in (("alice", ()), ("dave", ()), ("erin", ("auditor",))):
            as_all = await pay.listed(who, *roles, workflow=twins["plain"], **question)
            found = await pay.listed(who, *roles, workflow=twins["entitled"], **question)
            assert found == as_all, (who, question)
        as_others = await pay.listed("frank", "auditor", workflow=twins["others"], **question)
        found = await pay.listed("frank", "auditor", workflow=twins["entitled"], **question)
        assert found == as_others, question


async def test_rows_name_what_is_withheld(pay: Pay) -> None:
    for name, withheld in (
        ("amounts", {"inputs"}),
        ("whole", {"inputs", "title"}),
        ("plain", set()),
    ):
        asked = {"workflow": name, "type": "task.assigned"}
        for who, names in (("frank", withheld), ("dave", set())):
            answer = await pay.house.get("/v1/audit", who, "auditor", params=asked)
            rows = answer.json()["items"]
            assert len(rows) == 6
            for row in rows:
                assert set(row["withheld"]) == names, (name, who)
                assert ("amount" in row["inputs"]) == (not names)
                assert (row["title"] is None) == ("title" in names)


async def test_without_a_workflow_all_are_found(pay: Pay) -> None:
    asked = {"where": "amount > 60000", "type": "request.created"}
    for who, times in (("alice", 3), ("frank", 1)):
        found = await _all(pay, who, **asked)
        assert sorted(found) == sorted([0] * times + [1] * times)
    assert await pay.listed("alice", where="amount > 60000") == [1, 1, 1, 0, 0, 0]


async def _all(pay: Pay, who: str, **asked: Any) -> list[int]:
    answer = await pay.house.get("/v1/audit", who, "auditor", params=asked)
    return [pay.numbers[row["request_id"]] for row in answer.json()["items"]]


@pytest.mark.parametrize("portion", [1, 2, 3])
async def test_whatever_is_opened_at_a_time(pay: Pay, portion: int) -> None:
    """Full pages, in order, none twice."""
    trail, reader = Trail(None, Cold(), portion=portion), Reader("alice")
    asked = Asked(condition=condition("amount > 50000"))
    everything = await trail.ask(pay.house.pool, reader, asked, 100)
    assert len(everything) == 15
    found: list[Told] = []
    while rows := await trail.ask(
        pay.house.pool, reader, asked, 4, found[-1].place if found else None
    ):
        found += rows
        assert len(rows) == 4 or len(found) == 15
    assert found == everything


@pytest.mark.parametrize("portion", [1, 2, 3])
async def test_so_are_requests(pay: Pay, portion: int) -> None:
    wanted, listed = Filter(condition=condition("amount > 50000")), list[UUID]()
    before = datetime(9999, 1, 1, tzinfo=UTC), UUID(int=0)
    while rows := await searching.newest(
        pay.house.pool, Reader("alice"), wanted, 4, before, everything=False, portion=portion
    ):
        listed += [row["id"] for row in rows]
        before = rows[-1]["created_at"], rows[-1]["id"]
        assert len(rows) == 4 or len(listed) == 6
    assert [pay.numbers[str(each)] for each in listed] == [1, 1, 1, 0, 0, 0]


# --- both tiers ---

QUARTER = (date(2024, 1, 1), date(2024, 2, 1))
ORDERS: tuple[Json, ...] = (70000, "60000.5", 50000, "49999.99", 12)


@dataclass
class Ancient:
    """Orders of two months, twins of which the amount, or all, is confidential for those in `hr`."""

    house: House
    trail: Trail
    mover: Mover

    async def asked(self, reader: Reader, **asked: Any) -> list[tuple[datetime, str]]:
        found: list[Told] = []
        while rows := await self.trail.ask(
            self.house.pool, reader, Asked(**asked), 3, found[-1].place if found else None
        ):
            found += rows
        assert [row.place for row in found] == sorted({row.place for row in found}, reverse=True)
        return [(row.occurred_at, row.event_type) for row in found]


@pytest.fixture
async def old(house: House, admin_pool: Pool, tmp_path: Path) -> Ancient:
    for month in QUARTER:
        await ancient.partition(admin_pool, month)
    rules = {"orders": None, "amounts": AMOUNT, "whole": ALL_OF_IT}
    for name, rule in rules.items():
        await house.publish(_recipe(name, rule))
        for month in QUARTER:
            for n, amount in enumerate(ORDERS):
                day = month.replace(day=3 + n)
                later = day.replace(month=2) if n == 1 else day
                kept: dict[str, Any] = {"workflow": name, "confidential": rule, "decided": later}
                await ancient.order(admin_pool, day, amount, f"Acme Corp {n}", **kept)
    await seal(house.pool)
    (tmp_path / "cold").mkdir()
    store = Folder(tmp_path / "cold")
    mover = Mover(house.pool, store, (KEY,), file_rows=8)
    return Ancient(house, Trail(store, Cold(), portion=2, look=4), mover)


OLD_QUESTIONS: tuple[dict[str, Any], ...] = (
    {"condition": condition("amount > 50000")},
    {"condition": condition("amount > 50000"), "event_type": "decision.recorded"},
    {"condition": condition("amount < 50000 && supplier == 'Acme Corp 4'")},
    {"condition": condition("amount > 50000"), "since": datetime(2024, 1, 4, 12, tzinfo=UTC)},
    {"condition": condition("amount > 50000"), "until": datetime(2024, 2, 4, tzinfo=UTC)},
    {"words": "acme 70000"},
    {"words": "fine corp 4"},
    {"words": "fine corp 4", "condition": condition("amount > 50000")},
)


async def test_both_tiers_answer_alike(old: Ancient) -> None:
    entitled, other = Reader("dave"), Reader("olga", frozenset(["auditor"]))

    async def answers() -> None:
        for question in OLD_QUESTIONS:
            plain = await old.asked(other, workflow="orders", **question)
            assert plain or "words" in question, question
            for name in ("amounts", "whole"):
                assert await old.asked(entitled, workflow=name, **question) == plain, question
            if "amount" in str(question.get("condition")):
                for name in ("amounts", "whole"):
                    assert await old.asked(other, workflow=name, **question) == [], question

    await answers()
    for month in QUARTER:
        await old.mover.move(month)
        await answers()


# --- who may see what ---

MACHINE = """workflow: review
version: 1
kind: state_machine
confidential: {visible_to: [empty], fields: [document]}
inputs:
  type: object
  required: [document]
  properties: {document: {type: string}}
states:
  - {id: draft, initial: true}
  - {id: in_review}
  - {id: published, final: true}
actions:
  - {id: submit, from: draft, to: in_review, who: "user:{{ request.requester }}"}
  - {id: publish, from: in_review, to: published, who: [role:house, "{{ employee.manager }}"]}
"""


async def test_only_what_may_be_seen_is_looked_at(house: House) -> None:
    """The look at all of a reader's requests finds what row-level security gives, one by one, and no others."""
    await house.import_org(
        (*PEOPLE, PersonRow("gina", "Gina", manager="carol"), PersonRow("hugo", "Hugo"))
    )
    manager = replace(leave(2), confidential=Confidential(("auditor",), ("why",)))
    await house.publish(replace(manager, title=None))
    await house.publish(_recipe("amounts", AMOUNT))
    pool_of_bob = replace(
        shared("user:bob", workflow="bobs"), confidential=Confidential(("empty",))
    )
    await house.publish(pool_of_bob)
    await house.publish(parse(MACHINE).recipe)
    await delegate(house, "bob", "gina")
    await delegate(house, "gina", "hugo")
    flows = [await house.begun("alice", "leave", {"days": 5, "why": "x"})]
    flows += [
        await house.begun(who, name, {"amount": 5})
        for who in ("alice", "frank")
        for name in ("amounts", "bobs")
    ]
    flows += [await house.begun(who, "review", {"document": "x"}) for who in ("alice", "erin")]
    assert (await house.decide("erin", flows[1].task)).status_code == 200
    ids = [UUID(flow.state.request_id) for flow in flows]
    people = [person.id for person in (*PEOPLE, PersonRow("gina", ""), PersonRow("hugo", ""))]
    for person in (*people, "nobody"):
        for roles in (frozenset[str](), frozenset(["auditor"])):
            reader = Reader(person, roles)
            keys = await vault_of(house.pool).reading(house.pool, reader, ids)
            may_see = {each.request_id for each in keys.values() if each.holds("confidential")}
            found = await judging.mine(house.pool, reader, "x", None, workflow=None)
            assert sorted(found) == sorted(may_see), reader
    assert len(ids) == 7


async def test_what_a_condition_is_not_on_is_not_opened(house: House) -> None:
    await house.publish(_recipe("amounts", AMOUNT))
    await house.publish(_recipe("whole", ALL_OF_IT))
    for name in ("amounts", "whole"):
        await house.begun("alice", name, {"amount": 5, "supplier": "Acme"})
    counts = {"supplier == 'Acme'": 1, "amount > 4": 2, "supplier == 'Acme' || amount > 4": 2}
    for where, count in counts.items():
        found = await judging.mine(
            house.pool, Reader("alice"), None, condition(where), workflow=None
        )
        assert len(found) == count, where
    nothing = await judging.mine(house.pool, Reader("alice"), None, None, workflow=None)
    assert nothing == []


async def test_a_box_that_is_damaged_hides_no_others(pay: Pay, admin_pool: Pool) -> None:
    await admin_pool.execute(
        "UPDATE audit_subjects SET sealed = sealed || '\\x00'"
        " WHERE request_id IN (SELECT id FROM requests WHERE workflow = 'amounts')"
        "   AND inputs->>'supplier' = 'Acme' AND sealed IS NOT NULL"
    )
    asked = {"where": "amount > 50000", "workflow": "amounts"}
    assert await pay.listed("alice", **asked) == [1]
    assert [n for n, _ in await pay.asked("alice", **asked)] == [1, 1, 1]
