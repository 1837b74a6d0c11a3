"""The entry point of `countersign`."""

import os
import sys
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from cli import (
    actions,
    adding,
    api_keys,
    asking,
    attachments,
    audit,
    audit_keys,
    backtest,
    calendars,
    decisions,
    delegations,
    dev,
    doctor,
    erasure,
    events,
    explain,
    exporting,
    history,
    holds,
    incidents,
    keys,
    messages,
    migrate,
    mirror,
    notifications,
    org,
    preferences,
    questions,
    reassign,
    recalls,
    recipes,
    remarks,
    requests,
    resubmit,
    serve,
    sessions,
    simulate,
    tasks,
    tiers,
    token,
    versions,
    webhooks,
)
from cli.output import Exit, Failure, fail, write
from settings import SettingsInvalid

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Durable approvals as data. `countersign dev` starts everything on this machine.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage, 3 conflict (somebody was first),"
    " 4 not found, 5 not available now.",
)
app.command()(dev.dev)
app.command()(serve.api)
app.command()(serve.worker)
app.command()(serve.relay)
app.command()(serve.migrate)
app.command()(doctor.doctor)
app.command()(token.token)
app.command()(tasks.inbox)
app.command()(tasks.approve)
app.command()(tasks.reject)
app.command("request-changes")(tasks.request_changes)
app.command()(tasks.decide)
app.command()(tasks.claim)
app.command()(tasks.release)
app.command()(remarks.comment)
app.command()(remarks.ask)
app.command()(remarks.watch)
app.command()(questions.questions)
app.command()(questions.answer)
app.command()(notifications.notifications)
app.command()(preferences.preferences)
app.command("decide-all")(decisions.decide_all)
app.command()(reassign.reassign)
app.command("add-approver")(adding.add_approver)
app.command()(actions.actions)
app.command()(actions.fire)
app.command()(explain.explain)
requests.app.command("resubmit")(resubmit.resubmit)
requests.app.command("erase")(erasure.erase)
requests.app.command("attach")(attachments.attach)
requests.app.command("download")(attachments.download)
app.add_typer(requests.app, name="request")
app.add_typer(events.app, name="event")
app.add_typer(incidents.app, name="incident")
app.add_typer(messages.app, name="message")
recipes.app.command("simulate")(simulate.simulate)
recipes.app.command("backtest")(backtest.backtest)
recipes.app.command("diff")(versions.diff)
recipes.app.command("requests")(versions.in_flight)
recipes.app.command("diagram")(versions.diagram)
recipes.app.command("migrate")(migrate.migrate)
app.add_typer(recipes.app, name="recipe")
app.add_typer(calendars.app, name="calendar")
app.add_typer(delegations.app, name="delegation")
audit.app.command("query")(asking.query)
audit.app.command("export")(exporting.export)
audit.app.command("months")(tiers.months)
audit.app.command("move-month")(tiers.move_month)
audit.app.add_typer(holds.app, name="hold")
audit.app.add_typer(audit_keys.app, name="key")
audit.app.command("impact")(recalls.impact)
audit.app.command("recall")(recalls.recall)
audit.app.command("erased")(erasure.erased)
app.add_typer(audit.app, name="audit")
app.add_typer(history.app, name="import")
app.add_typer(keys.app, name="keys")
app.add_typer(api_keys.app, name="api-key")
app.add_typer(sessions.app, name="session")
app.add_typer(webhooks.app, name="webhook")
org.app.add_typer(mirror.app, name="mirror")
app.add_typer(org.app, name="org")


def _version(asked: bool) -> None:
    if asked:
        write(metadata.version("countersign"))
        raise typer.Exit


@app.callback()
def countersign(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    del version


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Failures are said on stderr."""
    try:
        app(arguments)
    except Failure as failure:
        fail(failure)
        return failure.code
    except SettingsInvalid as error:
        fail(Failure("the settings are not valid", details=str(error).splitlines()))
        return Exit.USAGE
    except SystemExit as end:  # how typer ends a command, also a well done one
        return end.code if isinstance(end.code, int) else Exit.OK
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return Exit.OK
    return Exit.OK


def main() -> NoReturn:
    """Run the command line and end at once: temporalio's runtime can abort at interpreter exit."""
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            continue
    os._exit(code)


if __name__ == "__main__":
    main()
