"""Finds connections that are open on this side only."""

from __future__ import annotations

CONNECT_TIMEOUT_MS = 10_000
"""For the handshake and the `connected` message."""


class Liveness:
    """The deadlines of one connection, in ms on the driver's clock."""

    def __init__(self, now: float) -> None:
        self._interval: float | None = None
        self._timeout = 0.0
        self._received_at = now
        self._pinged_at: float | None = None

    def connected(self, ping_interval: float, ping_timeout: float) -> None:
        """The server has sent `connected` with its intervals."""
        self._interval, self._timeout = ping_interval, ping_timeout

    def received(self, now: float) -> None:
        """Anything arrived."""
        self._received_at = now
        self._pinged_at = None

    def pinged(self, now: float) -> None:
        """A ping was sent."""
        self._pinged_at = now

    @property
    def waits_for_answer(self) -> bool:
        """Whether a ping was sent after the last sign of life."""
        return self._pinged_at is not None

    @property
    def ping_at(self) -> float | None:
        """When to send a ping."""
        if self._interval is None or self._pinged_at is not None:
            return None
        return self._received_at + self._interval

    @property
    def dead_at(self) -> float | None:
        """When the connection counts as dead."""
        if self._interval is None:
            return self._received_at + CONNECT_TIMEOUT_MS
        return None if self._pinged_at is None else self._pinged_at + self._timeout
