"""Who decides, rule by rule and at both ends of each interval. The office is a line a..g, a first."""

import asyncio
from collections import Counter
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    Assignment,
    Limit,
)
from storage import resolution
from storage.pool import Connection, Pool, Source
from storage.references import About
from tests.integration.delegating import rules
from tests.integration.house import House
from tests.integration.office import BASE, TICK, Office, minute

NAMES = "abcdefg"
NOON = minute(12)
EURO = Limit("100", "EUR")


@pytest.fixture
def office() -> Office:
    made = Office(roles={"r": BASE})
    for person, boss in pairwise([*NAMES, None]):
        assert person is not None
        made.people.add(person)
        made.employed.change(person, True, BASE)
        made.managers.change(person, boss, BASE)
    return made


async def _ask(source: Source, ask: Ask, at: datetime = NOON, requester: str = "a") -> Answer:
    return await resolution.answer(source, ask, About(requester, "leave", at), _first)


async def _first(_: Source, __: str) -> int:
    return 0


async def _given(source: Source, ask: Ask, at: datetime = NOON, requester: str = "a") -> Assignment:
    found = (await _ask(source, ask, at, requester)).assignment
    assert found is not None
    return found


async def _why(source: Source, ask: Ask, at: datetime = NOON) -> str:
    refusal = (await _ask(source, ask, at)).refusal
    assert refusal is not None
    return refusal.detail


def _approver(reference: str = "user:b", **more: object) -> AskApprover:
    return AskApprover("s", reference, **more)  # type: ignore[arg-type]


# --- both ends of each interval ------------------------------------------------------------------


async def test_each_fact_begins_and_ends_to_the_microsecond(
    office: Office, superuser: Connection
) -> None:
    begins, ends = minute(5), minute(6)
    office.members.add(("r", "c"), True, begins, ends)
    office.members.add(("r", "d"), True, BASE)
    office.limits.add(("b", "EUR"), Decimal(100), begins, ends)
    office.limits.add(("c", "EUR"), Decimal(100), BASE)
    office.delegate("e", "f", "all", begins, ends)
    office.managers.cut("f", begins)
    office.managers.add("f", "b", begins, ends)
    office.managers.add("f", "g", ends)
    office.employed.cut("g", begins)
    office.employed.add("g", True, ends)
    office.departments.add("a", "Sales", begins, ends)
    asks: dict[str, Ask] = {
        "cd": _approver("role:r"),
        "bc": _approver(limit=EURO),
        "fe": _approver("user:e"),
        "bg": AskManager("s", "f"),
        "-g": _approver("user:g"),
    }
    async with office.written(superuser) as source:
        for at in (begins - TICK, begins, ends - TICK, ends):
            inside = begins <= at < ends
            for (within, without), ask in asks.items():
                given = (await _ask(source, ask, at)).assignment
                assert (given.user if given else "-") == (within if inside else without)
            tree = (await _ask(source, AskEmployee(("department",)), at)).employee
            assert tree is not None
            assert tree["department"] == ("Sales" if inside else None)


async def test_a_bare_name_is_a_role_from_when_there_is_one(
    office: Office, superuser: Connection
) -> None:
    office.roles["b"] = NOON
    office.members.add(("b", "c"), True, BASE)
    async with office.written(superuser) as source:
        for at, who in ((NOON - TICK, "b"), (NOON, "c")):
            assert (await _given(source, _approver("b"), at)).user == who
            shared = await _given(source, AskCandidates("s", ("b",)), at)
            assert shared.candidates == ("user:b" if who == "b" else "role:b",)
        assert (await _given(source, _approver("role:b"), NOON - TICK)).user == "c"


# --- those who are stepped over ------------------------------------------------------------------


async def test_somebody_who_left_is_stepped_over(office: Office, superuser: Connection) -> None:
    office.employed.cut("b", NOON)
    office.employed.cut("c", NOON)
    async with office.written(superuser) as source:
        given = await _given(source, _approver())
        assert rules(given.chain) == [("has_left", "b"), ("has_left", "c"), ("manager", "d")]
        assert (await _given(source, _approver(), NOON - TICK)).user == "b"
    office.managers.cut("b", NOON)
    async with office.written(superuser) as source:
        assert await _why(source, _approver()) == "b has left and has no manager to ask"


