"""An identity provider over real HTTP: OpenID Connect's code flow, strictly, and wrongly where a test wants it."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

CLIENT, SECRET = "countersign", "s3cret"


@dataclass
class IdentityProvider:
    """`claims` are added to id tokens, or put in place of theirs; None takes one out."""

    url: str = ""
    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65537, 2048))
    signs_with: RSAPrivateKey | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def consent(self, location: str) -> dict[str, str]:
        """What the browser brings back after somebody has signed in at `location`."""
        asked = dict(parse_qsl(urlsplit(location).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert asked["client_id"] == CLIENT
        code = uuid4().hex
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value
            for name, value in (line.split(": ", 1) for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, page = self._answer(head[0].split(" ")[1], headers, body)
        kind, text = "application/json", json.dumps(page).encode()
        if isinstance(page, str):
            kind, text = "text/html", page.encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
            + text
        )
        await writer.drain()
        writer.close()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            endpoints = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
            return 200, endpoints | self.discovery
        if path == "/jwks":
            key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return 200, {"keys": [key | {"kid": "one", "use": "sig"}]}
        if path == "/token":
            return self._token(headers, dict(parse_qsl(body.decode())))
        if path.startswith("/authorize?"):
            return 200, self._asking(path)
        return 404, {}

    def _asking(self, location: str) -> str:
        """The page on which somebody says who they are, or goes back."""
        said = self.consent(location)
        to = self.codes[said["code"]]["redirect_uri"]
        refused = {"state": said["state"], "error": "access_denied", "iss": self.url}
        links = (("Sign in as bob", said), ("Cancel", refused))
        shown = (f'<p><a href="{to}?{escape(urlencode(it))}">{name}</a>' for name, it in links)
        return (
            f'<!doctype html><title>Provider</title><link rel="icon" href="data:,">{"".join(shown)}'
        )

    def _token(self, headers: dict[str, str], form: dict[str, str]) -> tuple[int, Any]:
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if headers.get("authorization") != f"Basic {basic}":
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        said: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "bob",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "roles": ["auditor"],
        }
        said = {name: value for name, value in (said | self.claims).items() if value is not None}
        signed = jwt.encode(said, self.signs_with or self.key, "RS256", headers={"kid": "one"})
        return 200, {"id_token": signed, "access_token": "x", "token_type": "Bearer"}


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    provider = IdentityProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
