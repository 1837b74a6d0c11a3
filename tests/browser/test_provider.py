"""Signing in at an identity provider: another site, where people say who they are, and from which they come back."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import expect

from tests.acceptance.product import Product
from tests.browser.programs import Program, until
from tests.browser.visits import Begin
from tests.integration.identity_provider import CLIENT, SECRET, identity_provider


@contextmanager
def _provider() -> Iterator[str]:
    """A provider in a thread of its own: its address. By another name than ours: for browsers it is another site."""
    found = list[str]()
    began, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with identity_provider() as provider:
            provider.url = provider.url.replace("127.0.0.1", "localhost")
            found.append(provider.url)
            began.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert began.wait(30)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@pytest.fixture
def house(
    product: Product, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> Iterator[str]:
    """The product's site as a house has it, beside the one for development: its address."""
    [port] = free_ports(1)
    site = f"http://127.0.0.1:{port}"
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with _provider() as provider:
        environment = {
            **psutil.Process(product.pid("api")).environ(),
            "COUNTERSIGN_ENVIRONMENT": "production",
            "COUNTERSIGN_API_PORT": str(port),
            "COUNTERSIGN_PUBLIC_URL": site,
            "COUNTERSIGN_OIDC_URL": provider,
            "COUNTERSIGN_OIDC_CLIENT_ID": CLIENT,
            "COUNTERSIGN_OIDC_CLIENT_SECRET_FILE": str(secret),
        }
        with (tmp_path / "api.log").open("wb") as log:
            api = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "api"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: _ready(site, api, tmp_path / "api.log"), "the API answers")
            yield site
        finally:
            api.terminate()
            api.wait(60)


def _ready(site: str, api: "subprocess.Popen[bytes]", log: Path) -> bool | None:
    assert api.poll() is None, log.read_text()
    try:
        return httpx.get(f"{site}/readyz", trust_env=False).is_success or None
    except httpx.TransportError:
        return None


def test_somebody_comes_back_from_the_provider_to_what_they_came_for(
    visit: Begin, product: Product, house: str
) -> None:
    alice = Program(product, "alice")
    task = alice.task_of(alice.submit("purchase_order", item="A lamp", amount=72, currency="EUR"))
    wanted = f"{house}/tasks/{task['id']}"
    phone = visit(None, phone=True)
    page = phone.page
    page.goto(wanted)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.get_by_label("Person").count() == 0, "nobody is anybody here"
    phone.check("sign-in")
    # They think better of it, and then of that.
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("refused: access_denied")
    phone.check("refused")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Sign in as bob").click()
    page.wait_for_url(wanted)
    expect(page.get_by_role("heading", level=1)).to_contain_text("A lamp for 72")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Bob Larsson, sign out").click()
    page.wait_for_url(f"{house}/sign-in")
    # Nothing of it is kept: neither the page nor the way in.
    page.go_back()
    page.wait_for_url(lambda url: url.startswith(f"{house}/sign-in?next="))
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert "A lamp" not in page.content()
