"""An API of canned answers, and what it answers with. For tests of commands."""

from typing import Any

import httpx

TASK = "aa4bc62d-72fc-51d1-84eb-ad49e69a21a8"
OTHER = "aa4bffff-72fc-51d1-84eb-ad49e69a21a8"
REQUEST = "6a4d8a7a-27d3-4a6c-8474-d028f66dca3e"


class FakeApi:
    """Answers by `METHOD path`, and remembers what it was asked."""

    def __init__(self) -> None:
        none = httpx.Response(200, json={"items": [], "next_cursor": None})
        self.answers: dict[str, httpx.Response | list[httpx.Response]] = {
            "GET /v1/requests": none,
            "GET /v1/incidents": none,
            "GET /v1/questions": none,
            "GET /v1/notifications": none,
        }
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        found = self.answers[f"{request.method} {request.url.path}"]
        return found.pop(0) if isinstance(found, list) else found


def answer_json(status: int, body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def problem(status: int, detail: str, **extra: Any) -> httpx.Response:
    return answer_json(status, {"title": "t", "status": status, "detail": detail, **extra})


def request(state: str) -> dict[str, Any]:
    return {
        "id": REQUEST,
        "title": "Leave request",
        "workflow": "leave_request",
        "version": 3,
        "requester": "alice",
        "inputs": {"days": 5},
        "state": state,
        "status": None,
        "step": "manager_approval",
        "incidents": [],
        "reason": None,
        "deadline_at": None,
        "created_at": "2026-11-21T02:55:00Z",
        "finalized_at": None,
        "moves": 0,
        "history": [],
        "tasks": [],
        "waiting_for": ["user:bob"],
        "temporal_url": None,
        "entity": None,
    }


def task(task_id: str = TASK) -> dict[str, Any]:
    return {
        "id": task_id,
        "title": "Leave request",
        "requester": "alice",
        "step": "manager_approval",
        "branch": None,
        "due_at": "2020-01-01T00:00:00Z",
        "opened_at": "2020-01-01T00:00:00Z",
        "role": None,
        "candidates": None,
        "digest": "d1",
    }


def page(*items: Any, cursor: str | None = None) -> httpx.Response:
    return answer_json(200, {"items": list(items), "next_cursor": cursor})
