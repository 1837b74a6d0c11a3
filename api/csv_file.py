"""CSV as spreadsheets and other systems export it: UTF-8, by comma, semicolon or tab."""

import csv
import re
from collections.abc import Iterator
from io import StringIO

from api import errors
from api.org_entries import refused
from recipes.model import Json

_LONGEST_CELL = 1_000_000


def rows(source: bytes) -> Iterator[list[str]]:
    """The header, then every row: the first line, whatever it is, has the number 1. Problem 400 if it is
    no text in UTF-8, 422 where it is no CSV."""
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        detail = "the file is not in UTF-8: save it as `CSV UTF-8`"
        raise errors.Problem(400, "not_csv", detail) from None
    first = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(_LONGEST_CELL)
    found = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from found
    except csv.Error as error:
        place: dict[str, Json] = {"row": found.line_num, "message": f"is not CSV: {error}"}
        raise refused([place]) from None
