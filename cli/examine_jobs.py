"""What `countersign doctor` looks at of automatic work: the functions of one's own, and the connections."""

from activities import connections, registry
from activities.connections import ConnectionsInvalid
from activities.registry import RegistryInvalid
from cli.finding import Finding
from settings import Settings


def automatic(loaded: Settings) -> list[Finding]:
    """Nothing where no tasks are set up."""
    found: list[Finding] = []
    if loaded.jobs:
        found.append(_functions(loaded.jobs))
    if loaded.connections is not None:
        found.append(_connections(loaded))
    return found


def _functions(modules: str) -> Finding:
    try:
        names = registry.load(modules)
    except RegistryInvalid as error:
        fix = "correct the module, or COUNTERSIGN_JOBS: no worker starts like this"
        return Finding("functions", "problem", str(error), fix)
    return Finding("functions", "ok", ", ".join(sorted(names)) or "none")


def _connections(loaded: Settings) -> Finding:
    try:
        found = connections.load(loaded.connections)
    except ConnectionsInvalid as error:
        fix = "correct the file of COUNTERSIGN_CONNECTIONS: no worker starts like this"
        return Finding("connections", "problem", str(error), fix)
    without = [it.name for it in found.values() if it.auth != "none" and it.secret() is None]
    if without:
        seen = f"without a secret here: {', '.join(without)}"
        fix = "set what `secret_env` or `secret_file` names, where workers run"
        return Finding("connections", "warning", seen, fix)
    return Finding("connections", "ok", ", ".join(sorted(found)) or "none")
