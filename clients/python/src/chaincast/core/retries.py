"""Refusals after which the same request can succeed later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DELAY_MS = 1_500
"""If the server gives none."""
_FOR_NOW = frozenset({"INTERNAL", "RATE_LIMITED", "TOKEN_EXPIRED"})


def retry_delay_ms(refusal: Mapping[str, Any]) -> float | None:
    """The ms until a refused request is sent again; None if that does not help."""
    given = refusal.get("retryAfterMs")
    if given is not None:
        return float(given)
    return DELAY_MS if refusal.get("code") in _FOR_NOW else None
