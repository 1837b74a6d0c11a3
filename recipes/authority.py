"""What an approver's own limit must cover: the value of a ballot's `authority`, exactly.

Nothing here repeats a value: an amount may be a secret of the request.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from recipes.asks import Limit
from recipes.expressions import Environment, ExpressionError
from recipes.model import Authority, Json
from recipes.references import kind

_AMOUNT = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def limit(environment: Environment, authority: Authority, scope: Mapping[str, Json]) -> Limit:
    """The amount as exact decimal text and its currency. ExpressionError if they are none."""
    amount = _amount(environment.render(f"{{{{ {authority.amount} }}}}", scope))
    currency = environment.render(f"{{{{ {authority.currency} }}}}", scope)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ExpressionError(f"gives {kind(currency)} that is no currency code such as EUR")
    return Limit(amount, currency)


def _amount(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ExpressionError(f"gives {kind(value)} instead of an amount")
    text = value.strip() if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if not _AMOUNT.fullmatch(text):
        raise ExpressionError(f"gives {kind(value)} that is no amount: a number from 0 up")
    return text.removesuffix(".0")
