"""What is canonical: the quick way of the verifier and the writer agree, and both with RFC 8785."""

import json

import orjson
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.canonical import canonical
from contract.verifying import spelt

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
