"""Mirrors another system's directory: read its list, look whether it can be right, write it.

What goes wrong over there is no error here: the directory stays as it is, and says why. Only what
goes wrong in Postgres raises, and Temporal tries again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import structlog
from pydantic import SecretStr
from temporalio import activity

from activities import mapping, people
from activities.beating import beating
from activities.mapping import MappingInvalid
from activities.pages import Bounds, Source, SourceFailed, Validators
from activities.people import Mapped
from contract.messages import SyncAsked, Synced
from contract.names import ACTIVITY_MIRROR
from recipes.model import Json
from storage import mirror, org, org_import
from storage.errors import UNFIT
from storage.mirror import Standing, Success
from storage.org import PersonRow
from storage.org_checks import DirectoryRefused
from storage.org_plan import Manner
from storage.pool import Connection, Pool

_log = structlog.get_logger()
_GONE_SHARE = 10
"""One in so many people may leave between two readings; more is taken for a mistake over there."""
_GONE_ALWAYS = 10
"""So many may leave whatever their share is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The other system, as settings have it. `patience` is how long its last good list counts."""

    url: str
    mapping_file: Path
    patience: timedelta
    token: SecretStr | None = None
    token_file: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)


class Mirroring:
    """The mirror's activity, over a pool. `sleep` waits between tries, in seconds."""

    def __init__(
        self,
        pool: Pool,
        origin: Origin,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._sleep = sleep

    @activity.defn(name=ACTIVITY_MIRROR)
    async def mirror(self, asked: SyncAsked) -> Synced:
        """Bring the directory up to date, or say why it stays as it is."""
        async with beating():
            return await self.sync(asked)

    async def sync(self, asked: SyncAsked) -> Synced:
        """Once: read, look, write. Raises only what Postgres does."""
        await mirror.declare(self._pool, self._origin.url, self._origin.patience)
        try:
            return await self._sync(asked)
        except (SourceFailed, MappingInvalid) as failure:
            why = str(failure)
        except UNFIT as error:
            why = f"the list has what the directory can't keep ({type(error).__name__})"
        _log.warning("the directory stays as it is", why=why)
        async with self._pool.acquire() as connection:
            await mirror.failed(connection, why)
        return Synced(failing=why)

    async def _sync(self, asked: SyncAsked) -> Synced:
        while True:
            before = await mirror.standing(self._pool)
            reading = await self._read(before)
            write = partial(self._write_if_newest, before, reading, asked)
            facts = 0 if reading.mapped is None else len(reading.mapped.people)
            synced = await org.write(self._pool, write, org.AHEAD + facts * org.A_FACT)
            if synced is not None:
                return synced

    async def _write_if_newest(
        self,
        before: Standing | None,
        reading: "_Reading",
        asked: SyncAsked,
        connection: Connection,
        at: datetime,
    ) -> Synced | None:
        """None where another list was written meanwhile, which may be newer than ours: once more."""
        held = await mirror.hold(connection)
        if before is None or held is None:
            raise SourceFailed("the directory mirrors nothing any more")
        if held.synced_at != before.synced_at:
            return None
        return await self._write(connection, at, held, reading, asked)

    async def _read(self, before: Standing | None) -> "_Reading":
        text, token = await asyncio.to_thread(self._files)
        plan = mapping.parse(text, self._origin.mapping_file.name)
        source = Source(self._origin.url, token, plan, self._origin.bounds, self._sleep)
        fingerprint = sha256(text).hexdigest()
        listed = await source.read(await self._known(before, fingerprint))
        if listed.items is None:
            return _Reading(None, listed.validators, fingerprint)
        mapped = await asyncio.to_thread(people.rows, listed.items, plan)
        rows = await asyncio.to_thread(_digest, mapped)
        return _Reading(mapped, listed.validators, fingerprint, rows)

    def _files(self) -> tuple[bytes, SecretStr | None]:
        """The mapping file and the token, read anew each time: both may be replaced."""
        origin = self._origin
        try:
            text = origin.mapping_file.read_bytes()
        except OSError as error:
            raise SourceFailed(f"COUNTERSIGN_DIRECTORY_MAPPING: {error.strerror}") from None
        if origin.token_file is None:
            return text, origin.token
        try:
            return text, SecretStr(origin.token_file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is no text"
            raise SourceFailed(f"COUNTERSIGN_DIRECTORY_TOKEN_FILE: {why}") from None

    async def _known(self, before: Standing | None, fingerprint: str) -> Validators:
        """What to ask by whether anything is new. Nothing, where anything else is: the mapping file, or
        the directory, which somebody may have written by hand since."""
        kept = None if before is None else before.validators
        if before is None or kept is None or before.failing is not None:
            return Validators()
        if (kept["mapping"], kept["changes"]) != (fingerprint, await mirror.changes(self._pool)):
            return Validators()
        return Validators(kept["etag"], kept["last_modified"])

    async def _write(
        self,
        connection: Connection,
        at: datetime,
        before: Standing,
        reading: "_Reading",
        asked: SyncAsked,
    ) -> Synced:
        mapped = reading.mapped
        counted: dict[str, int] = {}
        if mapped is not None and not reading.is_so(before, await mirror.changes(connection)):
            counted = await _load(connection, at, mapped, asked)
        # Healing is an event of the directory, too.
        changes = await mirror.changes(connection) + (before.failing is not None)
        success = Success(
            self._origin.patience,
            None if mapped is None else len(mapped.people),
            () if mapped is None else mapped.doubts,
            reading.kept(before, changes),
        )
        await mirror.succeeded(connection, at, before, success)
        if mapped is None:
            return Synced(unchanged=True, people=before.people or 0)
        _log.info("the directory is mirrored", people=len(mapped.people), **counted)
        return Synced(people=len(mapped.people), changes=counted, doubts=mapped.doubts)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the other system's list means, None if it has not changed; digests of the mapping file and of
    the rows."""

    mapped: Mapped | None
    validators: Validators
    fingerprint: str
    rows: str | None = None

    def is_so(self, before: Standing, changes: int) -> bool:
        """Whether the same rows were written last time, and nothing else since: comparing 100,000 people
        with the directory takes seconds of the worker."""
        kept = before.validators
        return kept is not None and (kept.get("rows"), kept.get("changes")) == (self.rows, changes)

    def kept(self, before: Standing, changes: int) -> dict[str, Json]:
        """What to know next time, to see whether anything is new."""
        known = (before.validators or {}).get("rows")
        return {
            "mapping": self.fingerprint,
            "changes": changes,
            "rows": known if self.mapped is None else self.rows,
            "etag": self.validators.etag,
            "last_modified": self.validators.last_modified,
        }


def _digest(mapped: Mapped) -> str:
    said = sha256(repr((sorted(mapped.unsaid), sorted(mapped.roles or ()))).encode())
    for row in mapped.people:
        said.update(repr(row).encode("utf-8", "surrogatepass"))
    return said.hexdigest()


async def _load(
    connection: Connection, at: datetime, mapped: Mapped, asked: SyncAsked
) -> dict[str, int]:
    """Make the directory say what the list says; how many of what is different now."""
    owned = await mirror.mirrored(connection)
    rows = list(mapped.people)
    if mapped.roles is not None:
        kept = await mirror.other_roles(connection, at, [row.id for row in rows], mapped.roles)
        rows = [replace(row, roles=(*(row.roles or ()), *kept.get(row.id, ()))) for row in rows]
    listed = {row.id for row in rows}
    here = {row.id for row in rows if not _has_left(row)}
    gone = [person for person, employed in owned.items() if employed and person not in here]
    _refuse_too_many(len(gone), sum(owned.values()), asked)
    leavers = [person for person in gone if person not in listed]
    rows += [PersonRow(person, person, left=True) for person in leavers]
    manner = Manner(
        keeps=mapped.unsaid, attributes=frozenset({"title"}), feed=True, format="mirror"
    )
    try:
        loaded = await org_import.load(connection, at, rows, (), mirror.ACTOR, manner=manner)
    except DirectoryRefused as refusal:
        raise SourceFailed(f"the list can't be right: {refusal}") from None
    # Those who had left before we ever heard of them are not taken up.
    await mirror.own(connection, sorted(listed - {rows[place].id for place in loaded.left_out}))
    return {name: count for name, count in asdict(loaded.changes).items() if count}


def _refuse_too_many(gone: int, before: int, asked: SyncAsked) -> None:
    most = max(_GONE_ALWAYS, before // _GONE_SHARE)
    most = most if asked.most_gone is None else max(most, asked.most_gone)
    if gone > most:
        raise SourceFailed(
            f"{gone} of {before} people would leave at once, {most} may: if that is right,"
            f" countersign org mirror sync --most-gone {gone}"
        )


def _has_left(row: PersonRow) -> bool:
    """As of now, by the calendar: their own day may end some hours earlier or later."""
    if isinstance(row.left, datetime):
        return row.left <= datetime.now(UTC)
    if isinstance(row.left, date):
        return row.left < datetime.now(UTC).date()
    return bool(row.left)
