"""Signing in at an identity provider: the right answer counts, once, for the browser that asked; no other does."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from api.app import create_app
from tests.integration.house import House, Recorder
from tests.integration.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider


@dataclass
class Site:
    """The site with a provider, and a browser that keeps cookies."""

    client: httpx.AsyncClient
    provider: IdentityProvider

    async def go(self, then: str = "/") -> str:
        """To the provider: the address that the browser is sent to."""
        answered = await self.client.get("/sign-in/oidc", params={"next": then})
        assert answered.status_code == 303, answered.text
        return str(answered.headers["location"])

    async def back(self, said: dict[str, str]) -> httpx.Response:
        return await self.client.get("/sign-in/callback", params=said)


@pytest.fixture
async def site(house: House, tmp_path: Path) -> AsyncIterator[Site]:
    secret = tmp_path / "oidc.secret"
    secret.write_text(f"{SECRET}\n")
    async with identity_provider() as provider:
        settings = house.settings.model_copy(
            update={
                "public_url": "http://api",
                "oidc_url": provider.url,
                "oidc_client_id": CLIENT,
                "oidc_client_secret_file": secret,
            }
        )

        async def recorded(*_: Any) -> Recorder:
            return Recorder()

        app = create_app(settings, recorded)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                yield Site(client, provider)


async def test_somebody_signs_in_and_goes_where_they_wanted(site: Site) -> None:
    assert 'href="/sign-in/oidc?next=/' in (await site.client.get("/sign-in")).text
    location = await site.go("/?q=acme")
    assert location.startswith(f"{site.provider.url}/authorize?")
    said = site.provider.consent(location)
    answered = await site.back(said)
    assert (answered.status_code, answered.headers["location"]) == (303, "/?q=acme")
    shown = await site.client.get("/")
    assert ("Bob Tanaka, sign out" in shown.text, 'href="/admin"' in shown.text) == (
        True,
        True,
    )
    # The code is used up, and so is what the browser kept.
    site.client.cookies.delete("countersign")
    assert (await site.back(said)).status_code == 403
    assert (await site.client.get("/")).status_code == 303


def _other_state(said: dict[str, str]) -> dict[str, str]:
    return said | {"state": "x"}


def _error(said: dict[str, str]) -> dict[str, str]:
    return {"state": said["state"], "error": "access_denied"}


def _other_issuer(said: dict[str, str]) -> dict[str, str]:
    return said | {"iss": "https://evil.example"}


def _other_code(said: dict[str, str]) -> dict[str, str]:
    return said | {"code": "x"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_other_state, "answer to another sign-in"),
        (_error, "refused: access_denied"),
        (_other_issuer, "another identity provider"),
        (_other_code, "refused: invalid_grant"),
    ],
)
async def test_an_answer_that_is_not_the_one(
    site: Site, change: Callable[[dict[str, str]], dict[str, str]], why: str
) -> None:
    answered = await site.back(change(site.provider.consent(await site.go())))
    assert (answered.status_code, why in answered.text) == (403, True), answered.text
    assert (await site.client.get("/")).status_code == 303


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "other"}, "answer to another sign-in"),
        ({"aud": "another-client"}, "token is refused"),
        ({"iss": "https://evil.example"}, "token is refused"),
        ({"exp": 1}, "token is refused"),
        ({"nonce": None}, "token is refused"),
        ({"sub": "<b>"}, "names nobody"),
    ],
)
async def test_a_token_that_says_something_else(
    site: Site, claims: dict[str, Any], why: str
) -> None:
    site.provider.claims = claims
    answered = await site.back(site.provider.consent(await site.go()))
    assert (answered.status_code, why in answered.text) == (403, True), answered.text
    assert (await site.client.get("/")).status_code == 303


async def test_a_token_of_somebody_else(site: Site) -> None:
    site.provider.signs_with = generate_private_key(65537, 2048)
    answered = await site.back(site.provider.consent(await site.go()))
    assert (answered.status_code, "token is refused" in answered.text) == (403, True)


async def test_the_answer_to_another_browser(site: Site) -> None:
    said = site.provider.consent(await site.go())
    site.client.cookies.clear()
    answered = await site.back(said)
    assert (answered.status_code, "in another browser" in answered.text) == (403, True)


async def test_a_provider_that_is_calls_itself_otherwise(site: Site) -> None:
    site.provider.discovery = {"issuer": "https://evil.example"}
    away = await site.client.get("/sign-in/oidc")
    assert (away.status_code, "by another name" in away.text) == (503, True)
    site.provider.discovery = {}
    assert (await site.back(site.provider.consent(await site.go()))).status_code == 303
