"""Who calls: bearer JWTs, verified strictly.

A key allows one algorithm. `exp iat sub iss aud` must be there, a token lives 12 hours at most, and a
header that brings or points at keys of its own is refused. A token that was good is remembered until
it expires, so that a caller's later calls cost no signature check.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from api import errors
from settings import Settings
from storage.vault import Reader

DEV_ISSUER = "countersign-dev"
DEV_AUDIENCE = "countersign"
LONGEST_LIFE = 12 * 3600
LEEWAY = 10
LARGEST = 8192
_REMEMBERED = 10_000
_JWKS_PAUSE = 10.0
_FOREIGN = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "zip"})
_TYPES = frozenset({"jwt", "at+jwt"})
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
SERVICE = "svc."
"""How the ids of services begin, who have API keys: no token says one."""


_READERS = frozenset(["admin", "auditor"])
"""Roles of a token that a recipe's `visible_to` can name; all others there are of the directory."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, and the roles that the token's issuer vouches for (`admin`, `auditor`); or a service, with
    the `scopes` of its API key and the roles that these come to in this call (`api.scopes`).

    What roles of the organisation somebody holds is a matter of the directory, not of the token.
    """

    id: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None

    @property
    def reader(self) -> Reader:
        """Who reads, for what is sealed."""
        return Reader(self.id, self.roles & _READERS)

    @property
    def admin(self) -> bool:
        return "admin" in self.roles

    @property
    def sees_all(self) -> bool:
        return self.admin or "auditor" in self.roles

    def has(self, scope: str) -> bool:
        """Whether this is a service whose key has that scope."""
        return self.scopes is not None and scope in self.scopes


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the one algorithm it is for."""

    key: Any = field(repr=False)
    algorithm: str


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now."""


def key_of(public: object) -> Key:
    """The key with its algorithm: Ed25519 is EdDSA, P-256 is ES256, RSA of 2048 bits is RS256."""
    if isinstance(public, Ed25519PublicKey):
        return Key(public, "EdDSA")
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return Key(public, "ES256")
    if isinstance(public, RSAPublicKey) and public.key_size >= 2048:
        return Key(public, "RS256")
    raise ValueError("only Ed25519, P-256 and RSA keys of 2048 bits and more are understood")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens count, for which audience, and how to find the key that a header names."""

    name: str
    audience: str
    keys: "FileKeys | JwksKeys"


class FileKeys:
    """One public key (PEM) in a file; read again when the file changes."""

    def __init__(self, read: Callable[[], tuple[float, bytes]]) -> None:
        self._read = read
        self._seen: tuple[float, Key] | None = None

    async def find(self, _: str | None) -> Key | None:
        try:
            changed, pem = self._read()
        except OSError:
            return None  # the development issuer's key is made by its first token
        if self._seen is None or self._seen[0] != changed:
            try:
                self._seen = (changed, key_of(load_pem_public_key(pem)))
            except (ValueError, UnsupportedAlgorithm) as error:
                raise KeysUnavailable(f"the issuer's public key file is no use: {error}") from None
        return self._seen[1]


