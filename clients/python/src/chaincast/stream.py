"""The updates of a channel: stored ones first if wanted, then live ones."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol

from .core import Options
from .errors import ChaincastError
from .history import History
from .update import Gap, Update

Place = tuple[str | None, int | None]
"""Epoch and seq. Without an epoch, the current one; without a seq, no position yet."""

MakeHistory = Callable[[str, Place], History]


class Feed(Protocol):
    """Where live updates come from."""

    def attach(self, stream: Stream) -> None:
        """Live updates after the place of the stream go to it from now on."""

    def detach(self, stream: Stream) -> None:
        """The stream gets no further updates."""


class _Phase(enum.Enum):
    HISTORY = enum.auto()
    """Stored updates are read as the application takes them."""
    LIVE = enum.auto()
    BEHIND = enum.auto()
    """What is queued is yielded first; what follows it is read from the store."""
    ENDED = enum.auto()


class Stream(AsyncIterator[Update | Gap]):
    """Yields each update of a channel once and in order, or a `Gap` that names the missing ones.

    `anext` may be cancelled and called again: nothing is lost. At most `buffer` updates wait for a slow reader. The stream then
    leaves the live channel, and reads what follows from the store when the reader has taken them. So a slow reader loses nothing that
    the server still stores. With `mode="latest"`, newer updates replace the oldest waiting ones instead.
    """

    def __init__(
        self, feed: Feed, channel: str, options: Options, place: Place, make_history: MakeHistory | None, buffer: int
    ) -> None:
        self.channel = channel
        """The canonical name once the server has answered, the requested one until then."""
        self.options = options
        self.place = place
        """The newest update that was queued or yielded."""
        self.newest: Update | None = None
        """The newest stored update that was queued or yielded."""
        self._feed = feed
        self._make_history = make_history
        self._buffer = buffer
        self._history: History | None = None
        self._queue: deque[Update | Gap] = deque()
        self._wakeup = asyncio.Event()
        self._phase = _Phase.BEHIND
        self._error: ChaincastError | None = None
        self._lost_at: Place | None = None
        self._is_read = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Update | Gap:
        if self._is_read:
            raise RuntimeError("another task reads this stream: create one for each task")
        self._is_read = True
        try:
            return await self._next()
        finally:
            self._is_read = False

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream. A stream that is not referenced any more ends as well."""
        if self._phase is not _Phase.ENDED:
            self._queue.clear()
            self._leave(_Phase.ENDED)

    # Called by the feed.

    def go_live(self) -> None:
        """Live updates after the place of the stream follow."""
        self._phase = _Phase.LIVE
        self._feed.attach(self)

    def push(self, update: Update) -> None:
        """A live update. Repetitions are for other streams of the channel."""
        if self._phase is not _Phase.LIVE or self._is_repeated(update):
            return
        if len(self._queue) >= self._buffer and not self._make_room(update):
            return
        if update.seq is not None:
            self.place = (update.epoch, update.seq)
            self.newest = update
        self._queue.append(update)
        self._wakeup.set()

    def lose(self, gap: Gap) -> None:
        """The server cannot replay what follows the place of the stream. REST may have it: a replay is shorter."""
        if self._phase is not _Phase.LIVE:
            return
        if self._keeps_all() and self._lost_at != self.place:
            self._lost_at = self.place
            self._leave(_Phase.BEHIND)
            return
        first = gap.first if self.place[1] is None else self.place[1] + 1
        self.place = (None, None)
        self._queue.append(Gap(self.channel, first, gap.last, gap.reason))
        self._wakeup.set()

    def fail(self, error: ChaincastError) -> None:
        """Nothing follows but this error."""
        if self._phase is not _Phase.ENDED:
            self._error = error
            self._leave(_Phase.ENDED)

    # Reading.

    async def _next(self) -> Update | Gap:
        while True:
            if self._queue:
                return self._queue.popleft()
            match self._phase:
                case _Phase.ENDED:
                    if self._error is not None:
                        raise self._error
                    raise StopAsyncIteration
                case _Phase.BEHIND:
                    self._catch_up()
                case _Phase.HISTORY:
                    item = await self._read_history()
                    if item is not None:
                        return item
                case _Phase.LIVE:
                    self._wakeup.clear()
                    await self._wakeup.wait()

    def _catch_up(self) -> None:
        if self._make_history is not None and self._keeps_all():
            self._history = self._make_history(self.channel, self.place)
            self._phase = _Phase.HISTORY
        else:
            self.go_live()

    async def _read_history(self) -> Update | Gap | None:
        assert self._history is not None, "set when the phase begins"
        item = await self._history.next()
        if self._phase is not _Phase.HISTORY:
            return None
        if item is None:
            self.place = (self._history.epoch, self._history.since)
            self._history = None
            self.go_live()
        elif isinstance(item, Update):
            self.place = (item.epoch, item.seq)
            self.newest = item
        return item

    def _is_repeated(self, update: Update) -> bool:
        epoch, seq = self.place
        if update.seq is None or seq is None or epoch not in (None, update.epoch) or update.seq > seq:
            return False
        if update.snapshot and self.newest is not None and self.newest.snapshot:
            # Alerts that wait for an acknowledgement share a seq.
            return update.data == self.newest.data
        return True

    def _keeps_all(self) -> bool:
        return self._make_history is not None and self.options.mode != "latest"

    def _make_room(self, update: Update) -> bool:
        """Whether an update may be queued although the buffer is full."""
        if update.snapshot:
            # State; the server bounds it.
            return True
        if self.options.mode == "latest":
            self._queue.popleft()
            return True
        if update.seq is None:
            # Not stored, so only the newest matter.
            return self._drop_oldest_unstored()
        self._leave(_Phase.BEHIND)
        return False

    def _drop_oldest_unstored(self) -> bool:
        for at, item in enumerate(self._queue):
            if isinstance(item, Update) and item.seq is None:
                del self._queue[at]
                return True
        return False

    def _leave(self, phase: _Phase) -> None:
        self._phase = phase
        self._feed.detach(self)
        self._wakeup.set()
