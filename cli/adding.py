"""`countersign add-approver`: somebody else has to approve a step, too."""

from typing import Annotated, Literal

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure
from cli.showing import show_answer
from cli.tasks import TaskId, task_id


@calling
def add_approver(
    task: TaskId,
    approver: Annotated[str, typer.Option(metavar="PERSON", help="Who has to approve, too.")] = "",
    where: Annotated[
        Literal["before", "beside", "after"],
        typer.Option(
            help="Before the step's own approvers, whose tasks wait meanwhile; beside them; or after"
            " them."
        ),
    ] = "beside",
    comment: Annotated[str, typer.Option(help="Why: it goes on the record.")] = "",
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Add an approver to the step of a task. Too late is exit code 3."""
    for name, value in (("--approver PERSON", approver), ("--comment WHY", comment)):
        if not value.strip():
            raise Failure(f"{name} is needed", code=Exit.USAGE)
    api = caller.connect()
    body = {"add": approver, "where": where, "comment": comment}
    answer = api.post(f"/v1/tasks/{task_id(api, task)}/approvers", body)
    show_answer(api, answer, as_json=as_json)
