"""Data keys of requests: made with the request, wrapped by a region key, unwrapped for those who may.

Whoever carries requests out, or writes, takes keys with `writing`; whoever shows something to somebody
takes them with `reading`, where row-level security has the last word (migrations 0024 and 0030).
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hmac import digest as hmac
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import structlog

from contract import boxes
from contract.boxes import CannotOpen, Keys
from recipes.model import Confidential
from storage.errors import StorageError
from storage.regions import RegionKey, RegionKeyInvalid, read_keys

if TYPE_CHECKING:
    from storage.pool import Source

_log = structlog.get_logger()
_REMEMBERED = 20_000
_AT_ONCE = 500


class KeyUnreadable(StorageError):
    """A data key cannot be unwrapped: the text says of which request, and why."""


class RegionKeyMissing(KeyUnreadable):
    """Its region key is not among those of this process."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: a person, and what roles their token says."""

    person: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The data keys of a new request as they are to be kept: see `keeping`."""

    request_id: UUID
    region: str
    shared: bytes
    confidential: bytes | None = None
    private: bool = False
    fields: tuple[str, ...] | None = None

    def arguments(self) -> tuple[object, ...]:
        """Those of `keeping`."""
        return self.region, self.shared, self.confidential, self.private, self.fields


def keeping(request_id: str, first: int, made: str) -> str:
    """SQL that keeps keys, whose `arguments` are parameters from the `first` on, for the `request_id`
    that an expression gives, for each row of `made`."""
    region, shared, confidential, private, fields = (f"${first + n}" for n in range(5))
    return f"""
