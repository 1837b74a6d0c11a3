"""Pages: templates, what all of them know, and the headers that keep scripts of others out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.docs import STATIC
from api.services import services
from api.web.visitors import Visitor
from contract import words

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # they are part of the release: no page looks at their files again
    )
    made.globals["static"] = static
    made.filters |= words.FILTERS
    return made


@cache
def static(path: str) -> str:
    """The address of a file of ours, which changes when it does: browsers may keep it for ever."""
    digest = sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={digest}"


_TEMPLATES = _environment()


def page(request: Request, template: str, status: int = 200, /, **shown: Any) -> Response:
    """A page of this template. Besides what is `shown`, templates know `visitor` (None before the sign-in),
    `csrf`, `path`, `here` (path and query), `now` and `development`."""
    guest: Visitor | None = getattr(request.state, "visitor", None)
    query = request.url.query
    known: Mapping[str, Any] = {
        "visitor": guest,
        "csrf": "" if guest is None else guest.session.csrf,
        "path": request.url.path,
        "here": request.url.path + (f"?{query}" if query else ""),
        "now": datetime.now(UTC),
        "development": services(request).settings.dev_issuer_allowed,
    }
    text = _TEMPLATES.get_template(template).render({**known, **shown})
    return HTMLResponse(text, status, HEADERS)