async def test_those_who_decided_before_are_like_the_requester(
    office: Office, superuser: Connection
) -> None:
    office.members.add(("r", "a"), True, BASE)
    office.members.add(("r", "b"), True, BASE)
    office.members.add(("r", "e"), True, BASE)
    office.delegate("d", "b", "all", BASE)
    without = ("b", "c")
    async with office.written(superuser) as source:
        for turn in range(3):
            found = await resolution.approver(source, "role:r", About("a", "x", NOON), _turn(turn))
            assert found.assignment is not None
            assert found.assignment.user in {"b", "e"}
        assert (await _given(source, _approver("role:r", without=without))).user == "e"
        # A person; a manager; and a delegate, passed over up the line of whose decision it is.
        for ask in (_approver(without=without), AskManager("s", "a", without)):
            given = await _given(source, ask)
            assert given.user == "e"
            assert [rule for rule, who in rules(given.chain) if who in without] == [
                "decided_before"
            ] * 3
            assert rules(given.chain)[-3:] == [
                ("manager", "d"),
                ("decided_before", "b"),
                ("manager", "e"),
            ]
        every = ("b", "e")
        assert (
            await _why(source, _approver("role:r", without=every))
            == "role r has no member other than the requester and those who decided before"
        )
        shared = AskCandidates("s", ("role:r",), ("b",))
        assert (await _given(source, shared)).candidates == ("role:r",)
        assert "those who decided before" in await _why(
            source, AskCandidates("s", ("role:r",), every)
        )


def _turn(number: int) -> resolution.TakeTurn:
    async def take(_: Source, __: str) -> int:
        return number

    return take


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "who"),
    [
        ("0", "c"),
        ("99.9999", "c"),
        ("100", "c"),
        ("100.00", "c"),
        ("100.00001", "d"),
        ("100.0001", "d"),
        ("9999999999999999", "e"),
        ("9999999999999999.9999", "e"),
        ("1e30", None),
        ("-1e300", "c"),
    ],
)
async def test_an_equal_limit_covers(
    office: Office, superuser: Connection, amount: str, who: str | None
) -> None:
    for person, limit in (("c", "100"), ("d", "200"), ("e", "9999999999999999.9999")):
        office.limits.add((person, "EUR"), Decimal(limit), BASE)
    async with office.written(superuser) as source:
        ask = _approver(limit=Limit(amount, "EUR"))
        if who is None:
            assert await _why(source, ask) == "nobody above b may approve that much in EUR"
        else:
            given = await _given(source, ask)
            assert given.user == who
            assert rules(given.chain)[:2] == [("person", "b"), ("below_limit", "b")]
        for other in (Limit("1", "USD"), Limit("1e-400", "CHF")):
            assert "in " + other.currency in await _why(source, _approver(limit=other))


async def test_the_limit_is_that_of_whose_decision_it_is(
    office: Office, superuser: Connection
) -> None:
    office.limits.add(("c", "EUR"), Decimal(100), BASE)
    office.limits.add(("e", "EUR"), Decimal(100), BASE)
    office.members.add(("r", "b"), True, BASE)
    office.delegate("c", "f", "all", minute(5), minute(6))
    office.delegate("c", "a", "all", minute(6))
    async with office.written(superuser) as source:
        given = await _given(source, _approver(limit=EURO), minute(5))
        assert (given.user, given.on_behalf_of) == ("f", "c")
        # c's delegate is the requester: up, to the next whose limit covers it.
        given = await _given(source, _approver(limit=EURO))
        assert (given.user, given.on_behalf_of) == ("e", None)
        assert rules(given.chain)[2:] == [
            ("manager", "c"),
            ("not_the_requester", "a"),
            ("below_limit", "d"),
            ("manager", "e"),
        ]
        given = await _given(source, _approver("role:r", limit=EURO), BASE)
        assert (given.user, given.role) == ("c", None)
        assert rules(given.chain)[:2] == [("round_robin", "b"), ("below_limit", "b")]
        given = await _given(source, AskManager("s", "c", (), EURO))
        assert (given.user, given.on_behalf_of) == ("e", None)


# --- roles: turns, who keeps them, who was fixed -------------------------------------------------


async def _no_turn(_: Source, role: str) -> int:
    raise AssertionError(f"took a turn of {role}")


