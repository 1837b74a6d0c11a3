"""/docs is whole without the internet: what it loads is ours, and is what its makers published."""

import hashlib
import re

from api.docs import STATIC
from tests.integration.house import House

VENDOR = STATIC / "vendor"


async def test_the_page_loads_only_our_own_files(bare_house: House) -> None:
    page = await bare_house.client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith("/static/vendor/swagger-ui/")
        assert (await bare_house.client.get(path)).status_code == 200
    assert "http" not in "".join(loaded)


def test_vendored_files_are_as_published() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    listed = {path: digest for digest, path in (line.split() for line in lines)}
    there = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.glob("*/*")
    }
    assert there == listed
