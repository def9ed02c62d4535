"""The streams of each channel, which share one subscription."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakSet

from .connection import Connection
from .core import Options, Subscription
from .errors import ChaincastError
from .stream import Stream
from .update import Gap, Update


@dataclass(slots=True)
class _Channel:
    options: Options
    streams: WeakSet[Stream] = field(default_factory=WeakSet)


class Readers:
    """Subscribes to a channel when its first stream is attached, and unsubscribes after its last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channels: dict[str, _Channel] = {}

    def attach(self, stream: Stream) -> None:
        """Live updates after the place of the stream go to it from now on."""
        epoch, seq = stream.place
        channel = self._channels.get(stream.channel)
        if channel is None:
            channel = self._channels[stream.channel] = _Channel(stream.options)
            channel.streams.add(stream)
            self._subscribe(stream.channel, channel, epoch, seq)
            return
        channel.streams.add(stream)
        merged = _merged(channel.options, stream.options)
        has_changed, channel.options = merged != channel.options, merged
        current = self._connection.position(stream.channel)
        if seq is not None and _is_before(epoch, seq, current):
            # Other streams ignore what is replayed for this one. Those that wait for their state get no snapshot any more.
            self._begin(list(channel.streams), stream.newest)
            self._subscribe(stream.channel, channel, epoch, seq)
        elif has_changed:
            self._subscribe(stream.channel, channel, None, None)
        self._begin([stream], self._connection.newest(stream.channel))

    def detach(self, stream: Stream) -> None:
        """The stream gets no further updates."""
        channel = self._channels.get(stream.channel)
        if channel is not None:
            channel.streams.discard(stream)
            self._release_unused(stream.channel, channel)

    def deliver(self, update: Update) -> None:
        """A live update of a channel."""
        channel = self._channels.get(update.channel)
        if channel is None:
            return
        for stream in list(channel.streams):
            stream.push(update)
        self._release_unused(update.channel, channel)

    def lose(self, gap: Gap) -> None:
        """The server cannot replay these updates."""
        for stream in self._streams(gap.channel):
            stream.lose(gap)

    def reject(self, name: str, error: ChaincastError) -> None:
        """The server ended the subscription."""
        channel = self._channels.pop(name, None)
        for stream in () if channel is None else list(channel.streams):
            stream.fail(error)

    def rename(self, requested: str, canonical: str) -> None:
        """The server's name of a channel."""
        renamed = self._channels.pop(requested, None)
        if renamed is None:
            return
        for stream in renamed.streams:
            stream.channel = canonical
        if canonical not in self._channels:
            self._channels[canonical] = renamed
            return
        for stream in list(renamed.streams):
            if stream.place[1] is None:
                # Its state follows.
                self._channels[canonical].streams.add(stream)
            else:
                self.attach(stream)

    def fail(self, error: ChaincastError) -> None:
        """No channel has further updates."""
        for name in list(self._channels):
            self.reject(name, error)

    @staticmethod
    def _begin(streams: Iterable[Stream], state: Update | None) -> None:
        """Gives a state to the streams that have none."""
        if state is None or not state.is_state:
            return
        for stream in streams:
            if stream.place[1] is None and stream.options.snapshot is not False:
                stream.push(state.as_snapshot())

    def _streams(self, name: str) -> Iterable[Stream]:
        channel = self._channels.get(name)
        return [] if channel is None else list(channel.streams)

    def _subscribe(self, name: str, channel: _Channel, epoch: str | None, seq: int | None) -> None:
        self._connection.subscribe([Subscription(name, channel.options, seq, epoch)])

    def _release_unused(self, name: str, channel: _Channel) -> None:
        if not channel.streams and self._channels.get(name) is channel:
            del self._channels[name]
            self._connection.unsubscribe(name)


def _is_before(epoch: str | None, seq: int, current: tuple[str | None, int | None] | None) -> bool:
    """Whether updates between this position and the current one of the subscription are needed."""
    if current is None or current[1] is None:
        return True
    return (epoch is not None and epoch != current[0]) or seq < current[1]


def _merged(one: Options, other: Options) -> Options:
    """Options that give both what they need."""
    every = "all" in (one.mode, other.mode)
    return Options(
        mode="all" if every else one.mode or other.mode,
        interval=None if every else min(one.interval or 0, other.interval or 0) or None,
        snapshot=None if one.snapshot is None or other.snapshot is None else one.snapshot or other.snapshot,
        presence=one.presence or other.presence,
        info=other.info if other.info is not None else one.info,
    )
