"""What an expression mentions, read from its text."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.findings import employee_paths
from recipes.mentions import guards, mentions
from recipes.templates import TemplateError, split


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("days < 3", ["days"]),
        ("employee.manager.name == x", ["employee.manager.name", "x"]),
        ("inputs['a b'].c + inputs[\"d\"]", ["inputs.a b.c", "inputs.d"]),
        ("inputs[x].c", ["inputs", "x"]),
        ("inputs['a' + 'b']", ["inputs"]),
        (r"inputs['a\'b'] + inputs[r'c'] + inputs['''d''']", ["inputs", "inputs", "inputs"]),
        ("inputs[", ["inputs"]),
        ("name.startsWith('x.y')", ["name"]),
        ("size(tags) > 1.5e3 || 0x1F == .5", ["tags"]),
        ("'in.side' + \"quotes.too\" + r'raw\\' + '''three 'of' them'''", []),
        ("true && !false || null in [x]", ["x"]),
        ("a // b.c\n+ d", ["a", "d"]),
        ("f(x).y + [z].w + 'q'.r + {'k': 1}.s", ["x", "z"]),
        (".absolute.path", ["absolute.path"]),
        ("'x' in .tags", ["tags"]),
        ("a.`b-c`.d", ["a.b-c.d"]),
        ("a. b .c", ["a.b.c"]),
        ("§$%", []),
    ],
)
def test_mentions(source: str, expected: list[str]) -> None:
    assert [".".join((found.root, *found.path)) for found in mentions(source)] == expected


def test_places_and_guards() -> None:
    (found, other) = mentions("has(inputs.note) && x")
    assert (found.offsets, found.guarded, other.guarded) == ((4, 11), True, False)
    assert guards("has(a.b)")
    assert not guards("hash(a.b) || has")


def test_employee_paths() -> None:
    source = (
        "employee.manager.manager.id == employee.id && size(employee) > 0 && employee.manager == x"
    )
    assert employee_paths(source) == ("manager.manager.id", "id", "manager")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    for found in mentions(text):
        assert text[found.offsets[0] :].startswith(found.root)
    with suppress(TemplateError):
        for part in split(text):
            assert text[part.offset :].startswith(part.text)
