"""The function `http`: one call of another system, named by a connection.

    - id: book
      run: http
      with: {connection: netsuite, method: POST, path: [records, "{{ request.id }}"], body: {...}}

`path` is a text, or a list of which each part is quoted, so that no input can lead elsewhere; `query` and
`headers` are mappings. The job's key goes along in the connection's header. What another try may heal
(5xx, 429, no answer) is tried again; other answers from 400 on fail at once. Where the connection has a
`lookup`, it is asked before a call is made once more: a call that was not answered may have been done.
"""

from collections.abc import Mapping
from urllib.parse import quote

from activities.connections import LOOKUP_NAMES, Connection, Lookup
from activities.registry import Call, Refused
from activities.systems import System
from activities.transport import SAFE, Answer
from recipes.expressions import Environment, ExpressionError
from recipes.model import Json
from recipes.templates import split

_KEYS = ("connection", "method", "path", "headers", "query", "body")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_OURS = ("Authorization", "Host", "Content-Length", "Transfer-Encoding")
_LOOKING_UP = Environment(None, LOOKUP_NAMES)


async def http(call: Call) -> Json:
    """`{status, body}`: the body as JSON, or as text where it is none."""
    asked = _Asked(call.inputs)
    connection = call.systems.connection(asked.connection)
    asked.check_headers(connection)
    async with call.system(asked.connection) as system:
        if call.again and connection.lookup and asked.method not in SAFE:
            found = await _looked_up(system, connection.lookup, call)
            if found is not None:
                call.log("it had been done before: the look-up found it")
                return found
        answer = await system.send(
            asked.method,
            asked.path,
            query=asked.query,
            headers=asked.headers,
            body=asked.body,
        )
        if answer.status >= 400:
            body = "nothing more" if answer.body is None else str(answer.body)
            raise Refused(f"answers {answer.status}: {system.told(body)}")
        return _output(answer)


class _Asked:
    """The function's inputs, each as it has to be. Refused names what is not."""

    def __init__(self, inputs: Mapping[str, Json]) -> None:
        unknown = [name for name in inputs if name not in _KEYS]
        if unknown:
            raise Refused(f"http takes {', '.join(_KEYS)}, not {', '.join(unknown)}")
        self.connection = str(inputs.get("connection"))
        self.body = inputs.get("body")
        self.method = str(inputs.get("method") or ("POST" if "body" in inputs else "GET")).upper()
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


def _output(answer: Answer) -> dict[str, Json]:
    return {"status": answer.status, "body": answer.body}


async def _looked_up(system: System, lookup: Lookup, call: Call) -> Json:
    """The answer of the look-up, if by it the work has been done; else None."""
    scope: dict[str, Json] = {"key": call.idempotency_key, "inputs": call.inputs}
    try:
        parts = [
            quote(str(_LOOKING_UP.render(f"{{{{ {part.text} }}}}", scope)), safe="")
            if part.expression
            else part.text
            for part in split(lookup.path)
        ]
        answer = _output(await system.send("GET", "".join(parts)))
        found = _LOOKING_UP.condition(lookup.found, scope | answer)
    except ExpressionError as error:
        raise Refused(f"the look-up fails: {error}") from error
    return answer if found else None
