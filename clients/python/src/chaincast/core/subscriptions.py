"""All channels that the application wants, and the requests that subscribe to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..update import Update
from .channel import Channel, Options, Phase

MAX_CHANNELS_PER_REQUEST = 100
"""`limits.channels_per_request` of the server."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A channel to subscribe to."""

    channel: str
    options: Options = Options()
    since: int | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """The data of a request, and the channels in it, in order."""

    channels: tuple[str, ...]
    data: Mapping[str, Any]


class Subscriptions:
    """The channels by name: the application's until the server answers, canonical from then on."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def get(self, name: str) -> Channel | None:
        """The channel with this name."""
        return self._channels.get(name)

    def want(self, subscription: Subscription) -> None:
        """Adds a channel, or replaces options and position of one."""
        channel = self._channels.setdefault(
            subscription.channel, Channel(subscription.channel, subscription.options)
        )
        channel.options = subscription.options
        if subscription.since is not None:
            channel.last, channel.epoch = subscription.since, subscription.epoch
            channel.own.clear()
        channel.pend()

    def forget(self, name: str) -> Channel | None:
        """Removes a channel."""
        return self._channels.pop(name, None)

    def rename(self, channel: Channel, canonical: str) -> bool:
        """Gives a channel its canonical name. False if another one has it: then this one is removed."""
        if canonical in self._channels:
            del self._channels[channel.name]
            return False
        # Keeps the order.
        self._channels = {
            canonical if name == channel.name else name: one for name, one in self._channels.items()
        }
        channel.name = canonical
        return True

    def state(self, name: str) -> Update | None:
        """The newest state of a channel."""
        channel = self._channels.get(name)
        return None if channel is None else channel.state

    def disconnected(self) -> None:
        """Subscriptions ended with the session."""
        for channel in self._channels.values():
            channel.pend()

    def next_retry(self) -> float | None:
        """When the next pending channel is due, if one waits."""
        waiting = [channel.retry_at for channel in self._pending() if channel.retry_at is not None]
        return min(waiting, default=None)

    def requests(self, now: float) -> list[SubscribeRequest]:
        """The requests for all channels that are due, which then wait for their answers."""
        groups: dict[str, list[Channel]] = {}
        for channel in self._pending():
            if channel.retry_at is None or channel.retry_at <= now:
                epoch = channel.epoch if channel.last is not None else None
                shared = [epoch, channel.options.fields(), channel.name if channel.is_separate else None]
                groups.setdefault(json.dumps(shared, sort_keys=True), []).append(channel)
        requests = []
        for group in groups.values():
            for start in range(0, len(group), MAX_CHANNELS_PER_REQUEST):
                requests.append(_request(group[start : start + MAX_CHANNELS_PER_REQUEST]))
        return requests

    def _pending(self) -> Iterable[Channel]:
        return (channel for channel in self._channels.values() if channel.phase is Phase.PENDING)


def _request(channels: list[Channel]) -> SubscribeRequest:
    names = tuple(channel.name for channel in channels)
    data: dict[str, Any] = {"channels": list(names), **channels[0].options.fields()}
    since = {channel.name: channel.last for channel in channels if channel.last is not None}
    if since:
        data["since"] = since
        if channels[0].epoch is not None:
            data["epoch"] = channels[0].epoch
    for channel in channels:
        channel.phase = Phase.JOINING
        channel.retry_at = None
    return SubscribeRequest(names, data)
