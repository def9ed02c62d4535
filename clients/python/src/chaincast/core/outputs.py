"""What the core asks its driver to do."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ChaincastError
from ..update import Gap, Update


class State(enum.Enum):
    """State of the connection."""

    IDLE = "idle"
    """Nothing has been requested yet."""
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    """The connection failed; the next attempt follows after a delay."""
    STOPPED = "stopped"
    """The server rejects this client, or the client was closed."""


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Ask the application for a token, and hand it over with `Machine.token`."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open a connection."""

    token: str | None


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection without waiting for the peer, and report nothing of it any more."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request."""

    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give an update to the readers of its channel."""

    update: Update


@dataclass(frozen=True, slots=True)
class Lost:
    """The server cannot replay these updates of a channel."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class Rejected:
    """A subscription ended with an error."""

    channel: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """The server's name of a channel differs from the application's."""

    requested: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A request of the application succeeded."""

    name: Hashable
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A request of the application failed: with a code of the server, or with `DISCONNECTED`."""

    name: Hashable
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The connection has another state."""

    state: State


@dataclass(frozen=True, slots=True)
class Stopped:
    """The client does not reconnect."""

    error: ChaincastError


Output = (
    FetchToken | Open | Close | Send | Deliver | Lost | Rejected | Renamed | Answered | Failed | StateChanged | Stopped
)
