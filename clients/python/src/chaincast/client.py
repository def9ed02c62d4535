"""The client of one server."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal

from .connection import Connection
from .core import DISCONNECTED, Answered, Deliver, Failed, Lost, Options, Output, Rejected, Renamed, StateChanged, Stopped
from .errors import ChaincastError, ClientClosed, Disconnected, Refused, TooManyRequests
from .history import History
from .http_client import Http
from .members import Members
from .position import Position
from .readers import Readers
from .rest import Rest
from .stream import Place, Stream
from .token_source import TokenSource
from .url import ServerUrl

Start = Literal["live", "start"] | int | Position
"""Where a stream begins: now; with the oldest stored update; or after a seq or a stored position."""

MAX_REQUESTS = 1_000
"""Requests that wait for an answer."""
BUFFER = 1_000
"""Updates that wait for a slow reader."""


class Client:
    """Streams, requests and REST over one URL. Connects when it is first needed, and reconnects by itself.

    Use it in one event loop, and close it: `async with Client("http://127.0.0.1:3000") as client`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:3000",
        *,
        token: TokenSource | None = None,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        """`token` is a JWT, or an async function that returns one whenever the client needs a current one.

        `on_state` gets each new value of `state`.
        """
        addresses = ServerUrl(url)
        self._http = Http(addresses.http, token)
        self._connection = Connection(addresses.realtime, token, self._handle)
        self._readers = Readers(self._connection)
        self._requests: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._names = itertools.count()
        self._on_state = on_state
        self._error: ChaincastError | None = None
        self.rest = Rest(self._http)
        """Stored data, by resource."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends every stream and request, and closes all connections."""
        self._fail(ClientClosed("the client was closed"))
        await self._connection.aclose()
        await self._http.aclose()

    @property
    def state(self) -> str:
        """`idle`, `connecting`, `open`, `waiting` (for the next attempt) or `stopped`."""
        return self._connection.state.value

    def wake(self) -> None:
        """Checks the connection now, or ends the delay before the next attempt: for a network that is back."""
        self._check()
        self._connection.wake()

    def stream(
        self,
        channel: str,
        *,
        start: Start = "live",
        mode: Literal["all", "latest"] = "all",
        interval: Literal[0, 100, 250, 1000, 5000] = 0,
        snapshot: bool = True,
        presence: bool = False,
        info: Mapping[str, Any] | None = None,
        buffer: int = BUFFER,
    ) -> Stream:
        """The updates of a channel, each once and in order.

        - `start`: `"live"` begins with the state as of now (unless `snapshot` is False), `"start"` with the oldest stored update; a
          seq or a `Position` continues after it.
        - `mode="latest"`: the server and the client may leave out updates for newer ones; `interval` is the shortest time between
          two updates in ms, with `latest` only. Streams of one channel share a subscription, which has the stronger options.
        - `presence`: also yields who joins and leaves the room; `info`, of at most 1 KiB, is shown to its members.
        - `buffer`: updates that may wait for a slow reader, see `Stream`.
        """
        self._check()
        if mode == "all" and interval:
            raise ValueError("an interval leaves out updates: it needs mode='latest'")
        options = Options(
            mode=mode,
            interval=interval or None,
            snapshot=None if snapshot else False,
            presence=presence or None,
            info=info,
        )
        history = self._history if _has_history(channel) else None
        begins_with_history = history is not None and start != "live" and mode == "all"
        place = _place(start, begins_with_history)
        stream = Stream(self._readers, channel, options, place, history, buffer)
        if not begins_with_history:
            stream.go_live()
        return stream

    async def publish(
        self, channel: str, type: str, payload: Any, *, key: str | None = None, echo: bool = True
    ) -> int:
        """Publishes a message to a room or, as `user:SUB`, to all devices of a user. Returns its seq.

        The client repeats it after a lost connection; by its key, the server stores it once. Give a `key` of your own to repeat it
        after a crash. With `echo=False` this client's streams do not get it.
        """
        data = {"channel": channel, "type": type, "payload": payload, "key": key or uuid.uuid4().hex, "echo": echo}
        answer = await self._request("publish", data)
        return int(answer["seq"])

    async def signal(self, channel: str, type: str, payload: Any) -> None:
        """Sends a message that is not stored to everybody else in a room, such as `typing`.

        Raises `Disconnected` without a connection: a late signal has lost its meaning.
        """
        await self._request("signal", {"channel": channel, "type": type, "payload": payload})

    async def presence(self, channel: str) -> Members:
        """Who is in a room."""
        return Members.from_answer(await self._request("presence", {"channel": channel}))

    async def acknowledge(self, ids: Iterable[int]) -> int:
        """Acknowledges price alerts and user messages by `data["id"]`, so that they are not repeated. Returns how many were new."""
        answer = await self._request("acknowledge", {"ids": list(ids)})
        return int(answer["acknowledged"])

    async def _request(self, event: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check()
        if len(self._requests) >= MAX_REQUESTS:
            raise TooManyRequests(f"{MAX_REQUESTS} requests wait for an answer; is the server reached?")
        name = next(self._names)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._requests[name] = answer
        try:
            self._connection.request(name, event, data)
            return await answer
        finally:
            del self._requests[name]
            self._connection.cancel(name)

    def _history(self, channel: str, place: Place) -> History:
        epoch, seq = place
        return History(self._http, channel, seq, epoch)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _handle(self, output: Output) -> None:
        match output:
            case Deliver(update):
                self._readers.deliver(update)
            case Lost(gap):
                self._readers.lose(gap)
            case Rejected(channel, code, message):
                self._readers.reject(channel, Refused(code, message, channel))
            case Renamed(requested, canonical):
                self._readers.rename(requested, canonical)
            case Answered(name, data):
                self._answer(name, data)
            case Failed(name, code, message):
                self._answer(name, Disconnected(message) if code == DISCONNECTED else Refused(code, message))
            case StateChanged(state):
                if self._on_state is not None:
                    self._on_state(state.value)
            case Stopped(error):
                self._fail(error)

    def _answer(self, name: object, result: Mapping[str, Any] | ChaincastError) -> None:
        future = self._requests.get(name) if isinstance(name, int) else None
        if future is None or future.done():
            return
        if isinstance(result, ChaincastError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _fail(self, error: ChaincastError) -> None:
        """Nothing follows: ends every stream and request with the error."""
        if self._error is None:
            self._error = error
            self._readers.fail(error)
            for name in list(self._requests):
                self._answer(name, error)


def _has_history(channel: str) -> bool:
    """Whether REST has the updates of a channel: not those of one user, nor what is not stored."""
    kind = channel.partition(":")[0].lower()
    return kind not in ("user", "heartbeat")


def _place(start: Start, begins_with_history: bool) -> Place:
    match start:
        case Position(epoch, seq):
            return epoch, seq
        case "live":
            return None, None
        case "start":
            # Without REST, the server replays what it can after seq 0.
            return None, None if begins_with_history else 0
        case seq:
            return None, seq