INSERT INTO data_keys (request_id, scope, region, wrapped, private, fields)
SELECT {request_id}, k.scope, {region}::text, k.wrapped, k.scope = 'shared' AND {private}::boolean,
       CASE WHEN k.scope = 'shared' THEN {fields}::text[] END
  FROM {made}(VALUES ('shared', {shared}::bytea), ('confidential', {confidential}::bytea)) AS k(scope, wrapped)
 WHERE k.wrapped IS NOT NULL"""


def open_vault(path: Path) -> "Vault":
    """The vault of a file of region keys, which is read again where a key is missing. RegionKeyInvalid."""
    return Vault(read_keys(path), path)


async def rewrap(source: "Source", vault: "Vault") -> int:
    """Wrap with the current region key what others wrapped: how many keys. KeyUnreadable."""
    count = 0
    while True:
        rows = await source.fetch(
            "SELECT * FROM keys_of_other_regions($1, $2)", vault.current.name, _AT_ONCE
        )
        if not rows:
            return count
        for row in rows:
            count += await source.fetchval(
                "SELECT rewrap_key($1, $2, $3, $4, $5)::int",
                row["request_id"],
                row["scope"],
                row["wrapped"],
                vault.current.name,
                vault.rewrapped(row),
            )


async def keep_all(source: "Source", made: Iterable[Wrapped]) -> None:
    """Keep the keys of several new requests."""
    statement = keeping("$1::uuid", 2, "")
    await source.executemany(statement, [(it.request_id, *it.arguments()) for it in made])


class Vault:
    """The region keys of one process, and the data keys that it unwrapped last."""

    def __init__(self, regions: Sequence[RegionKey], path: Path | None = None) -> None:
        self._path = path
        self._stamp = self._look()
        self._take(regions)
        self._known: OrderedDict[tuple[UUID, bytes], bytes] = OrderedDict()
        self._writing: OrderedDict[UUID, Keys] = OrderedDict()

    def make(self, request_id: UUID, confidential: Confidential | None) -> tuple[Keys, Wrapped]:
        """The keys of a new request, of which this much is confidential, and what is to be kept of them."""
        private = confidential is not None
        fields = None if confidential is None else confidential.fields
        shared = secrets.token_bytes(boxes.KEY_BYTES)
        secret = secrets.token_bytes(boxes.KEY_BYTES) if private else None
        listed = None if fields is None else tuple(sorted(fields))
        region = self.current
        kept = Wrapped(
            request_id,
            region.name,
            boxes.wrap(region.key, request_id, "shared", shared),
            None if secret is None else boxes.wrap(region.key, request_id, "confidential", secret),
            private,
            listed,
        )
        return Keys(request_id, shared, secret, private, listed), kept

    def _take(self, regions: Sequence[RegionKey]) -> None:
        self._regions = {region.name: region.key for region in regions}
        self.current = regions[0]

    async def writing(self, source: "Source", request_id: UUID) -> Keys | None:
        """All keys of a request; None if it has none: it was made before there were any, or is erased.
        KeyUnreadable: whoever writes must not take that for none."""
        found = self._writing.get(request_id)
        if found is not None:
            self._writing.move_to_end(request_id)
            return found
        return (await self.writing_many(source, [request_id])).get(request_id)

    async def writing_many(self, source: "Source", ids: Sequence[UUID]) -> dict[UUID, Keys]:
        """`writing` of several: of those that have keys. KeyUnreadable."""
        found, unreadable = await self.writable(source, ids)
        if unreadable:
            raise next(iter(unreadable.values()))
        return found

    async def writable(
        self, source: "Source", ids: Sequence[UUID]
    ) -> tuple[dict[UUID, Keys], dict[UUID, KeyUnreadable]]:
        """`writing` of several, and of which it cannot be."""
        known = {it: self._writing[it] for it in ids if it in self._writing}
        rest = [it for it in ids if it not in known]
        rows = await source.fetch("SELECT * FROM writing_keys($1)", rest) if rest else []
        found, unreadable = self._unwrapped(rows)
        self._writing.update(found)
        _shorten(self._writing)
        return known | found, unreadable

    async def reading(
        self, source: "Source", reader: Reader, ids: Iterable[UUID]
    ) -> dict[UUID, Keys]:
        """The keys of these requests, as far as the reader may have them; of those that have any. One that
        cannot be unwrapped is as good as none: a list is not for one bad row to keep from people."""
        wanted = list(set(ids))
        if not wanted:
            return {}
        roles = sorted(reader.roles)
        rows = await source.fetch(
            "SELECT * FROM reading_keys($1, $2, $3)", reader.person, roles, wanted
        )
        found, unreadable = self._unwrapped(rows)
        for request_id, error in unreadable.items():
            _log.error("a request's key cannot be read", request_id=str(request_id), why=str(error))
        return found

    def derived(self, purpose: str) -> list[bytes]:
        """Keys for something else that all processes of a region share, one of each region key, the current
        one's first: those of the file as it is now, whoever changed it meanwhile."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            self._read_again()
        return [
            hmac(key, f"countersign {purpose}".encode(), "sha256") for key in self._regions.values()
        ]

    def _look(self) -> tuple[int, int, int] | None:
        """By what it is seen that the file was changed; None if there is none."""
        try:
            found = None if self._path is None else self._path.stat()
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)

    def _read_again(self) -> None:
        """The keys stay what they are where the file is of no use."""
        if self._path is None:
            return
        try:
            self._take(read_keys(self._path))
        except RegionKeyInvalid as error:
            _log.error("the region keys cannot be read again", why=str(error))

    def forget(self, request_id: UUID) -> None:
        """Its keys are destroyed."""
        self._writing.pop(request_id, None)
        for place in [place for place in self._known if place[0] == request_id]:
            del self._known[place]

    def rewrapped(self, row: asyncpg.Record) -> bytes:
        """A data key (a row of `data_keys`) as the current region key wraps it."""
        raw = self._unwrap(row)
        return boxes.wrap(self.current.key, row["request_id"], row["scope"], raw)

    def wrap(self, owner: UUID, secret: bytes) -> tuple[str, bytes]:
        """A secret of something else than a request, by its id: the current region key's name, and how that key
        wraps it."""
        return self.current.name, boxes.wrap(self.current.key, owner, "shared", secret)

    def unwrap(self, owner: UUID, region: str, wrapped: bytes) -> bytes:
        """What `wrap` wrapped. KeyUnreadable."""
        try:
            return boxes.unwrap(self._region(region, owner), owner, "shared", wrapped)
        except CannotOpen as error:
            raise KeyUnreadable(f"a secret of {owner}: {error}") from None

    def _unwrapped(
        self, rows: Sequence[asyncpg.Record]
    ) -> tuple[dict[UUID, Keys], dict[UUID, KeyUnreadable]]:
        raw: dict[tuple[UUID, str], bytes] = {}
        unreadable: dict[UUID, KeyUnreadable] = {}
        for row in rows:
            try:
                raw[row["request_id"], row["scope"]] = self._unwrap(row)
            except KeyUnreadable as error:
                unreadable[row["request_id"]] = error
        found = {
            row["request_id"]: Keys(
                row["request_id"],
                raw[row["request_id"], "shared"],
                raw.get((row["request_id"], "confidential")),
                row["private"],
                None if row["fields"] is None else tuple(row["fields"]),
            )
            for row in rows
            if row["scope"] == "shared" and row["request_id"] not in unreadable
        }
        _shorten(self._known)
        return found, unreadable

    def _unwrap(self, row: asyncpg.Record) -> bytes:
        place = row["request_id"], row["wrapped"]
        found = self._known.get(place)
        if found is not None:
            self._known.move_to_end(place)
            return found
        try:
            region = self._region(row["region"], row["request_id"])
            found = boxes.unwrap(region, row["request_id"], row["scope"], row["wrapped"])
        except CannotOpen as error:
            raise KeyUnreadable(f"the keys of request {row['request_id']}: {error}") from None
        self._known[place] = found
        return found

    def _region(self, name: str, owner: UUID) -> bytes:
        """The region key that wrapped a data key. RegionKeyMissing, also after another look into the file:
        parts that run may meet a key that was made after they started."""
        if name not in self._regions:
            self._read_again()
        found = self._regions.get(name)
        if found is None:
            raise RegionKeyMissing(
                f"the keys of request {owner} need the region key {name},"
                " which is not in COUNTERSIGN_REGION_KEY_FILE"
            )
        return found


def _shorten(known: OrderedDict[UUID, Keys] | OrderedDict[tuple[UUID, bytes], bytes]) -> None:
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
