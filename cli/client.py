"""The API as commands call it: who calls, what is answered, and what becomes of a refusal."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

from cli.output import Exit, Failure

_PAGE = 100
_LONG = 600.0
"""Seconds for a file of a whole company, or for hundreds of requests."""
_CODES = {404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 502: Exit.UNAVAILABLE, 503: Exit.UNAVAILABLE}
_CODES |= {429: Exit.UNAVAILABLE, 504: Exit.UNAVAILABLE}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Api:
    """Calls as one person. Every method raises Failure for whatever is not a 2xx."""

    def __init__(self, url: str, bearer: str, transport: httpx.BaseTransport | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            fix = "such as --url http://127.0.0.1:8080"
            raise Failure(f"{url!r} is not an http or https URL", code=Exit.USAGE, fix=fix)
        if not (bearer.isascii() and bearer.isprintable()):
            raise Failure("COUNTERSIGN_TOKEN is not a token", code=Exit.USAGE)
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {bearer}"},
            timeout=httpx.Timeout(30, connect=5),
            transport=transport,
            trust_env="127.0.0.1" not in url,
        )

    def get(self, path: str, **parameters: object) -> Any:
        return self._call("GET", path, params=_given(parameters)).json()

    def text(self, path: str) -> str:
        """What is there as it stands, not as JSON."""
        return self._call("GET", path).text

    def put(self, path: str, body: object) -> Any:
        return self._call("PUT", path, json=body).json()

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path).json()

    def data(self, path: str) -> bytes:
        """The file that is there."""
        return self._call("GET", path, timeout=httpx.Timeout(_LONG, connect=5)).content

    def post(self, path: str, body: object, **headers: str) -> Any:
        return self._call("POST", path, json=body, headers=headers).json()

    def post_long(self, path: str, body: object) -> Any:
        """Post what may take minutes to answer."""
        timeout = httpx.Timeout(_LONG, connect=5)
        return self._call("POST", path, json=body, timeout=timeout).json()

    def post_yaml(self, path: str, source: bytes, file_name: str) -> Any:
        """Post a file; `file_name` is how problems name it (ASCII; anything else is left out)."""
        headers = {"Content-Type": "application/yaml"}
        if file_name.isascii() and file_name.isprintable():
            headers["X-File-Name"] = file_name
        return self._call("POST", path, content=source, headers=headers).json()

    def post_file(
        self, path: str, source: bytes, media_type: str, file_name: str, asked: dict[str, str]
    ) -> Any:
        """Post a file that may be large; `asked` goes into the query."""
        headers = {"Content-Type": media_type}
        if file_name.isascii() and file_name.isprintable():
            headers["X-File-Name"] = file_name
        timeout = httpx.Timeout(_LONG, connect=5)
        arguments = {"params": asked, "headers": headers, "timeout": timeout}
        return self._call("POST", path, content=source, **arguments).json()

    def items(self, path: str, limit: int, **parameters: object) -> Iterator[Any]:
        """The first `limit` items of a list, page by page."""
        cursor: str | None = None
        while limit > 0:
            page = self.get(path, limit=min(limit, _PAGE), cursor=cursor, **parameters)
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise Failure(
                f"no answer from the API at {self.url} ({type(error).__name__})",
                code=Exit.UNAVAILABLE,
                fix="start it (countersign dev), or say where it is (--url, COUNTERSIGN_URL)",
            ) from None
        if response.is_success:
            return response
        raise refusal(response)


def refusal(response: httpx.Response) -> Failure:
    """What a response that is not a 2xx means to the person at the terminal."""
    code = _CODES.get(response.status_code, Exit.FAILED)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return Failure(
            f"the API answered {response.status_code} {response.reason_phrase}", code=code
        )
    message = problem.get("detail") or problem.get("title") or f"status {response.status_code}"
    errors = [item for item in problem.get("errors") or [] if isinstance(item, dict)]
    fix = None
    if response.status_code == 401:
        fix = "get a token: countersign token PERSON (development), or from your identity provider"
    elif response.status_code in (429, 503):
        fix = f"try again in {response.headers.get('Retry-After', 'a few')} seconds"
    places = [_place(item) for item in errors]
    places += [changed(item) for item in problem.get("changed") or []]
    details = [] if places == [message] else places
    return Failure(str(message), code=code, details=details, fix=fix)


def is_id(value: str) -> bool:
    return _ID.fullmatch(value.lower()) is not None


def full_id(value: str, what: str) -> str:
    """`value` as an id. Failure if it is none."""
    if not is_id(value):
        raise Failure(f"{value!r} is not the id of a {what}", code=Exit.USAGE)
    return value.lower()


def _place(error: dict[str, Any]) -> str:
    """One entry of a problem's `errors`: where, what, and the fix if it has one."""
    place = error.get("pointer") or error.get("parameter") or error.get("path") or ""
    if error.get("row"):
        place = f"row {error['row']}" + (
            f", column {error['column']}" if error.get("column") else ""
        )
    line = f":{error['line']}:{error.get('column', 1)}" if error.get("line") else ""
    where = f"{error.get('file') or ''}{line} {place}".strip()
    text = f"{where}: {error.get('message', '')}" if where else str(error.get("message", ""))
    return text + (f" (fix: {error['fix']})" if error.get("fix") else "")


def changed(item: dict[str, Any]) -> str:
    """What is different since it was looked at, of a problem's `changed`."""
    before, after = (
        json.dumps(item[key], ensure_ascii=False) if key in item else "nothing"
        for key in ("from", "to")
    )
    return f"{item['pointer']}: {before} has become {after}"


def _given(parameters: dict[str, object]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
