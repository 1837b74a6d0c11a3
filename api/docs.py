"""The reference page at /docs. It comes from our own files: no browser is sent elsewhere."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from typing_extensions import override

STATIC = Path(__file__).with_name("static")
_SWAGGER = "/static/vendor/swagger-ui"


def install(app: FastAPI) -> None:
    """Serve /docs and the files it needs."""
    app.mount("/static", _Files(directory=STATIC), name="static")
    app.add_route("/docs", _page, include_in_schema=False)


class _Files(StaticFiles):
    """What is asked for by its digest (`?v=`) never changes: browsers may keep it for ever."""

    @override
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if scope["query_string"].startswith(b"v=") and response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


async def _page(_: Request) -> Response:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Countersign: HTTP reference",
        swagger_js_url=f"{_SWAGGER}/swagger-ui-bundle.js",
        swagger_css_url=f"{_SWAGGER}/swagger-ui.css",
        swagger_favicon_url=f"{_SWAGGER}/favicon-32x32.png",
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True},
    )
