"""Whether and when to reconnect (docs/protocol.md, "Close codes")."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable

FIRST_DELAY_MS = 500
LONGEST_DELAY_MS = 30_000
LONGEST_RETRY_AFTER_MS = 300_000
STABLE_SESSION_MS = 5_000
"""A session that lasts this long ends a series of failures."""
CROWDED_FAILURES = 5
"""After a limit of the server was exceeded, the delay is at least that of this many failures."""

RATE_LIMITED = 4029
TOO_MANY_CONNECTIONS = 4030
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
TOO_BIG = 1009

_FINAL = {
    1002: "the server reports a violation of the WebSocket protocol; check for a proxy that changes frames",
    1007: "the server reports text that is not UTF-8; check for a proxy that changes frames",
    FORBIDDEN: "check the origin and the rights of the token, then create a new client",
}
_HTTP_STATUS = {401: UNAUTHENTICATED, 403: FORBIDDEN}


class Next(enum.Enum):
    """What follows the end of a connection."""

    WAIT = enum.auto()
    """Reconnect after a delay."""
    RENEW = enum.auto()
    """Reconnect with a new token."""
    GIVE_UP = enum.auto()


def close_code(code: int | None, status: int | None) -> int:
    """The close code, or the one that stands for a refused handshake; 1006 if there is none."""
    return _HTTP_STATUS.get(status or 0) or code or 1006


def advice(code: int) -> str:
    """What to do after a code that ends the client."""
    return _FINAL.get(code, "give the client a valid token, or a function that returns one")


def is_crowded(code: int) -> bool:
    """Whether a limit of the server was exceeded, so that a client must wait."""
    return code in (RATE_LIMITED, TOO_MANY_CONNECTIONS)


def retry_after_ms(reason: str) -> float | None:
    """The delay in the reason of a close frame, `{"retryAfterMs":N}`."""
    try:
        found = json.loads(reason)
        return float(found["retryAfterMs"])
    except (ValueError, TypeError, KeyError):
        return None


class Reconnect:
    """Counts failures, and decides after each end of a connection."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._renewed = False

    def connected(self) -> None:
        """The server accepted the handshake, and with it the token."""
        self._renewed = False

    def verdict(self, code: int, can_renew: bool) -> Next:
        """What follows this close code."""
        if code in _FINAL:
            return Next.GIVE_UP
        if code == UNAUTHENTICATED:
            if not can_renew or self._renewed:
                return Next.GIVE_UP
            self._renewed = True
            return Next.RENEW
        return Next.WAIT

    def delay(self, code: int, retry_after: float | None, served_ms: float) -> float:
        """Counts a failure, and returns the ms until the next attempt."""
        self._failures = 1 if served_ms >= STABLE_SESSION_MS else self._failures + 1
        if retry_after is not None:
            return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER_MS)
        failures = self._failures
        if is_crowded(code):
            failures = max(failures, CROWDED_FAILURES)
        # The exponent is bounded so that years of failures do not make a huge number.
        longest = min(FIRST_DELAY_MS * 2.0 ** min(failures - 1, 20), LONGEST_DELAY_MS)
        return longest * (0.5 + self._random() / 2)

    def reset(self) -> None:
        """The application asks for an attempt now."""
        self._failures = 0
        self._renewed = False
