"""`countersign explain`: who decides, decided or would have decided, and every rule that led there."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api
from cli.delegations import TIMES, moment
from cli.inputs import given_inputs
from cli.options import AsJson
from cli.output import Exit, Failure, facts, say, when, write, write_json
from cli.requests import request_id
from cli.tasks import task_id

_PATH = "/v1/org/explain"


@calling
def explain(
    approver: Annotated[
        str | None, typer.Argument(help="role:x, user:x, a name, or employee.manager.manager.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Why is this task with whom it is? Its id, or the beginning.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(help="Who decides a step of this request? With --step.")
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(help="With --step: of this recipe. With APPROVER: delegations may be for it."),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="The step; of a request by default where it is.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="A version other than the newest.")] = None,
    employee: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Whose request. Default: yours.")
    ] = None,
    at: Annotated[str | None, typer.Option(help=f"{TIMES} Default: now.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="With --workflow: as of a request."),
    ] = None,
    inputs_file: Annotated[
        Path | None, typer.Option(help="Likewise, from a JSON or YAML file; - is stdin.")
    ] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Say who decides, decided or would have decided at some moment, and every rule that led there.

    Ask by one of: APPROVER, --task, --request with --step, or --workflow with --step. Inputs that are
    JSON (5, true) are taken as that, anything else as text.
    """
    if (
        sum(value is not None for value in (approver, task, request))
        + (approver is None and workflow is not None)
        != 1
    ):
        raise Failure(
            "say what to explain: APPROVER, --task, --request or --workflow", code=Exit.USAGE
        )
    api = caller.connect()
    query: dict[str, Any] = {
        "approver": approver,
        "workflow": workflow,
        "step": step,
        "version": version,
        "employee": employee,
        "at": None if at is None else moment(at),
    }
    if task is not None:
        query["task"] = task_id(api, task)
    if request is not None:
        query["request"] = request_id(api, request)
    found = _asked(api, query, inputs, inputs_file)
    if as_json:
        write_json(found)
    elif task is not None:
        _show_task(found)
    elif approver is not None:
        _show_approver(found)
    else:
        _show_step(found)


def _asked(
    api: Api, query: dict[str, Any], inputs: list[str] | None, inputs_file: Path | None
) -> dict[str, Any]:
    if inputs is None and inputs_file is None:
        return dict(api.get(_PATH, **query))
    if query["workflow"] is None or query["step"] is None:
        raise Failure("inputs go with --workflow and --step", code=Exit.USAGE)
    body = {name: value for name, value in query.items() if value is not None}
    return dict(api.post(_PATH, body | {"inputs": given_inputs(inputs or [], inputs_file)}))


def _show_approver(found: dict[str, Any]) -> None:
    members = [_member(item) for item in found["members"] or []]
    for_whom = f"a request of {found['employee']}, as of {when(found['at'])}"
    facts({"for": for_whom, **_who(found), "members": members})
    _show_chain(found)


def _show_task(found: dict[str, Any]) -> None:
    facts(
        {
            "task": found["task"],
            "for": f"step {found['step']} of a request of {found['employee']}",
            "state": found["state"],
            "asked for": found["asked"],
            **_who(found),
            "since": when(found["since"]),
        }
    )
    _show_chain(found)
    if found["stale"]:
        write("")
        say("the directory has changed since; asked now, it gives:")
        facts(_who(found["now"]))
        _show_chain(found["now"])


def _show_step(found: dict[str, Any]) -> None:
    whose = f"request {found['request']} of" if found["request"] else "a request of"
    skipped = {False: "skipped: its condition does not hold", None: "it cannot be told whether"}
    facts(
        {
            "for": f"step {found['step']} of {whose} {found['employee']}, as of {when(found['at'])}",
            "when": found["when"],
            "applies": skipped.get(found["applies"]) if found["when"] else None,
            "who": _refused(found["refusal"]) if found["refusal"] else None,
        }
    )
    if not found["seats"] and not found["refusal"]:
        say("every seat of it was decided then")
    for seat in found["seats"]:
        write("")
        had = seat["assignee"] if seat["assignee"] != seat["user"] else None
        facts({"seat": seat["seat"], "asked for": seat["asked"], **_who(seat), "was with": had})
        _show_chain(seat)


def _who(found: dict[str, Any]) -> dict[str, object]:
    who = found["user"] or found.get("candidates")
    return {
        "who": who or _refused(found["refusal"]),
        "by role": found["role"],
        "on behalf of": found["on_behalf_of"],
        "via": found["via"],
    }


def _refused(refusal: dict[str, Any]) -> str:
    return f"nobody: {refusal['kind']}: {refusal['detail']}"


def _show_chain(found: dict[str, Any]) -> None:
    for number, hop in enumerate(found["chain"], 1):
        write(f"{number}. {hop['text']}")


def _member(member: dict[str, Any]) -> str:
    return f"{member['id']} (away)" if member["away"] else str(member["id"])
