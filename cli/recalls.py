"""`countersign audit impact` and `countersign audit recall`: when a rule was wrong."""

import sys
from typing import Annotated, Any

import typer

from cli.caller import Caller, calling
from cli.client import Api, full_id
from cli.options import AsJson, Yes
from cli.output import Exit, Failure, at, facts, say, table, when, write, write_json

_AT_ONCE = 100
"""How many requests one call recalls."""

Workflow = Annotated[str | None, typer.Option(metavar="WORKFLOW", help="The rule's workflow,")]
Version = Annotated[int | None, typer.Option(min=1, help="its version,")]
Step = Annotated[str | None, typer.Option(help="and its `action` step.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Decided since then (RFC 3339).")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Decided before then.")]
Where = Annotated[str | None, typer.Option(metavar="CONDITION", help="On inputs: 'amount < 100'.")]


@calling
def impact(
    workflow: Workflow = None,
    version: Version = None,
    step: Step = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    add_up: Annotated[
        str | None, typer.Option("--sum", metavar="INPUT", help="Add up an input's numbers.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="INPUT", help="Counts for each value of an input.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="List at most so many.")] = 20,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """List every request that a rule decided (role admin or auditor), the last first."""
    api = caller.connect()
    asked: dict[str, object] = {
        **_rule(workflow, version, step),
        "since": since,
        "until": until,
        "where": where,
    }
    found = api.get("/v1/audit/impact", **asked, sum=add_up, by=by, limit=1)
    found["items"] = list(api.items("/v1/audit/impact", limit, **asked))
    if as_json:
        write_json(found)
        return
    _show_impact(found, by, add_up)


def _show_impact(found: dict[str, Any], by: str | None, add_up: str | None) -> None:
    facts(
        {
            "rule": f"{found['workflow']} v{found['version']}, step {found['step']}: {found['action']}"
            + (f" when {found['rule']}" if found["rule"] else ""),
            "requests": str(found["requests"]),
            "recalled": str(found["recalled"]),
            "first decided": when(found["first_at"]),
            "last decided": when(found["last_at"]),
            "in flight on the version": str(found["in_flight"]),
        }
    )
    _say_deleted(found)
    if found["groups"]:
        write("")
        table(
            (by or "", "requests", f"sum of {add_up}" if add_up else ""),
            ((each["value"], each["requests"], each["sum"]) for each in found["groups"]),
        )
    write("")
    table(
        ("request", "title", "requester", "decided (UTC)", "recalled"),
        (
            (
                item["id"],
                item["title"],
                item["requester"],
                at(item["decided_at"]),
                "yes" if item["recall_id"] else None,
            )
            for item in found["items"]
        ),
        least=("recalled",),
    )


@calling
def recall(
    workflow: Workflow = None,
    version: Version = None,
    step: Step = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    review_workflow: Annotated[
        str | None,
        typer.Option(metavar="WORKFLOW", help="People decide after all, by this recipe."),
    ] = None,
    review_version: Annotated[
        int | None, typer.Option(min=1, help="A version of it other than the one in use.")
    ] = None,
    mark: Annotated[
        bool, typer.Option("--mark", help="Mark them as recalled, and nothing else.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="WHY", help="Why, for the record of each.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RECALL", help="Go on with one that was begun.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of them.")
    ] = False,
    yes: Yes = False,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Recall what a rule decided, as an administrator: disables its version, then reopens each of
    its requests for people to decide, or marks them. Exit code 3 if some were refused."""
    api = caller.connect()
    if resume is not None:
        _carry_out(api, api.get(f"/v1/recalls/{full_id(resume, 'recall')}"), as_json)
        return
    if reason is None:
        raise Failure("a recall has a reason", code=Exit.USAGE, fix="add --reason WHY")
    body: dict[str, Any] = {
        **_rule(workflow, version, step),
        "since": since,
        "until": until,
        "where": where,
        "review_workflow": review_workflow,
        "review_version": review_version,
        "mark": mark,
        "reason": reason,
    }
    plan = api.post_long("/v1/recalls?dry_run=true", body)
    if dry_run and as_json:
        write_json(plan)
        return
    if not as_json:
        _show_plan(plan)
    if dry_run:
        return
    _ask(plan, review_workflow, yes=yes)
    _carry_out(api, api.post_long("/v1/recalls", body), as_json)


def _rule(workflow: str | None, version: int | None, step: str | None) -> dict[str, Any]:
    named = {"workflow": workflow, "version": version, "step": step}
    missing = [f"--{name}" for name, value in named.items() if value is None]
    if missing:
        raise Failure(
            "a rule is an `action` step of a version",
            code=Exit.USAGE,
            fix=f"add {', '.join(missing)}",
        )
    return named


def _say_deleted(found: dict[str, Any]) -> None:
    if found["deleted_months"]:
        months = ", ".join(found["deleted_months"])
        say(f"not counted: what it decided in months whose time was over: {months}")


def _show_plan(plan: dict[str, Any]) -> None:
    facts(
        {
            "rule": f"{plan['workflow']} v{plan['version']}, step {plan['step']}",
            "requests": str(plan["requests"]),
            "recalled already": str(plan["recalled"]),
            "in flight on the version": str(plan["in_flight"]),
        }
    )
    _say_deleted(plan)
    refused = [item for item in plan["items"] if item["outcome"] == "refused"]
    if plan["items"]:
        say(f"of the first {len(plan['items'])}, {len(refused)} would be refused")
    withheld = sum(item["outcome"] == "withheld" for item in plan["items"])
    if withheld:
        say(f"not tried: {withheld}, of which something is confidential")
    if refused:
        table(
            ("request", "title", "requester", "refused because"),
            ((it["request_id"], it["title"], it["requester"], it["detail"]) for it in refused),
            wraps=("refused because",),
        )


def _ask(plan: dict[str, Any], review_workflow: str | None, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nothing was recalled: there is nobody to ask", code=Exit.USAGE, fix="add --yes"
        )
    deed = "mark" if review_workflow is None else f"reopen by {review_workflow}"
    count = plan["requests"] - plan["recalled"]
    which = f"{plan['workflow']} version {plan['version']}"
    if not typer.confirm(f"disable {which}, and {deed} {count} requests?", err=True):
        raise Failure("nothing was recalled")


def _carry_out(api: Api, found: dict[str, Any], as_json: bool) -> None:
    """Go on until nothing waits; whatever breaks off here can be resumed."""
    path = f"/v1/recalls/{found['id']}"
    say(
        f"recall {found['id']}; if this breaks off: countersign audit recall --resume {found['id']}"
    )
    while found["finished_at"] is None:
        found = api.post_long(f"{path}/continue?limit={_AT_ONCE}", {})
        counts = found["counts"]
        say(
            f"recalled {counts['recalled']}, refused {counts['refused']}, waiting {counts['waiting']}"
        )
    if as_json:
        write_json(found)
    else:
        facts(
            {"recall": found["id"]} | {name: str(count) for name, count in found["counts"].items()}
        )
    if found["counts"]["refused"]:
        refused = api.items(f"{path}/requests", 100, state="refused")
        raise Failure(
            f"refused: {found['counts']['refused']}; they stay as they are",
            code=Exit.CONFLICT,
            details=[f"{item['request_id']}: {item['detail']}" for item in refused],
        )