async def test_a_member_keeps_it_while_they_can(office: Office, superuser: Connection) -> None:
    for person in "bcd":
        office.members.add(("r", person), True, BASE)
    office.members.cut(("r", "d"), minute(20))
    office.employed.cut("c", minute(20))
    office.delegate("c", "e", "role:r", minute(5), minute(6))
    about = About("a", "leave", NOON)
    async with office.written(superuser) as source:
        kept = await resolution.answer(source, _approver("role:r", keep="c"), about, _no_turn)
        assert kept.assignment is not None
        assert rules(kept.assignment.chain) == [("kept", "c")]
        assert (kept.assignment.user, kept.assignment.role) == ("c", "r")
        for ask, at, requester in (
            (_approver("role:r", keep="e"), NOON, "a"),  # no member
            (_approver("role:r", keep="c"), minute(5), "a"),  # away
            (_approver("role:r", keep="c"), minute(20), "a"),  # left
            (_approver("role:r", keep="d"), minute(20), "a"),  # no member any more
            (_approver("role:r", keep="c", without=("c",)), NOON, "a"),
            (_approver("role:r", keep="c"), NOON, "c"),
        ):
            given = await _given(source, ask, at, requester)
            assert (given.user, given.chain[0].rule) == ("b", "round_robin")
    # While everybody is away, whoever has it keeps it for their delegate.
    for person in "bd":
        office.delegate(person, "e", "all", minute(5), minute(6))
    async with office.written(superuser) as source:
        given = await _given(source, _approver("role:r", keep="c"), minute(5))
        assert rules(given.chain) == [("kept", "c"), ("delegation", "e")]


async def test_whoever_was_fixed_is_asked_while_they_are_here(
    office: Office, superuser: Connection
) -> None:
    office.members.add(("r", "b"), True, BASE)
    office.delegate("c", "d", "role:r", minute(5), minute(6))
    office.employed.cut("c", minute(20))
    async with office.written(superuser) as source:
        for reference, role in (("role:r", "r"), ("r", "r"), ("user:b", None)):
            ask = _approver(reference, fixed="c")
            given = await _given(source, ask)
            assert (given.user, given.role) == ("c", role)
            assert rules(given.chain) == [("fixed", "c")]
            assert (await _given(source, ask, minute(20))).user == "b"
        assert (await _given(source, _approver("role:r", fixed="c"), minute(5))).user == "d"
        for gone in (
            _approver(fixed="c", without=("c",)),
            _approver(fixed="a"),
            _approver(fixed="z"),
        ):
            assert (await _given(source, gone)).user == "b"


async def test_holders_are_found_delegations_aside(office: Office, superuser: Connection) -> None:
    for person in "abc":
        office.members.add(("r", person), True, BASE)
    office.delegate("b", "e", "all", BASE)
    office.employed.cut("d", BASE)
    office.people.remove("d")
    async with office.written(superuser) as source:
        # A role rather gives somebody present.
        assert (await _given(source, AskHolders("s", ("role:r",), False))).user == "c"
        assert (await _given(source, AskHolders("s", ("user:b",), False))).user == "b"
        every = await _given(source, AskHolders("s", ("user:f", "role:r", "user:b"), True))
        assert every.candidates == ("user:b", "user:c", "user:f")
        assert "can decide but the requester" in await _why(
            source, AskHolders("s", ("user:a",), True)
        )
        assert "does not have user:d" in await _why(source, AskHolders("s", ("user:d",), True))


async def test_turns_are_fair_however_many_ask_at_once(house: House) -> None:
    about = About("alice", "leave", await house.pool.fetchval("SELECT clock_timestamp()"))
    asked = [resolution.approver(house.pool, "role:hr", about) for _ in range(40)]
    found = [answer.assignment for answer in await asyncio.gather(*asked)]
    assert Counter(given.user for given in found if given) == {"dave": 20, "erin": 20}
    assert sorted(given.chain[0].turn or 0 for given in found if given) == list(range(40))


# --- a mirror of another system's directory ------------------------------------------------------


