"""Runs the core: a socket, a timer and the tasks that belong to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping
from typing import Any

from . import json_text, token_source
from .core import Close, FetchToken, Machine, Open, Output, Send, State, Subscription
from .token_source import TokenSource
from .update import Update
from .web_socket import Ended, Socket

_log = logging.getLogger(__name__)

TOKEN_TIMEOUT = 30.0


class Connection:
    """One client's connection, which reconnects by itself. Outputs for the application go to `sink`."""

    def __init__(self, url: str, token: TokenSource | None, sink: Callable[[Output], None]) -> None:
        self._url = url
        self._token = token
        self._sink = sink
        self._machine = Machine(has_token=callable(token), random=random.random)
        self._socket: Socket | None = None
        self._socket_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._outputs: deque[Output] = deque()
        self._is_applying = False

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._machine.state

    def position(self, channel: str) -> tuple[str | None, int | None] | None:
        """Epoch and seq of the last update of a subscribed channel."""
        return self._machine.position(channel)

    def newest(self, channel: str) -> Update | None:
        """The newest update of a subscribed channel that says how things are."""
        return self._machine.newest(channel)

    def subscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Subscribes to channels, or replaces their options and positions."""
        self._apply(self._machine.subscribe(self._now(), subscriptions))

    def unsubscribe(self, channel: str) -> None:
        """Ends a subscription."""
        self._apply(self._machine.unsubscribe(self._now(), channel))

    def request(self, name: Hashable, event: str, data: Mapping[str, Any]) -> None:
        """Sends a request; its answer goes to the sink under this name."""
        self._apply(self._machine.request(self._now(), name, event, data))

    def cancel(self, name: Hashable) -> None:
        """The answer of a request is not wanted any more."""
        self._machine.cancel(name)

    def wake(self) -> None:
        """Checks the connection now, or ends the delay before the next attempt."""
        self._apply(self._machine.wake(self._now()))

    async def aclose(self) -> None:
        """Closes the socket and ends every task."""
        if self._machine.state is not State.STOPPED:
            self._apply(self._machine.stop(self._now()))
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() * 1000

    def _apply(self, outputs: Iterable[Output]) -> None:
        self._outputs.extend(outputs)
        if self._is_applying:
            # The sink made this call: what came before it is done first.
            return
        self._is_applying = True
        try:
            while self._outputs:
                self._do(self._outputs.popleft())
        finally:
            self._is_applying = False
        self._arm()

    def _do(self, output: Output) -> None:
        match output:
            case Open(token):
                self._open(token)
            case Close():
                self._abandon()
            case Send(message):
                if self._socket is not None:
                    self._socket.send(json_text.dump(message))
            case FetchToken():
                self._spawn(self._fetch_token())
            case _:
                self._sink(output)

    def _open(self, token: str | None) -> None:
        # A fixed token is not renewed, so the core does not ask for it.
        if isinstance(self._token, str):
            token = self._token
        self._socket = Socket(self._url, token)
        self._socket_task = self._spawn(self._run(self._socket))

    def _abandon(self) -> None:
        if self._socket_task is not None:
            self._socket_task.cancel()
        self._socket = self._socket_task = None

    async def _run(self, socket: Socket) -> None:
        try:
            async with contextlib.aclosing(socket.texts()) as texts:
                async for text in texts:
                    self._receive(text)
        except Exception:
            _log.exception("the connection failed in an unexpected way; please report this")
        ended = socket.ended or Ended(1006, "the connection failed")
        if socket is self._socket:
            self._socket = self._socket_task = None
            # A server that was never reached is most likely a mistake in the URL.
            level = logging.INFO if self.state is State.OPEN else logging.WARNING
            _log.log(level, "disconnected: %s %s", ended.code or "", ended.reason)
            self._apply(
                self._machine.closed(
                    self._now(), ended.code, ended.reason, status=ended.status, retry_after=ended.retry_after_ms
                )
            )

    def _receive(self, text: str) -> None:
        try:
            message = json_text.parse(text)
        except ValueError:
            _log.warning("ignoring a message that is not JSON: %.200s", text)
            return
        if isinstance(message.get("data"), dict):
            json_text.with_decimals(message["data"])
        self._apply(self._machine.received(self._now(), message))

    async def _fetch_token(self) -> None:
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT):
                token = await token_source.fetch(self._token)
        except Exception as error:
            _log.warning("the token function failed: %r", error)
            self._apply(self._machine.token_failed(self._now()))
        else:
            self._apply(self._machine.token(self._now(), token))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _arm(self) -> None:
        """Sets the timer for the next deadline. One that fires too early is set again, which is cheaper than moving it."""
        deadline = self._machine.deadline
        if self._timer is not None and (deadline is None or deadline < self._timer.when() * 1000):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        self._apply(self._machine.advance(self._now()))
