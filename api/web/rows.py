"""The lists of the inbox as people read them: rows of tasks and of requests, by one shape. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.web.names import Names
from contract import words


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: in `me`'s list, asked for with the query `suffix`, beside the task that is `chosen`."""

    me: str
    suffix: str
    chosen: str | None


def open_task(task: Mapping[str, Any], names: Names, place: Place) -> Row:
    """A task that needs me, or one of us."""
    return Row(
        f"/tasks/{task['id']}{place.suffix}",
        task["title"],
        (names.of(task["requester"]), words.label(task["workflow"]), *_held(task, names, place.me)),
        due_at=task["due_at"],
        task_id=task["id"] if task["claimed_by"] in (None, place.me) else None,
        chosen=task["id"] == place.chosen,
    )


def _held(task: Mapping[str, Any], names: Names, me: str) -> list[str]:
    """By whom, where not by me alone."""
    if task["claimed_by"] is not None:
        by = "you" if task["claimed_by"] == me else names.of(task["claimed_by"])
        return [f"claimed by {by}"]
    said = [] if task["candidates"] is None else ["shared"]
    return [*said, *([f"for {names.of(task['on_behalf_of'])}"] if task["on_behalf_of"] else [])]


def closed_task(task: Mapping[str, Any], names: Names, place: Place) -> Row:
    """A task that I decided, or that was decided or closed before I did."""
    decision = task["decision"]
    others = decision is not None and decision["user"] != place.me
    by = (f"decided by {names.of(decision['user'])}",) if others else ()
    return Row(
        f"/tasks/{task['id']}{place.suffix}",
        task["title"],
        (names.of(task["requester"]), words.label(task["workflow"]), *by),
        at=task["closed_at"] if decision is None else decision["decided_at"],
        state=task["state"] if decision is None else _outcome(task, decision["decision"]),
        chosen=task["id"] == place.chosen,
    )


def _outcome(task: Mapping[str, Any], chosen: str) -> str:
    """What the outcome is called that was chosen."""
    found = (each["name"] for each in task["outcomes"] if each["id"] == chosen)
    return next(found, None) or words.label(chosen)


def request(found: Mapping[str, Any], names: Names) -> Row:
    """A request of mine: whom it waits for, or how it ended."""
    waits = [names.of(who) for who in found["waiting_for"]]
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


def question(found: Mapping[str, Any], names: Names) -> Row:
    """A question that I was asked."""
    return Row(
        f"/requests/{found['request_id']}",
        found["title"],
        (f"{names.of(found['asked_by'])} asks you", words.label(found["workflow"])),
        at=found["asked_at"],
        state="question",
    )


def _few(names: list[str]) -> str:
    """The first three, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
