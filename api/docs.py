"""The reference page at /docs. It comes from our own files: no browser is sent elsewhere."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).with_name("static")
_SWAGGER = "/static/vendor/swagger-ui"


def install(app: FastAPI) -> None:
    """Serve /docs and the files it needs."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_route("/docs", _page, include_in_schema=False)


async def _page(_: Request) -> Response:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Countersign: HTTP reference",
        swagger_js_url=f"{_SWAGGER}/swagger-ui-bundle.js",
        swagger_css_url=f"{_SWAGGER}/swagger-ui.css",
        swagger_favicon_url=f"{_SWAGGER}/favicon-32x32.png",
        swagger_ui_parameters={"persistAuthorization": True, "tryItOutEnabled": True},
    )
