"""JSON as this protocol uses it: numbers with a fraction are decimals, so that prices keep all digits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def parse(text: str | bytes) -> Any:
    """Parses JSON. Raises ValueError if it is malformed."""
    return json.loads(text, parse_float=Decimal)


PRICES = ("price", "confidence", "threshold", "open", "high", "low", "close")
"""The fields that hold a price (docs/protocol.md, "MessagePack")."""


def with_decimals(fields: dict[str, Any]) -> dict[str, Any]:
    """Makes prices without a fraction decimals too, so that the type of a field does not depend on its value."""
    for name in PRICES:
        value = fields.get(name)
        if type(value) is int:
            fields[name] = Decimal(value)
    return fields


def dump(value: Mapping[str, Any]) -> str:
    """Writes a request. Raises TypeError or ValueError for what JSON does not have, such as NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