class JwksKeys:
    """The keys of a JWKS URL, fetched in a thread; for an unknown `kid` at most every 10 seconds."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=5)
        self._keys: Mapping[str, Key] = {}
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None) -> Key | None:
        if kid is None:
            return None
        if kid not in self._keys or time.monotonic() - self._fetched > 300:
            await self._refresh(kid)
        return self._keys.get(kid)

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            age = time.monotonic() - self._fetched
            if age < _JWKS_PAUSE:
                return
            try:
                found = await asyncio.to_thread(self._client.get_jwk_set)
            except jwt.PyJWTError as error:
                if kid in self._keys:
                    return  # stale keys are better than none
                raise KeysUnavailable(f"the issuer's keys cannot be had now: {error}") from None
            self._keys = _signing_keys(found)
            self._fetched = time.monotonic()


def _signing_keys(found: jwt.PyJWKSet) -> dict[str, Key]:
    keys: dict[str, Key] = {}
    for item in found.keys:
        if item.key_id is None or item.public_key_use not in (None, "sig"):
            continue
        try:
            keys[item.key_id] = key_of(item.key)
        except ValueError:
            continue  # of another kind than ours: its tokens are refused as unknown keys
    return keys


class Tokens:
    """Turns `Authorization` headers into callers."""

    def __init__(self, issuers: list[Issuer], now: Callable[[], float] = time.time) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._now = now
        self._good: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, header: str | None) -> Caller:
        """The caller. Problem 401 with the reason; 503 while the issuer's keys cannot be had."""
        if header is None:
            raise unauthenticated("a bearer token is needed: Authorization: Bearer <token>", None)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated("only bearer tokens are understood", "invalid_request")
        _, caller = await self.verified(token)
        return caller

    async def verified(self, token: str) -> tuple[float, Caller]:
        """Until when a token counts, and for whom. Problem 401 or 503 as of `caller`."""
        if len(token) > LARGEST:
            raise unauthenticated(f"the token is longer than {LARGEST} bytes", "invalid_token")
        known = sha256(token.encode()).digest()
        remembered = self._good.get(known)
        if remembered is not None and self._now() < remembered[0]:
            return remembered
        try:
            expires, caller = await self._verify(token)
        except KeysUnavailable as error:
            raise errors.unavailable(str(error)) from None
        except jwt.PyJWTError as error:
            raise unauthenticated(f"the token is refused: {error}", "invalid_token") from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise unauthenticated("the token is malformed", "invalid_token") from None
        self._remember(known, expires, caller)
        return expires, caller

    async def _verify(self, token: str) -> tuple[float, Caller]:
        header = jwt.get_unverified_header(token)
        if foreign := _FOREIGN & header.keys():
            raise jwt.InvalidTokenError(f"its header has {', '.join(sorted(foreign))}")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise jwt.InvalidTokenError("its typ is not JWT")
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise jwt.InvalidIssuerError("its issuer is not trusted here")
        key = await issuer.keys.find(header.get("kid"))
        if key is None:
            raise jwt.InvalidKeyError("it is signed with a key that is not known here")
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=issuer.audience,
            issuer=issuer.name,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "sub", "iss", "aud"]},
        )
        return float(claims["exp"]), _caller(claims)

    def _remember(self, token: bytes, expires: float, caller: Caller) -> None:
        self._good.pop(token, None)
        if len(self._good) >= _REMEMBERED:
            self._good.pop(next(iter(self._good)))
        self._good[token] = (expires, caller)


def _caller(claims: dict[str, Any]) -> Caller:
    if claims["exp"] - claims["iat"] > LONGEST_LIFE + LEEWAY:
        raise jwt.InvalidTokenError(f"it lives longer than {LONGEST_LIFE // 3600} hours")
    if not _SUBJECT.fullmatch(claims["sub"]):
        raise jwt.InvalidTokenError("its sub is not the id of a person")
    if claims["sub"].startswith(SERVICE):
        raise jwt.InvalidTokenError(f"its sub begins with {SERVICE}, as those of services do")
    roles = claims.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise jwt.InvalidTokenError("its roles are not a list of names")
    return Caller(claims["sub"], frozenset(roles))


def unauthenticated(detail: str, error: str | None) -> errors.Problem:
    """Problem 401 with a challenge (RFC 6750)."""
    challenge = 'Bearer realm="countersign"'
    if error is not None:
        text = re.sub(r"[^ !#-\[\]-~]", "?", detail)
        challenge += f', error="{error}", error_description="{text}"'
    return errors.Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


def tokens(settings: Settings) -> Tokens:
    """The issuers of these settings. The development issuer counts on one's own machine alone."""
    issuers: list[Issuer] = []
    if settings.jwt_issuer and settings.jwt_jwks_url:
        keys = JwksKeys(settings.jwt_jwks_url)
        issuers.append(Issuer(settings.jwt_issuer, settings.jwt_audience, keys))
    elif settings.jwt_issuer and settings.jwt_public_key_file:
        path = settings.jwt_public_key_file
        file = FileKeys(lambda: (path.stat().st_mtime, path.read_bytes()))
        issuers.append(Issuer(settings.jwt_issuer, settings.jwt_audience, file))
    if settings.dev_issuer_allowed:
        public = settings.dev_issuer_public_key
        own = FileKeys(lambda: (public.stat().st_mtime, public.read_bytes()))
        issuers.append(Issuer(DEV_ISSUER, DEV_AUDIENCE, own))
    return Tokens(issuers)
