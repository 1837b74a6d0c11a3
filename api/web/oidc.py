"""Sign-in at the house's identity provider: OpenID Connect, authorization code with PKCE (RFC 7636).

What the provider says once counts for one session. What has to be remembered until people come back from it
(`Begun`) travels in a signed cookie: no process keeps anything.
"""

import asyncio
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from api import sessions
from api.auth import LEEWAY, SERVICE, Caller, JwksKeys, KeysUnavailable
from settings import Settings
from storage.vault import Vault

AUDIENCE = "countersign-signing-in"
PATIENCE = 600
"""Seconds that people may take at the provider."""
_TIMEOUT = 10
_KNOWN_FOR = 3600.0
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


class SignInFailed(Exception):
    """Nobody is signed in; the text says why, for the person. `then` is where they were going, for the next try."""

    then: str = "/"


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that is under way at the provider."""

    state: str
    nonce: str
    verifier: str
    then: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the provider's discovery document says."""

    issuer: str
    authorize: str
    token: str
    keys: JwksKeys


class Provider:
    """The provider of these settings, which name one (`oidc_url`)."""

    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_url is not None
        self._settings = settings
        self._url = settings.oidc_url.rstrip("/")
        self._found: tuple[float, Endpoints] | None = None
        self._lock = asyncio.Lock()

    @property
    def _redirect(self) -> str:
        assert self._settings.public_url is not None
        return f"{self._settings.public_url.rstrip('/')}/sign-in/callback"

    async def begin(self, vault: Vault, then: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie it is to bring back. SignInFailed."""
        endpoints = await self._endpoints()
        begun = Begun(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32), then
        )
        challenge = urlsafe_b64encode(sha256(begun.verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._redirect,
            "scope": self._settings.oidc_scope,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in endpoints.authorize else "?"
        cookie = sessions.sign(vault, AUDIENCE, {**asdict(begun), "exp": time.time() + PATIENCE})
        return f"{endpoints.authorize}{mark}{urlencode(asked)}", cookie

    async def finish(
        self, vault: Vault, cookie: str | None, said: dict[str, str]
    ) -> tuple[Caller, float, str]:
        """Who came back, until when the provider vouches for them, and where they were going.
        `said` is the callback's query. SignInFailed."""
        kept = None if cookie is None else sessions.verified(vault, AUDIENCE, cookie)
        if kept is None:
            raise SignInFailed("this sign-in took too long, or began in another browser: try again")
        begun = Begun(kept["state"], kept["nonce"], kept["verifier"], kept["then"])
        try:
            caller, until = await self._finished(begun, said)
        except SignInFailed as error:
            error.then = begun.then
            raise
        return caller, until, begun.then

    async def _finished(self, begun: Begun, said: dict[str, str]) -> tuple[Caller, float]:
        """Who came back to what was begun, and until when the provider vouches for them."""
        if not hmac.compare_digest(said.get("state", "").encode(), begun.state.encode()):
            raise SignInFailed("this is the answer to another sign-in: try again")
        if "error" in said:
            raise SignInFailed(f"the identity provider refused: {said['error']}")
        endpoints = await self._endpoints()
        if said.get("iss", endpoints.issuer) != endpoints.issuer:
            raise SignInFailed("this answer comes from another identity provider")
        token = await self._exchange(endpoints, said.get("code", ""), begun)
        return await self._verified(endpoints, token, begun.nonce)

    async def _endpoints(self) -> Endpoints:
        async with self._lock:
            if self._found is not None and time.monotonic() - self._found[0] < _KNOWN_FOR:
                return self._found[1]
            page = await self._fetched("GET", f"{self._url}/.well-known/openid-configuration")
            try:
                found = Endpoints(
                    str(page["issuer"]),
                    str(page["authorization_endpoint"]),
                    str(page["token_endpoint"]),
                    JwksKeys(str(page["jwks_uri"])),
                )
            except KeyError as error:
                raise SignInFailed(f"the identity provider does not say its {error}") from None
            if found.issuer.rstrip("/") != self._url:
                raise SignInFailed("the identity provider calls itself by another name")
            self._found = (time.monotonic(), found)
            return found

    async def _exchange(self, endpoints: Endpoints, code: str, begun: Begun) -> str:
        """The id token for the code."""
        client_id = self._settings.oidc_client_id or ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": begun.verifier,
            "client_id": client_id,
        }
        file = self._settings.oidc_client_secret_file
        secret = None if file is None else (await asyncio.to_thread(file.read_text)).strip()
        auth = None if secret is None else httpx.BasicAuth(client_id, secret)
        page = await self._fetched("POST", endpoints.token, data=form, auth=auth)
        token = page.get("id_token")
        if not isinstance(token, str):
            raise SignInFailed("the identity provider gave no id token")
        return token

    async def _fetched(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
                answered = await client.request(method, url, **options)
                page = answered.json()
        except (httpx.HTTPError, ValueError):
            raise SignInFailed("the identity provider cannot be reached now: try again") from None
        if answered.status_code != 200 or not isinstance(page, dict):
            said = page.get("error") if isinstance(page, dict) else None
            raise SignInFailed(f"the identity provider refused: {said or answered.status_code}")
        return page

    async def _verified(self, endpoints: Endpoints, token: str, nonce: str) -> tuple[Caller, float]:
        try:
            key = await endpoints.keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise jwt.InvalidKeyError("it is signed with a key that is not known")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._settings.oidc_client_id,
                issuer=endpoints.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "iss", "aud", "nonce"]},
            )
        except KeysUnavailable as error:
            raise SignInFailed(str(error)) from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise SignInFailed(f"the identity provider's token is refused: {error}") from None
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise SignInFailed("this token is the answer to another sign-in: try again")
        return self._person(claims)

    def _person(self, claims: dict[str, Any]) -> tuple[Caller, float]:
        person = _claim(claims, self._settings.oidc_person_claim)
        if not isinstance(person, str) or not _PERSON.fullmatch(person):
            name = self._settings.oidc_person_claim
            raise SignInFailed(f"the identity provider's token names nobody in its claim {name}")
        if person.startswith(SERVICE):
            raise SignInFailed(f"ids that begin with {SERVICE} are those of services")
        roles = _claim(claims, self._settings.oidc_roles_claim)
        named = [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
        # Of the session's length our own rule decides: an id token proves a sign-in, it is no session.
        return Caller(person, frozenset(named)), float(claims["iat"]) + 12 * 3600


def _claim(claims: dict[str, Any], name: str) -> object:
    """The value at a claim's name, or at a path such as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
