"""Prices keep their digits and their type."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chaincast import json_text


def test_numbers_keep_all_digits() -> None:
    parsed = json_text.parse('{"price":3456.120000000000000001,"seq":9007199254740993}')
    assert parsed == {"price": Decimal("3456.120000000000000001"), "seq": 9007199254740993}


def test_whole_prices_are_decimals() -> None:
    fields = json_text.with_decimals({"price": 64000, "confidence": Decimal("0.5"), "seq": 7, "close": None})
    assert [type(value) for value in fields.values()] == [Decimal, Decimal, int, type(None)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rejects_what_json_lacks(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text.dump({"payload": value})
