"""What a stream yields: updates, and gaps between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .position import Position


@dataclass(frozen=True, slots=True)
class Update:
    """One message of a channel. Prices in `data` are `decimal.Decimal`, with all published digits."""

    channel: str
    """The canonical name of the channel."""
    event: str
    """Such as `price-update`; docs/protocol.md lists the events of each channel."""
    data: Mapping[str, Any]
    seq: int | None
    """The position in the channel: 1, 2, 3, … without gaps; None for what is not stored, such as heartbeats."""
    epoch: str
    snapshot: bool = False
    """Whether it is the state as of `seq`, for a new subscription, and not a new update."""

    @property
    def position(self) -> Position | None:
        """Pass it as `start` to resume after this update; None for what is not stored."""
        return None if self.seq is None else Position(self.epoch, self.seq)


    @property
    def is_state(self) -> bool:
        """Whether it says how things are, as a snapshot does."""
        return self.seq is not None and not self.event.endswith(("reorg", "-finalized"))

    def as_snapshot(self) -> Update:
        """The same as the state for a new reader."""
        return replace(self, snapshot=True)


@dataclass(frozen=True, slots=True)
class Gap:
    """Updates that the stream cannot deliver. The stream continues after them."""

    channel: str
    first: int
    """The seq of the first missing update."""
    last: int | None
    """The seq of the last missing one; None if the server now has another database, so that seqs begin again."""
    reason: Literal["deleted", "epoch"]
    """`deleted`: the server no longer stores them. `epoch`: the server has another database."""
