"""Access tokens of OAuth 2.0 by client credentials (RFC 6749, 4.4), each kept until shortly before it ends.

Who asks shows a client secret, or a text signed with its private key (RFC 7523), as NetSuite wants it.
"""

import asyncio
import time
from base64 import b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from activities.connections import Connection
from activities.failures import Refused
from activities.transport import Answer, received

_SIGNED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SIGNED_FOR = 300
"""Seconds for which a signed text counts."""
_EARLIER = 60.0
"""Seconds before its end from which a token is not used any more: a call may take a while."""
_UNSAID = 300.0
"""Seconds that a token counts whose end is not said."""
_BY_CURVE = {256: "ES256", 384: "ES384", 521: "ES512"}


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    until: float
    """On the monotonic clock."""


class Tokens:
    """Of all connections that use them; one at a time asks for a new one."""

    def __init__(self) -> None:
        self._kept: dict[str, _Token] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(
        self, connection: Connection, client: httpx.AsyncClient, refused: str | None = None
    ) -> str:
        """One that counts, and is not the `refused` one. Refused or Later if there is none to be had."""
        async with self._asking[connection.name]:
            kept = self._kept.get(connection.name)
            if kept is None or kept.value == refused or kept.until <= time.monotonic():
                kept = self._kept[connection.name] = await _fetched(connection, client)
            return kept.value


async def _fetched(connection: Connection, client: httpx.AsyncClient) -> _Token:
    secret = connection.secret()
    if secret is None:
        raise Refused(f"connection {connection.name}: its secret is not there, or is none")
    form = {"grant_type": "client_credentials"}
    if connection.scope is not None:
        form["scope"] = connection.scope
    headers = dict[str, str]()
    if connection.key_id is None:
        pair = f"{quote(connection.client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_assertion_type": _SIGNED, "client_assertion": _signed(connection, secret)}
    request = client.build_request("POST", connection.token_url, data=form, headers=headers)
    return _read(connection, secret, await received(client, request))


def _signed(connection: Connection, pem: str) -> str:
    now = int(time.time())
    claims = {
        "iss": connection.client_id,
        "sub": connection.client_id,
        "aud": connection.token_url,
        "iat": now,
        "exp": now + _SIGNED_FOR,
        "jti": str(uuid4()),
        "scope": (connection.scope or "").split(),
    }
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    match key:
        case RSAPrivateKey():
            algorithm = "PS256"
        case EllipticCurvePrivateKey() if key.curve.key_size in _BY_CURVE:
            algorithm = _BY_CURVE[key.curve.key_size]
        case _:
            what = "no private key that can sign: RSA or EC, in PEM, without a passphrase"
            raise Refused(f"connection {connection.name}: its secret is {what}")
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": connection.key_id})


def _read(connection: Connection, secret: str, answer: Answer) -> _Token:
    """The token of an answer, of which only the two fields that say what is wrong are told."""
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status != 200:
        why = [str(body[key]) for key in ("error", "error_description") if body.get(key)]
        told = ": ".join(why).replace(secret, "(secret)")[:300] or "without saying why"
        raise Refused(f"{connection.name} gives no token: {answer.status}, {told}")
    token, seconds = body.get("access_token"), body.get("expires_in")
    if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
        raise Refused(f"{connection.name} gives no token: its token_url answers without one")
    lasts = float(str(seconds)) if str(seconds).isdecimal() else _UNSAID
    return _Token(token, time.monotonic() + max(0.0, lasts - _EARLIER))
