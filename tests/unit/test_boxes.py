"""Boxes and what payloads keep in them: only the right keys open them, and nothing is lost on the way."""

from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from contract import boxes, content
from contract.boxes import CannotOpen, Keys
from contract.canonical import canonical

ONE, OTHER = UUID(int=1), UUID(int=2)
PLAIN = Keys(ONE, bytes(32))
WHOLE = Keys(ONE, bytes(32), b"\x01" * 32, private=True)
PARTLY = Keys(ONE, bytes(32), b"\x01" * 32, private=True, fields=("salary",))
OUTSIDE = Keys(ONE, bytes(32), None, private=True, fields=("salary",))
PAYLOAD: dict[str, Any] = {
    "step": "hr",
    "title": "Raise",
    "inputs": {"salary": 91_234, "days": 3},
    "comment": None,
}


@given(st.binary(max_size=200))
def test_a_box_opens_with_its_keys_alone(plain: bytes) -> None:
    box = boxes.seal(PARTLY, "confidential", plain)
    assert boxes.open_box(PARTLY, "confidential", box) == plain
    for keys, scope in (
        (PARTLY, "shared"),
        (Keys(OTHER, bytes(32), b"\x01" * 32), "confidential"),
        (Keys(ONE, bytes(32), b"\x02" * 32), "confidential"),
        (OUTSIDE, "confidential"),
    ):
        with pytest.raises(CannotOpen):
            boxes.open_box(keys, scope, box)  # type: ignore[arg-type]


@given(st.binary(max_size=40), st.data())
def test_a_damaged_box_does_not_open(plain: bytes, data: st.DataObject) -> None:
    box = bytearray(boxes.seal(PLAIN, "shared", plain))
    place = data.draw(st.integers(0, len(box) - 1))
    box[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotOpen):
        boxes.open_box(PLAIN, "shared", bytes(box))
    with pytest.raises(CannotOpen):
        boxes.open_box(PLAIN, "shared", bytes(box[:place]))


def test_a_wrapped_key_is_bound_to_its_request_and_scope() -> None:
    wrapped = boxes.wrap(b"r" * 32, ONE, "shared", b"k" * 32)
    assert boxes.unwrap(b"r" * 32, ONE, "shared", wrapped) == b"k" * 32
    for key, about, scope in (
        (b"s" * 32, ONE, "shared"),
        (b"r" * 32, OTHER, "shared"),
        (b"r" * 32, ONE, "confidential"),
    ):
        with pytest.raises(CannotOpen):
            boxes.unwrap(key, about, scope, wrapped)  # type: ignore[arg-type]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**52), 2**52) | st.text('aé€"\\ ', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(["title", "comment", "text", "reason", "step", "outcome", "task_id"])
_INPUTS = st.dictionaries(st.sampled_from(["salary", "days", "why"]), _JSON, max_size=3)


@given(
    st.dictionaries(_NAMES, _JSON, max_size=5),
    st.none() | _INPUTS,
    st.sampled_from([PLAIN, WHOLE, PARTLY]),
)
def test_a_payload_comes_back_as_it_was(
    written: dict[str, Any], inputs: dict[str, Any] | None, keys: Keys
) -> None:
    payload = written if inputs is None else {**written, "inputs": inputs}
    row = from_json(canonical(content.sealed(payload, keys)))
    found = content.opened(row, keys)
    assert (found.payload, found.withheld) == (payload, ())
    parts = row.get("sealed", [])
    assert [part["sha256"] for part in parts] == [
        sha256(text.encode()).hexdigest() for text in found.disclosed
    ]


def test_what_is_sealed_is_not_in_the_row() -> None:
    row = canonical(content.sealed(PAYLOAD, PLAIN))
    assert "Raise" not in row
    assert "91234" not in row
    assert '"step":"hr"' in row
    assert '"comment":null' in row


def test_whoever_lacks_the_confidential_key_gets_the_rest() -> None:
    row = content.sealed(PAYLOAD, PARTLY)
    found = content.opened(row, OUTSIDE)
    assert found.payload == PAYLOAD | {"inputs": {"days": 3}}
    assert found.withheld == ("inputs",)
    erased = content.opened(row, None)
    assert erased.payload == {"step": "hr", "comment": None}
    assert set(erased.withheld) == {"title", "inputs"}


