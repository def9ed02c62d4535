"""Where a reader stands in a channel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """The last update that was processed: store it to resume after it.

    A seq is valid only within its epoch, which names the database of the server.
    """

    epoch: str
    seq: int
