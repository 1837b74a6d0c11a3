"""The automatic work of a request, as `countersign request show` prints it."""

from typing import Any

from pydantic_core import to_json

from cli.output import at, table, told, write

_LOG_SHOWN = 5


def show_jobs(request: dict[str, Any]) -> None:
    """Each job with what it was given and what it gave; below, what the last attempts of those that have
    not succeeded did."""
    jobs = request.get("jobs") or []
    if not jobs:
        return
    write("")
    table(
        ("task", "runs", "state", "attempts", "inputs", "output or error"),
        (
            (it["step"], it["run"], it["state"], it["attempts"], _given(it), _came(it))
            for it in jobs
        ),
        wraps=("inputs", "output or error"),
    )
    lines = [
        (job["step"], line["attempt"], at(line["at"]), line["what"], line["detail"])
        for job in jobs
        for line in _told(job)
    ]
    if lines:
        write("")
        table(("task", "attempt", "when (UTC)", "what", "detail"), lines, wraps=("detail",))


def _told(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What its log says beyond that it was done at once."""
    lines = job["log"] if job["state"] != "succeeded" or job["attempts"] > 1 else []
    said = [line for line in job["log"] if line["what"] == "said"]
    return (lines or said)[-_LOG_SHOWN:]


def _given(job: dict[str, Any]) -> str:
    given = told(job, "inputs")
    return given if isinstance(given, str) else _short(given)


def _came(job: dict[str, Any]) -> str | None:
    if {"/error", "/output"} & {*job.get("withheld", ())}:
        return "(withheld)"
    if job["error"] is not None:
        return str(job["error"])
    return _short(job["output"]) if job["state"] == "succeeded" else None


def _short(value: Any) -> str:
    text = to_json(value).decode()
    return text if len(text) <= 300 else f"{text[:297]}..."
