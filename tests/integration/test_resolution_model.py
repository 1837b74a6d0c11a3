"""Random histories of an office, asked at random moments of them: Postgres gives what `Office` gives."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    Limit,
)
from storage import resolution
from storage.pool import Connection, Source
from storage.references import About
from tests.integration.office import BASE, END, TICK, Office, minute

PEOPLE = "abcdef"
ROLES = ("r", "s", "c")
"""There is a person named c, too."""
_person = st.sampled_from(PEOPLE)
_pair = st.permutations(PEOPLE).map(lambda names: (names[0], names[1]))
_scope = st.sampled_from(["all", "workflow:leave", "role:r"])
_amount = st.sampled_from(["0", "100", "100.5", "100.5001", "5000"])
_move = st.one_of(
    st.tuples(st.just("comes or goes"), _person),
    st.tuples(st.just("manager"), _pair),
    st.tuples(st.just("no manager"), _person),
    st.tuples(st.just("member"), st.sampled_from(ROLES), _person),
    st.tuples(st.just("limit"), _person, st.none() | _amount),
    st.tuples(st.just("department"), _person, st.sampled_from([None, "x", "y"])),
    st.tuples(
        st.just("delegate"), _pair, _scope, st.sampled_from([0, 0, 3]), st.sampled_from([None, 5])
    ),
    st.tuples(st.just("revoke"), _person, _scope),
)
_reference = st.sampled_from(
    [*(f"user:{p}" for p in PEOPLE), *(f"role:{r}" for r in ROLES), "a", "r", "c", "c"]
)
_references = st.lists(_reference, min_size=1, max_size=3).map(tuple)
_without = st.sets(_person, max_size=2).map(lambda names: tuple(sorted(names)))
_limit = st.none() | st.builds(Limit, _amount, st.sampled_from(["EUR", "EUR", "USD"]))
_ask: st.SearchStrategy[Ask] = st.one_of(
    st.builds(
        AskApprover,
        st.just("s"),
        _reference,
        _without,
        _limit,
        st.none() | _person,
        st.none() | st.none() | _person,
    ),
    st.builds(AskManager, st.just("s"), _person, _without, _limit),
    st.builds(AskCandidates, st.just("s"), _references, _without),
    st.builds(AskHolders, st.just("s"), _references, st.booleans()),
    st.just(AskEmployee(("manager.manager.id", "department"))),
)


def _moved(office: Office, move: tuple[Any, ...], now: datetime) -> None:
    match move:
        case ("comes or goes", person):
            here = office.employed.at(person, now)
            office.employed.change(person, None if here else True, now)
        case ("manager", (person, boss)):
            office.managers.change(person, boss, now)
        case ("no manager", person):
            office.managers.change(person, None, now)
        case ("member", role, person):
            held = office.members.at((role, person), now)
            office.members.change((role, person), None if held else True, now)
        case ("limit", person, amount):
            value = None if amount is None else Decimal(amount)
            office.limits.change((person, "EUR"), value, now)
        case ("department", person, name):
            office.departments.change(person, name, now)
        case ("delegate", (who, to), scope, after, length):
            begins = now + timedelta(minutes=after)
            ends = END if length is None else begins + timedelta(minutes=length)
            office.delegate(who, to, scope, begins, ends)
        case ("revoke", who, scope):
            office.delegations.cut((who, scope), now)
        case _:
            raise AssertionError(move)


@dataclass(frozen=True)
class History:
    """An office over some time, and what is asked of it, with the turn that a role would take."""

    office: Office
    asks: tuple[tuple[Ask, About, int], ...]


@st.composite
def _histories(draw: st.DrawFn) -> History:
    office = Office(
        roles={"r": minute(-99), "s": minute(-99), "c": minute(draw(st.integers(0, 20)))}
    )
    office.people |= set(PEOPLE)
    # All of them in a line, most with limits, when it begins.
    for person, boss in zip(PEOPLE, [*PEOPLE[1:], None], strict=True):
        office.employed.add(
            person, True, minute(-60), minute(-30)
        )  # everybody has been here before
        office.employed.change(person, True, BASE)
        office.managers.change(person, boss, BASE)
        office.limits.change((person, "EUR"), Decimal(50 * PEOPLE.index(person)), BASE)
    for role, held in (("r", "bcd"), ("s", "e"), ("c", "bf")):
        for person in held:
            office.members.change((role, person), True, BASE)
    now = BASE
    for move in draw(st.lists(_move, min_size=4, max_size=25)):
        now += timedelta(minutes=draw(st.integers(0, 2)))
        _moved(office, move, now)
    facts = (office.employed, office.managers, office.members, office.limits, office.delegations)
    ends = {end for kept in facts for _, span in kept for end in (span.begins, span.ends)} - {END}
    beside = st.sampled_from([-TICK, 0 * TICK, TICK])
    at = st.tuples(st.sampled_from(sorted(ends)), beside).map(lambda pair: pair[0] + pair[1])
    about = st.builds(About, _person, st.sampled_from(["leave", "other"]), at)
    asks = st.lists(st.tuples(_ask, about, st.integers(0, 5)), min_size=12, max_size=12)
    return History(office, tuple(draw(asks)))


def _told(found: Answer) -> Answer:
    """Without what only one of the two knows: words of refusals, names and time zones."""
    if found.refusal is not None:
        return replace(found, refusal=replace(found.refusal, detail=""))
    if found.employee is not None:
        return replace(found, employee=_compared(found.employee))
    return found


def _compared(tree: dict[str, Any]) -> dict[str, Any]:
    above = {"manager": _compared(tree["manager"])} if "manager" in tree else {}
    return {"id": tree["id"], "department": tree["department"], **above}


def _turn(number: int) -> resolution.TakeTurn:
    async def take(_: Source, __: str) -> int:
        return number

    return take


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=_histories())
async def test_postgres_answers_as_the_rules_say(superuser: Connection, history: History) -> None:
    async with history.office.written(superuser) as connection:
        for ask, about, turn in history.asks:
            found = await resolution.answer(connection, ask, about, _turn(turn))
            assert _told(found) == history.office.answer(ask, about, turn), (ask, about)
