"""The lists of the inbox as people read them: rows of tasks and of requests, by one shape. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.web import words


@dataclass(frozen=True, slots=True)
class Row:
    """`at` is the time that matters: when it is `due`, or when it was done. `task_id` is of one that may be
    decided with others."""

    href: str
    title: str
    about: tuple[str, ...]
    due_at: str | None = None
    at: str | None = None
    state: str | None = None
    task_id: str | None = None
    chosen: bool = False

    @property
    def beside(self) -> bool:
        """Whether it is shown beside the list."""
        return self.href.startswith("/tasks/")


def open_task(task: Mapping[str, Any], me: str, suffix: str, chosen: str | None) -> Row:
    """A task that needs me, or one of us. `suffix` is the query that the list was asked with."""
    return Row(
        f"/tasks/{task['id']}{suffix}",
        task["title"],
        (task["requester"], words.label(task["workflow"]), *_held(task, me)),
        due_at=task["due_at"],
        task_id=task["id"] if task["claimed_by"] in (None, me) else None,
        chosen=task["id"] == chosen,
    )


def _held(task: Mapping[str, Any], me: str) -> list[str]:
    """By whom, where not by me alone."""
    if task["claimed_by"] is not None:
        return [
            "claimed by you" if task["claimed_by"] == me else f"claimed by {task['claimed_by']}"
        ]
    said = [] if task["candidates"] is None else ["shared"]
    return [*said, *([f"for {task['on_behalf_of']}"] if task["on_behalf_of"] else [])]


def closed_task(task: Mapping[str, Any], me: str, suffix: str, chosen: str | None) -> Row:
    """A task that I decided, or that was decided or closed before I did."""
    decision = task["decision"]
    by = () if decision is None or decision["user"] == me else (f"decided by {decision['user']}",)
    return Row(
        f"/tasks/{task['id']}{suffix}",
        task["title"],
        (task["requester"], words.label(task["workflow"]), *by),
        at=task["closed_at"] if decision is None else decision["decided_at"],
        state=task["state"] if decision is None else _outcome(task, decision["decision"]),
        chosen=task["id"] == chosen,
    )


def _outcome(task: Mapping[str, Any], chosen: str) -> str:
    """What the outcome is called that was chosen."""
    found = (each["name"] for each in task["outcomes"] if each["id"] == chosen)
    return next(found, None) or words.label(chosen)


def request(found: Mapping[str, Any]) -> Row:
    """A request of mine: whom it waits for, or how it ended."""
    waits = [words.principal(who) for who in found["waiting_for"]]
    ended = found["finalized_at"] is not None
    about = (words.label(found["workflow"]), *([f"waits for {_few(waits)}"] if waits else []))
    return Row(
        f"/requests/{found['id']}",
        found["title"],
        about,
        due_at=None if ended else found["due_at"],
        at=found["finalized_at"] or found["created_at"],
        state="to change" if found["state"] == "rewound" else found["state"],
    )


def question(found: Mapping[str, Any]) -> Row:
    """A question that I was asked."""
    return Row(
        f"/requests/{found['request_id']}",
        found["title"],
        (f"{found['asked_by']} asks you", words.label(found["workflow"])),
        at=found["asked_at"],
        state="question",
    )


def _few(names: list[str]) -> str:
    """The first three, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
