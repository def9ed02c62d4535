"""What can fail, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ChaincastError(Exception):
    """Any failure that this package reports."""


class Refused(ChaincastError):
    """The server refused a request or a subscription. Change the request, or the rights of the token."""

    def __init__(self, code: str, message: str, subject: str = "") -> None:
        super().__init__(f"{subject + ': ' if subject else ''}{message} ({code})")
        self.code = code
        """A stable code, such as FORBIDDEN or UNKNOWN_CHANNEL; docs/protocol.md lists them."""
        self.message = message


class Disconnected(ChaincastError):
    """A request that is not sent twice, such as a signal, had no connection. Send it again if it still matters."""


class GaveUp(ChaincastError):
    """The server ended the connection with a code after which a client must not reconnect. Create a new client after the change.

    After 4401, give it a valid token; after 4403, check the origin or the rights; after 1002 and 1007, report a bug.
    """

    def __init__(self, code: int, reason: str, advice: str) -> None:
        super().__init__(f"the server closed the connection with {code} ({reason or 'no reason given'}): {advice}")
        self.code = code
        self.reason = reason


class ClientClosed(ChaincastError):
    """The client was closed. Create a new one."""


class TooManyRequests(ChaincastError):
    """Too many requests wait for an answer. Await earlier ones first, or check why the server is not reached."""


class RestError(ChaincastError):
    """A REST request failed with a problem document (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.status = status
        self.code = code
        """A stable code, such as NOT_FOUND or GONE."""
        self.detail = detail
        self.problem = problem
        """The whole document."""


class Unreachable(ChaincastError):
    """The server gave no answer to a REST request, also after retries. Check its URL, and whether it is running."""
