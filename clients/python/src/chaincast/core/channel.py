"""One subscribed channel: which messages are new, repeated, or follow a loss (docs/protocol.md, "Checking for gaps")."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..update import Update

MIN_LOSS_INTERVAL_MS = 5_000
"""After a second loss within this time, the next subscription waits until it is over."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a subscription; None means the server's default."""

    mode: str | None = None
    interval: int | None = None
    snapshot: bool | None = None
    presence: bool | None = None
    info: Mapping[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        """The options that were given."""
        given = {
            "mode": self.mode,
            "interval": self.interval,
            "snapshot": self.snapshot,
            "presence": self.presence,
            "info": self.info,
        }
        return {name: value for name, value in given.items() if value is not None}


class Phase(enum.Enum):
    """What a channel waits for."""

    PENDING = enum.auto()
    """To be subscribed to."""
    JOINING = enum.auto()
    """For the answer to a subscription; messages until then are ignored."""
    LIVE = enum.auto()


class Verdict(enum.Enum):
    """What to do with a message."""

    DELIVER = enum.auto()
    IGNORE = enum.auto()
    LOSS = enum.auto()
    """An update between the last one and this one is missing."""


@dataclass(slots=True)
class Channel:
    """A channel that the application wants, and its position."""

    name: str
    options: Options
    epoch: str | None = None
    last: int | None = None
    """Seq of the last update; None before the first subscription, if the application gave no position."""
    phase: Phase = Phase.PENDING
    join_id: int | None = None
    """The id of the newest request that subscribes to it."""
    retry_at: float | None = None
    """When a pending channel is subscribed to, if not at once."""
    is_separate: bool = False
    """Whether it shares no request, because one that it shared was refused as a whole."""
    lost_at: float | None = None
    state: Update | None = None
    """The newest update that says how things are, for readers that begin while the channel is live."""
    own: set[int] = field(default_factory=set)
    """Seqs above `last` of messages that the application published with `echo: false`."""

    def check(self, message: Mapping[str, Any]) -> Verdict:
        """Compares a message with the position, and moves the position unless an update is missing."""
        if self.phase is not Phase.LIVE:
            return Verdict.IGNORE
        seq = message.get("seq")
        if seq is None:
            return Verdict.DELIVER
        if message.get("snapshot"):
            self._advance(seq)
            return Verdict.DELIVER
        last = self.last or 0
        if seq <= last:
            return Verdict.IGNORE
        if message.get("prev", seq - 1) != last:
            return Verdict.LOSS
        is_own = seq in self.own
        self._advance(seq)
        return Verdict.IGNORE if is_own else Verdict.DELIVER

    def remember(self, update: Update) -> None:
        """Keeps what says how things are now."""
        if update.is_state:
            self.state = update
        elif update.event.endswith("reorg"):
            self.state = None

    def skip(self, seq: int) -> None:
        """Skips the seq of a message that the server does not deliver to its sender."""
        if seq > (self.last or 0):
            self.own.add(seq)
            self._advance(self.last or 0)

    def joined(self, epoch: str, seq: int, recovered: bool) -> None:
        """The server accepted the subscription: the updates after the position follow, or new state as of `seq`."""
        self.phase = Phase.LIVE
        self.epoch = epoch
        if not recovered:
            self.own.clear()
            self.last = seq
            self.state = None

    def restart_after_loss(self, now: float) -> None:
        """Subscribes again from the last update; later, if it was done recently, so that a faulty server is not flooded."""
        soonest = None if self.lost_at is None else self.lost_at + MIN_LOSS_INTERVAL_MS
        self.pend(soonest if soonest is not None and soonest > now else None)
        self.lost_at = now if self.retry_at is None else self.retry_at

    def pend(self, retry_at: float | None = None) -> None:
        """The channel is to be subscribed to, at once or at a time."""
        self.phase = Phase.PENDING
        self.retry_at = retry_at

    def _advance(self, seq: int) -> None:
        while seq + 1 in self.own:
            seq += 1
        self.last = seq
        self.own = {one for one in self.own if one > seq}
