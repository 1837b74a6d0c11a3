"""The directory's people as CSV, as spreadsheets and personnel systems export them.

A column that is not there leaves that fact as it is; an empty cell says that there is none.
"""

import re
from collections import Counter
from functools import partial
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from api import csv_file
from api.org_entries import Reading, RoleName, refused
from recipes.model import Json
from storage.org import Fact

_FACTS: tuple[Fact, ...] = get_args(Fact)
_OWN = ("id", "name", "email", "manager", "department", "time_zone", "joined", "left")
_YES, _NO = frozenset({"true", "yes", "y", "1", "x"}), frozenset({"false", "no", "n", "0"})
_LIMIT = re.compile(r"([A-Za-z]{3})\s+(\S.*)")
_ROLES = TypeAdapter(list[RoleName])


def read(source: bytes) -> Reading:
    """The rows' people. Problem 400 if it is no text in UTF-8, 422 if its header is none."""
    rows = csv_file.rows(source)
    header = [name.strip() for name in next(rows, [])]
    columns = [
        name.lower() if name.lower() in (*_OWN, "roles", "limits") else name for name in header
    ]
    _check_header(columns)
    reading = Reading("csv", feed=True)
    others = {name for name in columns if name and name not in (*_OWN, "roles", "limits")}
    reading.keeps = frozenset(
        fact for fact in _FACTS if fact not in columns and fact != "attributes"
    )
    reading.attributes = frozenset(others)
    for number, cells in enumerate(rows, 2):
        if any(cell.strip() for cell in cells):
            _person(reading, number, columns, cells)
    return reading


def _check_header(columns: list[str]) -> None:
    problems: list[dict[str, Json]] = []
    if "id" not in columns:
        message = "has no column `id`: the first row names the columns, such as id,name,email"
        problems.append({"row": 1, "message": message})
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    problems += [{"row": 1, "column": name, "message": "is there twice"} for name in twice]
    if problems:
        raise refused(problems)


def _person(reading: Reading, number: int, columns: list[str], cells: list[str]) -> None:
    where = partial(_where, number)
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        message = f"has {len(cells)} cells, and the header {len(columns)}"
        reading.problem(where(), message, "quote cells that hold the delimiter")
        return
    values = {
        name: text
        for name, cell in zip(columns, cells, strict=False)
        if name and (text := cell.strip())
    }
    if any(cell.strip() for name, cell in zip(columns, cells, strict=False) if not name):
        reading.problem(where(), "has a cell under a column without a name", "name the column")
    raw: dict[str, Json] = {name: values[name] for name in _OWN if name in values}
    if "name" not in columns:
        raw["name"] = " "  # kept as it is; whoever is new needs one, which org_checks says
    raw["attributes"] = {k: v for k, v in values.items() if k in (reading.attributes or ())}
    if (left := values.get("left", "").lower()) in _YES | _NO:
        raw["left"] = left in _YES
    raw["limits"] = _limits(reading, number, values.get("limits", ""))
    roles = _list(values.get("roles", "")) if "roles" in columns else None
    try:
        _ROLES.validate_python(roles or [])
    except ValidationError:
        message = "must be names of roles between semicolons: letters, digits and . _ -"
        reading.problem(where("roles"), message, "as in finance; hr-leave-admin")
    reading.person(raw, where, None if roles is None else tuple(dict.fromkeys(roles)))


def _list(cell: str) -> list[str]:
    return [part for text in cell.split(";") if (part := text.strip())]


def _limits(reading: Reading, number: int, cell: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for part in _list(cell):
        match = _LIMIT.fullmatch(part)
        currency = match[1].upper() if match else ""
        if match is None or currency in found:
            message = (
                f"{part[:40]!r} is no limit" if match is None else f"{currency} is there twice"
            )
            reading.problem(_where(number, "limits"), message, "as in EUR 10000; USD 12000")
        else:
            found[currency] = match[2]
    return found


def _where(number: int, *keys: str | int) -> dict[str, Json]:
    """The row as a spreadsheet counts it, and the column, by which attributes go, too."""
    if not keys:
        return {"row": number}
    column = keys[1] if keys[0] == "attributes" and len(keys) > 1 else keys[0]
    return {"row": number, "column": str(column)}
