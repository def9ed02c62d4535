"""The client as a state machine: inputs are methods, and each returns the outputs.

The driver calls `advance` when `deadline` has passed. Times are in ms, on any clock that does not go back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from ..errors import ChaincastError, ClientClosed, GaveUp
from ..update import Update
from .outputs import Close, Failed, FetchToken, Open, Output, State, StateChanged, Stopped
from .reconnect import TOO_BIG, Next, Reconnect, advice, close_code, is_crowded, retry_after_ms
from .requests import Request, Requests
from .session import Session
from .subscriptions import Subscription, Subscriptions

DISCONNECTED = "DISCONNECTED"
"""The code of requests that fail for want of a connection."""


class Machine:
    """One client: its channels, its requests and at most one connection."""

    def __init__(self, *, has_token: bool, random: Callable[[], float]) -> None:
        self._has_token = has_token
        self._reconnect = Reconnect(random)
        self._subscriptions = Subscriptions()
        self._requests = Requests()
        self._ids = itertools.count(1)
        self._state = State.IDLE
        self._session: Session | None = None
        self._reconnect_at: float | None = None
        self._waits_for_server = False
        """Whether the server asked for the delay, so that a better network does not end it."""
        self._is_closed = False

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._state

    def position(self, name: str) -> tuple[str | None, int | None] | None:
        """Epoch and seq of the last update of a channel; None if it is not subscribed to."""
        channel = self._subscriptions.get(name)
        return None if channel is None else (channel.epoch, channel.last)

    def newest(self, name: str) -> Update | None:
        """The newest update of a channel that says how things are."""
        return self._subscriptions.state(name)

    # Inputs of the application.

    def subscribe(self, now: float, subscriptions: Iterable[Subscription]) -> list[Output]:
        """Subscribes to channels, or replaces their options and positions."""
        for subscription in subscriptions:
            self._subscriptions.want(subscription)
        return self._begin_or_flush(now)

    def unsubscribe(self, now: float, name: str) -> list[Output]:
        """Ends a subscription."""
        forgotten = self._subscriptions.forget(name)
        return [] if forgotten is None or self._session is None else self._session.unsubscribe(name)

    def request(self, now: float, name: Hashable, event: str, data: Mapping[str, Any]) -> list[Output]:
        """Sends a request; `Answered` or `Failed` with this name follows."""
        request = Request(name, event, data)
        if self._state is State.STOPPED or (request.is_sent_once and self._state is not State.OPEN):
            return [Failed(name, DISCONNECTED, "there is no connection")]
        self._requests.add(request)
        return self._begin_or_flush(now)

    def cancel(self, name: Hashable) -> None:
        """The application does not want the answer any more. The request may have been processed."""
        self._requests.remove(name)

    def connect(self, now: float) -> list[Output]:
        """Connects now: ends a delay, or tries again after a refusal."""
        if self._is_closed or self._state in (State.CONNECTING, State.OPEN):
            return []
        self._reconnect.reset()
        return self._begin(now)

    def wake(self, now: float) -> list[Output]:
        """The network is back: checks the connection, or ends a delay."""
        if self._state is State.OPEN and self._session is not None:
            return self._session.ping(now)
        may_begin = self._state is State.WAITING and not self._waits_for_server
        return self._begin(now) if may_begin else []

    def stop(self, now: float) -> list[Output]:
        """Closes the client, for good."""
        self._is_closed = True
        return self._stop(ClientClosed("the client was closed"))

    # Inputs of the driver.

    def token(self, now: float, token: str | None) -> list[Output]:
        """The application's token, after `FetchToken`; None if it has none."""
        if self._state is State.OPEN and self._session is not None:
            return [] if token is None else self._session.authenticate(token)
        if self._state is State.CONNECTING and self._session is None:
            return self._open(now, token)
        return []

    def token_failed(self, now: float) -> list[Output]:
        """The application has no token now."""
        if self._state is State.CONNECTING and self._session is None:
            return self._wait(now, 1006, None, 0.0)
        return []

    def received(self, now: float, message: Mapping[str, Any]) -> list[Output]:
        """A message of the server."""
        session = self._session
        if session is None:
            return []
        was_connected = session.connected_at is not None
        out = session.message(now, message)
        if not was_connected and session.connected_at is not None:
            self._reconnect.connected()
            return self._enter(State.OPEN) + out
        return out

    def closed(
        self,
        now: float,
        code: int | None = None,
        reason: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> list[Output]:
        """The connection ended or could not be opened; `status` of an HTTP response that refused it, delays in ms."""
        session, self._session = self._session, None
        if session is None:
            return []
        code = close_code(code, status)
        out: list[Output] = []
        if code == TOO_BIG:
            out += self._fail_longest()
        self._subscriptions.disconnected()
        out += [Failed(one.name, DISCONNECTED, "the connection was lost") for one in self._requests.disconnected()]
        match self._reconnect.verdict(code, self._has_token):
            case Next.GIVE_UP:
                return out + self._stop(GaveUp(code, reason, advice(code)))
            case Next.RENEW:
                return out + self._begin(now)
            case Next.WAIT:
                delay = retry_after if retry_after is not None else retry_after_ms(reason)
                return out + self._wait(now, code, delay, session.served_ms(now))

    # Time.

    @property
    def deadline(self) -> float | None:
        """When `advance` has something to do."""
        times = [self._reconnect_at]
        if self._session is not None:
            times += [self._session.liveness.ping_at, self._session.liveness.dead_at]
        if self._state is State.OPEN:
            times += [self._subscriptions.next_retry(), self._requests.next_retry()]
        return min((time for time in times if time is not None), default=None)

    def advance(self, now: float) -> list[Output]:
        """Does everything that is due, in order."""
        out: list[Output] = []
        while (deadline := self.deadline) is not None and deadline <= now:
            out += self._due(deadline)
        return out

    def _due(self, now: float) -> list[Output]:
        if self._reconnect_at is not None and self._reconnect_at <= now:
            return self._begin(now)
        session = self._session
        if session is None:
            return []
        if session.liveness.dead_at is not None and session.liveness.dead_at <= now:
            return [Close(), *self.closed(now, 1006, "the server did not answer in time")]
        if session.liveness.ping_at is not None and session.liveness.ping_at <= now:
            return session.ping(now)
        return session.flush(now)

    # Transitions.

    def _begin_or_flush(self, now: float) -> list[Output]:
        if self._state is State.IDLE:
            return self._begin(now)
        return [] if self._session is None else self._session.flush(now)

    def _begin(self, now: float) -> list[Output]:
        self._reconnect_at = None
        entered = self._enter(State.CONNECTING)
        return entered + ([FetchToken()] if self._has_token else self._open(now, None))

    def _open(self, now: float, token: str | None) -> list[Output]:
        self._session = Session(now, self._subscriptions, self._requests, self._ids, self._has_token)
        return [Open(token)]

    def _wait(self, now: float, code: int, retry_after: float | None, served_ms: float) -> list[Output]:
        self._reconnect_at = now + self._reconnect.delay(code, retry_after, served_ms)
        self._waits_for_server = retry_after is not None or is_crowded(code)
        return self._enter(State.WAITING)

    def _stop(self, error: ChaincastError) -> list[Output]:
        out: list[Output] = [] if self._session is None else [Close()]
        self._session = None
        self._reconnect_at = None
        out += [*self._enter(State.STOPPED), Stopped(error)]
        return out + [Failed(one.name, DISCONNECTED, str(error)) for one in self._requests.clear()]

    def _enter(self, state: State) -> list[Output]:
        changed, self._state = self._state is not state, state
        return [StateChanged(state)] if changed else []

    def _fail_longest(self) -> list[Output]:
        longest = self._requests.longest_sent()
        if longest is None:
            return []
        self._requests.remove(longest.name)
        return [Failed(longest.name, "PAYLOAD_TOO_LARGE", "the message is larger than the server accepts")]
