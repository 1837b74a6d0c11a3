"""Pages as people use them: the whole product as `countersign dev` runs it, and Chromium.

Both are started once. Every visit is a browser context of its own, so that nobody is signed in as another; what
its pages complain about (scripts, policies, files that are not there) fails the test.
"""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.acceptance.product import Product, started
from tests.browser.visits import Visit, Visits

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""As scripts/chromium.sh looks for it."""


@pytest.fixture(scope="session")
def product(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Product]:
    with started(tmp_path_factory.mktemp("product"), free_ports(3)) as made:
        yield made
        assert made.process is not None
        assert made.process.poll() is None


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    names = (os.environ.get("CHROMIUM") or NAMES[0], *NAMES[1:])
    found = next(filter(None, map(shutil.which, names)), None)
    assert found is not None, "there is no Chromium: sh scripts/chromium.sh"
    with sync_playwright() as driver:
        # Its sandbox needs what containers do not give; all that it loads is ours. Where there is no GPU, pretending
        # to have one takes a third of the time.
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(
    product: Product, chromium: Browser, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Visit]]:
    """`visit("bob", phone=True)`: somebody's browser, signed in, at the inbox. See `Visits.begin`."""
    visits = Visits(product, chromium, request.node.name)
    yield visits.begin
    visits.end()
