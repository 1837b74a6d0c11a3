"""The directory of cases and the real one answer alike, whatever the organisation."""

from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from recipes.asks import Answer, Ask, AskApprover, AskCandidates, AskHolders, AskManager, Limit
from recipes.case_directory import Delegation, Directory, Person
from storage import resolution
from storage.resolution import About
from tests.integration.house import House

NAMES = "abcdefghi"
SCOPES = ("all", "workflow:leave", "workflow:other")


def _organisation(random: Random, number: int) -> Directory:
    """A random one, its names its own, so that many are together in one database."""
    ids = [f"{name}{number}" for name in NAMES]
    roles = {
        f"{role}{number}": tuple(sorted(random.sample(ids, random.randint(0, 4))))
        for role in ("team", "board")
    }
    people = {
        one: Person(
            one,
            one,
            random.choice([None, *(two for two in ids if two != one)]),
            limits={"EUR": Decimal(random.choice((1, 10, 100)))} if random.random() < 0.6 else {},
            left=random.random() < 0.2,
        )
        for one in ids
    }
    directory = Directory(people, roles)
    for _ in range(random.randint(0, 8)):
        one, two = random.sample(ids, 2)
        scope = random.choice((*SCOPES, *(f"role:{role}" for role in roles)))
        directory.delegate(Delegation(one, two, scope))
    return directory


async def _keep(house: House, org: Directory) -> None:
    """Write an organisation into the real directory."""
    people = org.people.values()
    async with house.pool.acquire() as connection, connection.transaction():
        await connection.executemany(
            "INSERT INTO people (id, name, employed) VALUES ($1, $1, CASE WHEN $2"
            " THEN '{[2020-01-01 00:00Z, 2021-01-01 00:00Z)}' ELSE '{[2020-01-01 00:00Z,)}' END"
            "::tstzmultirange)",
            [(person.id, person.left) for person in people],
        )
        await connection.executemany(
            "INSERT INTO manager_lines (person, manager, valid) VALUES ($1, $2, tstzrange(now(), NULL))",
            [(person.id, person.manager) for person in people if person.manager is not None],
        )
        await connection.executemany(
            "INSERT INTO approval_limits VALUES ($1, 'EUR', $2, tstzrange(now(), NULL))",
            [(p.id, amount) for p in people for amount in p.limits.values()],
        )
        await connection.executemany(
            "INSERT INTO roles (name) VALUES ($1)", [(role,) for role in org.roles]
        )
        await connection.executemany(
            "INSERT INTO role_members (role, person, valid) VALUES ($1, $2, tstzrange(now(), NULL))",
            [(role, person) for role, members in org.roles.items() for person in members],
        )
        await connection.executemany(
            "INSERT INTO delegations (id, delegator, delegate, scope, valid, created_by)"
            " VALUES (gen_random_uuid(), $1, $2, $3, tstzrange(now(), NULL), $1)",
            [(each.delegator, each.delegate, each.scope) for each in org.delegations],
        )


def _ask(random: Random, org: Directory) -> Ask:
    people, roles = list(org.people), list(org.roles)
    named = [*(f"user:{one}" for one in people), *(f"role:{one}" for one in roles), *people, *roles]
    without = tuple(random.sample(people, random.choice((0, 0, 1, 2))))
    limit = Limit(random.choice(("0.5", "5", "50.00", "500")), random.choice(("EUR", "EUR", "USD")))
    limit_or_none = random.choice((None, limit))
    some = tuple(random.sample(named, random.randint(1, 3)))
    match random.randrange(5):
        case 0:
            return AskManager("s", random.choice(people), without, limit_or_none)
        case 1:
            seated = tuple(random.sample(people, random.choice((0, 0, 1, 2))))
            return AskCandidates("s", some, without, seated)
        case 2:
            pool = random.random() < 0.5
            return AskHolders("s", some if pool else some[:1], pool)
        case _:
            keep, fixed = (random.choice((None, None, one)) for one in random.sample(people, 2))
            return AskApprover("s", some[0], without, limit_or_none, keep, fixed)


def _told(answer: Answer) -> Answer:
    """Without which delegation it was: those of cases have no ids."""
    if answer.assignment is None:
        return answer
    chain = tuple(replace(hop, delegation=None) for hop in answer.assignment.chain)
    return Answer(assignment=replace(answer.assignment, chain=chain))


@pytest.mark.parametrize("seed", range(2))
async def test_cases_answer_as_the_directory_does(bare_house: House, seed: int) -> None:
    random = Random(seed)
    for number in range(seed * 100, seed * 100 + 25):
        org = _organisation(random, number)
        await _keep(bare_house, org)
        at = await bare_house.pool.fetchval("SELECT clock_timestamp()")
        for _ in range(25):
            requester = random.choice(list(org.people))
            ask = _ask(random, org)
            about = About(requester, "leave", at)
            [real] = await resolution.answers(bare_house.pool, (ask,), about)
            [case] = org.answer((ask,), requester, "leave")
            assert _told(case) == _told(real), (ask, requester, org)
