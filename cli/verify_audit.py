"""Verify an export of Countersign's audit trail, offline: this file, Python 3.11, and a public key.

    python verify_audit.py EXPORT --key NAME+ID+BASE64 [--witness CHECKPOINT ...]

It is meant to be read before it is run, and needs nothing of Countersign's. The export is JSON lines:
first what it is of, with signed checkpoints; then a line for each row of the audit. It shows that

1. one of your keys has signed the checkpoint: the size and the root of a Merkle tree (RFC 6962);
2. each row is what was hashed: hash = SHA-256(00 + prev_hash + body), the body says where it belongs;
3. each row goes on from the one before it, and of the requests that are in it none lacks a row between;
4. each row is in the tree that was signed; if the export is of everything, the rows are all of the tree;
5. what people wrote, which is beside a row as `disclosed`, is what was sealed in it: the body has its SHA-256;
6. with --witness (everything only): a checkpoint that somebody kept elsewhere is of the same tree.

What it can't show: that the last rows of a request are not left out of an export of that request alone; and
what people wrote where it is not disclosed, because it is confidential or was erased.
Prints what is wrong, a line each. Exit code 0 if nothing is, 1 if something is, 2 if it could not be read.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# --- signatures: Ed25519 as RFC 8032, 5.1 has it --------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


def point_of(data: bytes) -> Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    key, first = point_of(public), point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or first is None or BASE is None or len(signature) != 64 or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left = multiply(scalar, BASE)
    right = add(first, multiply(int.from_bytes(digest, "little") % ORDER, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


# --- checkpoints: signed notes (C2SP signed-note, tlog-checkpoint) --------------------------------------


class Unreadable(Exception):
    """This cannot be verified at all; the text says why."""


class Trusted:
    """Public keys by name and id; those that a signed checkpoint announces are added."""

    def __init__(self, keys: list[str]) -> None:
        self.keys: dict[tuple[str, bytes], bytes] = {}
        for key in keys:
            self.trust(key)

    def trust(self, text: str) -> None:
        name, key_id, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded)
        if sha256(name.encode() + b"\n" + raw)[:4].hex() != key_id or raw[0] != 1:
            raise Unreadable(f"{text} is no Ed25519 key, or was cut")
        self.keys[name, bytes.fromhex(key_id)] = raw[1:]

    def open(self, note: str) -> tuple[int, bytes, str] | None:
        """Size, root and time of a checkpoint that a trusted key has signed; None if none has."""
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        good = False
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            raw = base64.b64decode(encoded)
            public = self.keys.get((name, raw[:4]))
            if public is not None:
                if not is_signed(public, text.encode(), raw[4:]):
                    return None
                good = True
        if not good:
            return None
        _, size, root, *more = text.splitlines()
        for line in more:
            if line.startswith("key "):
                self.trust(line.removeprefix("key "))
        time = next((line[5:] for line in more if line.startswith("time ")), "?")
        return int(size), base64.b64decode(root), time


# --- the tree (RFC 6962, 2.1) ---------------------------------------------------------------------------


def leaf_of(row: dict[str, Any]) -> bytes:
    request = bytes.fromhex(row["request_id"].replace("-", ""))
    return sha256(b"\x00" + request + row["seq"].to_bytes(8, "big") + bytes.fromhex(row["hash"]))


def root_by_proof(leaf: bytes, index: int, size: int, proof: list[str]) -> bytes | None:
    """The root that the hashes beside the way up from a leaf lead to (RFC 9162, 2.1.3.2)."""
    last = size - 1
    if index > last:
        return None
    for each in proof:
        sibling = bytes.fromhex(each)
        if last == 0:
            return None
        if index & 1 or index == last:
            leaf = sha256(b"\x01" + sibling + leaf)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            leaf = sha256(b"\x01" + leaf + sibling)
        index, last = index >> 1, last >> 1
    return leaf if last == 0 else None


class Tree:
    """Grows leaf by leaf: the roots of its complete parts, the largest first."""

    def __init__(self) -> None:
        self.size, self.parts = 0, list[bytes]()

    def add(self, leaf: bytes) -> None:
        count = self.size
        while count & 1:
            leaf, count = sha256(b"\x01" + self.parts.pop() + leaf), count >> 1
        self.parts.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.parts:
            return sha256(b"")
        *rest, found = self.parts
        for each in reversed(rest):
            found = sha256(b"\x01" + each + found)
        return found


# --- the export -----------------------------------------------------------------------------------------


Signed = tuple[int, bytes, str]


def verify(lines: Iterator[str], keys: list[str], witnesses: list[str]) -> Iterator[str]:
    """What is wrong, in words. Unreadable if it is no export."""
    head = json.loads(next(lines, "null"))
    if not isinstance(head, dict) or head.get("countersign_export") != 1:
        raise Unreadable("this is no export of countersign audit export")
    trusted = Trusted(keys)
    opened = [trusted.open(note) for note in head["checkpoints"]]
    signed = opened[-1] if opened else None
    if signed is None:
        yield "the checkpoint is not signed by a key that you trust: nothing below it is proved"
        return
    marks = [trusted.open(note) for note in witnesses]
    yield from (
        f"a witness's checkpoint {n}: no key that you trust signed it"
        for n, mark in enumerate(marks, 1)
        if mark is None
    )
    export = Export(head, signed, [mark for mark in marks if mark is not None])
    for line in lines:
        yield from export.row(json.loads(line))
    yield from export.end()


class Export:
    """The rows of one export, against the checkpoint that was signed and those of witnesses."""

    def __init__(self, head: dict[str, Any], signed: Signed, marks: list[Signed]) -> None:
        self.head, self.signed, self.marks = head, signed, marks
        self.tree = Tree()
        self.roots = {0: self.tree.root()}
        self.count = 0
        self.ends: dict[tuple[str, int], tuple[str, str]] = {}

    def row(self, row: dict[str, Any]) -> Iterator[str]:
        where = f"request {row['request_id']}, row {row['seq']}"
        yield from (f"{where}: {what}" for what in row_problems(row))
        self.count += 1
        self.ends[row["request_id"], row["seq"]] = row["prev_hash"], row["hash"]
        if not self.head["whole"]:
            size, root, _ = self.signed
            if root_by_proof(leaf_of(row), row["leaf"], size, row["proof"]) != root:
                yield f"{where}: it is not in the tree that was signed"
            return
        if row["leaf"] != self.tree.size:
            yield f"{where}: it should be leaf {self.tree.size} of the tree, not {row['leaf']}"
        self.tree.add(leaf_of(row))
        if any(size == self.tree.size for size, _, _ in self.marks):
            self.roots[self.tree.size] = self.tree.root()

    def end(self) -> Iterator[str]:
        whole = self.head["whole"]
        if self.count != self.head["rows"]:
            yield f"it has {self.count} rows, and should have {self.head['rows']}"
        yield from chain_problems(self.ends, whole=whole or self.head["request_id"] is not None)
        if whole and (self.tree.size, self.tree.root()) != self.signed[:2]:
            yield "its rows are not those of the tree that was signed: some are missing, or others"
        for size, root, time in self.marks:
            if not whole:
                yield "only an export of everything can be compared with witnesses"
            elif self.roots.get(size) != root:
                yield f"a witness has a tree of {size} rows, signed at {time}, that is not this one"


def row_problems(row: dict[str, Any]) -> Iterator[str]:
    body = row["body"].encode()
    if sha256(b"\x00" + bytes.fromhex(row["prev_hash"]) + body).hex() != row["hash"]:
        yield "its hash is not that of its body"
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or (said.get("request_id"), said.get("seq")) != (
        row["request_id"],
        row["seq"],
    ):
        yield "its body is not of this place"
    elif json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False) != row["body"]:
        yield "its body is not the canonical spelling of what it says"
    else:
        yield from disclosed_problems(row.get("disclosed", []), said["payload"].get("sealed", []))


def disclosed_problems(texts: list[str], sealed: list[dict[str, Any]]) -> Iterator[str]:
    """Each text holds a random salt, so nobody finds another one of the same hash, or guesses one."""
    left = [part["sha256"] for part in sealed]
    for text in texts:
        found = sha256(text.encode()).hex()
        if found in left:
            left.remove(found)
        else:
            yield f"what is disclosed is not what was sealed in it: {text}"


def chain_problems(ends: dict[tuple[str, int], tuple[str, str]], *, whole: bool) -> Iterator[str]:
    """Rows that do not go on from the one before them; with `whole` each chain begins with row 1."""
    for (request, seq), (prev_hash, _) in ends.items():
        before = ends.get((request, seq - 1))
        expected = "00" * 32 if seq == 1 else before and before[1]
        if expected is None and whole:
            yield f"request {request}: row {seq - 1} is missing"
        elif expected is not None and expected != prev_hash:
            yield f"request {request}, row {seq}: it does not go on from the row before it"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--key", action="append", required=True, help="NAME+ID+BASE64; repeatable")
    parser.add_argument(
        "--witness", action="append", default=[], type=Path, help="a checkpoint's file"
    )
    given = parser.parse_args(arguments)
    found = 0
    try:
        notes = [path.read_text() for path in given.witness]
        with given.export.open() as lines:
            for problem in verify(lines, given.key, notes):
                print(problem)  # noqa: T201 - this file is run by itself
                found += 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Unreadable) as error:
        print(f"cannot be read: {error!r}", file=sys.stderr)  # noqa: T201
        return 2
    print(f"{found} problems" if found else "it holds")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
