"""The function `http`: one call of another system, named by a connection.

    - id: book
      run: http
      with: {connection: netsuite, method: POST, path: [records, "{{ request.id }}"], body: {...}}

`path` is a text, or a list of which each part is quoted, so that no input can lead elsewhere; `query` and
`headers` are mappings. The job's key goes along in the connection's header. What another try may heal
(5xx, 429, no answer) is tried again; other answers from 400 on fail at once. Where the connection has a
`lookup`, it is asked before a call is made once more: a call that was not answered may have been done.
"""

import ssl
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote

import httpx
from pydantic_core import from_json

from activities.connections import LOOKUP_NAMES, Connection, Lookup
from activities.registry import Call, Later, Refused
from activities.transport import TRY_AGAIN, retry_after, said
from recipes.expressions import Environment, ExpressionError
from recipes.jobs import SIZE_LIMIT
from recipes.model import Json
from recipes.templates import split

_KEYS = ("connection", "method", "path", "headers", "query", "body")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SAFE = ("GET", "HEAD")
_OURS = ("Authorization", "Host", "Content-Length", "Transfer-Encoding")
_REDIRECTS = 5
_LONGEST_WAIT = 24 * 3600.0
_LOOKING_UP = Environment(None, LOOKUP_NAMES)


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes longer than a call."""
    return httpx.create_ssl_context()


class Http:
    """Calls of the systems that a connections file names."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connections = connections
        self._transport = transport

    async def __call__(self, call: Call) -> Json:
        """`{status, body}`: the body as JSON, or as text where it is none."""
        asked = _Asked(call.inputs)
        connection = self._connections.get(asked.connection)
        if connection is None:
            known = ", ".join(sorted(self._connections)) or "none"
            raise Refused(
                f"there is no connection {asked.connection!r}; COUNTERSIGN_CONNECTIONS has: {known}"
            )
        asked.check_headers(connection)
        async with self._client(connection, call) as client:
            try:
                if call.again and connection.lookup and asked.method not in _SAFE:
                    found = await _looked_up(client, connection.lookup, call)
                    if found is not None:
                        call.log("it had been done before: the look-up found it")
                        return found
                return await _answered(client, asked)
            except httpx.InvalidURL:
                raise Refused("`path` gives no address") from None
            except httpx.HTTPError as error:
                raise Later(f"{connection.name} {said(error)}") from error

    def _client(self, connection: Connection, call: Call) -> httpx.AsyncClient:
        headers = {**connection.headers, connection.idempotency_header: call.idempotency_key}
        if connection.auth != "none":
            secret = connection.secret()
            if secret is None:
                raise Refused(f"connection {connection.name}: its secret is not there, or is none")
            scheme = "Bearer " if connection.auth == "bearer" else ""
            headers[connection.header if connection.auth == "header" else "Authorization"] = (
                f"{scheme}{secret}"
            )
        return httpx.AsyncClient(
            base_url=connection.url,
            headers=headers,
            timeout=connection.timeout,
            follow_redirects=False,
            transport=self._transport,
            verify=_certificates(),
            trust_env=httpx.URL(connection.url).host not in ("127.0.0.1", "localhost", "::1"),
        )


class _Asked:
    """The function's inputs, each as it has to be. Refused names what is not."""

    def __init__(self, inputs: Mapping[str, Json]) -> None:
        unknown = [name for name in inputs if name not in _KEYS]
        if unknown:
            raise Refused(f"http takes {', '.join(_KEYS)}, not {', '.join(unknown)}")
        self.connection = str(inputs.get("connection"))
        self.has_body = "body" in inputs
        self.body = inputs.get("body")
        self.method = str(inputs.get("method") or ("POST" if self.has_body else "GET")).upper()
        if self.method not in _METHODS:
            raise Refused(f"`method` is one of {', '.join(_METHODS)}")
        self.path = _path(inputs.get("path", "/"))
        self.query = _plain(inputs, "query")
        self.headers = _plain(inputs, "headers")

    def check_headers(self, connection: Connection) -> None:
        """What the connection sends is not the recipe's to say."""
        own = {*_OURS, connection.header, connection.idempotency_header, *connection.headers}
        barred = [name for name in self.headers if name.lower() in {it.lower() for it in own}]
        if barred:
            raise Refused(f"`headers` must not set {', '.join(barred)}: the connection does")


