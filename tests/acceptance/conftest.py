"""The product, started once for each module of tests, and the people who use it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.acceptance.product import People, Person, Product, started


@pytest.fixture(scope="module")
def product(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Product]:
    with started(tmp_path_factory.mktemp("product"), free_ports(3)) as made:
        yield made


@pytest.fixture
async def people(product: Product) -> AsyncIterator[People]:
    """People of the sample organisation, by name; their connections end with the test."""
    async with AsyncExitStack() as stack:

        def person(name: str, *roles: str) -> Person:
            made = product.client(name, *roles)
            stack.push_async_callback(made.http.aclose)
            return made

        yield person
