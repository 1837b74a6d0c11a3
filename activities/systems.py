"""Another system during one call: what is sent to it, as whom, and what its answers mean.

    async with call.system("netsuite") as netsuite:
        answer = await netsuite.send("POST", "/record/v1/purchaseOrder", body={...})

What another try may heal (5xx, 429, no answer) is raised as Later, so that the caller only sees answers
that say something. After Later nobody knows whether the work was done: look it up before it is done again.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

import httpx

from activities.connections import Connection
from activities.failures import Later, Refused
from activities.tokens import Tokens
from activities.transport import Answer, received, said
from recipes.model import Json

_ONE_EACH = httpx.Limits(max_keepalive_connections=0)
"""A connection for each request: what answers twice must not have the second answer taken for that to the
next request."""
_SHOWN = 300
"""Characters of an answer that are told."""


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes longer than a call."""
    return httpx.create_ssl_context()


class Systems:
    """The systems of COUNTERSIGN_CONNECTIONS, by name, and the tokens that were had from them."""

    def __init__(
        self,
        connections: Mapping[str, Connection] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connections = connections or {}
        self._transport = transport
        self._tokens = Tokens()

    def connection(self, name: str) -> Connection:
        """Refused, with those there are, if there is none."""
        found = self._connections.get(name)
        if found is None:
            known = ", ".join(sorted(self._connections)) or "none"
            raise Refused(f"there is no connection {name!r}; COUNTERSIGN_CONNECTIONS has: {known}")
        return found

    @asynccontextmanager
    async def open(self, name: str, key: str) -> AsyncIterator["System"]:
        """The system for one call, whose idempotency key goes along. Refused if it cannot be called."""
        connection = self.connection(name)
        async with httpx.AsyncClient(
            base_url=connection.url,
            headers={**connection.headers, connection.idempotency_header: key},
            timeout=connection.timeout,
            follow_redirects=False,
            limits=_ONE_EACH,
            transport=self._transport,
            verify=_certificates(),
            trust_env=httpx.URL(connection.url).host not in ("127.0.0.1", "localhost", "::1"),
        ) as client:
            yield System(connection, client, self._tokens)


class System:
    """One other system, for as long as one call takes."""

    def __init__(self, connection: Connection, client: httpx.AsyncClient, tokens: Tokens) -> None:
        self._connection = connection
        self._client = client
        self._tokens = tokens
        self._shown: str | None = None

    def url(self, path: str) -> str:
        """Where `path` is, for people."""
        return f"{self._connection.url}{path}"

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Json = None,
    ) -> Answer:
        """The answer to one request, whose JSON is `body`. Later where another try may heal what went
        wrong, Refused where nothing can be sent or taken."""
        try:
            request = self._client.build_request(
                method, path, params=query or None, headers=headers, json=body
            )
            await self._sign(request)
            answer = await received(self._client, request)
            if answer.status == 401 and self._connection.auth == "oauth2":
                await self._sign(request, refused=self._shown)  # ended before its time
                answer = await received(self._client, request)
            return answer
        except httpx.InvalidURL:
            raise Refused("`path` gives no address") from None
        except httpx.HTTPError as error:
            raise Later(f"{self._connection.name} {said(error)}") from error

    def told(self, text: str) -> str:
        """The beginning of what the system says, as people may see it: without our own secret, should it
        repeat that."""
        return (text.replace(self._shown, "(secret)") if self._shown else text)[:_SHOWN]

    async def _sign(self, request: httpx.Request, refused: str | None = None) -> None:
        """Say who we are."""
        connection = self._connection
        match connection.auth:
            case "none":
                return
            case "oauth2":
                self._shown = await self._tokens.of(connection, self._client, refused)
            case _:
                self._shown = connection.secret()
        if self._shown is None:
            raise Refused(f"connection {connection.name}: its secret is not there, or is none")
        if connection.auth == "header":
            request.headers[connection.header] = self._shown
        else:
            request.headers["Authorization"] = f"Bearer {self._shown}"
