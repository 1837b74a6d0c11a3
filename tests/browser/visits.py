"""Somebody's browser: what they see, and what its pages complain about."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    ViewportSize,
    expect,
)

from tests.acceptance.product import Product

HERE = Path(__file__).parent
SHOTS = HERE / "shots"
"""Pictures of what was seen, by test: kept until the next run, to be looked at."""
AXE = (HERE / "vendor" / "axe-core" / "axe.min.js").read_text()
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RULES = {"type": "tag", "values": WCAG}
COLOURS = {"type": "rule", "values": ("color-contrast", "link-in-text-block")}
"""What depends on the colour scheme."""
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE = 20_000
"""Milliseconds until what should be there is missing: on a busy machine, too."""
expect.set_options(timeout=PATIENCE)


class Begin(Protocol):
    """The fixture `visit`."""

    def __call__(
        self,
        person: str | None,
        *roles: str,
        phone: bool = False,
        scripts: bool = True,
        dark: bool = False,
    ) -> "Visit": ...


@dataclass
class Visit:
    """One person's browser. `page` is Playwright's; `complaints` must be empty when the test ends."""

    product: Product
    context: BrowserContext
    page: Page
    story: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """To a page of ours."""
        self.page.goto(f"{self.product.url}{path}")
        return self.page

    def sign_in(self, person: str, *roles: str) -> None:
        """As the form of the sign-in page does it."""
        answered = self.context.request.post(
            f"{self.product.url}/sign-in",
            form={"person": person, "next": "/", **({"role": roles[0]} if roles else {})},
            headers={"origin": self.product.url},
            max_redirects=0,
        )
        assert answered.status == 303, answered.text()

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SHOTS.mkdir(exist_ok=True)
        size = self.page.viewport_size
        width = 0 if size is None else size["width"]
        self.page.screenshot(path=SHOTS / f"{self.story}-{name}-{width}.png", full_page=True)

    def check(self, name: str) -> None:
        """What WCAG 2.2 AA asks, as far as axe can tell: nothing against it; nothing wider than the screen;
        and a picture."""
        self.shot(name)
        violations = self.violations()
        assert not violations, violations
        wide = self.too_wide()
        assert wide <= 0, f"{name} scrolls sideways by {wide} px"

    def violations(self, only: Mapping[str, object] = RULES) -> list[str]:
        """What axe has against the page."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(f"() => {{ {AXE} }}")
        found = self.page.evaluate(
            "(options) => axe.run(document, options)",
            {"runOnly": only, "resultTypes": ["violations"]},
        )
        # It leaves empty ones behind, which our policy would not let htmx copy.
        self.page.evaluate(
            "() => document.querySelectorAll('[style=\"\"]').forEach((it) => it.removeAttribute('style'))"
        )
        return [_violation(it) for it in found["violations"]]

    def too_wide(self) -> int:
        """By how many pixels the page scrolls sideways."""
        wide: int = self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide

    def focused(self) -> Locator:
        """What has the focus."""
        return self.page.locator(":focus")


def _violation(found: dict[str, Any]) -> str:
    """What axe found, and where."""
    nodes = [f"{node['html'][:200]} ({node['failureSummary']})" for node in found["nodes"][:5]]
    return f"{found['id']}: {found['help']}: " + "; ".join(nodes)


class Visits:
    """Those of one test."""

    def __init__(self, product: Product, chromium: Browser, test: str) -> None:
        self._product = product
        self._chromium = chromium
        self._story = re.sub(r"[^a-z0-9]+", "-", test.removeprefix("test_").lower()).strip("-")
        self._all: list[Visit] = []

    def begin(
        self,
        person: str | None,
        *roles: str,
        phone: bool = False,
        scripts: bool = True,
        dark: bool = False,
    ) -> Visit:
        """A browser on a desk or a phone, with or without JavaScript, in light or dark; of somebody who has
        signed in and looks at the inbox, or of nobody, at the sign-in page."""
        context = self._chromium.new_context(
            viewport=PHONE if phone else DESKTOP,
            is_mobile=phone,
            has_touch=phone,
            java_script_enabled=scripts,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        made = Visit(self._product, context, page, self._story)
        page.on("console", _console(made))
        page.on("pageerror", lambda error: made.complaints.append(f"script: {error}"))
        page.on("response", _answered(made))
        self._all.append(made)
        if person is not None:
            made.sign_in(person, *roles)
        made.go("/")
        return made

    def end(self) -> None:
        """Close them all; nothing may have been complained about."""
        for made in self._all:
            made.context.close()
        complaints = [it for made in self._all for it in made.complaints]
        assert not complaints, complaints


_OF_NOTHING = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""Of an empty text: the policy refuses `style=""`, too, which axe leaves while it runs; a page that renews itself at
that moment copies it."""


def _console(made: Visit) -> Callable[[ConsoleMessage], None]:
    def said(message: ConsoleMessage) -> None:
        # Answers are judged by `_answered`: a page may say 422.
        if _OF_NOTHING in message.text or message.text.startswith("Failed to load resource"):
            return
        if message.type == "error":
            made.complaints.append(f"console: {message.text}")

    return said


def _answered(made: Visit) -> Callable[[Response], None]:
    def judged(response: Response) -> None:
        page = response.request.resource_type in ("document", "fetch", "xhr")
        if response.status >= 500 or (response.status >= 400 and not page):
            made.complaints.append(f"{response.status}: {response.url}")

    return judged
