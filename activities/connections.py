"""The other systems that tasks may call: a file of COUNTERSIGN_CONNECTIONS, so that no recipe holds an
address or a secret.

    netsuite:
      url: https://example.com/api/v1        # all calls go below it
      auth: bearer                           # or header, with `header: X-Api-Key`; or oauth2; none if left out
      secret_env: NETSUITE_TOKEN             # or secret_file: /run/secrets/netsuite
      timeout: 10s                           # for one answer
      idempotency_header: Idempotency-Key
      headers: {Accept: application/json}
      lookup:                                # asked before a call is made once more
        path: "/records?externalId={{ key }}"
        found: status == 200 && size(body.items) > 0

With `auth: oauth2` (client credentials) it has `token_url`, `client_id`, and maybe `scope`; its secret is a
client secret, or with `key_id` the private key that this names.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx

from recipes.expressions import Environment
from recipes.fields import Fields
from recipes.problems import RecipeInvalid
from recipes.source import Entries, below, plain, read
from recipes.templates import TemplateError, split

Auth = Literal["none", "bearer", "header", "oauth2"]

LOOKUP_NAMES = ("key", "status", "body")
"""What `found` may read, beside `inputs`; `path` all but the answer's."""
_KEYS = (
    "url",
    "auth",
    "header",
    "secret_env",
    "secret_file",
    "timeout",
    "idempotency_header",
    "headers",
    "lookup",
    "token_url",
    "client_id",
    "key_id",
    "scope",
)
_OAUTH2 = ("token_url", "client_id", "key_id", "scope")
_AUTH: Mapping[str, Auth] = {
    "none": "none",
    "bearer": "bearer",
    "header": "header",
    "oauth2": "oauth2",
}


class ConnectionsInvalid(Exception):
    """The file can't be used; the text has every problem with its line and a fix."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """How to see whether a call that was made before has done its work: GET `path`, a template, and
    `found`, an expression over the answer."""

    path: str
    found: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One other system. `timeout` is in seconds."""

    name: str
    url: str
    auth: Auth = "none"
    header: str = "Authorization"
    secret_env: str | None = None
    secret_file: Path | None = None
    timeout: float = 30.0
    idempotency_header: str = "Idempotency-Key"
    headers: Mapping[str, str] = field(default_factory=dict)
    lookup: Lookup | None = None
    token_url: str = ""
    client_id: str = ""
    key_id: str | None = None
    """Names the private key that its secret is; without one that is a client secret."""
    scope: str | None = None

    def secret(self) -> str | None:
        """The token or key as it is now; None if it is not there, or is none."""
        if self.secret_file is not None:
            try:
                secret = self.secret_file.read_text().strip()
            except (OSError, UnicodeDecodeError):
                return None
        else:
            secret = os.environ.get(self.secret_env or "", "").strip()
        one_line = secret.isprintable() or self.key_id is not None
        return secret if secret and secret.isascii() and one_line else None


def load(file: Path | None) -> dict[str, Connection]:
    """The connections of a file, by name; none without a file. ConnectionsInvalid if it can't be read."""
    if file is None:
        return {}
    try:
        return parse(file.read_bytes(), file.name)
    except OSError as error:
        raise ConnectionsInvalid(f"{file}: {error.strerror}") from None


def parse(text: bytes, file: str) -> dict[str, Connection]:
    """The connections that `text` spells. ConnectionsInvalid with everything that is wrong."""
    try:
        root, book = read(text, file)
        if not isinstance(root, Entries):
            book.error(
                "", "names no connections", "write `its_name:` and below it `url: https://...`"
            )
            raise RecipeInvalid(book.in_order())
        found: dict[str, Connection] = {}
        for name, (_, node) in root.entries.items():
            if isinstance(node, Entries):
                found[name] = _connection(name, Fields(node, name, book))
            else:
                book.error(name, "must be a connection", "write `url: https://...` below it")
        if book.failed:
            raise RecipeInvalid(book.in_order())
    except RecipeInvalid as invalid:
        raise ConnectionsInvalid(str(invalid)) from None
    return found


def _connection(name: str, fields: Fields) -> Connection:
    fields.known(_KEYS, "a connection")
    auth = fields.choice("auth", _AUTH) or "none"
    secret_env, secret_file = fields.text("secret_env"), fields.text("secret_file")
    header = fields.text("header")
    if auth != "none" and (secret_env is None) == (secret_file is None):
        message = f"`auth: {auth}` needs one of `secret_env` and `secret_file`"
        fields.error("auth", message, "name the environment variable, or the file, that has it")
    if auth == "header" and header is None:
        fields.error("auth", "does not say in which header", "add `header: X-Api-Key`")
    _oauth2(fields, auth)
    return Connection(
        name=name,
        url=_url(fields, "url"),
        auth=auth,
        header=header or "Authorization",
        secret_env=secret_env,
        secret_file=None if secret_file is None else Path(secret_file),
        timeout=float(fields.seconds("timeout") or 30),
        idempotency_header=fields.text("idempotency_header") or "Idempotency-Key",
        headers=_headers(fields),
        lookup=_lookup(fields),
        token_url=_url(fields, "token_url") if auth == "oauth2" else "",
        client_id=fields.text("client_id") or "",
        key_id=fields.text("key_id"),
        scope=fields.text("scope"),
    )


def _oauth2(fields: Fields, auth: Auth) -> None:
    if auth == "oauth2":
        fields.required("client_id", "add `client_id`, as the other side calls us")
        return
    for key in _OAUTH2:
        if fields.node(key) is not None:
            fields.error(key, "counts with `auth: oauth2` alone", "say so, or delete it")


def _url(fields: Fields, key: str) -> str:
    fields.required(key, f"add `{key}: https://...`")
    text = fields.text(key) or ""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if text and (url.scheme not in ("http", "https") or not url.host):
        fields.error(key, "is no http or https address", "write `https://host/path`")
    elif url.userinfo or url.query or url.fragment:
        fix = "put secrets into `secret_env`, parameters into the recipe's `query`"
        fields.error(key, "is a base address alone", fix)
    return text.rstrip("/")


def _headers(fields: Fields) -> dict[str, str]:
    node = fields.node("headers")
    if node is None:
        return {}
    found = plain(node)
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    fields.error("headers", "must be names and texts", "write `Accept: application/json`")
    return {}


def _lookup(fields: Fields) -> Lookup | None:
    node = fields.node("lookup")
    if node is None:
        return None
    if not isinstance(node, Entries):
        fields.error("lookup", "must say `path` and `found`", "write both below it")
        return None
    inner = Fields(node, below(fields.path, "lookup"), fields.book)
    inner.known(("path", "found"), "lookup")
    inner.required("path", 'add `path: "/records/{{ key }}"`')
    inner.required("found", "add `found: status == 200`")
    path, found = inner.text("path"), inner.text("found")
    if path is not None:
        if not path.startswith("/"):
            inner.error("path", "must begin with /", "write it below the connection's `url`")
        try:
            split(path)
        except TemplateError as error:
            inner.error("path", str(error), error.fix)
    if found is not None:
        for finding in Environment(None, LOOKUP_NAMES).check(found, "condition", ()):
            inner.error("found", finding.message, finding.fix)
    return None if path is None or found is None else Lookup(path, found)
