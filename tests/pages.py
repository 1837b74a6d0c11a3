"""The pages of the site, as its routes list them: whoever adds one has it looked at."""

from fastapi.routing import APIRoute

from api.web import site

NO_PAGES = {
    "/live",
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/callback",
    "/requests/{request_id:uuid}/files/{file_id:uuid}",
    "/requests/{request_id:uuid}/diagram.svg",
    "/admin/recipes/{name}/versions/{version}/diagram.svg",
}
"""What happens, told as it does; files and pictures; and where nobody is who has signed in."""


def paths() -> list[str]:
    """Those of somebody who has signed in, with the names of their parameters in braces."""
    routes = [route for router in (*site._MOST_SEEN, *site._PAGES) for route in router.routes]
    found = {it.path for it in routes if isinstance(it, APIRoute) and "GET" in (it.methods or ())}
    assert found >= NO_PAGES
    return sorted(found - NO_PAGES)
