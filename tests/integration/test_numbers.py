"""Who starts a workflow, the API or the relay, must not change what it was given."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from recipes.model import Json
from storage import outbox
from storage.jsonb import kept
from storage.pool import Pool
from tests.integration.house import House

NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-400, 308).map(lambda power: float(f"1e{power}")),
    st.sampled_from(
        [-0.0, 5e-324, 1e15, 1e16, 1e20, 2.0**53, 2.0**63, 1.7976931348623157e308, 1e-7]
    ),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
WITH_POSTGRES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _spelled(value: Json) -> str:
    """With everything by which two values can differ: order, kinds of numbers, signs of zeros."""
    return repr(value)


async def test_jsonb_keeps_what_we_say(pool: Pool) -> None:
    @WITH_POSTGRES
    @given(st.lists(VALUES, min_size=1, max_size=20))
    def check(values: list[Json]) -> None:
        seen.append(values)

    seen: list[list[Json]] = []
    check()
    for values in seen:
        read = from_json(await pool.fetchval("SELECT $1::jsonb::text", values))
        assert _spelled(kept(values)) == _spelled(read)
        assert _spelled(kept(read)) == _spelled(read)


async def test_the_relay_starts_what_the_api_would(house: House) -> None:
    """The same with all of the way from the body to the state; and a digest over the same."""

    @settings(WITH_POSTGRES, max_examples=60)
    @given(st.dictionaries(NAMES, VALUES, max_size=6))
    def collect(inputs: dict[str, Json]) -> None:
        seen.append(inputs)

    seen: list[dict[str, Json]] = [
        {"amount": 1e18, "least": 5e-324, "zero": -0.0, "b": {"zz": 1, "a": 2.0}}
    ]
    collect()
    taken = 0
    for inputs in seen:
        body = {"workflow": "shared", "inputs": inputs}
        response = await house.post("/v1/requests", "alice", content=to_json(body))
        if response.status_code == 422:
            assert "too large a number" in response.text
            continue
        assert response.status_code == 201
        taken += 1
        made = response.json()
        told = house.delivery.starts[-1]
        again = await outbox.start_input(house.pool, UUID(made["id"]))
        assert told == again
        assert _spelled(told.state.inputs) == _spelled(again.state.inputs)
        shown = await house.get(f"/v1/requests/{made['id']}", "alice")
        assert shown.text == response.text
    assert taken > 5


@pytest.mark.parametrize(
    "number", ["1e20", "100000000000000000000", "-1e300", "9223372036854775808"]
)
async def test_a_whole_number_of_more_than_64_bits_is_refused_however_it_is_written(
    house: House, number: str
) -> None:
    body = f'{{"workflow": "shared", "inputs": {{"amount": {number}}}}}'
    response = await house.post("/v1/requests", "alice", content=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/inputs/amount"


@pytest.mark.parametrize(
    ("number", "pointer"), [("1e400", "/inputs/amount"), ("NaN", None), ("Infinity", None)]
)
async def test_what_is_no_number_is_refused(house: House, number: str, pointer: str | None) -> None:
    body = f'{{"workflow": "shared", "inputs": {{"amount": {number}}}}}'
    response = await house.post("/v1/requests", "alice", content=body)
    assert response.status_code == (400 if pointer is None else 422)
    if pointer is not None:
        assert response.json()["errors"][0]["pointer"] == pointer
