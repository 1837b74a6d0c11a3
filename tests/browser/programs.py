"""What is there before a story begins, and what others do meanwhile: calls of the API."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from tests.acceptance.product import Product

SECONDS = 60
Found = TypeVar("Found")
_HTTP = httpx.Client(timeout=SECONDS, trust_env=False)
"""One for all calls: each new one reads the certificates of the world first, which is most of the time of a call."""


@dataclass(frozen=True, slots=True)
class Program:
    """Somebody's calls of the API: what is there before the story begins, or what others do meanwhile."""

    product: Product
    person: str
    roles: tuple[str, ...] = ()

    def call(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """The answer's JSON; anything but a 2xx fails."""
        bearer = self.product.bearer(self.person, *self.roles)
        answered = _HTTP.request(
            method,
            f"{self.product.url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {bearer}", **options.pop("headers", {})},
            **options,
        )
        assert answered.is_success, f"{method} {path}: {answered.status_code} {answered.text}"
        return answered.json()

    def submit(self, workflow: str, **inputs: Any) -> str:
        """A request of mine: its id."""
        body = {"workflow": workflow, "inputs": inputs}
        key = {"Idempotency-Key": uuid4().hex}
        return str(self.call("POST", "/v1/requests", body, headers=key)["id"])

    def task_of(self, request: str) -> dict[str, Any]:
        """The first open task of a request that I may see, as soon as there is one."""

        def look() -> dict[str, Any] | None:
            tasks = self.call("GET", f"/v1/requests/{request}")["tasks"]
            return next((task for task in tasks if task["state"] == "open"), None)

        return until(look, f"request {request} asks somebody")

    def decide(self, task: str, decision: str = "approve", **more: Any) -> None:
        """As one it is assigned to."""
        self.call("POST", f"/v1/tasks/{task}/decisions", {"decision": decision, **more})


def until(look: Callable[[], Found | None], what: str) -> Found:
    """What `look` finds as soon as it finds something."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)
