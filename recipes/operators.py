"""The operators expressions have: CEL's, and the same between an int and a double.

Standard CEL refuses `amount < 5000` at publication when `amount` is a double, and `days * 1.5` for
an int even at run time. An operator can't be added to, only left out and declared again, so each
is declared with all its standard overloads and two more. Comparisons are the engine's own at run
time; mixed arithmetic is done here, in doubles.
"""

from collections.abc import Callable, Iterator
from math import inf, nan

_MIXED = (("int", "double"), ("double", "int"))
_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")
_COMPARISONS = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
_EQUALITIES = {"_==_": "equals", "_!=_": "not_equals"}
_ARITHMETIC = {"_+_": "add", "_-_": "subtract", "_*_": "multiply", "_/_": "divide"}
_TIMES = {
    "_+_": (
        ("timestamp", "duration", "timestamp"),
        ("duration", "timestamp", "timestamp"),
        ("duration", "duration", "duration"),
    ),
    "_-_": (
        ("timestamp", "timestamp", "duration"),
        ("timestamp", "duration", "timestamp"),
        ("duration", "duration", "duration"),
    ),
}
_ANY = "{type_name: A, is_type_param: true}"
_LIST = f"{{type_name: list, params: [{_ANY}]}}"
_MAP = f"{{type_name: map, params: [{_ANY}, {{type_name: B, is_type_param: true}}]}}"


def configuration() -> str:
    """The engine's environment in its own YAML format."""
    names = [*_COMPARISONS, *_EQUALITIES, *_ARITHMETIC, "@in"]
    lines = [
        "stdlib:",
        "  exclude_macros: [map, filter]",
        "  exclude_functions:",
        *(f"    - name: '{name}'" for name in names),
        "functions:",
    ]
    for name in names:
        lines += [f"  - name: '{name}'", "    overloads:", *_overloads(name)]
    return "\n".join(lines)


def _overloads(name: str) -> Iterator[str]:
    if name in _COMPARISONS:
        own = _COMPARISONS[name]
        for left, right in (*((kind, kind) for kind in _ORDERED), *_MIXED):
            yield from _overload(f"{own}_{left}_{right}", _type(left), _type(right), _type("bool"))
    elif name in _EQUALITIES:
        own = _EQUALITIES[name]
        yield from _overload(own, _ANY, _ANY, _type("bool"))
        for left, right in _MIXED:
            yield from _overload(f"{own}_{left}_{right}", _type(left), _type(right), _type("bool"))
    elif name in _ARITHMETIC:
        yield from _arithmetic(name, _ARITHMETIC[name])
    else:
        yield from _overload("in_list", _ANY, _LIST, _type("bool"))
        yield from _overload("in_map", _ANY, _MAP, _type("bool"))
        for left, right in _MIXED:
            several = f"{{type_name: list, params: [{_type(right)}]}}"
            yield from _overload(f"in_{left}_{right}", _type(left), several, _type("bool"))


def _arithmetic(name: str, own: str) -> Iterator[str]:
    for kind in _NUMBERS:
        yield from _overload(f"{own}_{kind}", _type(kind), _type(kind), _type(kind))
    for left, right in _MIXED:
        yield from _overload(f"{own}_{left}_{right}", _type(left), _type(right), _type("double"))
    for left, right, result in _TIMES.get(name, ()):
        yield from _overload(f"{own}_{left}_{right}", _type(left), _type(right), _type(result))
    if name == "_+_":
        for kind in ("string", "bytes"):
            yield from _overload(f"{own}_{kind}", _type(kind), _type(kind), _type(kind))
        yield from _overload(f"{own}_list", _LIST, _LIST, _LIST)


def _overload(own: str, left: str, right: str, result: str) -> Iterator[str]:
    yield f"      - id: {own}"
    yield f"        args: [{left}, {right}]"
    yield f"        return: {result}"


def _type(name: str) -> str:
    return f"{{type_name: {name}}}"


def implementations() -> dict[str, Callable[[float, float], float]]:
    """What the mixed overloads of arithmetic do, by their ids."""
    does: dict[str, Callable[[float, float], float]] = {
        "add": lambda a, b: float(a) + float(b),
        "subtract": lambda a, b: float(a) - float(b),
        "multiply": lambda a, b: float(a) * float(b),
        "divide": _divide,
    }
    return {
        f"{own}_{left}_{right}": does[own] for own in _ARITHMETIC.values() for left, right in _MIXED
    }


def _divide(left: float, right: float) -> float:
    """As doubles are divided everywhere else: by zero gives an infinity."""
    if right == 0:
        return inf if left > 0 else -inf if left < 0 else nan
    return left / right
