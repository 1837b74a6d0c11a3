"""Move a month of the audit to the cold tier, step by step.

Each step leaves the month in a state that the next one begins from, and can be done again: whoever is
killed in between leaves at least one copy that was verified, and the next run goes on.

    (no copy)  files are written, read again and calculated again, the manifest is signed  -> verified
    verified   the files are looked at again; the partition is detached                    -> detached
    detached   the files are looked at again; the table is dropped                         -> cold

The database itself compares its rows with what was read from the files before it lets them go.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from contract import manifests, notes
from contract.manifests import File, Manifest
from contract.notes import Checkpoint, NoteInvalid, PrivateKey
from storage import months, parquet, sealing
from storage.months import Month
from storage.parquet import Reading, RowsDamaged, Writer
from storage.pool import Pool
from storage.store import Damaged, Store, check

MANIFEST = "manifest.note"


class NotYet(Exception):
    """The month cannot move now; the text says why. It may by itself, later."""


@dataclass(frozen=True, slots=True)
class Mover:
    """With what months are moved. `keys` sign manifests; `step` is told of each state (for tests: whoever
    raises there is killed there). `file_rows`: how many rows a file has, at most."""

    pool: Pool
    store: Store
    keys: tuple[PrivateKey, ...]
    step: Callable[[str], None] = lambda _: None
    file_rows: int = parquet.FILE_ROWS

    async def move(self, month: date) -> Month:
        """Move a month as far as it goes: it is cold then. NotYet, StoreFailed, MonthRefused."""
        found = await months.one(self.pool, month)
        if found is None:
            await self._copy(month)
            self.step("verified")
            found = await self._now(month)
        if found.state == "verified":
            await self._whole(found)
            await months.detach(self.pool, month)
            self.step("detached")
            found = await self._now(month)
        if found.state == "detached":
            await self._whole(found)
            await months.drop(self.pool, found)
            self.step("dropped")
            await asyncio.to_thread(self._tidy, found)
            found = await self._now(month)
        if found.state == "expired":
            await self._delete(found)
            found = await self._now(month)
        return found

    async def expire(self, month: date, years: int) -> bool:
        """Delete a month that was over so many years ago. False if it was not, or is held."""
        if not await months.expire(self.pool, month, years):
            return False
        self.step("expired")
        await self.move(month)
        return True

    async def _now(self, month: date) -> Month:
        found = await months.one(self.pool, month)
        assert found is not None
        return found

    # --- the copy ---

    async def _copy(self, month: date) -> None:
        mark, note = await self._checkpoint()
        with TemporaryDirectory(prefix="countersign-month-") as folder:
            written = await self._write(month, Path(folder))
            files = await asyncio.to_thread(self._keep, f"{month:%Y-%m}", written)
        self.step("written")
        reading = await asyncio.to_thread(self._read, files)
        wrong = await months.astray(self.pool, reading.leaves, mark)
        if wrong:
            raise Damaged(_astray(month, wrong))
        leaves = sorted(reading.leaves)
        manifest = Manifest(
            f"{month:%Y-%m}", reading.rows, reading.digest.hex(), leaves[0], leaves[-1], files, note
        )
        signed = manifests.signed(manifest, self.keys)
        await asyncio.to_thread(self._sign, manifest, signed)
        self.step("signed")
        await months.verified(self.pool, month, manifest, signed)

    async def _checkpoint(self) -> tuple[Checkpoint, str]:
        last = (await sealing.tree(self.pool)).last
        if last is None:
            raise NotYet("nothing was ever sealed: run countersign relay")
        try:
            return notes.opened(last.note, [key.public for key in self.keys]), last.note
        except NoteInvalid as error:
            raise NotYet(f"the last checkpoint is not of this key: {error}") from None

    async def _write(self, month: date, folder: Path) -> list[tuple[Path, int]]:
        begin, end = months.span(month)
        writer = Writer(folder, self.file_rows)
        async for portion in months.rows(self.pool, begin, end):
            loose = sum(row["leaf"] is None for row in portion)
            if loose:
                raise NotYet(
                    f"rows of {month:%Y-%m} are not sealed yet ({loose} of {len(portion)})"
                )
            await asyncio.to_thread(writer.write, portion)
        await asyncio.to_thread(writer.close)
        if not writer.files:
            raise NotYet(f"there are no rows of {month:%Y-%m}")
        return writer.files

    def _keep(self, name: str, written: Sequence[tuple[Path, int]]) -> tuple[File, ...]:
        """Put the files into the store, each under a name that says what is in it."""
        files = []
        for path, rows in written:
            data = path.read_bytes()
            digest = sha256(data).hexdigest()
            file = File(f"{name}/{path.stem}-{digest[:16]}.parquet", digest, len(data), rows)
            self.store.put(file.name, data)
            files.append(file)
        return tuple(files)

    def _read(self, files: Sequence[File]) -> Reading:
        """Read again what is in the store, and calculate it again."""
        reading = Reading()
        with TemporaryDirectory(prefix="countersign-month-") as folder:
            for file in files:
                place = Path(folder) / "read.parquet"
                place.write_bytes(self._there(file))
                _calculate(reading, place, file)
        return reading

    def _there(self, file: File) -> bytes:
        data = self.store.get(file.name)
        if data is None:
            raise Damaged(f"{file.name} is not there")
        check(data, file)
        return data

    def _sign(self, manifest: Manifest, signed: str) -> None:
        name = f"{manifest.month}/{MANIFEST}"
        found = self.store.get(name)
        if found is not None and found != signed.encode():
            self.store.delete(name)  # of a run that was killed before the database knew of it
        self.store.put(name, signed.encode())
        read = self.store.get(name) or b""
        if manifests.opened(read.decode(), [key.public for key in self.keys]) != manifest:
            raise Damaged(f"{name} is not as it was written")

    async def _whole(self, month: Month) -> None:
        """Damaged unless every file is in the store as its manifest says."""

        def look() -> None:
            for file in month.opened().files:
                self._there(file)

        await asyncio.to_thread(look)

    def _tidy(self, month: Month) -> None:
        """Remove what runs left that were killed: files that no manifest names."""
        named = {file.name for file in month.opened().files} | {f"{month.name}/{MANIFEST}"}
        for name in self.store.names(f"{month.name}/"):
            if name not in named:
                self.store.delete(name)

    async def _delete(self, month: Month) -> None:
        """Delete an expired month's files; its manifest stays, here and there."""

        def delete() -> None:
            for file in month.opened().files:
                self.store.delete(file.name)
                self.step("file deleted")

        await asyncio.to_thread(delete)
        await months.deleted(self.pool, month.month)


def _calculate(reading: Reading, place: Path, file: File) -> None:
    try:
        before = reading.rows
        for batch in parquet.batches(place):
            reading.take(batch)
    except (RowsDamaged, ValueError) as error:
        raise Damaged(f"{file.name}: {error}") from None
    if reading.rows - before != file.rows:
        raise Damaged(f"{file.name} has {reading.rows - before} rows, not {file.rows}")


def _astray(month: date, wrong: Sequence[int]) -> str:
    if list(wrong) == [-1]:
        return "the database's tree is not the one that was signed: countersign audit verify"
    some = ", ".join(map(str, wrong[:5]))
    return f"rows of {month:%Y-%m} are not those that were sealed: leaves {some}: countersign audit verify"
