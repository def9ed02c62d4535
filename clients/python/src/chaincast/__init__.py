"""The client of chaincast: blocks, prices and messages as async iterators, each once and in order.

| module | what it has |
|---|---|
| `client` | `Client`: streams, requests, REST |
| `stream`, `readers`, `history` | the updates of a channel: buffered, shared, joined to stored ones |
| `connection`, `web_socket` | one socket that is opened again, and its timers |
| `core` | the rules of the protocol, without I/O |
| `rest`, `pages`, `http_client` | the REST API |
"""

from .client import Client, Start
from .errors import (
    ChaincastError,
    ClientClosed,
    Disconnected,
    GaveUp,
    Refused,
    RestError,
    TooManyRequests,
    Unreachable,
)
from .members import Member, Members
from .pages import Pages
from .position import Position
from .rest import Rest
from .stream import Stream
from .update import Gap, Update

__all__ = [
    "ChaincastError",
    "Client",
    "ClientClosed",
    "Disconnected",
    "Gap",
    "GaveUp",
    "Member",
    "Members",
    "Pages",
    "Position",
    "Refused",
    "Rest",
    "RestError",
    "Start",
    "Stream",
    "TooManyRequests",
    "Unreachable",
    "Update",
]