def test_all_of_it_is_withheld_where_all_is_confidential() -> None:
    row = content.sealed(PAYLOAD, WHOLE)
    found = content.opened(row, Keys(ONE, bytes(32), None, private=True))
    assert found.payload == {"step": "hr", "comment": None}
    assert content.opened(row, WHOLE).payload == PAYLOAD


def test_what_is_the_same_twice_is_not_the_same_sealed() -> None:
    one, other = (content.sealed({"comment": "yes"}, PLAIN)["sealed"] for _ in range(2))
    assert one[0]["sha256"] != other[0]["sha256"]  # type: ignore[index]


@pytest.mark.parametrize("part", [{"box": "?"}, {"box": "AAAA"}, {"box": 5}, {"box": None}])
def test_a_part_that_is_none(part: dict[str, Any]) -> None:
    row = {"sealed": [{"scope": "shared", "names": ["comment"], "sha256": ""} | part]}
    with pytest.raises(CannotOpen):
        content.opened(row, PLAIN)


def test_another_text_than_its_hash_says() -> None:
    row: dict[str, Any] = content.sealed({"comment": "yes"}, PLAIN)
    row["sealed"][0]["sha256"] = "0" * 64
    with pytest.raises(CannotOpen, match="not what its hash says"):
        content.opened(row, PLAIN)


@given(_JSON)
def test_whole_values(value: Any) -> None:
    for keys in (PLAIN, WHOLE):
        box = content.boxed({"it": value}, keys)
        assert content.is_boxed(box)
        assert content.unboxed(box, keys) == {"it": value}
        with pytest.raises(CannotOpen):
            content.unboxed(box, None)
    assert content.boxed(value, None) == value


@given(
    st.text(), st.dictionaries(st.sampled_from(["salary", "days", "why"]), _JSON | st.floats(0, 9))
)
def test_titles_and_inputs_come_back_as_they_were(title: str, inputs: dict[str, Any]) -> None:
    for keys in (None, PLAIN, WHOLE, PARTLY):
        kept = content.kept_subject(title, inputs, "pay_raise", keys)
        assert content.opened_subject(kept, keys) == content.Subject(title, inputs)
        secret = {"salary"} if keys is PARTLY else set(inputs) if keys is WHOLE else set()
        assert set(kept.inputs) == set(inputs) - secret
        assert kept.title == ("Pay raise" if keys is WHOLE else title)
        assert (kept.box is not None) == (keys is WHOLE or bool(secret & set(inputs)))


@given(st.text())
def test_texts_are_boxes_where_all_is_confidential(text: str) -> None:
    outside = Keys(ONE, bytes(32), None, private=True)
    for keys in (None, PLAIN, PARTLY):
        assert content.kept_text(text, keys) == content.shown_text(text, keys) == text
    kept = content.kept_text(text, WHOLE)
    assert kept != text
    assert content.shown_text(kept, WHOLE) == text
    assert content.shown_text(kept, outside) is None
    assert content.kept_text(None, WHOLE) is content.shown_text(None, WHOLE) is None
    with pytest.raises(CannotOpen):
        content.shown_text(kept, Keys(uuid4(), bytes(32), b"\x07" * 32, private=True))


@given(st.text())
def test_what_jobs_say_is_in_boxes_where_anything_is_confidential(text: str) -> None:
    for keys in (None, PLAIN):
        assert content.kept_said(text, keys) == content.shown_said(text, keys) == text
    for keys in (WHOLE, PARTLY):
        kept = content.kept_said(text, keys)
        assert kept != text
        assert content.shown_said(kept, keys) == text
        assert content.shown_said(kept, OUTSIDE) is None


def test_digests_are_salted_by_the_key() -> None:
    assert boxes.salt_of(None) == b""
    assert boxes.salt_of(PLAIN) != boxes.salt_of(Keys(uuid4(), b"\x05" * 32))
