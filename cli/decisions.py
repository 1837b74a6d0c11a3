"""`countersign decide-all`: look at what waits, then decide all of it, and nothing else."""

import sys
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.options import AsJson, Yes
from cli.output import Exit, Failure, say, write_json
from cli.tasks import Comment, Reason, To, show_tasks

_PAST = {"approve": "approved", "reject": "rejected", "request_changes": "sent back"}


@calling
def decide_all(
    decision: Annotated[
        str,
        typer.Argument(
            metavar="OUTCOME",
            help="approve, reject, request_changes, or an outcome of a recipe's own.",
        ),
    ],
    workflow: Annotated[str | None, typer.Option(help="Only those of this recipe.")] = None,
    requester: Annotated[str | None, typer.Option(help="Only this person's requests.")] = None,
    step: Annotated[str | None, typer.Option(help="Only tasks of this step.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only tasks open for longer, such as 2d.")
    ] = None,
    comment: Comment = None,
    reason: Reason = None,
    to: To = None,
    yes: Yes = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Show the tasks that wait for you, 500 at most, ask, and decide all of them. What comes in meanwhile,
    or is changed, is left alone. Exit code 3 if somebody else was first on one."""
    api = caller.connect()
    only = {
        "workflow": workflow,
        "requester": requester,
        "step": step,
        "older_than": older_than,
    }
    only = {name: value for name, value in only.items() if value is not None}
    found = api.post("/v1/decisions/preview", {"decision": decision, "filter": only})
    if not found["items"]:
        if as_json:
            write_json({"items": [], "decided": 0, "refused": 0})
        say("nothing that waits for you is like that")
        return
    if not as_json:
        show_tasks(found["tasks"])
    if found["more"]:
        say(f"only the first {len(found['items'])}: there are more")
    _check_said(decision, found["need_comment"], "comment", comment)
    _check_said(decision, found["need_reason"], "reason", reason)
    _ask(decision, len(found["items"]), yes=yes)
    more = {"comment": comment, "reason": reason}
    if to is not None:
        more["to"] = to
    items = [item | more for item in found["items"]]
    _report(decision, found["tasks"], api.post("/v1/decisions", {"items": items}), as_json)


def _check_said(decision: str, needing: list[str], what: str, said: str | None) -> None:
    if needing and not (said or "").strip():
        raise Failure(
            f"{len(needing)} of them need a {what} to {decision}",
            code=Exit.USAGE,
            fix=f"add --{what} {'WHY' if what == 'comment' else 'CODE'}",
        )


def _ask(decision: str, count: int, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nothing was decided: there is nobody to ask", code=Exit.USAGE, fix="add --yes"
        )
    if not typer.confirm(f"{decision} {_counted(count)}?", err=True):
        raise Failure("nothing was decided")


def _report(
    decision: str, tasks: list[dict[str, Any]], answer: dict[str, Any], as_json: bool
) -> None:
    if as_json:
        write_json(answer)
    say(f"{_PAST.get(decision, f'decided {decision}')}: {_counted(answer['decided'])}")
    refused = [
        (task, result)
        for task, result in zip(tasks, answer["items"], strict=True)
        if result["status"] != 200
    ]
    if refused:
        late = any(result["status"] == 409 for _, result in refused)
        raise Failure(
            f"refused: {_counted(len(refused))}",
            code=Exit.CONFLICT if late else Exit.FAILED,
            details=[
                f"{task['id']}  {task['title']}: {result['problem']['detail']}"
                for task, result in refused
            ],
        )


def _counted(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
