"""What decides stays pure: no clocks, randomness, I/O, environment or threads in `recipes`, in
`contract` and in the workflow; `recipes` imports nothing from outside but what DESIGN section 2 allows."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = sorted([*ROOT.glob("recipes/*.py"), *ROOT.glob("contract/*.py")])
WORKFLOWS = (ROOT / "worker" / "workflow.py", ROOT / "worker" / "chores.py")

# Modules whose use is an effect, or gives another answer every time.
FORBIDDEN_MODULES = frozenset(
    [
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "getpass",
        "glob",
        "http",
        "importlib",
        "io",
        "locale",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "pickle",
        "platform",
        "queue",
        "random",
        "requests",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "webbrowser",
        "zoneinfo",
        "structlog",
        "httpx",
        "asyncpg",
        "psutil",
    ]
)
SEALING = frozenset(["contract/boxes.py", "contract/content.py"])
"""Every box has a nonce of its own: sealed is where something is written, never in a workflow."""
# The workflow waits by asyncio.timeout and the like, which temporalio makes durable.
WORKFLOW_MODULES = FORBIDDEN_MODULES - {"asyncio"}
FORBIDDEN_CALLS = frozenset(
    ["open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "globals"]
)
CLOCKS = frozenset({"now", "utcnow", "today", "fromtimestamp"})
"""Of datetime and date, when called."""
FORBIDDEN_ATTRIBUTES = frozenset(
    [
        "uuid1",
        "uuid4",
        "urandom",
        "getenv",
        "environ",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
    ]
)
FORBIDDEN_IN_WORKFLOW = frozenset({"wait", "as_completed", "to_thread", "open_connection"})
RECIPES_MAY_IMPORT = frozenset(
    {"recipes", "pydantic", "pydantic_core", "yaml", "jsonschema_rs"}
    | {"cel_expr_python", "google"}  # the expression engine, and protobuf: its times are Timestamps
)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level modules that are imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0], node.lineno


def _impurities(source: str, modules: frozenset[str]) -> Iterator[str]:
    tree = ast.parse(source)
    for module, line in _imports(tree):
        if module in modules:
            yield f"line {line}: import of {module}"
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}()"
            case ast.Call(func=ast.Attribute(value=of, attr=name)) if name in CLOCKS:
                if not (
                    isinstance(of, ast.Name) and of.id == "workflow"
                ):  # the workflow's own time
                    yield f"line {node.lineno}: .{name}()"
            case ast.Attribute(attr=name) if name in FORBIDDEN_ATTRIBUTES:
                yield f"line {node.lineno}: .{name}"
            case ast.ImportFrom(module=module, names=names):
                for alias in names:
                    if alias.name in FORBIDDEN_ATTRIBUTES:
                        yield f"line {node.lineno}: {alias.name} of {module}"
            case ast.Global():
                yield f"line {node.lineno}: global"


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_pure_core_has_no_effects(path: Path) -> None:
    seals = str(path.relative_to(ROOT)) in SEALING
    forbidden = FORBIDDEN_MODULES - {"secrets"} if seals else FORBIDDEN_MODULES
    assert list(_impurities(path.read_text(), forbidden)) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_no_effects_of_their_own(path: Path) -> None:
    source = path.read_text()
    assert list(_impurities(source, WORKFLOW_MODULES)) == []
    used = [
        f"line {node.lineno}: asyncio.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
        and node.attr in FORBIDDEN_IN_WORKFLOW
    ]
    assert used == []


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_pure_core_imports_what_it_may(path: Path) -> None:
    allowed = RECIPES_MAY_IMPORT | sys.stdlib_module_names
    if path.parent.name == "contract":
        # To sign, to check signatures, to read and write JSON is to calculate.
        allowed |= {"contract", "cryptography", "orjson"}
    found = {module for module, _ in _imports(ast.parse(path.read_text()))}
    assert found - allowed == set()


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ",
        "import asyncio.subprocess",
        "def f():\n    import random",
        "from datetime import datetime\ndatetime.now()",
        "from uuid import uuid4",
        "x = open('f')",
        "def f():\n    global x\n    x = 1",
        "print('x')",
    ],
)
def test_the_lint_sees_what_it_must(source: str) -> None:
    assert list(_impurities(source, FORBIDDEN_MODULES))
