"""What is canonical: the quick way of the verifier and the writer agree, and both with RFC 8785."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import orjson
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.canonical import canonical
from contract.verifying import Chains, Row, spelt

REQUEST = UUID(int=7)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
exact = st.integers(-(2**53) + 1, 2**53 - 1)


def _values(numbers: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    plain = st.none() | st.booleans() | texts | numbers
    return st.recursive(
        plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    )


@settings(deadline=None)
@given(_values(exact))
def test_it_is_rfc_8785(value: object) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)  # type: ignore[arg-type]


@settings(deadline=None)
@given(_values(exact | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_written_is_accepted(value: object) -> None:
    body = canonical(value).encode()
    assert spelt(body, orjson.loads(body))


@settings(deadline=None)
@given(_values(exact | st.floats(allow_nan=False, allow_infinity=False) | st.integers()), st.data())
def test_nothing_else_is(value: object, data: st.DataObject) -> None:
    """Any other spelling of the same: spaces, escapes, order, numbers as they are."""
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    body = json.dumps(
        value,
        ensure_ascii=data.draw(st.booleans()),
        sort_keys=data.draw(st.booleans()),
        separators=separators,
    ).encode()
    said = json.loads(body)
    assert spelt(body, orjson.loads(body)) == (canonical(said).encode() == body)


def _found(said: Sequence[str], bodies: Sequence[bytes]) -> list[set[str]]:
    """What is found of rows with these columns and bodies, and nothing else wrong."""
    now = datetime(2026, 11, 27, tzinfo=UTC)
    chains, before, rows = Chains(), bytes(32), list[Row]()
    for seq, (columns, body) in enumerate(zip(said, bodies, strict=True), 1):
        own = sha256(b"\x00" + before + body).digest()
        rows.append(Row(REQUEST, seq, before, own, body, columns.encode(), True, now, None))
        before = own
    chains.take(rows, [])
    return [{each.kind for each in chains.findings if each.seq == row.seq} for row in rows]


@settings(deadline=None)
@given(st.lists(_values(exact | st.floats(-1e9, 1e9)), min_size=1, max_size=40), st.data())
def test_columns_and_bodies_are_compared_many_at_once(
    values: list[object], data: st.DataObject
) -> None:
    """Each by itself: what is wrong with one row is not found of another, nor hidden by it."""
    said, bodies, wrong = list[str](), list[bytes](), list[set[str]]()
    for value in values:
        columns = json.loads(canonical({"payload": value}))
        body = canonical(columns).encode()
        match data.draw(
            st.sampled_from(["right", "right", "right", "spaces", "other", "not JSON"])
        ):
            case "spaces":
                body, expected = body.replace(b"{", b"{ ", 1), {"misspelt"}
            case "other":
                body, expected = canonical({"payload": [value]}).encode(), {"column"}
            case "not JSON":
                body, expected = body + b"]", {"edited"}
            case _:
                expected = set[str]()
        said.append(json.dumps(columns))
        bodies.append(body)
        wrong.append(expected)
    assert _found(said, bodies) == wrong


def test_what_python_takes_for_the_same_is_told_apart() -> None:
    columns = ['{"a": 1}', '{"a": 1.0}', '{"a": true}', '{"a": 1}', '{"a": "1"}']
    bodies = [b'{"a":true}', b'{"a":1}', b'{"a":1}', b'{"a":1.0}', b'{"a":1}']
    assert all("column" in found for found in _found(columns, bodies))


def test_a_body_cut_in_two_is_no_other_pair_of_bodies() -> None:
    """Joined they are what both rows' columns say together."""
    said = ['{"a":1}', '{"b":2}']
    assert _found(said, [b'{"a":1},{"b":2}', b""]) == [{"edited"}, {"edited"}]
    assert _found(said, [b'{"a":1', b'},{"b":2}']) == [{"edited"}, {"edited"}]
