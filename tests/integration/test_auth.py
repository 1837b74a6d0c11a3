"""Who calls: what a token must be like, and whose keys count."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm
from typing_extensions import override

from api import auth
from api.auth import Caller
from api.errors import Problem
from settings import Settings
from tests.integration.house import ISSUER_KEY, House, make_settings, token

NOW = int(time.time())
OTHER = Ed25519PrivateKey.generate()


def _pem(public: Any) -> bytes:
    pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def _signed(key: Any = ISSUER_KEY, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    values = {
        "iss": "countersign-dev",
        "aud": "countersign",
        "sub": "alice",
        "iat": NOW,
        "exp": NOW + 3600,
    } | claims
    values = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(values, key, algorithm="EdDSA", headers=headers)


def _by_hand(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


GOOD = {"iss": "countersign-dev", "aud": "countersign", "sub": "a", "iat": NOW, "exp": NOW + 3600}
BAD = {
    "expired": _signed(iat=NOW - 7200, exp=NOW - 60),
    "not yet": _signed(nbf=NOW + 600),
    "issued in the future": _signed(iat=NOW + 600, exp=NOW + 1200),
    "too long": _signed(exp=NOW + 13 * 3600),
    "no exp": _signed(exp=None),
    "no iat": _signed(iat=None),
    "no sub": _signed(sub=None),
    "no aud": _signed(aud=None),
    "no iss": _signed(iss=None),
    "text exp": _signed(exp=str(NOW + 60)),
    "other issuer": _signed(iss="somebody"),
    "issuer is a list": _by_hand({"alg": "EdDSA"}, GOOD | {"iss": ["countersign-dev"]}),
    "other audience": _signed(aud="elsewhere"),
    "sub no person": _signed(sub="a b"),
    "sub with system": _signed(sub="system:engine"),
    "roles no list": _signed(roles="admin"),
    "roles no names": _signed(roles=[1]),
    "other key": _signed(OTHER),
    "jku": _signed(headers={"jku": "http://evil.example/keys"}),
    "jwk": _signed(OTHER, headers={"jwk": {"kty": "OKP"}}),
    "x5u": _signed(headers={"x5u": "http://evil.example/cert"}),
    "crit": _by_hand({"alg": "EdDSA", "crit": ["exp"]}, GOOD),
    "typ": _signed(headers={"typ": "JOSE"}),
    "none": _by_hand({"alg": "none"}, GOOD),
    "None": _by_hand({"alg": "None"}, GOOD, b"x"),
    "hmac with the public key": jwt.encode(GOOD, "k" * 64, algorithm="HS256"),
    "alg is a number": _by_hand({"alg": 1}, GOOD),
    "claims are a list": _by_hand({"alg": "EdDSA"}, [1]),
    "garbage": "abc",
    "two dots": "a.b.c",
    "deep": base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.x",
    "long": _signed(extra="x" * 9000),
}


@pytest.mark.parametrize("name", BAD)
async def test_tokens_that_are_refused(bare_house: House, name: str) -> None:
    headers = {"Authorization": f"Bearer {BAD[name]}"}
    response = await bare_house.client.get("/v1/tasks", headers=headers)
    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"].startswith('Bearer realm="countersign", error="')
    assert response.json()["type"].endswith("unauthenticated")


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer "])
async def test_no_token(bare_house: House, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = await bare_house.client.get("/v1/tasks", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_good_tokens(bare_house: House) -> None:
    for text in (_signed(), _signed(headers={"typ": "at+jwt"}), _signed(aud=["x", "countersign"])):
        for _ in range(2):
            headers = {"Authorization": f"bearer {text}"}
            response = await bare_house.client.get("/v1/tasks", headers=headers)
            assert response.status_code == 200, response.text


async def test_a_remembered_token_expires(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "postgresql://nowhere")
    clock = [time.time()]
    [issuer] = auth.tokens(settings)._issuers.values()
    tokens = auth.Tokens([issuer], lambda: clock[0])
    header = f"Bearer {token('alice', 'admin')}"
    for _ in range(2):
        assert await tokens.caller(header) == Caller("alice", frozenset({"admin"}))
    (tmp_path / "dev_issuer.pub.pem").write_bytes(_pem(OTHER.public_key()))
    assert (await tokens.caller(header)).id == "alice"
    clock[0] += 3601
    with pytest.raises(Problem) as refused:
        await tokens.caller(header)
    assert refused.value.status == 401


async def test_clocks_may_differ_a_little(tmp_path: Path) -> None:
    tokens = auth.tokens(make_settings(tmp_path, "postgresql://nowhere"))
    now = int(time.time())
    assert await tokens.caller(f"Bearer {token('alice', iat=now - 100, exp=now - 3)}")
    assert await tokens.caller(f"Bearer {token('alice', iat=now + 5)}")


async def test_the_development_issuer_counts_at_home_alone(tmp_path: Path) -> None:
    header = f"Bearer {_signed()}"
    production = {"environment": "production", "public_url": "https://approvals.example.org"}
    for changes in (production, {"api_host": "0.0.0.0"}):  # noqa: S104
        tokens = auth.tokens(make_settings(tmp_path, "postgresql://nowhere", **changes))
        with pytest.raises(Problem) as refused:
            await tokens.caller(header)
        assert refused.value.status == 401
    tokens = auth.tokens(make_settings(tmp_path, "postgresql://nowhere"))
    assert (await tokens.caller(header)).id == "alice"
    (tmp_path / "dev_issuer.pub.pem").unlink()
    with pytest.raises(Problem):
        await auth.tokens(Settings(data_dir=tmp_path)).caller(header)


EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "algorithm", "other"),
    [(EC, "ES256", "EdDSA"), (RSA, "RS256", "PS256"), (OTHER, "EdDSA", "ES256")],
)
async def test_a_public_key_file_pins_its_algorithm(
    tmp_path: Path, key: Any, algorithm: str, other: str
) -> None:
    file = tmp_path / "issuer.pem"
    file.write_bytes(_pem(key.public_key()))
    settings = Settings(data_dir=tmp_path, jwt_issuer="idp", jwt_public_key_file=file)
    tokens = auth.tokens(settings)
    claims = GOOD | {"iss": "idp", "sub": "carol"}
    good = jwt.encode(claims, key, algorithm=algorithm)
    assert (await tokens.caller(f"Bearer {good}")).id == "carol"
    if other == "PS256":
        wrong = jwt.encode(claims, key, algorithm=other)
        with pytest.raises(Problem) as refused:
            await tokens.caller(f"Bearer {wrong}")
        assert refused.value.status == 401


async def test_keys_that_are_too_weak(tmp_path: Path) -> None:
    for public in (
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 - too weak on purpose
        ec.generate_private_key(ec.SECP384R1()).public_key(),
    ):
        with pytest.raises(ValueError, match="understood"):
            auth.key_of(public)
    file = tmp_path / "issuer.pem"
    file.write_bytes(b"nonsense")
    settings = Settings(data_dir=tmp_path, jwt_issuer="idp", jwt_public_key_file=file)
    text = jwt.encode(GOOD | {"iss": "idp"}, OTHER, algorithm="EdDSA")
    with pytest.raises(Problem) as refused:
        await auth.tokens(settings).caller(f"Bearer {text}")
    assert refused.value.status == 503


class _Jwks(BaseHTTPRequestHandler):
    keys: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[int] = 0

    def do_GET(self) -> None:
        _Jwks.asked += 1
        body = json.dumps({"keys": self.keys}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def jwks() -> Iterator[str]:
    """The address of a JWKS that holds what `_Jwks.keys` does."""
    server = HTTPServer(("127.0.0.1", 0), _Jwks)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    public: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(OTHER.public_key()))
    _Jwks.keys, _Jwks.asked = [public | {"kid": "k1", "use": "sig"}], 0
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_keys_of_a_jwks(tmp_path: Path, jwks: str) -> None:
    tokens = auth.tokens(Settings(data_dir=tmp_path, jwt_issuer="idp", jwt_jwks_url=jwks))

    def signed(kid: str, sub: str) -> str:
        claims = GOOD | {"iss": "idp", "sub": sub}
        return "Bearer " + jwt.encode(claims, OTHER, algorithm="EdDSA", headers={"kid": kid})

    people = await asyncio.gather(*(tokens.caller(signed("k1", f"p{n}")) for n in range(10)))
    assert [caller.id for caller in people] == [f"p{n}" for n in range(10)]
    assert _Jwks.asked == 1
    for _ in range(5):
        with pytest.raises(Problem) as refused:
            await tokens.caller(signed("unknown", "alice"))
        assert refused.value.status == 401
    assert _Jwks.asked == 1


async def test_keys_that_cannot_be_had(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/keys"
    tokens = auth.tokens(Settings(data_dir=tmp_path, jwt_issuer="idp", jwt_jwks_url=url))
    text = jwt.encode(GOOD | {"iss": "idp"}, OTHER, algorithm="EdDSA", headers={"kid": "k"})
    with pytest.raises(Problem) as refused:
        await tokens.caller(f"Bearer {text}")
    assert refused.value.status == 503