async def test_a_mirror_that_is_too_old_is_asked_no_more(house: House, admin_pool: Pool) -> None:
    now = await house.pool.fetchval("SELECT clock_timestamp()")
    asks: tuple[Ask, ...] = (_approver("user:bob"), AskEmployee(("id",)))
    about = About("alice", "leave", now)
    for synced in ("NULL", "'2026-01-02 03:04+00'"):
        await admin_pool.execute("DELETE FROM directory_mirror")
        await admin_pool.execute(
            f"""INSERT INTO directory_mirror (source, synced_at, stale_after, failing, failing_since)
                VALUES ('https://hr.example.org', {synced}, clock_timestamp() + interval '1 h', NULL, NULL)"""
        )
        await _answered(house, asks, about)
        await admin_pool.execute(
            "UPDATE directory_mirror SET stale_after = $1, failing = 'status 503\n', failing_since = $1",
            now,
        )
        await _answered(house, asks, About("alice", "leave", now))  # what it saw, it knows
        later = About("alice", "leave", now + TICK)
        found = await resolution.answers(house.pool, asks, later)
        found = (*found, await resolution.explain(house.pool, "bob", later))
        for answer in found:
            assert answer.refusal is not None
            assert answer.refusal.kind == "DirectoryUnavailable"
            said = "never" if synced == "NULL" else "not since 2026-01-02 03:04 UTC"
            assert answer.refusal.detail == (
                f"the directory at https://hr.example.org was read {said}: status 503\ufffd"
            )


@pytest.mark.parametrize(
    "ask",
    [
        _approver("role:hr"),
        _approver("nobody"),
        _approver("role:none"),
        AskManager("s", "alice"),
        AskManager("s", "nobody"),
        AskCandidates("s", ("role:hr",)),
        AskHolders("s", ("user:bob",), pool=False),
    ],
)
async def test_whatever_is_asked_of_an_old_mirror_takes_no_turn(
    house: House, admin_pool: Pool, ask: Ask
) -> None:
    await admin_pool.execute(
        "INSERT INTO directory_mirror (source, stale_after) VALUES ('https://x', now() - interval '1 h')"
    )
    now = await house.pool.fetchval("SELECT clock_timestamp()")
    about = About("alice", "leave", now)
    found = await resolution.answers(house.pool, (ask, AskEmployee(("id",))), about, _no_turn)
    assert [answer.refusal and answer.refusal.kind for answer in found] == [
        "DirectoryUnavailable"
    ] * 2


async def _answered(house: House, asks: tuple[Ask, ...], about: About) -> None:
    for answer in await resolution.answers(house.pool, asks, about):
        assert answer.refusal is None


# --- the requester -------------------------------------------------------------------------------


async def test_the_employee_as_they_are_then(house: House) -> None:
    await house.pool.execute("UPDATE people SET time_zone = 'Asia/Tokyo' WHERE id = 'bob'")
    now = await house.pool.fetchval("SELECT clock_timestamp()")
    ask = AskEmployee(("manager.id", "department"))
    tree = (await _ask(house.pool, ask, now, "alice")).employee
    assert tree is not None
    assert (tree["time_zone"], tree["manager"]["time_zone"]) == ("UTC", "Asia/Tokyo")
    assert (tree["department"], tree["manager"]["department"]) == ("Sales", None)
    # A directory that knows departments as attributes only.
    await house.pool.execute(
        "UPDATE people SET attributes = '{\"department\": \"Legal\"}' WHERE id = 'carol'"
    )
    tree = (await _ask(house.pool, ask, now, "carol")).employee
    assert tree is not None
    assert tree["department"] == "Legal"
    assert "is not in the directory" in await _why_of(house.pool, ask)


async def _why_of(source: Source, ask: Ask) -> str:
    refusal = (await _ask(source, ask, NOON, "zoe")).refusal
    assert refusal is not None
    return refusal.detail


async def test_most_asks_are_one_query(office: Office, superuser: Connection) -> None:
    """However many delegations are followed; a role's turn, stood in for here, is a second."""
    office.members.add(("r", "b"), True, BASE)
    office.members.add(("r", "g"), True, BASE)
    for one, other in pairwise("bcdefg"):
        office.delegate(one, other, "all", BASE)
    office.limits.add(("g", "EUR"), Decimal(100), BASE)
    queries: list[str] = []
    asks: list[Ask] = [
        _approver("user:b"),
        _approver("user:b", limit=EURO),
        AskManager("s", "b"),
        AskEmployee(("manager.manager.id",)),
        _approver("role:r"),
        _approver("r"),
    ]
    async with office.written(superuser) as source:
        await _ask(source, asks[0])  # asyncpg learns the types
        await _ask(source, asks[3])
        with source.query_logger(lambda record: queries.append(record.query)):
            for ask in asks:
                assert (await _ask(source, ask)).refusal is None
    assert len(queries) == len(asks)