def _path(given: Json) -> str:
    if isinstance(given, list):
        parts = [str(part) for part in given if isinstance(part, str | int)]
        if len(parts) == len(given) and parts and not {"", ".", ".."} & set(parts):
            return "/" + "/".join(quote(part, safe="") for part in parts)
        raise Refused("`path` must list texts, none of them empty")
    if not isinstance(given, str) or not given.startswith("/") or given.startswith("//"):
        raise Refused("`path` must be a text that begins with one /, or a list of its parts")
    if set("?#\\%") & set(given) or ".." in given.split("/") or not given.isprintable():
        raise Refused(
            "`path` must not hold ? # % \\ or ..: put parameters into `query`, and parts that may have"
            " such into a list"
        )
    return quote(given, safe="/:@!$&'()*+,;=~")


def _plain(inputs: Mapping[str, Json], key: str) -> dict[str, str]:
    """Names and values, as texts; those that are null are left out."""
    given = inputs.get(key) or {}
    nested = given.values() if isinstance(given, dict) else [given]
    plain = not any(type(it) in (dict, list) for it in nested) and isinstance(given, dict)
    if not plain:
        raise Refused(f"`{key}` must be names and plain values")
    texts = {name: _text(value) for name, value in given.items() if value is not None}
    if key == "headers" and not all(it.isascii() and it.isprintable() for it in texts.values()):
        raise Refused("`headers` must be printable ASCII")
    return texts


def _text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _answered(client: httpx.AsyncClient, asked: _Asked) -> dict[str, Json]:
    request = client.build_request(
        asked.method,
        asked.path,
        params=asked.query or None,
        headers=asked.headers,
        json=asked.body if asked.has_body else None,
    )
    answer = await _sent(client, request)
    if answer["status"] >= 400:
        raise Refused(f"answers {answer['status']}: {_shown(answer['body'])}")
    return answer


async def _sent(client: httpx.AsyncClient, request: httpx.Request) -> dict[str, Json]:
    """The answer. Later for one that another try may heal; a redirect is followed at home alone, and
    only where nothing is done by it."""
    for _ in range(_REDIRECTS):
        response = await client.send(request, stream=True)
        try:
            if response.has_redirect_location:
                target = response.next_request
                home, there = client.base_url, target.url if target is not None else None
                same = there is not None and (there.scheme, there.host, there.port) == (
                    home.scheme,
                    home.host,
                    home.port,
                )
                if target is None or not same or request.method not in _SAFE:
                    raise Refused(
                        f"answers {response.status_code} and sends us elsewhere: not followed"
                    )
                request = target
                continue
            if response.status_code in TRY_AGAIN or response.status_code >= 500:
                after = retry_after(response)
                wait = None if after is None else min(after, _LONGEST_WAIT)
                raise Later(f"answers {response.status_code}", wait)
            return {"status": response.status_code, "body": await _body(response)}
        finally:
            await response.aclose()
    raise Refused(f"redirects more than {_REDIRECTS} times")


async def _body(response: httpx.Response) -> Json:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > SIZE_LIMIT:
            raise Refused(f"answers more than {SIZE_LIMIT // 1024} KiB")
    if not body:
        return None
    try:
        return from_json(bytes(body))
    except ValueError:
        return body.decode(errors="replace").replace("\x00", "")


def _shown(body: Json) -> str:
    return "nothing more" if body is None else str(body)[:300]


async def _looked_up(client: httpx.AsyncClient, lookup: Lookup, call: Call) -> Json:
    """The answer of the look-up, if by it the work has been done; else None."""
    scope: dict[str, Json] = {"key": call.idempotency_key, "inputs": call.inputs}
    try:
        parts = [
            quote(str(_LOOKING_UP.render(f"{{{{ {part.text} }}}}", scope)), safe="")
            if part.expression
            else part.text
            for part in split(lookup.path)
        ]
        answer = await _sent(client, client.build_request("GET", "".join(parts)))
        found = _LOOKING_UP.condition(lookup.found, scope | answer)
    except ExpressionError as error:
        raise Refused(f"the look-up fails: {error}") from error
    return answer if found else None
