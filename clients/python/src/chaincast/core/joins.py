"""The answers to subscriptions: which channels are live, from where, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..update import Gap
from .channel import Channel, Phase
from .outputs import Deliver, Lost, Output, Rejected, Renamed
from .retries import retry_delay_ms
from .subscriptions import SubscribeRequest, Subscriptions

Message = Mapping[str, Any]


class Joins:
    """Applies the answers of one session to the subscriptions."""

    def __init__(self, subscriptions: Subscriptions, epoch: str) -> None:
        self._subscriptions = subscriptions
        self._epoch = epoch

    def accepted(self, now: float, number: int, request: SubscribeRequest, data: Message) -> list[Output]:
        """The server answered for each channel, in order."""
        out: list[Output] = []
        for name, result in zip(request.channels, data.get("channels", ()), strict=False):
            if result.get("success"):
                out += self._joined(number, name, result)
            else:
                error = result.get("error") or {}
                out += self._refused_among(now, number, name, error, len(request.channels))
        return out

    def refused(self, now: float, number: int, request: SubscribeRequest, refusal: Message) -> list[Output]:
        """The server refused the request as a whole."""
        count = len(request.channels)
        return [out for name in request.channels for out in self._refused_among(now, number, name, refusal, count)]

    def reject(self, name: str, code: str, message: str) -> list[Output]:
        """A subscription ends."""
        return [Rejected(name, code, message)] if self._subscriptions.forget(name) else []

    def _joined(self, number: int, name: str, result: Message) -> list[Output]:
        channel = self._joining(number, name)
        if channel is None:
            return []
        out: list[Output] = []
        canonical = result.get("channel", name)
        if canonical != name:
            out.append(Renamed(name, canonical))
            if not self._subscriptions.rename(channel, canonical):
                # The server goes on with one subscription; everything up to this answer was sent for the other name.
                state = self._subscriptions.state(canonical)
                return out if state is None else [*out, Deliver(state.as_snapshot())]
        seq, recovered = result.get("seq", 0), bool(result.get("recovered"))
        gap = None if channel.last is None or recovered else self._gap(channel, seq)
        if gap is not None:
            out.append(Lost(gap))
        channel.joined(self._epoch, seq, recovered)
        return out

    def _gap(self, channel: Channel, seq: int) -> Gap | None:
        """What the server cannot replay; None if nothing was published after the position."""
        last = channel.last or 0
        if seq < last or channel.epoch not in (None, self._epoch):
            return Gap(channel.name, last + 1, None, "epoch")
        return Gap(channel.name, last + 1, seq, "deleted") if seq > last else None

    def _refused_among(self, now: float, number: int, name: str, refusal: Message, count: int) -> list[Output]:
        """A channel of a request for several was refused."""
        channel = self._joining(number, name)
        if channel is None:
            return []
        delay = retry_delay_ms(refusal)
        if delay is not None:
            channel.pend(now + delay)
        elif count > 1 and refusal.get("code") == "BAD_REQUEST":
            # Perhaps another one is the reason, such as a second name of the same channel.
            channel.is_separate = True
            channel.pend()
        else:
            return self.reject(name, refusal.get("code", "INTERNAL"), refusal.get("message", ""))
        return []

    def _joining(self, number: int, name: str) -> Channel | None:
        """The channel, unless a later request has replaced this one or the application does not want it any more."""
        channel = self._subscriptions.get(name)
        is_current = channel is not None and channel.phase is Phase.JOINING and channel.join_id == number
        return channel if is_current else None
