"""The directory as a mirror of another system's, on real Postgres and over real HTTP: what is taken, what
is refused, how long the last good list counts, and who is told when it is back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from activities.mirror import Mirroring, Origin
from activities.pages import Bounds
from contract.messages import SyncAsked, Synced
from recipes.happenings import Actor
from recipes.model import Json
from storage import asking, mirror, org, org_import
from storage.mirror import Standing
from storage.org import PersonRow
from storage.pool import Pool
from tests.integration.people_server import Asked, PeopleServer, answer, people_server, raw, status

TOKEN = "the-very-secret-token"
MAPPING = """
request: {path: /people}
items: people
person:
  id: id
  name: name
  manager: boss
  active: {path: status, is: [active]}
"""


async def no_sleep(_: float) -> None:
    return


@dataclass
class Mirror:
    """The mirror of `server`, and its database."""

    server: PeopleServer
    pool: Pool
    origin: Origin

    async def sync(self, most_gone: int | None = None, **changes: Any) -> Synced:
        origin = replace(self.origin, **changes)
        return await Mirroring(self.pool, origin, no_sleep).sync(SyncAsked(most_gone))

    async def lists(self, *people: dict[str, Json], **headers: str) -> Synced:
        """A reading for which the server lists these people."""
        self.server.will(answer({"people": list(people)}, **headers))
        return await self.sync()

    async def fails(self, reply: Any = None) -> Synced:
        self.server.will(reply or raw(b"<html>"))
        found = await self.sync()
        assert found.failing is not None
        assert TOKEN not in found.failing
        return found

    async def standing(self) -> Standing:
        found = await mirror.standing(self.pool)
        assert found is not None
        return found

    async def here(self) -> dict[str, str | None]:
        """Who is here, and who their manager is."""
        rows = await self.pool.fetch(
            "SELECT p.id, l.manager FROM people p LEFT JOIN manager_lines l"
            " ON l.person = p.id AND l.valid @> now() WHERE p.employed @> now()"
        )
        return {row["id"]: row["manager"] for row in rows}

    async def events(self) -> list[str]:
        return [row.event_type for row in await asking.chain(self.pool, org.CHAIN)]

    async def by_hand(self, *people: PersonRow) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            at = await org.lock(connection)
            await org_import.load(connection, at, people, (), Actor("admin", "admin"))

    async def age(self, admin: Pool) -> None:
        """Let patience be over."""
        await admin.execute("UPDATE directory_mirror SET stale_after = now() - interval '1 second'")


@pytest.fixture(name="mirrored")
async def mirrored_fixture(pool: Pool, tmp_path: Path) -> AsyncIterator[Mirror]:
    file = tmp_path / "map.yaml"
    file.write_text(MAPPING)
    async with people_server() as server:
        bounds = Bounds(page=5.0, tries=2)
        patience = timedelta(hours=24)
        origin = Origin(server.url, file, patience, SecretStr(TOKEN), bounds=bounds)
        yield Mirror(server, pool, origin)


def person(name: str, boss: str | None = None, state: str = "active") -> dict[str, Json]:
    return {"id": name, "name": name.title(), "boss": boss, "status": state}


ANN, BEN, CY = person("ann"), person("ben", "ann"), person("cy", "ben")
MANY = [ANN, *(person(f"p{number}", "ann") for number in range(30))]


# --- what is taken ---


async def test_the_list_becomes_the_directory(mirrored: Mirror) -> None:
    found = await mirrored.lists(ANN, BEN, CY)
    assert found.people == 3
    assert found.changes["people_added"] == 3
    assert await mirrored.here() == {"ann": None, "ben": "ann", "cy": "ben"}
    standing = await mirrored.standing()
    assert standing.synced_at is not None
    assert standing.stale_after == standing.synced_at + timedelta(hours=24)
    assert not standing.stale
    [event] = await asking.chain(mirrored.pool, org.CHAIN)
    assert event.actor["user"] == "system:directory"


async def test_the_same_list_again_changes_nothing(mirrored: Mirror) -> None:
    await mirrored.lists(ANN, BEN, CY)
    first = await mirrored.standing()
    assert (await mirrored.lists(ANN, BEN, CY)).changes == {}
    assert await mirrored.events() == ["org.imported"]
    assert (await mirrored.standing()).stale_after > first.stale_after


async def test_whoever_is_gone_from_the_list_has_left(mirrored: Mirror) -> None:
    await mirrored.lists(ANN, BEN, CY)
    found = await mirrored.lists(ANN, person("cy", "ann"))
    assert found.changes["people_left"] == 1
    assert await mirrored.here() == {"ann": None, "cy": "ann"}
    await mirrored.lists(ANN, BEN, CY)
    assert await mirrored.here() == {"ann": None, "ben": "ann", "cy": "ben"}


async def test_whoever_is_inactive_there_has_left(mirrored: Mirror) -> None:
    await mirrored.lists(ANN, BEN)
    await mirrored.lists(ANN, person("ben", "ann", "terminated"))
    assert set(await mirrored.here()) == {"ann"}


async def test_whoever_had_left_before_is_never_taken_up(mirrored: Mirror) -> None:
    found = await mirrored.lists(ANN, person("old", None, "terminated"), person("new", "old"))
    assert found.changes["people_added"] == 2
    assert await mirrored.here() == {"ann": None, "new": None}


async def test_people_of_our_own_are_left_alone(mirrored: Mirror) -> None:
    await mirrored.by_hand(PersonRow("board", "The Board"), PersonRow("ann", "Ann"))
    await mirrored.lists(ANN, BEN)
    await mirrored.lists(BEN)
    assert set(await mirrored.here()) == {"board", "ben"}  # ann came to be the list's


async def test_nothing_new_keeps_it_fresh(mirrored: Mirror) -> None:
    await mirrored.lists(ANN, ETag='"v1"')
    first = await mirrored.standing()
    mirrored.server.will(status("304 Not Modified"))
    assert (await mirrored.sync()).unchanged
    assert mirrored.server.asked[0].headers["if-none-match"] == '"v1"'
    again = await mirrored.standing()
    assert again.stale_after > first.stale_after
    assert again.people == 1


async def test_the_whole_list_is_read_after_a_change_by_hand_or_of_the_mapping(
    mirrored: Mirror,
) -> None:
    await mirrored.lists(ANN, ETag='"v1"')
    await mirrored.by_hand(PersonRow("ann", "Somebody Else"))
    await mirrored.lists(ANN, ETag='"v1"')
    assert "if-none-match" not in mirrored.server.asked[0].headers
    name = await mirrored.pool.fetchval("SELECT name FROM people WHERE id = 'ann'")
    assert name == "Ann"
    mirrored.origin.mapping_file.write_text(MAPPING + "  email: mail\n")
    await mirrored.lists(ANN, ETag='"v1"')
    assert "if-none-match" not in mirrored.server.asked[0].headers


async def test_the_token_may_be_in_a_file_and_be_replaced(mirrored: Mirror, tmp_path: Path) -> None:
    file = tmp_path / "token"
    mirrored.server.will(answer({"people": [ANN]}))
    missing = await mirrored.sync(token=None, token_file=file)
    assert missing.failing is not None
    assert "COUNTERSIGN_DIRECTORY_TOKEN_FILE" in missing.failing
    for token in ("one", "two"):
        file.write_text(token + "\n")
        await mirrored.sync(token=None, token_file=file)
    tokens = [asked.headers["authorization"] for asked in mirrored.server.asked]
    assert tokens == ["Bearer one", "Bearer two"]


async def test_a_list_that_was_overtaken_is_read_again(mirrored: Mirror) -> None:
    await mirrored.lists(ANN)

    async def overtaken(asked: Asked, writer: asyncio.StreamWriter) -> None:
        """While this list is on its way, a newer one is taken."""
        mirrored.server.will(answer({"people": [ANN, BEN, CY]}))
        await mirrored.sync()
        await answer({"people": [ANN, BEN]})(asked, writer)

    mirrored.server.will(overtaken)
    assert (await mirrored.sync()).people == 3
    assert set(await mirrored.here()) == {"ann", "ben", "cy"}


async def test_every_fact_that_is_mapped_is_taken_and_no_other(mirrored: Mirror) -> None:
    mirrored.origin.mapping_file.write_text(
        MAPPING
        + "  department: unit\n  title: job\n  time_zone: zone\n  limits: {EUR: limit}\n"
        + "  roles: {path: groups, names: {HR Partner: hr}}\n"
    )
    facts: dict[str, Json] = {"unit": "Sales", "job": "Head", "zone": "Europe/Berlin"}
    await mirrored.by_hand(PersonRow("ann", "Ann", "ann@example.org", attributes={"room": "7"}))
    await mirrored.pool.execute("INSERT INTO roles (name) VALUES ('ours')")
    await mirrored.pool.execute(
        "INSERT INTO role_members (role, person, valid)"
        " VALUES ('ours', 'ann', tstzrange(now(), NULL))"
    )
    await mirrored.lists(ANN | facts | {"limit": "5000.50", "groups": ["HR Partner", "Golf"]})
    assert await _facts(mirrored.pool) == (
        "ann@example.org",
        {"room": "7", "title": "Head"},
        "Europe/Berlin",
        "Sales",
        "5000.5000",
        ["hr", "ours"],
    )
    await mirrored.lists(ANN | {"zone": "Europe/Berlin"})
    assert await _facts(mirrored.pool) == (
        "ann@example.org",
        {"room": "7"},
        "Europe/Berlin",
        None,
        None,
        ["ours"],
    )


async def _facts(pool: Pool) -> tuple[Any, ...]:
    row = await pool.fetchrow(
        """
        SELECT p.email, p.attributes, p.time_zone, d.department, l.amount::text AS amount,
               ARRAY(SELECT m.role FROM role_members m
                      WHERE m.person = p.id AND m.valid @> now() ORDER BY 1) AS roles
          FROM people p
          LEFT JOIN department_members d ON d.person = p.id AND d.valid @> now()
          LEFT JOIN approval_limits l ON l.person = p.id AND l.valid @> now()
         WHERE p.id = 'ann'
        """
    )
    assert row is not None
    return tuple(row)


# --- what is refused ---


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"<html>"),
        status("500 Oh"),
        answer({"people": []}),
        answer({"people": [{"name": "Nobody"}]}),
        answer({"people": [ANN, ANN]}),
        answer({"error": "none"}),
    ],
)
async def test_nonsense_leaves_it_as_it_is(mirrored: Mirror, reply: Any) -> None:
    await mirrored.lists(ANN, BEN)
    before = await mirrored.standing()
    await mirrored.fails(reply)
    assert await mirrored.here() == {"ann": None, "ben": "ann"}
    after = await mirrored.standing()
    assert (after.synced_at, after.stale_after) == (before.synced_at, before.stale_after)
    assert after.failing is not None
    assert after.failing_since is not None


async def test_failing_and_healing_are_recorded_once(mirrored: Mirror) -> None:
    await mirrored.lists(ANN)
    await mirrored.fails()
    since = (await mirrored.standing()).failing_since
    await mirrored.fails(status("500 Oh"))
    standing = await mirrored.standing()
    assert standing.failing_since == since
    assert "500" in (standing.failing or "")
    await mirrored.lists(ANN)
    await mirrored.lists(ANN)
    assert await mirrored.events() == ["org.imported", "directory.failing", "directory.healed"]
    assert (await mirrored.standing()).failing is None


async def test_a_list_that_has_lost_many_is_refused_unless_somebody_says_so(
    mirrored: Mirror,
) -> None:
    await mirrored.lists(*MANY)
    found = await mirrored.fails(answer({"people": MANY[:20]}))
    assert "11 of 31 people would leave at once, 10 may" in (found.failing or "")
    assert len(await mirrored.here()) == 31
    assert (await mirrored.sync(most_gone=11)).failing is None
    assert len(await mirrored.here()) == 20


async def test_ten_may_always_leave(mirrored: Mirror) -> None:
    await mirrored.lists(*MANY)
    assert (await mirrored.lists(*MANY[:21])).failing is None
    assert len(await mirrored.here()) == 21


async def test_many_that_are_suddenly_inactive_are_refused_too(mirrored: Mirror) -> None:
    await mirrored.lists(*MANY)
    await mirrored.fails(answer({"people": [p | {"status": "x"} for p in MANY]}))
    assert len(await mirrored.here()) == 31


async def test_a_mapping_file_that_is_wrong_or_gone(mirrored: Mirror) -> None:
    mirrored.origin.mapping_file.write_text("request: {}\n")
    assert "map.yaml:1:10" in ((await mirrored.sync()).failing or "")
    mirrored.origin.mapping_file.unlink()
    assert "COUNTERSIGN_DIRECTORY_MAPPING" in ((await mirrored.sync()).failing or "")


# --- how long it counts ---


async def test_an_empty_directory_is_stale_until_the_first_list(mirrored: Mirror) -> None:
    await mirror.declare(mirrored.pool, mirrored.server.url, timedelta(hours=24))
    assert (await mirrored.standing()).stale
    await mirrored.fails()
    assert (await mirrored.standing()).stale
    await mirrored.lists(ANN)
    assert not (await mirrored.standing()).stale


async def test_people_who_were_there_already_count_until_patience_is_over(
    mirrored: Mirror,
) -> None:
    await mirrored.by_hand(PersonRow("board", "The Board"))
    await mirrored.fails()
    first = await mirrored.standing()
    assert not first.stale
    await mirrored.fails()
    assert (await mirrored.standing()).stale_after == first.stale_after


async def test_another_patience_counts_from_the_last_list(mirrored: Mirror) -> None:
    await mirrored.lists(ANN)
    before = await mirrored.standing()
    assert before.synced_at is not None
    await mirror.declare(mirrored.pool, mirrored.server.url, timedelta(hours=1))
    assert (await mirrored.standing()).stale_after == before.synced_at + timedelta(hours=1)


async def test_another_source_begins_anew(mirrored: Mirror) -> None:
    await mirrored.lists(ANN, ETag='"v1"')
    await mirror.declare(mirrored.pool, "https://hr.example.org", timedelta(hours=24))
    standing = await mirrored.standing()
    assert standing.source == "https://hr.example.org"
    assert standing.synced_at is None
    assert standing.validators is None


# --- who is told ---


async def _waiting(admin: Pool, kind: str) -> Any:
    """A request with such an incident."""
    request = uuid4()
    await admin.execute(
        "INSERT INTO recipes (workflow, version, source, sha256, recipe, published_by, published_at)"
        " VALUES ('leave', 1, '', $1, '{}', 'x', now()) ON CONFLICT DO NOTHING",
        "0" * 64,
    )
    await admin.execute(
        "INSERT INTO requests (id, workflow, version, title, requester, inputs, digest, state, incidents)"
        " VALUES ($1, 'leave', 1, 't', 'ann', '{}', 'd', 'pending', $2)",
        request,
        [{"kind": kind, "detail": "", "step": "s", "seat": "s", "at": "2026-01-01T00:00:00Z"}],
    )
    return request


async def test_whoever_waited_for_the_directory_is_told_to_ask_again(
    mirrored: Mirror, admin_pool: Pool
) -> None:
    await mirrored.lists(ANN)
    await mirrored.age(admin_pool)
    waiting = await _waiting(admin_pool, "DirectoryUnavailable")
    await _waiting(admin_pool, "NoApproverFound")
    await mirrored.lists(ANN)
    await mirrored.lists(ANN)  # told already
    rows = await mirrored.pool.fetch("SELECT request_id, kind, message FROM outbox")
    [row] = [row for row in rows if row["message"]["kind"] == "rechecked"]
    assert row["request_id"] == waiting
    assert row["kind"] == "signal"
    assert row["message"]["task_ids"] == []


async def test_a_directory_that_mirrors_nothing_any_more_tells_them_too(
    mirrored: Mirror, admin_pool: Pool
) -> None:
    await mirrored.fails()
    waiting = await _waiting(admin_pool, "DirectoryUnavailable")
    await mirror.withdraw(mirrored.pool)
    await mirror.withdraw(mirrored.pool)
    assert await mirror.standing(mirrored.pool) is None
    assert await mirrored.pool.fetchval("SELECT request_id FROM outbox") == waiting
