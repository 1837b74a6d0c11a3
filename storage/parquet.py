"""A month of the audit as Parquet files: written in the order of its chains, and read again.

A row has its `body`, `prev_hash` and `hash` word for word, its `leaf`, and beside them what is asked for,
derived from the body and from what its request was about then: nothing that people wrote, which is in bodies
alone, sealed, since no file is ever changed. Row groups are small and in the order of
`request_id`, so that one request is found by their statistics.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

FILE_ROWS = 500_000
GROUP_ROWS = 4096
"""Of which all is unpacked to read one row of them; of each group the statistics are looked at."""
_AT_ONCE = 8192
"""Rows read at a time."""

_TEXTS = (
    "event_id", "workflow", "event_type", "user", "role", "on_behalf_of", "outcome", "requester",
    "entity_type", "entity_id",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("seq", pa.int32(), nullable=False),
        pa.field("occurred_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("body", pa.binary(), nullable=False),
        pa.field("prev_hash", pa.binary(32), nullable=False),
        pa.field("hash", pa.binary(32), nullable=False),
        pa.field("leaf", pa.int64(), nullable=False),
    ]
)


class Writer:
    """Writes rows, which come in order, into files of `folder`; `files` are those that are whole."""

    def __init__(self, folder: Path, file_rows: int = FILE_ROWS) -> None:
        self.files: list[tuple[Path, int]] = []
        self._folder = folder
        self._most = file_rows
        self._open: pq.ParquetWriter | None = None
        self._rows = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A batch: whole row groups, the last one of a file perhaps shorter."""
        if self._open is None:
            place = self._folder / f"{len(self.files):03d}.parquet"
            self._open = pq.ParquetWriter(place, SCHEMA, compression="zstd", compression_level=6)
        columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
        self._open.write_table(pa.table(columns, schema=SCHEMA), row_group_size=GROUP_ROWS)
        self._rows += len(rows)
        if self._rows >= self._most:
            self.close()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self.files.append((self._folder / f"{len(self.files):03d}.parquet", self._rows))
            self._open, self._rows = None, 0


class RowsDamaged(Exception):
    """A file of the cold tier does not hold together; the text says where."""


@dataclass
class Reading:
    """What was read again of a month: how many rows, the digest of their hashes, and their leaves."""

    rows: int = 0
    leaves: dict[int, bytes] = field(default_factory=dict)
    _digest: Any = field(default_factory=sha256)
    _last: tuple[bytes, int] = (b"", 0)

    @property
    def digest(self) -> bytes:
        found: bytes = self._digest.digest()
        return found

    def take(self, batch: pa.RecordBatch) -> None:
        """Calculate a batch again: each hash from its body, each leaf, and the order. RowsDamaged."""
        requests, bodies = (_texts(batch.column(name)) for name in ("request_id", "body"))
        befores, hashes = (_hashes(batch.column(name)) for name in ("prev_hash", "hash"))
        seqs, leaves = _numbers(batch.column("seq"), "i"), _numbers(batch.column("leaf"), "q")
        request, before_seq = self._last
        raw = _raw(request)
        found = self.leaves
        for place, seq, body, before, own, leaf in zip(
            requests, seqs, bodies, befores, hashes, leaves, strict=True
        ):
            if sha256(b"\x00" + before + body).digest() != own:
                what = "its hash is not that of its body"
                raise RowsDamaged(f"row {seq} of {place.decode()}: {what}")
            if place != request:
                if place < request:
                    raise RowsDamaged(f"request {place.decode()} is not in order")
                request, raw, before_seq = place, _raw(place), 0
            if seq <= before_seq:
                raise RowsDamaged(f"row {seq} of {place.decode()} is not in order")
            before_seq = seq
            found[leaf] = sha256(b"\x00" + raw + seq.to_bytes(8, "big") + own).digest()
        self._digest.update(b"".join(hashes))
        self._last = request, before_seq
        self.rows += len(hashes)


def _raw(request_id: bytes) -> bytes:
    return bytes.fromhex(request_id.decode().replace("-", ""))


# From the buffers of Arrow at once: made into Python values one by one, columns would take longer than
# all that is calculated.


def _texts(column: pa.Array) -> list[bytes]:
    """The bytes of texts or binary values."""
    _, ends, data = column.buffers()
    first = column.offset
    places = memoryview(ends).cast("i")[first : first + len(column) + 1]
    whole = b"" if data is None else data.to_pybytes()
    return [whole[begin:end] for begin, end in pairwise(places)]


def _hashes(column: pa.Array) -> list[bytes]:
    """Values of 32 bytes."""
    whole = column.buffers()[1].to_pybytes()
    first = column.offset * 32
    return [whole[n : n + 32] for n in range(first, first + len(column) * 32, 32)]


def _numbers(column: pa.Array, kind: Literal["i", "q"]) -> list[int]:
    numbers = memoryview(column.buffers()[1]).cast(kind)
    return numbers[column.offset : column.offset + len(column)].tolist()


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """What is needed to calculate a file's rows again."""
    names = ["request_id", "seq", "body", "prev_hash", "hash", "leaf"]
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_AT_ONCE, columns=names, use_threads=False)
