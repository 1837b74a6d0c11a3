"""The functions that tasks run: ours and those of modules named in COUNTERSIGN_JOBS.

A function of one's own is one function and one line, in any module that Python can import:

    from activities.registry import Call, job

    @job("charge_card")
    async def charge_card(call: Call) -> dict:
        return await bank.charge(call.inputs["amount"], idempotency_key=call.idempotency_key)

One that is not `async` runs in a thread of its own. What it raises is a failure, which is tried again;
`Refused` is one that another try will not heal. What it returns is the step's output, and must be JSON.
"""

import asyncio
import importlib
import inspect
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from activities.failures import Later, Refused
from activities.systems import System, Systems
from recipes.model import HTTP, Json

__all__ = ["Call", "Function", "Later", "Refused", "RegistryInvalid", "job", "load"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


class RegistryInvalid(Exception):
    """The functions cannot be used as they are; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a job. `idempotency_key` is the same in all attempts: hand it to the other side, so
    that it can tell that it was asked for the same before. `again`: an attempt was made before this
    one, and may have done the work."""

    inputs: dict[str, Json]
    idempotency_key: str
    request_id: str
    step: str
    attempt: int
    again: bool
    log: Callable[[str], None]
    """Adds a line to the job's log, which people see beside the request."""
    systems: Systems = field(default_factory=Systems, repr=False)

    def system(self, name: str) -> AbstractAsyncContextManager[System]:
        """Another system, as COUNTERSIGN_CONNECTIONS has it: `async with call.system("crm") as crm:`.
        Refused if it has none of this name."""
        return self.systems.open(name, self.idempotency_key)


Function: TypeAlias = Callable[[Call], Awaitable[Json]]
Given: TypeAlias = Callable[[Call], Json] | Function

_functions: dict[str, Function] = {}
_origins: dict[str, str] = {}


def job(name: str) -> Callable[[Given], Given]:
    """Make a function one that `run: name` runs."""

    def register(function: Given) -> Given:
        origin = f"{function.__module__}.{function.__qualname__}"
        if _NAME.fullmatch(name) is None:
            raise RegistryInvalid(
                f"{origin}: {name!r} must be small letters, digits and _, from a letter on"
            )
        if name == HTTP or _origins.get(name, origin) != origin:
            other = _origins.get(name, "every worker's own")
            raise RegistryInvalid(f"two functions are called {name}: {other} and {origin}")
        _functions[name] = _awaited(function)
        _origins[name] = origin
        return function

    return register


def load(modules: str) -> dict[str, Function]:
    """All functions there are, after importing `modules`, separated by commas; the current folder counts.

    RegistryInvalid says which module cannot be imported and why.
    """
    if modules and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for module in filter(None, (name.strip() for name in modules.split(","))):
        try:
            importlib.import_module(module)
        except RegistryInvalid:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise RegistryInvalid(
                f"COUNTERSIGN_JOBS: {module} cannot be imported: {why}"
            ) from error
    return dict(_functions)


def _awaited(function: Given) -> Function:
    if inspect.iscoroutinefunction(function):
        return function

    async def in_a_thread(call: Call) -> Json:
        working = asyncio.ensure_future(asyncio.to_thread(function, call))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            # Nothing stops a thread: what it comes to is known when it has ended.
            return await working

    return in_a_thread
