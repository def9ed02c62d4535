"""The decisions of the client, without I/O: no socket, no clock and no randomness of its own.

`Machine` takes what happened (a message, a closed connection, the time, a request of the application) and returns what to do
(`Output`). `crates/protocol/vectors` of the project has cases that every client must pass.

| module | what it decides |
|---|---|
| `machine` | which part handles an input; the states of the connection |
| `session` | one connection: requests out, messages in |
| `channel`, `subscriptions`, `joins` | gaps and duplicates of a channel; what to subscribe to, from where; what the answers mean |
| `requests`, `retries` | which requests are sent, and sent again |
| `reconnect`, `liveness` | when to reconnect; when a connection is dead |
"""

from .channel import Options
from .machine import DISCONNECTED, Machine
from .outputs import (
    Answered,
    Close,
    Deliver,
    Failed,
    FetchToken,
    Lost,
    Open,
    Output,
    Rejected,
    Renamed,
    Send,
    State,
    StateChanged,
    Stopped,
)
from .subscriptions import Subscription

__all__ = [
    "DISCONNECTED",
    "Answered",
    "Close",
    "Deliver",
    "Failed",
    "FetchToken",
    "Lost",
    "Machine",
    "Open",
    "Options",
    "Output",
    "Rejected",
    "Renamed",
    "Send",
    "State",
    "StateChanged",
    "Stopped",
    "Subscription",
]
