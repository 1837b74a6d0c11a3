"""Expressions made to break the process: each in a process of its own first, so that a crash is seen."""

import subprocess
import sys

import pytest

HOSTILE = {
    "parentheses": "'(' * 999 + '1' + ')' * 999",
    "unclosed": "'(' * 2000",
    "not": "'!' * 1999 + 'd'",
    "minus": "'-' * 1999 + '1'",
    "lists": "'[' * 999 + ']' * 999",
    "maps": "'{1:' * 400 + '1' + '}' * 400",
    "sums": "'+'.join(['1'] * 900)",
    "ands": "' && '.join(['d'] * 300)",
    "members": "'d' + '.a' * 900",
    "indexes": "'d' + '[0]' * 600",
    "calls": "'size(' * 300 + 'd' + ')' * 300",
    "big number": "'9' * 1900",
    "huge exponent": "'1e' + '9' * 1000",
    "regex bomb": "repr('a' * 40) + \".matches('(a+)+$b')\"",
    "regex repetition": "\"'a'.matches('((((a{1,100}){1,100}){1,100}){1,100})')\"",
    "loops in loops": "''.join(f'l.all(x{n}, ' for n in range(4)) + 'true' + ')' * 4",
    "macros": "'has(' * 300 + 'd.a' + ')' * 300",
    "doubling": "'(' + '+'.join(['s'] * 25) + ')'",
    "nul": "'d' + chr(0)",
    "half a character": "chr(0xd800)",
    "unclosed string": "chr(34) * 3 + 'x' * 100",
    "empty": "''",
    "braces": "'{}{}'",
    "quotes": "chr(39) * 1999",
    "dots": "'.' * 2000",
}

SCRIPT = """
from recipes.expressions import Environment, ExpressionError
source = {source}
env = Environment(None, ["d", "l", "s"])
scope = {{"d": False, "l": list(range(200)), "s": "x" * 50_000, "inputs": {{}}}}
env.check(source, "condition", [])
env.undeclared(source)
for use in (env.condition, lambda source, scope: env.render("{{{{" + source + "}}}}", scope)):
    try:
        use(source, scope)
    except ExpressionError as error:
        assert len(str(error)) < 6_000
print("alive")
"""


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_no_expression_ends_the_process(source: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(source=source)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
