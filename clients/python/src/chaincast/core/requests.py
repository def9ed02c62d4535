"""Requests of the application, from the call to the answer."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

SENT_ONCE = frozenset({"signal"})
"""Requests that lose their meaning when they are late: they fail without a connection. All others are sent again."""


@dataclass(slots=True)
class Request:
    """A request that has no final answer yet."""

    name: Hashable
    event: str
    data: Mapping[str, Any]
    id: int | None = None
    """Of the message that was sent on this connection, if one was."""
    retry_at: float | None = None

    @property
    def is_sent_once(self) -> bool:
        """Whether it is never sent again."""
        return self.event in SENT_ONCE

    @property
    def is_silent_publish(self) -> bool:
        """Whether it publishes a message that this client does not want back."""
        return self.event == "publish" and self.data.get("echo") is False


class Requests:
    """The requests by the application's name, in the order of the calls."""

    def __init__(self) -> None:
        self._requests: dict[Hashable, Request] = {}

    def add(self, request: Request) -> None:
        """Keeps a request until its answer."""
        self._requests[request.name] = request

    def remove(self, name: Hashable) -> Request | None:
        """The request has its answer, or the application does not want it any more."""
        return self._requests.pop(name, None)

    def due(self, now: float) -> list[Request]:
        """Those to be sent now."""
        due = []
        for request in self._requests.values():
            if request.id is not None:
                continue
            if request.retry_at is not None and request.retry_at > now:
                # Keeps the order: later ones wait behind it.
                break
            due.append(request)
        return due

    def next_retry(self) -> float | None:
        """When the next one is due, if one waits."""
        waiting = (one.retry_at for one in self._requests.values() if one.id is None)
        return next(waiting, None)

    def disconnected(self) -> list[Request]:
        """Answers to what was sent will not arrive. Returns the removed ones that are not sent again."""
        lost = [one for one in self._requests.values() if one.is_sent_once]
        for request in lost:
            del self._requests[request.name]
        for request in self._requests.values():
            request.id = None
        return lost

    def clear(self) -> list[Request]:
        """No request will be sent any more. Returns them."""
        cleared, self._requests = list(self._requests.values()), {}
        return cleared

    def longest_sent(self) -> Request | None:
        """The sent request with the most text: what exceeded the server's limit."""
        sent = [one for one in self._requests.values() if one.id is not None]
        return max(sent, key=lambda one: len(json.dumps(one.data, ensure_ascii=False).encode()), default=None)

    def silent_keys(self, channel: str) -> set[object]:
        """Keys of messages that were published to a channel with `echo: false` and have no answer yet."""
        return {
            one.data.get("key")
            for one in self._requests.values()
            if one.is_silent_publish and one.data.get("channel") == channel
        }
